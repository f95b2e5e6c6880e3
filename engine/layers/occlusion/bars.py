"""Black bars beside the picture, or above and below it: the film ends there, and so does whoever is put into it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import largest_channel
from engine.types import FrameSource, pick

_LOOKS = 9
"""Frames that are looked at."""
_BLACK = 24
"""Levels: bars are no brighter, what the codec left at their edge included."""
_LEAST = 4
"""Pixels: what is narrower is the rim of a scan."""
_ALIKE = 0.02
"""How much wider one bar may be than the one across from it, sides of the frame."""
_LIT = 0.5
"""Share of a bar's edge beside which some frame has to be brighter: a dark stage ends in no line."""


def find_bars(clip: FrameSource) -> NDArray | None:
    """Find the bars of a clip.

    Args:
        clip: (H, W, 3) uint8 RGB frames.

    Returns:
        (H, W) uint8: 255 on the bars; None where there are none. Bars come in pairs, about as wide as each other.
    """
    looks = np.unique(np.linspace(0, clip.num_frames - 1, _LOOKS).astype(int)) if clip.num_frames else []
    bright: NDArray | None = None
    for rgb in pick(clip, looks):
        level = largest_channel(rgb)
        bright = level if bright is None else cv2.max(bright, level)
    if bright is None:
        return None
    mask = np.zeros(bright.shape, np.uint8)
    for lines, part in ((bright, mask), (bright.T, mask.T)):  # columns, then rows
        lit = np.flatnonzero(lines.max(0) > _BLACK)
        if not len(lit):
            continue
        first, last = int(lit[0]), int(lit[-1])
        widths = first, lines.shape[1] - 1 - last
        edges = [float((lines[:, beside : beside + 3].max(1) > _BLACK).mean()) for beside in (first, max(0, last - 2))]
        if min(widths) >= _LEAST and abs(np.subtract(*widths)) <= _ALIKE * lines.shape[1] and min(edges) >= _LIT:
            part[:, :first] = part[:, last + 1 :] = 255
    return mask if mask.any() else None
