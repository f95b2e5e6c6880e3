"""How a motion is written down: pelvis, feet, hands and leans over time; and how that becomes joint rotations."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.geometry import matrix_to_rotvec
from engine.types import JOINT_PARENTS, JOINTS, Motion

_IDX = {name: idx for idx, name in enumerate(JOINTS)}
_SIDES = ("left", "right")
_SIGN = (1.0, -1.0)
"""The left of a person who faces +z is +x."""
_REACH = 0.995
"""A leg is never drawn out further than this share of its length; a locked knee pops."""
_FINGER_CURL_RAD = 0.28
_HEEL_BEHIND_M = 0.045


@dataclass
class Stance:
    """A motion as one would tell it to an actor; arrays over T frames, metres and radians, world axes unless said."""

    time_s: NDArray
    """(T,)"""
    rest_m: NDArray
    """(52, 3) joints of the actor's rest pose."""
    pelvis_m: NDArray = field(init=False)
    """(T, 3) offset of the pelvis from where it is in the rest pose."""
    turn: NDArray = field(init=False)
    """(T, 3) pelvis: yaw (to its left), pitch (forward), roll (to its right)."""
    chest: NDArray = field(init=False)
    """(T, 3) chest relative to the pelvis: yaw, pitch, roll."""
    head: NDArray = field(init=False)
    """(T, 3) head relative to the chest: yaw, pitch, roll."""
    foot_m: NDArray = field(init=False)
    """(T, 2, 3) where each foot stands: the point of the ground below its ankle when it is flat, and its lift."""
    foot_turn: NDArray = field(init=False)
    """(T, 2, 2) yaw and pitch of each foot; pitch > 0 lifts the heel around the toes, < 0 the toes around the heel."""
    down: NDArray = field(init=False)
    """(T, 2) bool: the foot stands on the ground."""
    hand: NDArray = field(init=False)
    """(T, 2, 3) wrist from shoulder in the chest's axes, in arm lengths; x is outwards on either side."""
    elbow: NDArray = field(init=False)
    """(T, 2, 3) direction in which the elbow points, chest's axes, x outwards."""

    def __post_init__(self) -> None:
        num = len(self.time_s)
        self.pelvis_m, self.turn, self.chest, self.head = (np.zeros((num, 3)) for _ in range(4))
        ankles = self.rest_m[[_IDX["left_ankle"], _IDX["right_ankle"]]].astype(np.float64)
        self.foot_m = np.repeat((ankles * [1, 0, 1])[None], num, axis=0)
        self.foot_turn = np.zeros((num, 2, 2))
        self.foot_turn[..., 0] = np.array([0.14, -0.14])  # toes a little outwards, as people stand
        self.down = np.ones((num, 2), bool)
        self.hand = np.tile(np.array([0.22, -0.93, 0.06]), (num, 2, 1))
        self.elbow = np.tile(np.array([0.35, 0.0, -1.0]), (num, 2, 1))

    @property
    def leg_m(self) -> float:
        """Length of a leg from hip to ankle."""
        rest = self.rest_m
        return float(
            sum(
                np.linalg.norm(rest[_IDX[a]] - rest[_IDX[b]])
                for a, b in (("left_hip", "left_knee"), ("left_knee", "left_ankle"))
            )
        )


def turn_matrix(yaw: NDArray, pitch: NDArray, roll: NDArray) -> NDArray:
    """(..., 3, 3) rotation about y, then x, then z of the turned body (intrinsic y-x-z)."""
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def about(*rows: tuple) -> NDArray:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    cy, sy, cx, sx, cz, sz = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    about_y = about((cy, zero, sy), (zero, one, zero), (-sy, zero, cy))
    about_x = about((one, zero, zero), (zero, cx, -sx), (zero, sx, cx))
    about_z = about((cz, -sz, zero), (sz, cz, zero), (zero, zero, one))
    return about_y @ about_x @ about_z


