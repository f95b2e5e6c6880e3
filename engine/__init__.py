"""The engine of mimo: arrays in, arrays out. No project folder, no command line."""
