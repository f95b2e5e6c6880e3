"""Soft edges of a cutout."""

import cv2
import numpy as np
from numpy.typing import NDArray


def soft_edge(mask: NDArray) -> NDArray:
    """Round the stairs of a hard mask.

    Args:
        mask: (H, W) uint8, 0 or 255.

    Returns:
        (H, W) uint8, soft over about a pixel and a half.
    """
    return cv2.GaussianBlur(mask, (0, 0), 0.7)


def refine_edge(rgb: NDArray, mask: NDArray, *, radius_px: int | None = None) -> NDArray:
    """Move the edge of a mask to the edge of the picture.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) uint8, about right.
        radius_px: how far the edge may move; a hundredth of the picture by default.

    Returns:
        (H, W) uint8 alpha; unchanged further than twice the radius from the edge of the mask.

    Source: guided filter (He, Sun, Tang 2013) with the colour picture as guide.
    """
    radius = radius_px or max(round(0.006 * max(mask.shape)), 2)
    alpha = guided_filter(rgb.astype(np.float32) / 255, mask.astype(np.float32) / 255, radius, 1e-4)
    alpha = np.clip((alpha - 0.1) / 0.8, 0, 1)  # the filter leaves a veil on both sides
    hard = (mask >= 128).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * radius + 1, 4 * radius + 1))
    alpha[cv2.erode(hard, disc) > 0] = 1
    alpha[cv2.dilate(hard, disc) == 0] = 0
    return np.rint(255 * alpha).astype(np.uint8)


def guided_filter(guide: NDArray, values: NDArray, radius: int, eps: float) -> NDArray:
    """Make an image follow the edges of a colour guide.

    Args:
        guide: (H, W, 3) float32, 0 ... 1.
        values: (H, W) float32.
        radius: half side of the window, pixels.
        eps: variance of the guide that counts as flat.

    Returns:
        (H, W) float32.
    """

    def mean(image: NDArray) -> NDArray:
        return cv2.blur(image, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_values = mean(guide), mean(values)
    cross = mean(guide * values[..., None]) - mean_guide * mean_values[..., None]
    covariance = np.empty((*values.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            entry = mean(guide[..., i] * guide[..., j]) - mean_guide[..., i] * mean_guide[..., j]
            covariance[..., i, j] = covariance[..., j, i] = entry
    covariance[..., range(3), range(3)] += eps
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = mean_values - (slope * mean_guide).sum(2)
    return (mean(slope) * guide).sum(2) + mean(offset)
