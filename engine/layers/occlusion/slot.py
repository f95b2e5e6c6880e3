"""Slots in a body's way through the place: where it is seen on both sides and not between them, something is in front.

Where a body moves fast, a thin trunk hides each part of it for a frame or two, too few to say of any pixel that the
body was behind it. But all these frames together fill the body's way, from head to feet, and leave the trunk out.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDE = 0.2
"""Of the widest slot, heights of the body."""
_BESIDE = 2
"""Frames at least that show the body on both sides of it."""
_EMPTY = 0.4
"""Share of them that may show it in the slot."""
_LONG, _WHOLE = 0.25, 0.6
"""Height of the shortest slot, heights of the body, and its share of the body's way there: legs part, too, below."""
_GAP = 0.15
"""Upright gaps in it are bridged, heights of the body, where not much speaks against it."""


def find_slots(plain: NDArray, body_px: float) -> Iterator[NDArray]:
    """Find upright slots in a body's way.

    Args:
        plain: (h, w) uint16: in how many frames the body is plainly seen at a pixel of the place.
        body_px: height of the body, pixels of the place.

    Yields:
        (h, w) bool each: the slot. What is in front may be wider: masks of bodies spill over.
    """
    wide = round(_WIDE * body_px) | 1
    count = cv2.medianBlur(plain, 5)
    # The rim of the picture is no side of a slot.
    way = cv2.morphologyEx(np.pad(count, wide), cv2.MORPH_CLOSE, np.ones((1, wide), np.uint8))[wide:-wide, wide:-wide]
    is_way = way >= _BESIDE
    slots = (is_way & (count <= _EMPTY * way)).astype(np.uint8)
    slots = cv2.morphologyEx(slots, cv2.MORPH_CLOSE, np.ones((round(_GAP * body_px) | 1, 3), np.uint8))
    slots = cv2.bitwise_and(slots, (count <= way / 2).astype(np.uint8))
    slots = cv2.morphologyEx(slots, cv2.MORPH_OPEN, np.ones((7, 3), np.uint8))
    num, labels, stats, _ = cv2.connectedComponentsWithStats(slots, connectivity=8)
    for label in range(1, num):
        x, _, width, height, _ = stats[label].tolist()
        whole = np.count_nonzero(is_way[:, x : x + width].any(1))
        if height >= max(_LONG * body_px, _WHOLE * whole):
            yield labels == label
