"""`motion/body.bvh` of a project: a motion as a BVH of our own skeleton, and back.

Centimetres, y up, our joint names, offsets from the person's own rest pose; opens in Blender. A file that came back
from Blender (z up, perhaps in metres) is taken as it is meant; a BVH of another rig dropped there is retargeted.
"""

import os
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.body.bvh import Bvh, read_bvh, write_bvh
from engine.body.model import load_body
from engine.body.skeleton import Skeleton
from engine.errors import InputError
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.motion.alignment import axis_name
from engine.motion.contact import find_contact, leg_length
from engine.motion.given import Mapping, MappingTable
from engine.motion.retarget import LEG_RANGE_M, motion_from_bvh
from engine.types import JOINT_PARENTS, JOINTS, Motion

_ROOT_CHANNELS = ("Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation", "Yrotation")
_CHANNELS = ("Zrotation", "Xrotation", "Yrotation")
_TIPS_CM = {"head": (0.0, 20.0, 2.0), "left_foot": (0.0, -1.0, 7.0), "right_foot": (0.0, -1.0, 7.0)}
_FINGERTIP_CM = 2.2


def write_motion(motion: Motion, path: str | os.PathLike) -> None:
    """Write a motion as BVH (whole or not at all; equal motions give equal bytes).

    Args:
        motion: T frames. Times are kept only as far as BVH can: one frame time for all, the median. `shape` and
            `contact` have no place in BVH.
        path: the file.
    """
    order = _depth_first()
    offsets = 100.0 * motion.rest_m.astype(np.float64)
    offsets[1:] -= 100.0 * motion.rest_m[list(JOINT_PARENTS[1:])]
    leaves = [j for j in range(len(JOINTS)) if j not in JOINT_PARENTS]
    ends = []
    for j in leaves:
        along = offsets[j] / max(float(np.linalg.norm(offsets[j])), 1e-9)  # fingers go on straight
        tip = _TIPS_CM.get(JOINTS[j], tuple(float(v) for v in _FINGERTIP_CM * along))
        ends.append((order.index(j), tip))
    skeleton = Skeleton(
        names=tuple(JOINTS[j] for j in order),
        parents=tuple(-1 if JOINT_PARENTS[j] < 0 else order.index(JOINT_PARENTS[j]) for j in order),
        offsets=offsets[order],
        ends=tuple(sorted(ends)),
    )
    angles = np.degrees(_euler_zxy(rotvec_to_matrix(motion.rotvec.astype(np.float64))))[:, order]
    values = np.concatenate([100.0 * motion.root_m, angles.reshape(len(motion), -1)], axis=1)
    steps = np.diff(motion.time_s)
    frame_time_s = float(np.median(steps)) if len(steps) else 1 / 30
    channels = (_ROOT_CHANNELS, *(_CHANNELS for _ in order[1:]))
    write_bvh(Bvh(skeleton=skeleton, channels=channels, frame_time_s=frame_time_s, values=values), path)


def read_motion(
    path: str | os.PathLike,
    *,
    time_s: NDArray | None = None,
    shape: NDArray | None = None,
    mapping: Mapping | None = None,
) -> Motion:
    """`open_motion` without its table."""
    return open_motion(path, time_s=time_s, shape=shape, mapping=mapping)[0]


def open_motion(
    path: str | os.PathLike,
    *,
    time_s: NDArray | None = None,
    shape: NDArray | None = None,
    mapping: Mapping | None = None,
    place: bool = False,
) -> tuple[Motion, MappingTable | None]:
    """Read a motion from a BVH of our own skeleton, or of any humanoid.

    Args:
        path: the file.
        time_s: (T,) float64, seconds: the times of the frames, from `clip/frames.csv`; None takes the file's frame
            time.
        shape: (10,) shape of the body, which BVH cannot hold.
        mapping: for another rig: what is known better.
        place: another rig's motion is moved to start above the origin, facing +z.

    Returns:
        The motion, contacts found anew; and, where it was another rig's, what was found out about it.

    Raises:
        InputError: the file breaks the format, is no humanoid, or its frame count does not fit `time_s`.
    """
    bvh = read_bvh(path)
    if time_s is not None and len(time_s) != len(bvh.values):
        raise InputError(
            f"{path} has {len(bvh.values)} frames; the clip has {len(time_s)}.",
            f"export it again with {len(time_s)} frames, or delete it and mimo makes a new one.",
        )
    table = None
    if set(bvh.skeleton.names) == set(JOINTS) and mapping is None and _is_ours(bvh):
        motion = _own_motion(bvh)
    else:
        motion, table = motion_from_bvh(bvh, mapping, name=os.fspath(path), place=place)
    if time_s is not None:
        motion = replace(motion, time_s=np.asarray(time_s, np.float64))
    if shape is not None:
        motion = replace(motion, shape=np.asarray(shape, np.float32))
    return replace(motion, contact=find_contact(motion)), table


