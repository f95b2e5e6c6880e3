"""Hands that meet where the source's hands meet, whatever the width of the shoulders and the length of the arms."""

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import Source, place_joints
from engine.animator.ground import two_bones
from engine.geometry import rotation_between
from engine.types import JOINTS, Puppet

_TOUCH, _NEAR = 0.08, 0.16
"""Wrists nearer than the first hold hands, farther than the second do not; between, in part. Heights of the person."""

_IDX = {name: idx for idx, name in enumerate(JOINTS)}
_ARMS = tuple(tuple(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist")) for side in ("left", "right"))


def join_hands(
    puppet: Puppet, rotations: NDArray, root_m: NDArray, height_m: float, source: Source, person_m: float
) -> NDArray:
    """Bend arms so that wrists which touch in the source touch.

    Args:
        puppet: the character.
        rotations: (T, K, 3, 3) from the picture's pose.
        root_m: (T, 3) metres.
        height_m: metres per figure height.
        source: what drives.
        person_m: height of the person of the source, metres.

    Returns:
        (T, K, 3, 3) with changed shoulders and elbows; both hands come half the way, wrists keep their rotation.

    Source: two-bone inverse kinematics; the elbow stays in the plane it was in.
    """
    if not all(name in puppet.joint_names for arm in _ARMS for name in arm):
        return rotations
    apart = source.joints_m[:, _IDX["left_wrist"]] - source.joints_m[:, _IDX["right_wrist"]]
    near = np.clip((_NEAR - np.linalg.norm(apart, axis=1) / person_m) / (_NEAR - _TOUCH), 0, 1)
    if not near.any():
        return rotations
    share = (near * near * (3 - 2 * near))[:, None]
    out = rotations.copy()
    joints = place_joints(puppet, rotations, root_m, height_m)
    arms = [[puppet.joint_names.index(name) for name in arm] for arm in _ARMS]
    middle = 0.5 * (joints[:, arms[0][2]] + joints[:, arms[1][2]])
    for (shoulder, elbow, wrist), sign in zip(arms, (0.5, -0.5)):
        points = joints[:, [shoulder, elbow, wrist]]
        wanted = middle + sign * apart * height_m / person_m
        new_elbow, new_wrist = two_bones(points, points[:, 2] + share * (wanted - points[:, 2]))
        upper = rotation_between(points[:, 1] - points[:, 0], new_elbow - points[:, 0])
        lower = rotation_between(points[:, 2] - points[:, 1], new_wrist - new_elbow)
        moved = share[:, 0] > 0
        out[moved, shoulder] = upper[moved] @ out[moved, shoulder]
        out[moved, elbow] = lower[moved] @ out[moved, elbow]
    return out
