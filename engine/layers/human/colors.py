"""Histograms of colours: what the person and their surroundings look like."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.smooth import smooth_in_time

BINS = 16
"""Steps of each of the three colour axes (CIE Lab)."""
_TO_XYZ = ((0.43395, 0.37622, 0.18983), (0.21267, 0.71516, 0.07217), (0.01776, 0.10948, 0.87276))
"""Light of sRGB to CIE XYZ over that of white (D65; ITU-R BT.709)."""


def color_index(small: NDArray) -> NDArray:
    """Say which cell of a histogram of `BINS`**3 colours each pixel falls into.

    Args:
        small: (h, w, 3) uint8 RGB.

    Returns:
        (h, w) int64.
    """
    red, green, blue = (plane.astype(np.int32) for plane in cv2.split(small // 4))
    return np.take(_bins(), (red * 64 + green) * 64 + blue).astype(np.int64)


def histograms(index: NDArray, share: NDArray, held: NDArray | None) -> NDArray:
    """Count the colours of the surroundings and of the person.

    Args:
        index: (h, w) int64, see `color_index`.
        share: (h, w) float, 0 ... 1: how much a pixel is the person's; one in doubt counts for neither.
        held: the same of the frame before, which weighs 0.7; or None.

    Returns:
        (2, 16, 16, 16) float32: of surroundings and person, softened, each summing to 1.
    """
    out = np.empty((2, BINS**3), np.float32)
    for k, weight in enumerate((np.clip(1 - 2 * share, 0, 1), np.clip(2 * share - 1, 0, 1))):
        out[k] = np.bincount(index.ravel(), weight.ravel(), BINS**3)
    soften = _softening()
    cubes = (soften @ out.reshape(2, BINS, BINS**2)).reshape(2, BINS, BINS, BINS)
    cubes = (soften @ cubes) @ soften.T
    cubes /= np.maximum(cubes.sum((1, 2, 3), keepdims=True), 1e-6)
    return cubes if held is None else (0.7 * held + 0.3 * cubes).astype(np.float32)


@cache
def _bins() -> NDArray:
    """(64**3,) int16, a table that fits into the cache: the bin of every colour, its channels in steps of 4 levels."""
    levels = (np.arange(64) * 4 + 1.5) / 255
    light = np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
    x, y, z = ((r * light)[:, None, None] + (g * light)[:, None] + b * light for r, g, b in _TO_XYZ)
    x, y, z = (np.where(value > 0.008856, np.cbrt(value), 7.787 * value + 16 / 116) for value in (x, y, z))
    axes = (116 * y - 16) / 100, (500 * (x - y) + 96) / 192, (200 * (y - z) + 96) / 192
    first, second, third = (np.clip(axis * BINS, 0, BINS - 1).astype(np.int16) for axis in axes)
    return ((first * BINS + second) * BINS + third).ravel()


@cache
def _softening() -> NDArray:
    """(16, 16) float32: softens one axis of a histogram."""
    return smooth_in_time(np.eye(BINS), 0.7, cv2.BORDER_REPLICATE).astype(np.float32)
