"""The motion as lines: where bones are in the picture, and how planted feet slide."""

import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics
from engine.geometry import project, transform
from engine.types import BODY_JOINTS, JOINT_PARENTS, Camera, Motion, Size

_NUM = len(BODY_JOINTS)
BONES = [(int(JOINT_PARENTS[joint]), joint) for joint in range(1, _NUM)]
"""Pairs of joints; a joint's name says its side."""
SIDES = ["left" if name.startswith("left") else "right" if name.startswith("right") else "" for name in BODY_JOINTS]
_FEET = np.array(
    [[BODY_JOINTS.index(f"{side}_ankle"), BODY_JOINTS.index(f"{side}_foot")] for side in ("left", "right")]
)


def pose_joints(motion: Motion) -> NDArray:
    """Return the joints of the body, (T, 22, 3) float64, metres, world."""
    rotvec, root = motion.rotvec.astype(np.float64), motion.root_m.astype(np.float64)
    return forward_kinematics(rotvec, root, motion.rest_m)[0][:, :_NUM]


def joints_in_picture(joints_m: NDArray, camera: Camera | None, size: Size) -> NDArray:
    """Project joints into the picture; without a camera, seen from the front, each frame around its pelvis.

    Args:
        joints_m: (T, 22, 3) metres, world.
        camera: of T frames.
        size: (height, width), pixels.

    Returns:
        (T, 22, 2) float64, pixels; NaN behind the camera.
    """
    if camera is None:
        up = joints_m[..., 1]
        scale = 0.8 * size[0] / max(float(np.ptp(up)), 1e-3)
        x = (joints_m[..., 0] - joints_m[:, :1, 0]) * scale + size[1] / 2
        return np.stack([x, (up.max() - up) * scale + 0.1 * size[0]], axis=-1)
    seen_m = transform(camera.world_to_cam, joints_m)
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = project(camera.K, seen_m)
    flat[seen_m[..., 2] <= 0.05] = np.nan
    return flat


def foot_slide_mm(joints_m: NDArray, contact: NDArray, time_s: NDArray) -> NDArray:
    """Measure how far planted feet move.

    Args:
        joints_m: (T, 22, 3) metres, world.
        contact: (T, 2) bool: left, right foot stands.
        time_s: (T,) seconds.

    Returns:
        (T,) float32: millimetres in 1/30 s of the foot that slides most since the frame before: of its heel or its
        ball, whichever stands stiller (a foot rolls). 0 where no foot stands in both frames.
    """
    slide = np.zeros(len(joints_m), np.float32)
    if len(joints_m) < 2:
        return slide
    step_m = np.linalg.norm(np.diff(joints_m[:, _FEET], axis=0), axis=-1).min(-1)  # (T - 1, side)
    stands = contact[1:] & contact[:-1]
    slide[1:] = (np.where(stands, step_m, 0).max(-1) / np.diff(time_s) / 30 * 1000).astype(np.float32)
    return slide
