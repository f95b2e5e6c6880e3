"""Feet on the ground: how tall a character is, where its pelvis goes, and legs that keep planted feet still."""

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import Source, place_joints
from engine.geometry import eased, rotation_between
from engine.types import JOINTS, Motion, Puppet

_IDX = {name: idx for idx, name in enumerate(JOINTS)}
HEAD_JOINT_SHARE = 0.882
"""Height of the head joint over the height of a person (the embedded body: 1.508 of 1.709 m)."""

WIDEST = 0.62
"""Widest trunk and head a character may have, as share of the height of the person it replaces."""

_FLESH_M = 0.06
"""What a joint that is not a foot (knee, hand, pelvis) is above what it rests on."""
_SOLE_ERROR_M = 0.06
_PLANTED_M, _PLANTED_MS = 0.05, 0.35
"""A foot lower and slower than this stands, where the motion does not say."""
_BLEND_S = 0.12
_MAX_PULL = 0.5
"""Farthest a planted foot is pulled from where the leg would have put it, as share of the leg."""
_STRIDE_SHARE = 1.0
"""A standing foot that would slide farther than this share of its leg makes small steps instead; less is pulled."""
_QUICKEST_S = 0.15
"""Shortest of those steps; legs too short even for them slide the rest."""
_SWING_SHARE = 0.4
_STEP_HEIGHT = 0.12
"""Share of a small step in which the foot is in the air, and how high it goes, as share of the leg."""


def person_height(motion: Motion) -> float:
    """Height of the person of a motion, metres."""
    return float(motion.rest_m[_IDX["head"], 1]) / HEAD_JOINT_SHARE


def character_height(standing_vertices: NDArray, is_arm: NDArray, person_m: float) -> float:
    """Metres per figure height.

    The character standing straight is as tall as the person, unless its trunk and head would then be wider than
    `WIDEST` of that height: it is made smaller until they are not, so that it fits where a person fitted and its feet
    come near to where the person's were.

    Args:
        standing_vertices: (V, 3) float, figure heights: the puppet in the T-pose.
        is_arm: (V,) bool: vertices of arms and hands, which do not count.
        person_m: height of the person, metres.
    """
    body = standing_vertices[~is_arm] if (~is_arm).any() else standing_vertices
    height = max(float(np.ptp(body[:, 1])), 1e-6)
    width = float(max(np.ptp(body[:, 0]), np.ptp(body[:, 2])))  # a four-legged body is as long as others are wide
    return person_m / height * min(1.0, WIDEST / max(width / height, 1e-6))


def planted_feet(motion: Motion, source: Source) -> NDArray:
    """(T, 2) bool: left and right foot stand; as the motion says, else from how low and slow they are."""
    if motion.contact is not None:
        return motion.contact
    if len(motion) < 2:
        return np.ones((len(motion), 2), bool)
    toes = source.joints_m[:, [_IDX["left_foot"], _IDX["right_foot"]]]
    speed = np.linalg.norm(np.gradient(toes, motion.time_s, axis=0), axis=-1)
    height = toes[..., 1] - source.rest_m[[_IDX["left_foot"], _IDX["right_foot"]], 1]
    floor = np.percentile(height.min(1), 5)
    return (height < floor + _PLANTED_M) & (speed < _PLANTED_MS)


def clearance(source: Source, planted: NDArray, time_s: NDArray) -> NDArray:
    """How far the lowest part of the source is above the ground.

    Soles are known to a few centimetres only: where a foot stands within 6 cm of y = 0 it stands on it, and the motion
    between is lowered or raised by as much as its neighbours. Feet that stand higher stand on something and stay there.

    Args:
        source: the posed skeleton.
        planted: (T, 2) bool, of `planted_feet`.
        time_s: (T,) seconds.

    Returns:
        (T,) metres.
    """
    feet = [_IDX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("ankle", "foot")]
    soles = (source.joints_m[:, feet, 1] - np.minimum(source.rest_m[feet, 1], 0.1)).min(1)
    others = [idx for name, idx in _IDX.items() if idx < 22 and not name.endswith(("ankle", "foot"))]
    lowest = np.minimum(soles, source.joints_m[:, others, 1].min(1) - _FLESH_M)
    stands = np.flatnonzero(planted.any(1) & (np.abs(lowest) < _SOLE_ERROR_M))
    if not len(stands):
        return lowest
    return lowest - np.interp(time_s, time_s[stands], lowest[stands])


