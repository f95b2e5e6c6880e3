"""A small visible mark in the corner of a picture, for those who want a result to say what it is."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo
from engine.video.overlay import Overlay, to_overlay

TEXT = "made with mimo"
HEIGHT = 0.024
"""Height of its letters, share of the shorter side of the picture."""
_FONT, _FONT_PX = cv2.FONT_HERSHEY_SIMPLEX, 21
"""OpenCV carries its letters; the height of a capital at scale 1."""
_PLATE, _INK = 150, 235
"""Alpha of the dark plate and of the white letters."""


def draw_mark(info: ClipInfo) -> Overlay:
    """Draw the mark for the pictures of a clip: white letters on a dark plate, at the lower right.

    Args:
        info: gives size, pixel format, matrix and range.

    Returns:
        An overlay as in `engine.video.overlay`.
    """
    return to_overlay(_rgba(info), info)


def _rgba(info: ClipInfo) -> NDArray:
    """(H, W, 4) uint8, straight."""
    scale = max(HEIGHT * min(info.size), 5) / _FONT_PX
    thick = max(1, round(1.6 * scale))
    width, height = cv2.getTextSize(TEXT, _FONT, scale, thick)[0]
    letters = np.zeros((3 * height + 8, width + 2 * height + 8), np.uint8)
    cv2.putText(letters, TEXT, (height + 4, 2 * height), _FONT, scale, 255, thick, cv2.LINE_AA)
    x, y, width, height = cv2.boundingRect(letters)
    pad = max(2, round(0.7 * height))
    plate = np.full((height + 2 * pad, width + 2 * pad), _PLATE, np.uint8)
    ink = np.zeros_like(plate)
    ink[pad:-pad, pad:-pad] = letters[y : y + height, x : x + width]
    plate = cv2.max(plate, (ink.astype(np.uint16) * _INK // 255).astype(np.uint8))
    rgba = np.zeros((*info.size, 4), np.uint8)
    x1, y1 = info.width - pad, info.height - pad
    there = rgba[max(0, y1 - len(plate)) : y1, max(0, x1 - plate.shape[1]) : x1]
    there[:] = cv2.merge([ink, ink, ink, plate])[-there.shape[0] :, -there.shape[1] :]
    return rgba
