"""A motion at other times."""

import numpy as np
from numpy.typing import NDArray

from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.types import Motion


def resample(motion: Motion, time_s: NDArray) -> Motion:
    """Take a motion at new times: rotations along the shortest arc, places along straight lines.

    Args:
        motion: T frames.
        time_s: (N,) float64, seconds, on the motion's own clock; before its start and after its end the motion holds
            still.

    Returns:
        N frames; a time that is a frame of the source gives that frame to float32; contact is the nearer frame's.
    """
    time_s = np.asarray(time_s, np.float64)
    if len(motion) == 1:
        before, after = np.zeros(len(time_s), np.int64), np.zeros(len(time_s), np.int64)
        share = np.zeros(len(time_s))
    else:
        after = np.clip(np.searchsorted(motion.time_s, time_s, side="right"), 1, len(motion) - 1)
        before = after - 1
        share = (time_s - motion.time_s[before]) / (motion.time_s[after] - motion.time_s[before])
        share = np.clip(share, 0.0, 1.0)
    start = rotvec_to_matrix(motion.rotvec[before].astype(np.float64))
    stop = rotvec_to_matrix(motion.rotvec[after].astype(np.float64))
    arc = matrix_to_rotvec(np.swapaxes(start, -1, -2) @ stop)
    between = start @ rotvec_to_matrix(arc * share[:, None, None])
    root_m = (1 - share[:, None]) * motion.root_m[before] + share[:, None] * motion.root_m[after]
    rotvec = matrix_to_rotvec(between)
    # Frames that are hit exactly keep their own vectors, full turns included.
    rotvec = np.where((share == 0)[:, None, None], motion.rotvec[before], rotvec)
    rotvec = np.where((share == 1)[:, None, None], motion.rotvec[after], rotvec)
    contact = None if motion.contact is None else motion.contact[np.where(share < 0.5, before, after)]
    return Motion(
        rotvec=rotvec.astype(np.float32),
        root_m=root_m.astype(np.float32),
        time_s=time_s,
        rest_m=motion.rest_m,
        shape=motion.shape,
        contact=contact,
    )
