"""People: who is in the picture, where their joints are, and roughly which pixels are theirs."""

from engine.people.choose import choose_person
from engine.people.people import Person, find_people
from engine.people.roster import draw_roster
from engine.people.still import find_pose

__all__ = ["Person", "choose_person", "draw_roster", "find_people", "find_pose"]
