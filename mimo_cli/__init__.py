"""What a person touches: commands, project folder, stage store, messages."""

__version__ = "0.1.0"
