import cv2
import numpy as np
import pytest

from engine.animator.pose import rest_motion
from engine.identity.lift import lift
from engine.identity.skeleton import complete_body
from engine.types import JOINTS, Camera

POINTS = {
    "pelvis": (150, 220), "neck": (150, 130), "head": (150, 105),
    "right_shoulder": (120, 140), "right_elbow": (75, 140), "right_wrist": (30, 140),
    "left_shoulder": (180, 140), "left_elbow": (225, 140), "left_wrist": (270, 140),
    "right_hip": (130, 225), "right_knee": (128, 290), "right_ankle": (126, 350),
    "left_hip": (170, 225), "left_knee": (172, 290), "left_ankle": (174, 350),
}  # fmt: skip
"""A doll in the T-pose, pixels; the picture's right is the doll's left."""

SKIN, SHIRT, FACE = (240, 190, 150), (60, 110, 190), (220, 30, 40)


def draw_doll():
    """(380, 300, 4) uint8 straight RGBA: blue shirt, skin, a red face that only the front may show."""
    shape = np.zeros((380, 300), np.uint8)
    picture = np.zeros((380, 300, 3), np.uint8)
    picture[:] = SKIN

    def part(draw, colour):
        mask = np.zeros_like(shape)
        draw(mask)
        shape[mask > 0] = 255
        picture[mask > 0] = colour

    def line(a, b, width):
        return lambda mask: cv2.line(mask, POINTS[a], POINTS[b], 255, width, cv2.LINE_8)

    for side in ("left", "right"):
        part(line(f"{side}_shoulder", f"{side}_wrist", 24), SKIN)
        part(line(f"{side}_hip", f"{side}_ankle", 30), (70, 70, 80))
    part(lambda mask: cv2.rectangle(mask, (115, 125), (185, 240), 255, -1), SHIRT)
    part(lambda mask: cv2.circle(mask, (150, 75), 52, 255, -1), SKIN)
    part(lambda mask: cv2.ellipse(mask, (150, 85), (24, 12), 0, 0, 360, 255, -1), FACE)
    return np.dstack([picture, shape])


@pytest.fixture(scope="session")
def doll():
    joints = complete_body(
        {name: np.array(xy, float) for name, xy in POINTS.items()}, confidence=1.0, source="given", size=(380, 300)
    )
    return lift(draw_doll(), joints, num_vertices=2400)


@pytest.fixture(scope="session")
def far_camera():
    """A level camera 40 m before the origin: nearly no perspective, 150 pixels per metre."""
    world_to_cam = np.diag([1.0, -1.0, -1.0, 1.0])
    world_to_cam[:3, 3] = (0, 0.9, 40)
    K = np.array([[6000.0, 0, 160], [0, 6000.0, 160], [0, 0, 1]])
    return Camera(K[None].astype(np.float32), world_to_cam[None].astype(np.float32))


def pose(num_frames=1, **joints):
    """A person in the T-pose, with some joints turned: name = rotvec or (T, 3)."""
    motion = rest_motion(num_frames)
    for name, rotvec in joints.items():
        motion.rotvec[:, JOINTS.index(name)] = rotvec
    return motion


def full_frame(patch, size):
    """(H, W, 4) uint8 premultiplied, and (H, W) shadow."""
    rgba, shadow = np.zeros((*size, 4), np.uint8), np.zeros(size, np.uint8)
    window = np.s_[patch.y0 : patch.y0 + patch.rgba.shape[0], patch.x0 : patch.x0 + patch.rgba.shape[1]]
    rgba[window], shadow[window] = patch.rgba, patch.shadow
    return rgba, shadow
