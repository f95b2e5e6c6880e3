"""Figures with known limbs for the tests of this room."""

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.identity.skeleton import complete_body
from engine.types import PictureJoints

SIZE = (420, 360)


def stick_points(arm_deg: float = 80.0, leg_deg: float = 12.0, girth: float = 1.0) -> dict[str, NDArray]:
    """Joints of an upright figure; arms from hanging (0) to raised (180), legs apart by twice `leg_deg`."""
    points = {"pelvis": (180, 250), "neck": (180, 135), "head": (180, 115)}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        arm = np.array([sign * np.sin(np.radians(arm_deg)), np.cos(np.radians(arm_deg))])
        leg = np.array([sign * np.sin(np.radians(leg_deg)), np.cos(np.radians(leg_deg))])
        shoulder = np.array([180 + sign * 30 * girth, 158])
        hip = np.array([180 + sign * 22 * girth, 258])
        points |= {f"{side}_shoulder": shoulder, f"{side}_elbow": shoulder + 50 * arm}
        points |= {f"{side}_wrist": shoulder + 95 * arm, f"{side}_hip": hip}
        points |= {f"{side}_knee": hip + 62 * leg, f"{side}_ankle": hip + 122 * leg}
    return {name: np.asarray(value, float) for name, value in points.items()}


def draw_figure(points: dict[str, NDArray], *, girth: float = 1.0, limb_px: int = 20) -> NDArray:
    """(H, W, 4) uint8 cutout of the figure those joints belong to."""
    mask = np.zeros(SIZE, np.uint8)

    def at(name: str) -> tuple[int, int]:
        return int(points[name][0]), int(points[name][1])

    cv2.ellipse(mask, (180, 200), (int(44 * girth), 72), 0, 0, 360, 255, -1)
    cv2.circle(mask, (180, 80), 38, 255, -1)
    cv2.line(mask, (180, 100), (180, 150), 255, 26)
    for side, sign in (("left", 1), ("right", -1)):
        for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            for a, b in itertools.pairwise(chain):
                cv2.line(mask, at(f"{side}_{a}"), at(f"{side}_{b}"), 255, limb_px)
        x, y = at(f"{side}_ankle")
        cv2.ellipse(mask, (x + sign * 6, y + 8), (18, 10), 0, 0, 360, 255, -1)
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[..., 0] = np.arange(SIZE[1]) % 256
    rgb[..., 1] = 120
    return np.dstack([rgb, cv2.GaussianBlur(mask, (0, 0), 0.8)])


def stick_joints(points: dict[str, NDArray]) -> PictureJoints:
    """Those joints as `PictureJoints`."""
    return complete_body(points, confidence=1.0, source="given")


DOG_FEET = {"right": ((392, 375), (215, 375)), "left": ((342, 375), (160, 375))}
"""Front and hind foot of each side of `draw_dog`, pixels; the foremost of two is taken to be on the near side, which
is the right one of a dog that walks to the right."""


def draw_dog() -> NDArray:
    """(420, 560, 4) uint8 cutout of a dog that walks to the right: four legs apart, a head, a tail."""
    rgb, alpha = np.full((420, 560, 3), 255, np.uint8), np.zeros((420, 560), np.uint8)
    fur, far = (176, 120, 70), (120, 76, 40)
    for x, colour in ((215, far), (392, far), (150, fur), (332, fur)):
        for image, ink in ((rgb, colour), (alpha, 255)):
            cv2.line(image, (x, 240), (x, 370), ink, 30)
            cv2.ellipse(image, (x + 10, 375), (26, 15), 0, 0, 360, ink, -1)
    for image, ink in ((rgb, fur), (alpha, 255)):
        cv2.ellipse(image, (280, 220), (140, 66), 0, 0, 360, ink, -1)
        cv2.line(image, (385, 190), (440, 120), ink, 60)
        cv2.ellipse(image, (455, 105), (52, 42), 0, 0, 360, ink, -1)
        cv2.ellipse(image, (500, 120), (34, 20), 10, 0, 360, ink, -1)
        cv2.polylines(image, [np.array([[150, 190], [110, 150], [90, 100], [95, 70]])], False, ink, 20)
    cv2.circle(rgb, (468, 92), 7, (20, 20, 20), -1)
    return np.dstack([rgb, cv2.GaussianBlur(alpha, (0, 0), 0.8)])