def motion_from_stance(stance: Stance) -> Motion:
    """Bend knees, hips, elbows and shoulders so that feet and hands are where the stance says.

    Args:
        stance: the motion; feet out of reach pull the pelvis down, hands out of reach are pointed at.

    Returns:
        Motion in the world's frame, with `contact` from `stance.down`.

    Source: two-bone inverse kinematics by the law of cosines, with the bend kept in the plane of a pole direction.
    """
    rest = stance.rest_m.astype(np.float64)
    num = len(stance.time_s)
    world = np.tile(np.eye(3), (num, len(JOINTS), 1, 1))
    ankle, foot = _place_ankles(stance, rest)
    pelvis = _reachable_pelvis(stance, rest, ankle)
    world[:, 0] = turn_matrix(*stance.turn.T)
    third = turn_matrix(*(stance.chest / 3).T)
    for name, parent in (("spine1", "pelvis"), ("spine2", "spine1"), ("spine3", "spine2")):
        world[:, _IDX[name]] = world[:, _IDX[parent]] @ third
    half = turn_matrix(*(stance.head / 2).T)
    world[:, _IDX["neck"]] = world[:, _IDX["spine3"]] @ half
    world[:, _IDX["head"]] = world[:, _IDX["neck"]] @ half
    for side in range(2):
        _bend_leg(world, rest, pelvis, ankle[:, side], foot[:, side], side)
        _bend_arm(world, rest, stance, side)
    parents = np.array(JOINT_PARENTS)
    local = world.copy()
    local[:, 1:] = np.swapaxes(world[:, parents[1:]], -1, -2) @ world[:, 1:]
    rotvec = matrix_to_rotvec(local).astype(np.float32)
    return Motion(
        rotvec=rotvec,
        root_m=pelvis.astype(np.float32),
        time_s=np.asarray(stance.time_s, np.float64),
        rest_m=stance.rest_m.astype(np.float32),
        contact=stance.down.copy(),
    )


def _place_ankles(stance: Stance, rest: NDArray) -> tuple[NDArray, NDArray]:
    """(T, 2, 3) ankles and (T, 2, 3, 3) rotations of the feet: turned around the toes or heel that stay down."""
    ankles, turns = [], []
    for side, name in enumerate(_SIDES):
        ankle, toes = rest[_IDX[f"{name}_ankle"]], rest[_IDX[f"{name}_foot"]]
        yaw, pitch = stance.foot_turn[:, side].T
        flat = turn_matrix(yaw, np.zeros_like(yaw), np.zeros_like(yaw))
        tilted = turn_matrix(yaw, pitch, np.zeros_like(yaw))
        to_toes = np.array([toes[0] - ankle[0], -ankle[1], toes[2] - ankle[2]])
        to_heel = np.array([0.0, -ankle[1], -_HEEL_BEHIND_M])
        pivot = np.where(pitch[:, None] > 0, to_toes, to_heel)
        ankles.append(stance.foot_m[:, side] + [0, ankle[1], 0] + np.einsum("tij,tj->ti", flat - tilted, pivot))
        turns.append(tilted)
    return np.stack(ankles, 1), np.stack(turns, 1)


def _reachable_pelvis(stance: Stance, rest: NDArray, ankle: NDArray) -> NDArray:
    """(T, 3) the pelvis, lowered smoothly where a standing foot would be out of reach."""
    from scipy.ndimage import gaussian_filter1d, minimum_filter1d

    pelvis = rest[0] + stance.pelvis_m
    turned = turn_matrix(*stance.turn.T)
    limit = pelvis[:, 1].copy()
    for side, name in enumerate(_SIDES):
        offset = np.einsum("tij,j->ti", turned, rest[_IDX[f"{name}_hip"]] - rest[0])
        aside = np.linalg.norm((pelvis + offset - ankle[:, side])[:, [0, 2]], axis=1)
        rise = np.sqrt(np.maximum((_REACH * stance.leg_m) ** 2 - aside**2, 0.01))
        reach = ankle[:, side, 1] + rise - offset[:, 1]
        limit = np.minimum(limit, np.where(stance.down[:, side], reach, np.inf))
    fps = 1 / np.median(np.diff(stance.time_s)) if len(stance.time_s) > 1 else 30.0
    width = max(1, round(0.1 * fps))
    # the running minimum is as wide as the smoothing reaches, so that the smooth curve stays below every limit
    drop = minimum_filter1d(limit - pelvis[:, 1], 2 * width + 1, mode="nearest")
    drop = gaussian_filter1d(drop, width / 2, mode="nearest")
    return pelvis + np.stack([np.zeros_like(drop), np.minimum(drop, limit - pelvis[:, 1]), np.zeros_like(drop)], -1)


def _frame(bone: NDArray, hinge: NDArray) -> NDArray:
    """(..., 3, 3) columns: the bone, the hinge made square to it, and their product."""
    bone = bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    hinge = hinge - (hinge * bone).sum(-1, keepdims=True) * bone
    hinge = hinge / np.linalg.norm(hinge, axis=-1, keepdims=True)
    return np.stack([bone, hinge, np.cross(bone, hinge)], -1)


