"""People: who is in the picture, where their joints are, and roughly which pixels are theirs."""

from engine.people.still import find_pose

__all__ = ["find_pose"]
