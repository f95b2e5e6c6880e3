"""Which foot stands on the ground: low and slow."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics
from engine.types import JOINTS, Motion

MAX_LIFT_M = 0.05
"""Height of heel or ball above where they are in a standing rest pose."""
MAX_SPEED_M_S = 0.35
MIN_STAND_S = 0.08
"""Shorter contacts are dropped, shorter gaps closed."""

_FEET = np.array([[JOINTS.index(f"{side}_ankle"), JOINTS.index(f"{side}_foot")] for side in ("left", "right")])


def find_contact(motion: Motion) -> NDArray:
    """Find planted feet of a motion whose ground is y = 0.

    Args:
        motion: any motion; lengths are scaled by its leg length against 0.82 m.

    Returns:
        (T, 2) bool: left, right: the heel's or the ball's joint is near its standing height and hardly moves.
    """
    joints, _ = forward_kinematics(motion.rotvec.astype(np.float64), motion.root_m.astype(np.float64), motion.rest_m)
    return contact_of(joints, motion.rest_m, motion.time_s)


def contact_of(joints_m: NDArray, rest_m: NDArray, time_s: NDArray) -> NDArray:
    """`find_contact` on joints that are at hand: (T, 52, 3) metres, (52, 3) metres, (T,) seconds -> (T, 2) bool."""
    size = leg_length(rest_m) / 0.82
    feet = joints_m[:, _FEET]  # (T, side, heel and ball, 3)
    lift = feet[..., 1] - rest_m[_FEET, 1]
    if len(time_s) < 2:
        return (lift < MAX_LIFT_M * size).any(-1)
    speed = np.linalg.norm(np.gradient(feet, time_s, axis=0), axis=-1)
    planted = ((lift < MAX_LIFT_M * size) & (speed < MAX_SPEED_M_S * size)).any(-1)
    frames = max(1, round(MIN_STAND_S / float(np.median(np.diff(time_s)))))
    return np.stack([_without_blips(planted[:, side], frames) for side in (0, 1)], axis=1)


def leg_length(rest_m: NDArray) -> float:
    """Mean length of thigh and shin together, of (52, 3) rest joints; the unit of the input."""
    at = JOINTS.index
    bones = [
        np.linalg.norm(rest_m[at(f"{side}_{a}")] - rest_m[at(f"{side}_{b}")])
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    return float(sum(bones)) / 2


def _without_blips(flags: NDArray, frames: int) -> NDArray:
    """Close gaps, then drop runs, that are shorter than `frames`; runs at either end of the clip stay."""
    for value in (False, True):
        edges = np.flatnonzero(np.diff(flags)) + 1
        bounds = [0, *edges.tolist(), len(flags)]
        flags = flags.copy()
        for start, stop in pairwise(bounds):
            if flags[start] == value and stop - start < frames and start > 0 and stop < len(flags):
                flags[start:stop] = not value
    return flags