def _bend(start: NDArray, end: NDArray, pole: NDArray, rest: NDArray, rest_pole: NDArray) -> tuple[NDArray, NDArray]:
    """World rotations (T, 3, 3) of both bones of a limb from start to end (T, 3), bent towards pole (T, 3).

    `rest` (3, 3) are the limb's three joints at rest; `rest_pole` (3,) is where its middle joint points there.
    """
    upper, lower = np.linalg.norm(rest[1] - rest[0]), np.linalg.norm(rest[2] - rest[1])
    reach = end - start
    length = np.linalg.norm(reach, axis=-1, keepdims=True)
    length_clamped = np.clip(length, abs(upper - lower) * 1.02 + 0.02, 0.9995 * (upper + lower))
    along = reach / np.maximum(length, 1e-9)
    aside = pole - (pole * along).sum(-1, keepdims=True) * along
    aside /= np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-9)
    cosine = (upper**2 + length_clamped**2 - lower**2) / (2 * upper * length_clamped)
    middle = start + upper * (cosine * along + np.sqrt(np.maximum(1 - cosine**2, 0)) * aside)
    tip = start + along * length_clamped
    # both bones share the hinge of the whole limb: well defined even when it is straight
    hinge, rest_hinge = np.cross(along, aside), np.cross(rest[2] - rest[0], rest_pole)
    first = _frame(middle - start, hinge) @ _frame(rest[1] - rest[0], rest_hinge).T
    second = _frame(tip - middle, hinge) @ _frame(rest[2] - rest[1], rest_hinge).T
    return first, second


def _bend_leg(world: NDArray, rest: NDArray, pelvis: NDArray, ankle: NDArray, foot: NDArray, side: int) -> None:
    names = [_IDX[f"{_SIDES[side]}_{part}"] for part in ("hip", "knee", "ankle", "foot")]
    hip = pelvis + np.einsum("tij,j->ti", world[:, 0], rest[names[0]] - rest[0])
    # a knee points between where the pelvis and the foot face; both are level directions for the pole
    pole = world[:, 0, :, 2] + 1.5 * foot[:, :, 2] * [1, 0, 1] + [0, 0.25, 0]
    first, second = _bend(hip, ankle, pole, rest[names[:3]], np.array([0.0, 0.0, 1.0]))
    world[:, names[0]], world[:, names[1]] = first, second
    world[:, names[2]] = world[:, names[3]] = foot


def _bend_arm(world: NDArray, rest: NDArray, stance: Stance, side: int) -> None:
    names = [_IDX[f"{_SIDES[side]}_{part}"] for part in ("shoulder", "elbow", "wrist")]
    chest, sign = world[:, _IDX["spine3"]], _SIGN[side]
    mirror = np.array([sign, 1.0, 1.0])
    arm_m = np.linalg.norm(rest[names[1]] - rest[names[0]]) + np.linalg.norm(rest[names[2]] - rest[names[1]])
    reach = stance.hand[:, side] * mirror * arm_m
    rise = np.arcsin(np.clip(reach[:, 1] / np.maximum(np.linalg.norm(reach, axis=-1), 1e-9), -1, 1))
    lift = sign * 0.30 * np.maximum(rise + 0.35, 0)  # the collar bone follows a raised arm by about a third
    zero = np.zeros_like(lift)
    collar = _IDX[f"{_SIDES[side]}_collar"]
    world[:, collar] = chest @ turn_matrix(zero, zero, lift)
    origin = np.zeros_like(reach)
    end = np.einsum("tij,tj->ti", chest, reach)
    pole = np.einsum("tij,tj->ti", chest, stance.elbow[:, side] * mirror)
    first, second = _bend(origin, end, pole, rest[names], np.array([0.0, 0.0, -1.0]))
    world[:, names[0]], world[:, names[1]], world[:, names[2]] = first, second, second
    curl = turn_matrix(zero, zero, np.full_like(zero, -sign * _FINGER_CURL_RAD))
    for joint in range(22, len(JOINTS)):
        if JOINTS[joint].startswith(_SIDES[side]):
            turn = np.eye(3) if "thumb" in JOINTS[joint] else curl
            world[:, joint] = world[:, JOINT_PARENTS[joint]] @ turn
