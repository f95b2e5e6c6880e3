"""The pose video of Moore-AnimateAnyone: a coloured skeleton on black, drawn from COCO-WholeBody keypoints.

Facts of the published code, reproduced pixel for pixel: joints are OpenPose's 18, hands and face are dots and lines.
"""

import colorsys
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import Landmarks, Size

NECK = 1
JOINT_FROM_COCO: tuple[int, ...] = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO-WholeBody keypoint of each OpenPose joint; the neck is the middle of the shoulders."""
COCO_FROM_BLAZEPOSE: tuple[int, ...] = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""BlazePose landmark of each of COCO's 17 body joints: nose, eyes, ears, shoulders, elbows ... ankles, left first."""
COCO_SHOULDERS = (5, 6)
FACE, LEFT_HAND, RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)
"""Of the 133 COCO-WholeBody keypoints."""
LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
HAND_EDGES: tuple[tuple[int, int], ...] = tuple(
    (0 if segment == 0 else 4 * finger + segment, 4 * finger + segment + 1)
    for finger in range(5)
    for segment in range(4)
)
COLORS_RGB: tuple[tuple[int, int, int], ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
    (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
MIN_SCORE = 0.3
LIMB_PX, JOINT_PX, HAND_LINE_PX, FACE_PX = 4, 4, 2, 3
LIMB_LIGHT = 0.6


def draw_skeleton(keypoints_px: NDArray, scores: NDArray, size: Size) -> NDArray:
    """Draw the person whose 18 joints have the highest mean score.

    Args:
        keypoints_px: (P, 133, 2) float, pixels of the drawing, COCO-WholeBody order.
        scores: (P, 133) float.
        size: (height, width) of the drawing.

    Returns:
        (height, width, 3) uint8 RGB; black where P is 0.
    """
    canvas = np.zeros((*size, 3), np.uint8)
    if len(keypoints_px) == 0:
        return canvas
    joints = [openpose_joints(xy, score) for xy, score in zip(keypoints_px, scores, strict=True)]
    best = int(np.argmax([joint_score.mean() for _, _, joint_score in joints]))
    joints_px, visible, _ = joints[best]
    keypoints_px, seen = keypoints_px[best], scores[best] >= MIN_SCORE
    _draw_limbs(canvas, joints_px, visible)
    canvas = (canvas * LIMB_LIGHT).astype(np.uint8)
    for xy, is_visible, color in zip(joints_px, visible, COLORS_RGB, strict=True):
        if is_visible:
            cv2.circle(canvas, (int(xy[0]), int(xy[1])), JOINT_PX, color, thickness=-1)
    for hand in (LEFT_HAND, RIGHT_HAND):
        _draw_hand(canvas, keypoints_px[hand], seen[hand])
    for point in _inside(keypoints_px[FACE], seen[FACE]):
        if point is not None:
            cv2.circle(canvas, point, FACE_PX, (255, 255, 255), thickness=-1)
    return canvas


def draw_landmarks(landmarks: Landmarks, frame_idx: int, size: Size) -> NDArray:
    """Draw the person that BlazePose found: its joints are COCO's, its hands and face have too few points to be drawn.

    Args:
        landmarks: T frames.
        frame_idx: which.
        size: (height, width) of the drawing, pixels of the landmarks.

    Returns:
        (height, width, 3) uint8 RGB; black where the person was not seen.
    """
    keypoints_px, scores = np.zeros((1, 133, 2)), np.zeros((1, 133))
    if landmarks.score[frame_idx] > 0:
        keypoints_px[0, : len(COCO_FROM_BLAZEPOSE)] = landmarks.image_px[frame_idx, list(COCO_FROM_BLAZEPOSE)]
        scores[0, : len(COCO_FROM_BLAZEPOSE)] = landmarks.visibility[frame_idx, list(COCO_FROM_BLAZEPOSE)]
    return draw_skeleton(keypoints_px, scores, size)


def openpose_joints(keypoints_px: NDArray, scores: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """COCO-WholeBody keypoints to OpenPose joints.

    Args:
        keypoints_px: (133, 2).
        scores: (133,).

    Returns:
        Joints (18, 2); which of them count, (18,) bool; their scores, (18,), the neck's being 1 or 0.
    """
    joints_px = keypoints_px[list(JOINT_FROM_COCO)].copy()
    joint_scores = scores[list(JOINT_FROM_COCO)].copy()
    joints_px[NECK] = keypoints_px[list(COCO_SHOULDERS)].mean(axis=0)
    joint_scores[NECK] = float((scores[list(COCO_SHOULDERS)] > MIN_SCORE).all())
    return joints_px, joint_scores > MIN_SCORE, joint_scores


def _draw_limbs(canvas: NDArray, joints_px: NDArray, visible: NDArray) -> None:
    for (a, b), color in zip(LIMBS, COLORS_RGB, strict=False):
        if visible[a] and visible[b]:
            (x0, y0), (x1, y1) = joints_px[a], joints_px[b]
            half = int(math.hypot(x1 - x0, y1 - y0) / 2)
            angle_deg = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
            middle = (int((x0 + x1) / 2), int((y0 + y1) / 2))
            outline = np.asarray(cv2.ellipse2Poly(middle, (half, LIMB_PX), angle_deg, 0, 360, 1))
            cv2.fillConvexPoly(canvas, outline, color)


def _draw_hand(canvas: NDArray, points_px: NDArray, seen: NDArray) -> None:
    points = _inside(points_px, seen)
    for edge_idx, (a, b) in enumerate(HAND_EDGES):
        start, end = points[a], points[b]
        if start is not None and end is not None:
            color = [round(255 * channel) for channel in colorsys.hsv_to_rgb(edge_idx / len(HAND_EDGES), 1, 1)]
            cv2.line(canvas, start, end, color, thickness=HAND_LINE_PX)
    for point in points:
        if point is not None:
            cv2.circle(canvas, point, JOINT_PX, (0, 0, 255), thickness=-1)


def _inside(points_px: NDArray, seen: NDArray) -> list[tuple[int, int] | None]:
    """Whole pixels; None for points that are not seen, or not right of and below the first pixel."""
    whole = [(int(x), int(y)) for x, y in points_px]
    return [point if ok and min(point) > 0 else None for point, ok in zip(whole, seen, strict=True)]
