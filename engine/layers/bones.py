"""How far pixels are from somebody's bones."""

import cv2
import numpy as np
from numpy.typing import NDArray

_BONES = (
    (11, 13), (13, 15), (15, 19), (12, 14), (14, 16), (16, 20), (23, 25), (25, 27), (24, 26), (26, 28), (27, 31),
    (28, 32), (27, 29), (28, 30), (11, 12), (23, 24), (11, 23), (12, 24), (11, 24), (12, 23), (7, 8), (0, 7), (0, 8),
)  # fmt: skip


def bone_distance(points: NDArray, size: tuple[int, ...]) -> NDArray:
    """Measure how far every pixel is from a skeleton.

    Args:
        points: (33, 2) landmarks, pixels of a picture of this size; they may lie outside of it.
        size: (height, width).

    Returns:
        (h, w) float32, pixels.
    """
    free = np.full(size, 255, np.uint8)
    at = np.round(points).astype(int)
    for a, b in _BONES:
        cv2.line(free, at[a].tolist(), at[b].tolist(), 0, 1)
    crown = np.round(points[0] + 0.6 * (points[0] - (points[11] + points[12]) / 2)).astype(int)
    cv2.line(free, at[0].tolist(), crown.tolist(), 0, 1)
    return cv2.distanceTransform(free, cv2.DIST_L2, 3)


def bone_height(points: NDArray) -> float:
    """How high a skeleton (33, 2) is in its picture, pixels; 8 at least: whoever is smaller is nobody."""
    return max(8.0, float(np.ptp(points[:, 1])))