def travel_root(source: Source, ratio: float) -> NDArray:
    """(T, 2) metres: x and z of the pelvis, steps scaled about the first frame."""
    path = source.joints_m[:, 0][:, [0, 2]]
    return path[0] + (path - path[0]) * ratio


def leg_length(joints: NDArray, names: tuple[str, ...]) -> float:
    """Length of hip to ankle along a leg, the mean of both; 0 where there are no legs."""
    lengths = []
    for side in ("left", "right"):
        chain = [f"{side}_hip", f"{side}_knee", f"{side}_ankle"]
        if all(name in names for name in chain):
            points = joints[[names.index(name) for name in chain]].astype(np.float64)
            lengths.append(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    return float(np.mean(lengths)) if lengths else 0.0


def keep_planted(
    puppet: Puppet, rotations: NDArray, root_m: NDArray, height_m: float, planted: NDArray, time_s: NDArray
) -> tuple[NDArray, NDArray]:
    """Bend legs so that standing feet stay where they stand.

    A foot is held at its mean place over the time it stands, so that the leg is pulled as little as can be; the pull
    comes and goes within 0.12 s and never exceeds half of the leg. Where the body moves on farther than a short leg
    goes, the foot patters: it makes several small steps in the time of one.

    Args:
        puppet: the character.
        rotations: (T, K, 3, 3) from the picture's pose.
        root_m: (T, 3) metres.
        height_m: metres per figure height.
        planted: (T, 2) bool, left and right.
        time_s: (T,) seconds.

    Returns:
        (T, K, 3, 3) with changed hips and knees, ankles keep their rotation; and (T,) bool: a foot is in the air for a
        small step of its own.

    Source: two-bone inverse kinematics; the knee stays in the plane it was in.
    """
    out = rotations.copy()
    steps = np.zeros(len(time_s), bool)
    for foot, side in enumerate(("left", "right")):
        chain = [f"{side}_hip", f"{side}_knee", f"{side}_ankle"]
        if not all(name in puppet.joint_names for name in chain):
            continue
        hip, knee, ankle = (puppet.joint_names.index(name) for name in chain)
        toes = puppet.joint_names.index(f"{side}_foot") if f"{side}_foot" in puppet.joint_names else ankle
        joints = place_joints(puppet, out, root_m, height_m)
        points = joints[:, [hip, knee, ankle]]
        leg_m = np.linalg.norm(np.diff(points[0], axis=0), axis=1).sum()
        pull, air_m = _pull(joints[:, toes], planted[:, foot], time_s, leg_m)
        share = np.linalg.norm(pull, axis=-1, keepdims=True) / max(_MAX_PULL * leg_m, 1e-6)
        pull /= (1 + share**4) ** 0.25  # short pulls are whole, long ones end at the limit
        pull[:, 1] += air_m
        steps |= air_m > 0
        new_knee, new_ankle = two_bones(points, points[:, 2] + pull)
        upper, lower = limb_turns(points, new_knee, new_ankle)
        out[:, hip], out[:, knee] = upper @ out[:, hip], lower @ out[:, knee]
    return out, steps


def _pull(foot_m: NDArray, planted: NDArray, time_s: NDArray, leg_m: float) -> tuple[NDArray, NDArray]:
    """(T, 3) metres: from where the foot is to where it stands, faded in and out, level; and (T,) metres: how high it
    is lifted for small steps."""
    pull, air = np.zeros_like(foot_m), np.zeros(len(foot_m))
    total = np.full(len(foot_m), 1e-6)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], planted.astype(int), [0]])))
    for start, stop in zip(edges[::2], edges[1::2]):
        stand = np.empty_like(foot_m)
        stand[start:stop], air[start:stop] = _stand(foot_m[start:stop], time_s[start:stop], leg_m)
        stand[:start], stand[stop:] = stand[start], stand[stop - 1]
        away = np.maximum(np.maximum(time_s[start] - time_s, time_s - time_s[stop - 1]), 0)
        weight = eased(1 - away / _BLEND_S)
        near = weight > 0
        pull[near] += weight[near, None] * (stand[near] - foot_m[near]) * weight[near, None]
        total[near] += weight[near]
    pull /= np.maximum(total, 1e-6)[:, None]
    pull[:, 1] = 0
    return pull, air


