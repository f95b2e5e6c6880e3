"""Bodies: the embedded one, skeletons, and the files they come in."""
