"""Bodies and the ground: where soles are, a floor that drifts, and carrying a motion to a body of other proportions."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.motion.contact import contact_of, leg_length
from engine.types import BODY_JOINTS, JOINTS, Motion

SOLE_JOINTS = tuple(JOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("ankle", "foot"))
FLIGHT_S = 0.9
"""Longer than any jump: some part of a body touches its ground at least this often."""
MIN_DRIFT_M = 0.03
MAX_DRIFT_M = 0.25
"""A floor that seems to move by less is noise, by more no drift but stairs, a wall, a handstand."""


def sole_height(joints_m: NDArray, rest_m: NDArray) -> NDArray:
    """How high the lower of the soles is.

    Args:
        joints_m: (T, 52, 3), metres, world.
        rest_m: (52, 3) rest joints with soles on y = 0: ankles and balls of the feet keep their height above the sole.

    Returns:
        (T,), metres above y = 0.
    """
    rows = list(SOLE_JOINTS)
    return (joints_m[:, rows, 1] - rest_m[rows, 1]).min(1)


def floor_drift(joints_m: NDArray, rest_m: NDArray, time_s: NDArray) -> NDArray:
    """The slow part of how far a body is above y = 0, as mocap suits that guess their height drift.

    Args:
        joints_m, rest_m, time_s: as in `sole_height`; seconds.

    Returns:
        (T,), metres, to be subtracted: never more than the lowest point of the body's height in that frame, smooth over
        `FLIGHT_S`, zero for a clip whose floor moves by less than `MIN_DRIFT_M` or more than `MAX_DRIFT_M`.
    """
    size = leg_length(rest_m) / 0.82
    others = [j for j in range(len(BODY_JOINTS)) if j not in SOLE_JOINTS]
    flesh = 0.06 * size  # between a hand's, knee's or hip's joint and what it rests on
    lowest = np.minimum(sole_height(joints_m, rest_m), joints_m[:, others, 1].min(1) - flesh)
    if len(time_s) < 3:
        return np.zeros(len(time_s))
    half = max(1, round(FLIGHT_S / 2 / float(np.median(np.diff(time_s)))))
    # A running mean of a running minimum over the same window stays below the curve: every minimum it averages has
    # seen it.
    drift = _windows(_windows(lowest, half).min(1), half).mean(1)
    drift = np.maximum(drift, 0.0)
    believed = MIN_DRIFT_M * size < drift.max() <= MAX_DRIFT_M * size
    return drift if believed else np.zeros(len(time_s))


def _windows(curve: NDArray, half: int) -> NDArray:
    """(T, 2 * half + 1) neighbourhoods; the ends see themselves repeated."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(curve, half, mode="edge"), 2 * half + 1)


def placed(rotvec: NDArray, root_m: NDArray) -> tuple[NDArray, NDArray]:
    """Turn and move a motion about the vertical so that it starts above the origin, facing +z.

    Args:
        rotvec: (T, 52, 3), radians, and root_m: (T, 3), metres.

    Returns:
        Both, changed. A body that lies at the start is turned by where its pelvis's forward axis points on the ground.
    """
    first = rotvec_to_matrix(np.asarray(rotvec[0, 0], np.float64))
    heading = np.arctan2(first[0, 2], first[2, 2])
    turn = rotvec_to_matrix(np.array([0.0, -heading, 0.0]))
    rotvec = rotvec.copy()
    rotvec[:, 0] = matrix_to_rotvec(turn @ rotvec_to_matrix(rotvec[:, 0].astype(np.float64)))
    return rotvec, (root_m - root_m[0] * [1, 0, 1]) @ turn.T


def transfer(motion: Motion, rest_m: NDArray) -> Motion:
    """Carry a motion to a body of other proportions: same pose, ways scaled by leg length, soles as high as they were.

    Args:
        motion: any motion on ground y = 0.
        rest_m: (52, 3) rest joints of the other body, metres, soles on y = 0.

    Returns:
        The motion with that `rest_m`; heights of soles above ground are scaled by leg length too, so planted feet
        stay planted; `shape` is kept.
    """
    rest_m = np.asarray(rest_m, np.float32)
    scale = leg_length(rest_m) / leg_length(motion.rest_m)
    rotvec = motion.rotvec.astype(np.float64)
    before, _ = forward_kinematics(rotvec, motion.root_m.astype(np.float64), motion.rest_m)
    root_m = scale * motion.root_m.astype(np.float64)
    after, _ = forward_kinematics(rotvec, root_m, rest_m)
    rise = scale * sole_height(before, motion.rest_m) - sole_height(after, rest_m)
    root_m[:, 1] += rise
    after[..., 1] += rise[:, None]
    return replace(
        motion,
        root_m=root_m.astype(np.float32),
        rest_m=rest_m,
        contact=None if motion.contact is None else contact_of(after, rest_m, motion.time_s),
    )
