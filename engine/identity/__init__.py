"""From one picture of a character to a body that can move: cutout, joints, lift, skin weights, files."""

from engine.identity.cutout import Cutout, cut_out, place_cutout
from engine.identity.joints import find_joints
from engine.identity.lift import lift
from engine.identity.puppet_file import load_puppet, save_puppet
from engine.identity.rig_file import read_joints, write_joints

__all__ = [
    "Cutout", "cut_out", "find_joints", "lift", "load_puppet", "place_cutout", "read_joints", "save_puppet",
    "write_joints",
]  # fmt: skip
