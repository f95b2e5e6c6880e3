"""One file per command, one function in it. They speak with the person; the work is in the engine."""
