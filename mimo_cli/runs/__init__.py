"""What each stage runs: files of slots in, engine calls, files of slots out."""
