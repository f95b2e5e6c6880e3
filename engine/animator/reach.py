"""Hands that meet each other and the head where the source's do, whatever the arms' length and the head's size."""

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import Source, place_joints
from engine.animator.ground import limb_turns, two_bones
from engine.geometry import eased
from engine.types import JOINTS, Puppet

_TOUCH, _NEAR = 0.08, 0.16
"""Wrists nearer than the first hold hands, farther than the second do not; between, in part. Heights of the person."""

HEAD_CENTRE, HEAD_HALF = np.array([0.0, 0.047, 0.021]), np.array([0.05, 0.071, 0.063])
"""Middle of a person's head from its joint and half its size, aside, up and ahead, heights of the person (read off the
embedded body)."""

_ON, _OFF = 1.5, 2.3
"""Hands nearer to the middle of the head than the first, in halves of its size, touch it; farther than the second they
do not; between, in part."""

_PALM_SHARE = 0.35
"""Middle of a hand beyond its wrist, as share of the forearm."""

_IDX = {name: idx for idx, name in enumerate(JOINTS)}
ARMS = tuple(tuple(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist")) for side in ("left", "right"))
"""Joints of the arms."""


def join_hands(
    puppet: Puppet,
    rotations: NDArray,
    root_m: NDArray,
    height_m: float,
    source: Source,
    person_m: float,
    laid: NDArray,
) -> NDArray:
    """Bend arms so that wrists which touch in the source touch.

    Args:
        puppet: the character.
        rotations: (T, K, 3, 3) from the picture's pose.
        root_m: (T, 3) metres.
        height_m: metres per figure height.
        source: what drives.
        person_m: height of the person of the source, metres.
        laid: (T,) 0 ... 1, of `lay_hands`: where hands lie on the body, as crossed arms do, only wrists that touch for
            sure are joined.

    Returns:
        (T, K, 3, 3) with changed shoulders and elbows; both hands come half the way, wrists keep their rotation.

    Source: two-bone inverse kinematics; the elbow stays in the plane it was in.
    """
    if not has_arms(puppet):
        return rotations
    apart = source.joints_m[:, _IDX["left_wrist"]] - source.joints_m[:, _IDX["right_wrist"]]
    far = _NEAR - laid * (_NEAR - 1.2 * _TOUCH)
    share = eased((far - np.linalg.norm(apart, axis=1) / person_m) / (far - _TOUCH))[:, None]
    if not share.any():
        return rotations
    out = rotations.copy()
    joints = place_joints(puppet, rotations, root_m, height_m)
    arms = [[puppet.joint_names.index(name) for name in arm] for arm in ARMS]
    middle = 0.5 * (joints[:, arms[0][2]] + joints[:, arms[1][2]])
    for (shoulder, elbow, wrist), sign in zip(arms, (0.5, -0.5)):
        wanted = middle + sign * apart * height_m / person_m
        _reach(out, joints, (shoulder, elbow, wrist), wanted, share)
    return out


def touch_head(
    puppet: Puppet, rotations: NDArray, root_m: NDArray, height_m: float, source: Source, person_m: float
) -> NDArray:
    """Bend arms so that hands which are at the source's head are at the same place of the character's.

    Args and returns as `join_hands`, without `laid`; arms that are too short point there.
    """
    if not has_arms(puppet):
        return rotations
    head = puppet.joint_names.index("head")
    own = puppet.vertices[puppet.weights[:, head] > 0.5]
    if len(own) < 20:
        return rotations
    low, high = own.min(0).astype(np.float64), own.max(0).astype(np.float64)
    out = rotations.copy()
    for arm in ARMS:
        shoulder, elbow, wrist = (puppet.joint_names.index(name) for name in arm)
        hand = _palm(source.joints_m, _IDX[arm[1]], _IDX[arm[2]]) - source.joints_m[:, _IDX["head"]]
        local = (np.swapaxes(source.rotations[:, _IDX["head"]], -1, -2) @ hand[..., None])[..., 0]
        at = (local / person_m - HEAD_CENTRE) / HEAD_HALF
        share = eased((_OFF - np.linalg.norm(at, axis=1)) / (_OFF - _ON))[:, None]
        if not share.any():
            continue
        there = (low + high) / 2 - puppet.joints[head] + at * (high - low) / 2
        for _ in range(2):  # the palm turns with the forearm, so it is a little off after the first
            joints = place_joints(puppet, out, root_m, height_m)
            wanted = joints[:, head] + (out[:, head] @ (there * height_m)[..., None])[..., 0]
            wanted -= _palm(joints, elbow, wrist) - joints[:, wrist]
            _reach(out, joints, (shoulder, elbow, wrist), wanted, share)
    return out


def has_arms(puppet: Puppet) -> bool:
    """Whether a puppet has two whole arms and a head."""
    return {"head", *(name for arm in ARMS for name in arm)} <= set(puppet.joint_names)


def _palm(joints_m: NDArray, elbow: int, wrist: int) -> NDArray:
    """(T, 3) the middle of a hand."""
    return palm_of(joints_m[:, elbow], joints_m[:, wrist])


def palm_of(elbow: NDArray, wrist: NDArray) -> NDArray:
    """(..., 3) the middle of a hand that goes on as its forearm does."""
    return wrist + _PALM_SHARE * (wrist - elbow)


def _reach(out: NDArray, joints_m: NDArray, arm: tuple[int, int, int], wanted: NDArray, share: NDArray) -> None:
    """Turn shoulder and elbow so that the wrist goes a share (T, 1) of its way to where it is wanted."""
    shoulder, elbow, wrist = arm
    points = joints_m[:, [shoulder, elbow, wrist]]
    new_elbow, new_wrist = two_bones(points, points[:, 2] + share * (wanted - points[:, 2]))
    upper, lower = limb_turns(points, new_elbow, new_wrist)
    moved = share[:, 0] > 0
    out[moved, shoulder] = upper[moved] @ out[moved, shoulder]
    out[moved, elbow] = lower[moved] @ out[moved, elbow]