def _stand(foot_m: NDArray, time_s: NDArray, leg_m: float) -> tuple[NDArray, NDArray]:
    """Where a foot stands over one stand: (n, 3) metres, one place or several small steps; (n,) metres: its lift."""
    slide = float(np.linalg.norm((foot_m[-1] - foot_m[0])[[0, 2]]))
    most = int((time_s[-1] - time_s[0]) / _QUICKEST_S)
    count = int(np.clip(np.ceil(slide / max(_STRIDE_SHARE * leg_m, 1e-6)), 1, max(most, 1)))
    if count == 1:
        return np.broadcast_to(foot_m.mean(0), foot_m.shape), np.zeros(len(foot_m))
    phase = (time_s - time_s[0]) / (time_s[-1] - time_s[0]) * count
    number = np.minimum(phase.astype(int), count - 1)
    places = np.stack([foot_m[number == k].mean(0) if (number == k).any() else foot_m.mean(0) for k in range(count)])
    swing = np.clip((phase - number) / _SWING_SHARE, 0, 1)
    swing[number == 0] = 1
    before = places[np.maximum(number - 1, 0)]
    return before + eased(swing)[:, None] * (places[number] - before), _STEP_HEIGHT * leg_m * np.sin(np.pi * swing)


def two_bones(points: NDArray, target: NDArray) -> tuple[NDArray, NDArray]:
    """Where knee and end of a two-bone limb go when its end reaches for a target.

    Args:
        points: (T, 3, 3) start, middle and end of the limb.
        target: (T, 3) where the end should go; out of reach, it goes as far as it can.

    Returns:
        middle (T, 3), end (T, 3).
    """
    start, middle, end = points[:, 0], points[:, 1], points[:, 2]
    upper = np.linalg.norm(middle - start, axis=-1, keepdims=True)
    lower = np.linalg.norm(end - middle, axis=-1, keepdims=True)
    reach = target - start
    distance = np.linalg.norm(reach, axis=-1, keepdims=True)
    # A straight limb stays straight to the last bit, so reach is not cut where it was not exceeded.
    longest = np.maximum(
        (upper + lower) * 0.999, np.minimum(np.linalg.norm(end - start, axis=-1, keepdims=True), distance)
    )
    allowed = np.clip(distance, np.abs(upper - lower) * 1.001 + 1e-9, longest)
    along = reach / np.maximum(distance, 1e-9)
    turned = rotation_between(end - start, reach)
    bend = (turned @ (middle - start)[..., None])[..., 0]
    bend -= np.sum(bend * along, -1, keepdims=True) * along
    size = np.linalg.norm(bend, axis=-1, keepdims=True)
    forward = np.array([0.0, 0.0, 1.0]) - along[..., 2:3] * along
    bend = np.where(
        size > 1e-6,
        bend / np.maximum(size, 1e-9),
        forward / np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9),
    )
    share = (upper**2 - lower**2 + allowed**2) / (2 * allowed)
    knee = start + along * share + bend * np.sqrt(np.maximum(upper**2 - share**2, 0))
    return knee, start + along * allowed


def limb_turns(points: NDArray, middle: NDArray, end: NDArray) -> tuple[NDArray, NDArray]:
    """(T, 3, 3) each: the turns of the upper and the lower bone of a limb (T, 3, 3) to a new middle and end (T, 3)."""
    upper = rotation_between(points[:, 1] - points[:, 0], middle - points[:, 0])
    return upper, rotation_between(points[:, 2] - points[:, 1], end - middle)
