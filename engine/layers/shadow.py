"""The person's shadow on the ground: darker than the plate, smooth, without a colour of its own, tied to the person."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import largest_channel

_ONES = np.ones(3, np.float32)
_DARKER = 0.94
"""A shadow lets at most this share of the light through; less is noise."""


def find_shadow(
    frame: NDArray, scene: NDArray, removed: NDArray, known: NDArray, noise: float, *, under: bool = False
) -> NDArray:
    """Find the shadow that a person throws on the scene.

    Args:
        frame: (h, w, 3) uint8, what the camera saw; shrunk, as all pictures here are.
        scene: (h, w, 3) float32, the plate matched to the frame.
        removed: (h, w) uint8, above 0 where the person is.
        known: (h, w) bool, False where the plate knows nothing.
        noise: grain, levels.
        under: look inside `removed`, too, where that is known (a plate's person is gone, its shadow may not be).

    Returns:
        (h, w) uint8, 0 ... 255, soft: how far the plate has to replace the frame there.

    Source: shadow cues of Horprasert et al. 1999 (brightness distortion without chromaticity distortion).
    """
    inside = removed > 0
    if not inside.any():
        return np.zeros(removed.shape, np.uint8)
    seen = (known if under else ~inside & known).astype(np.uint8)
    weight = cv2.blur(seen.astype(np.float32), (3, 3))
    dark, lit = (
        cv2.blur(cv2.bitwise_and(picture, picture, mask=seen).astype(np.float32), (3, 3)) for picture in (frame, scene)
    )
    ratio = (dark @ _ONES + 1) / (lit @ _ONES + 1)
    scale = 1 / np.maximum(weight, 0.05)
    hue_change = largest_channel(cv2.absdiff(dark, cv2.multiply(lit, cv2.merge([ratio] * 3)))) * scale
    level = (lit @ _ONES) * scale / 3
    # Shadows are a few levels bluer than the light; a dark thing differs by much more.
    looks = (weight > 0.2) & (level > 24) & (ratio < _DARKER) & (ratio > 0.25)
    looks &= (hue_change < 6 + 0.06 * level + noise) & ((1 - ratio) * level > 3 * noise + 3)
    looks = cv2.morphologyEx(looks.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    looks[: _ground(inside)] = False
    feet = _feet(inside)
    count, labels = cast(
        "tuple[int, NDArray]", cv2.connectedComponents((looks | feet).astype(np.uint8), connectivity=8)
    )
    table = np.zeros(count, bool)
    table[labels[feet]] = True
    table[0] = False
    shadow = (table[labels] & (looks if under else ~inside)).astype(np.uint8) * 255
    if np.count_nonzero(shadow) < 12:
        return np.zeros(removed.shape, np.uint8)
    wide = cv2.dilate(shadow, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    return cv2.blur(wide, (5, 5))


def _ground(inside: NDArray) -> int:
    """The row from which on a shadow may lie on the ground; above it a dark thing is somebody else's coat."""
    rows = np.flatnonzero(inside.any(1))
    return max(0, int(rows[-1] - 0.3 * (rows[-1] - rows[0])))


def _feet(inside: NDArray) -> NDArray:
    """The lowest fifth of the person, grown a little: where a ground shadow begins."""
    rows = np.flatnonzero(inside.any(1))
    top = rows[-1] - max(2, (rows[-1] - rows[0]) // 5)
    feet = inside.copy()
    feet[:top] = False
    return cv2.dilate(feet.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
