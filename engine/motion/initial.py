"""A first pose straight from 3D landmarks: frames of pelvis, chest and head, then the smallest turn along each limb.

Upper arm and thigh add the twist with which elbow and knee bend the way they can: a fit that begins with an elbow bent
backwards straightens it, and of a straight arm no twist makes a difference any more.
"""

import numpy as np
from numpy.typing import NDArray

from engine.geometry import matrix_to_rotvec, rotation_between, rotvec_to_matrix
from engine.types import BODY_JOINTS, JOINT_PARENTS, JOINTS, LANDMARKS

_J = {name: idx for idx, name in enumerate(BODY_JOINTS)}
_L = {name: idx for idx, name in enumerate(LANDMARKS)}
_LIMBS = (
    # joint that turns, end of its bone in the body, where the bone starts and ends among the landmarks
    *((f"{s}_shoulder", f"{s}_elbow", f"{s}_shoulder", f"{s}_elbow") for s in ("left", "right")),
    *((f"{s}_elbow", f"{s}_wrist", f"{s}_elbow", f"{s}_wrist") for s in ("left", "right")),
    *((f"{s}_hip", f"{s}_knee", f"{s}_hip", f"{s}_knee") for s in ("left", "right")),
    *((f"{s}_knee", f"{s}_ankle", f"{s}_knee", f"{s}_ankle") for s in ("left", "right")),
    *((f"{s}_ankle", f"{s}_foot", f"{s}_heel", f"{s}_foot_index") for s in ("left", "right")),
)

_HINGES = {
    "left_shoulder": ("left_elbow", "left_wrist", (0.0, -1.0, 0.0)),
    "right_shoulder": ("right_elbow", "right_wrist", (0.0, 1.0, 0.0)),
    "left_hip": ("left_knee", "left_ankle", (1.0, 0.0, 0.0)),
    "right_hip": ("right_knee", "right_ankle", (1.0, 0.0, 0.0)),
}
"""By the joint that twists: the ends of the bone after the hinge, and the axis about which that bends, at rest."""
_SURE = 10.0
"""How much more a bend of 90 degrees tells of the twist than that the smallest turn is likely."""


def initial_pose(landmarks_m: NDArray, rest_m: NDArray) -> NDArray:
    """Pose the skeleton so that its bones point where the landmarks do.

    Args:
        landmarks_m: (T, 33, 3) float, metres, world axes (y up), any origin.
        rest_m: (52, 3) float, metres, the joints of the T-pose.

    Returns:
        (T, 52, 3) float64, radians: local rotations; fingers and wrists stay at rest.
    """
    points = {name: landmarks_m[:, idx].astype(np.float64) for name, idx in _L.items()}
    num_frames = len(landmarks_m)
    world = np.tile(np.eye(3), (num_frames, len(JOINTS), 1, 1))
    middle_hip = (points["left_hip"] + points["right_hip"]) / 2
    middle_shoulder = (points["left_shoulder"] + points["right_shoulder"]) / 2
    up = middle_shoulder - middle_hip
    pelvis = _frame(points["left_hip"] - points["right_hip"], up)
    chest = _frame(points["left_shoulder"] - points["right_shoulder"], up)
    _set(world, "pelvis", pelvis)
    bend = matrix_to_rotvec(np.swapaxes(pelvis, -1, -2) @ chest)
    for share, name in ((1 / 3, "spine1"), (2 / 3, "spine2"), (1.0, "spine3")):
        _set(world, name, pelvis @ rotvec_to_matrix(share * bend))
    head = _head_frame(points)
    nod = matrix_to_rotvec(np.swapaxes(chest, -1, -2) @ head)
    _set(world, "neck", chest @ rotvec_to_matrix(0.5 * nod))
    _set(world, "head", head)
    for side in ("left", "right"):
        _set(world, f"{side}_collar", chest)
    for joint, end, start_mark, end_mark in _LIMBS:
        parent = world[:, JOINT_PARENTS[_J[joint]]]
        at_rest = parent @ (rest_m[_J[end]] - rest_m[_J[joint]])
        seen = points[end_mark] - points[start_mark]
        if joint.endswith("ankle"):  # the sole, not the bone, runs from heel to toe
            at_rest = parent @ _level(rest_m[_J[end]] - rest_m[_J[joint]])
        turned = rotation_between(at_rest, seen) @ parent
        if joint in _HINGES:
            start, stop, axis = _HINGES[joint]
            turned = _twist(seen, points[stop] - points[start], turned @ np.array(axis)) @ turned
        _set(world, joint, turned)
    return _local(world)


def _twist(upper: NDArray, lower: NDArray, hinge: NDArray) -> NDArray:
    """The turns (T, 3, 3) about the upper bone of a limb that bring its hinge to where the lower bone bends about it.

    Args:
        upper: (T, 3) along the upper bone; lower: along the lower one.
        hinge: (T, 3) unit vectors: the axis of the hinge, before.
    """
    upper, lower = (bone / np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-9) for bone in (upper, lower))
    wanted = _SURE * np.cross(upper, lower) + hinge
    angle = np.arctan2((np.cross(hinge, wanted) * upper).sum(-1), (hinge * wanted).sum(-1))
    return rotvec_to_matrix(upper * angle[:, None])


def _frame(left: NDArray, up: NDArray) -> NDArray:
    """Axes of a body part as columns: x to its left (exactly), y up (nearly), z forward."""
    x = left / np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-9)
    y = up - np.sum(up * x, axis=-1, keepdims=True) * x
    y /= np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), 1e-9)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _head_frame(points: dict[str, NDArray]) -> NDArray:
    left = points["left_ear"] - points["right_ear"]
    forward = points["nose"] - (points["left_ear"] + points["right_ear"]) / 2
    return _frame(left, np.cross(forward, left))


def _level(direction: NDArray) -> NDArray:
    return np.array([direction[0], 0.0, direction[2]])


def _set(world: NDArray, name: str, rotation: NDArray) -> None:
    """Turn a joint and, until they are set themselves, everything that hangs on it."""
    idx = _J[name]
    world[:, idx] = rotation
    for child, parent in enumerate(JOINT_PARENTS):
        if child > idx and parent >= 0 and _descends(child, idx):
            world[:, child] = rotation


def _descends(joint: int, ancestor: int) -> bool:
    while joint > ancestor:
        joint = JOINT_PARENTS[joint]
    return joint == ancestor


def _local(world: NDArray) -> NDArray:
    parents = np.array(JOINT_PARENTS)
    local = world.copy()
    local[:, 1:] = np.swapaxes(world[:, parents[1:]], -1, -2) @ world[:, 1:]
    return matrix_to_rotvec(local)
