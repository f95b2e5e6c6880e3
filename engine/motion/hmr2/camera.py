"""The network's camera, moved from its crop to the whole picture."""

import numpy as np
from numpy.typing import NDArray

from engine.motion.hmr2.crop import CROP
from engine.types import Size

FOCAL_PX = 5000.0
"""Focal length that the network was trained with, for a crop of 256 pixels: nearly parallel rays."""
_TINY = 1e-9


def published_intrinsics(size: Size) -> NDArray:
    """The camera that the release puts before a whole picture.

    Args:
        size: (height, width), pixels.

    Returns:
        (3, 3) float64, pixels.
    """
    height, width = size
    focal_px = FOCAL_PX / CROP * max(width, height)
    return np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])


def crop_translation(camera: NDArray) -> NDArray:
    """Where the body is before the crop's own camera.

    Args:
        camera: (..., 3) scale, x, y as predicted.

    Returns:
        (..., 3), metres, to be added to the body: x right, y down, z forward.
    """
    scale, x, y = np.moveaxis(np.asarray(camera, np.float64), -1, 0)
    return np.stack([x, y, 2 * FOCAL_PX / (CROP * scale + _TINY)], axis=-1)


def full_translation(camera: NDArray, center_px: NDArray, side_px: NDArray, K: NDArray) -> NDArray:
    """Where the body is before a camera of the whole picture, so that it looks as it did in the crop.

    Args:
        camera: (..., 3) scale, x, y as predicted.
        center_px: (..., 2) middle of the crop, pixels of the picture.
        side_px: (...) height of the crop, pixels of the picture.
        K: (..., 3, 3) intrinsics: the published ones, or any other; the same body is then nearer or farther.

    Returns:
        (..., 3) float64, metres, to be added to the body: x right, y down, z forward.
    """
    scale, x, y = np.moveaxis(np.asarray(camera, np.float64), -1, 0)
    depth = 2 * K[..., 1, 1] / (np.asarray(side_px, np.float64) * scale + _TINY)
    aside = (np.asarray(center_px, np.float64) - K[..., :2, 2]) / np.stack([K[..., 0, 0], K[..., 1, 1]], -1)
    return np.stack([x + aside[..., 0] * depth, y + aside[..., 1] * depth, depth], axis=-1)
