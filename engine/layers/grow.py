"""Masks grown so far that nothing of what they show is left outside."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import above, shrink


def grow_mask(human: NDArray) -> NDArray:
    """Grow a human mask so far that nothing of the person, blurred edges and all, is left outside.

    Args:
        human: (H, W) uint8, 0 ... 255.

    Returns:
        (H, W) uint8, 0 or 255: grown by 2.5 % of the mask's height and at least 3 pixels.
    """
    step = 4
    size = (max(1, -(-human.shape[1] // step)), max(1, -(-human.shape[0] // step)))
    fits = not (human.shape[0] % step or human.shape[1] % step)
    person = above(human, 24)
    small = shrink(person, step) if fits else cv2.resize(person, size, interpolation=cv2.INTER_AREA)
    small = above(small, 0)
    height = cv2.boundingRect(small)[3]
    if height == 0:
        return np.zeros(human.shape, np.uint8)
    grown = dilate_disc(small, max(1, round(0.025 * height)))
    if not fits:
        return above(cv2.resize(grown, human.shape[::-1], interpolation=cv2.INTER_LINEAR), 100)
    x, y, width, height = cv2.boundingRect(grown)
    rows, cols = slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1)
    out = np.zeros(human.shape, np.uint8)
    part = out[rows.start * step : rows.stop * step, cols.start * step : cols.stop * step]
    part[:] = above(cv2.resize(grown[rows, cols], part.shape[::-1], interpolation=cv2.INTER_LINEAR), 100)
    return out


def dilate_disc(mask: NDArray, radius: int) -> NDArray:
    """Dilate by something round: an octagon made of two fast rectangles and a small ellipse."""
    if radius < 1:
        return mask
    big, small = int(radius * 0.6), radius - int(radius * 0.6)
    if big:
        cross = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * big + 1, 1))
        tall = cv2.getStructuringElement(cv2.MORPH_RECT, (1, 2 * big + 1))
        mask = cv2.max(cv2.dilate(mask, cross), cv2.dilate(mask, tall))
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * small + 1, 2 * small + 1)))