def _depth_first() -> list[int]:
    """Our joints in the order a BVH lists them."""
    order: list[int] = []

    def walk(joint: int) -> None:
        order.append(joint)
        for child, parent in enumerate(JOINT_PARENTS):
            if parent == joint:
                walk(child)

    walk(0)
    return order


def _euler_zxy(matrix: NDArray) -> NDArray:
    """Angles (..., 3), radians, with matrix = Rz(a) Rx(b) Ry(c); a is 0 where the order is degenerate."""
    b = np.arcsin(np.clip(matrix[..., 2, 1], -1.0, 1.0))
    free = np.abs(matrix[..., 2, 1]) < 1 - 1e-9
    a = np.where(free, np.arctan2(-matrix[..., 0, 1], matrix[..., 1, 1]), 0.0)
    c = np.where(
        free,
        np.arctan2(-matrix[..., 2, 0], matrix[..., 2, 2]),
        np.arctan2(matrix[..., 0, 2], matrix[..., 0, 0]),
    )
    return np.stack([a, b, c], axis=-1)


def _is_ours(bvh: Bvh) -> bool:
    """Our tree, and a rest pose that is our T-pose but for the axes."""
    names, skeleton = bvh.skeleton.names, bvh.skeleton
    for joint, name in enumerate(names):
        parent = JOINT_PARENTS[JOINTS.index(name)]
        above = skeleton.parents[joint]
        if (above < 0) != (parent < 0) or (above >= 0 and names[above] != JOINTS[parent]):
            return False
    return _axes(bvh) is not None


def _axes(bvh: Bvh) -> NDArray | None:
    """(3, 3): turns the file's world to ours, or None where its rest pose is another."""
    rest = bvh.skeleton.rest
    at = {name: rest[k] for k, name in enumerate(bvh.skeleton.names)}
    left = axis_name(at["left_shoulder"] - at["right_shoulder"])
    up = axis_name(at["head"] - at["pelvis"])
    rows = [np.eye(3)["xyz".index(a[-1])] * (-1 if "-" in a else 1) for a in (left, up)]
    turn = np.stack([*rows, np.cross(*rows)])
    if abs(np.linalg.det(turn) - 1) > 1e-6:
        return None
    ours = load_body().joints
    for start, end in (("left_elbow", "left_wrist"), ("right_elbow", "right_wrist"), ("left_knee", "left_ankle")):
        theirs = turn @ (at[end] - at[start])
        bone = ours[JOINTS.index(end)] - ours[JOINTS.index(start)]
        length = np.linalg.norm(theirs) * np.linalg.norm(bone)
        if length < 1e-9 or theirs @ bone < 0.95 * length:
            return None
    return turn


def _own_motion(bvh: Bvh) -> Motion:
    turn = _axes(bvh)
    assert turn is not None
    order = [bvh.skeleton.names.index(name) for name in JOINTS]
    rest = bvh.skeleton.rest[order] @ turn.T
    scale = _unit_m(leg_length(rest))
    rest = rest - [rest[0, 0], 0.0, rest[0, 2]]
    animation = bvh.animation()
    rotations = turn @ animation.rotations[:, order] @ turn.T
    root_m = scale * animation.positions[:, order[0]] @ turn.T
    rest_m = scale * rest
    # The root's OFFSET holds the pelvis's height over the soles; editors that drop it leave the feet below zero.
    if rest_m[[JOINTS.index("left_foot"), JOINTS.index("right_foot")], 1].min() < -0.02:
        rest_m[:, 1] += load_body().joints[JOINTS.index("left_foot"), 1] - rest_m[JOINTS.index("left_foot"), 1]
    return Motion(
        rotvec=matrix_to_rotvec(rotations).astype(np.float32),
        root_m=root_m.astype(np.float32),
        time_s=animation.time_s,
        rest_m=rest_m.astype(np.float32),
    )


def _unit_m(leg: float) -> float:
    """Centimetres, as we write them, unless metres or millimetres fit a leg far better."""
    low, high = LEG_RANGE_M[0] / 3, LEG_RANGE_M[1] * 3  # children and giants are welcome
    return next((unit for unit in (0.01, 1.0, 0.001) if low <= leg * unit <= high), 0.01)
