"""Where other people stand: their legs and their own shadows are no shadow of the person."""

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.scene.warp import warp_points
from engine.types import BackgroundMotion, Landmarks, Size

STEP = 4
"""Pixels per small pixel, on both axes."""
PERSON, OTHERS = 1, 2
"""Bits of pictures that say where people are."""

_LEGS = ((23, 25), (25, 27), (27, 31), (27, 29), (24, 26), (26, 28), (28, 32), (28, 30))
_WIDTH = 0.12
"""Of trousers around the bone, heights of the body."""
_SEEN = 0.5
"""Typical visibility that knees and hips have in what is a person, not a painting of one."""
_GAP = 12
"""Frames that they are taken to stand where they were seen last, or next."""


def draw_legs(others: Sequence[Landmarks], idx: int, size: Size) -> NDArray:
    """Draw the legs of other people in one frame.

    Args:
        others: landmarks of each of them, in all frames of the clip.
        idx: the frame.
        size: (height, width) of the frame, pixels.

    Returns:
        (h, w) uint8, small: 255 on their legs.
    """
    legs = np.zeros((-(-size[0] // STEP), -(-size[1] // STEP)), np.uint8)
    for points in _standing(others, idx):
        width = max(1, round(_WIDTH * float(np.ptp(points[:, 1]))))
        for a, b in _LEGS:
            cv2.line(legs, points[a].astype(int).tolist(), points[b].astype(int).tolist(), 255, width)
    return legs


def find_feet(others: Sequence[Landmarks], idx: int) -> NDArray:
    """(n, 2) float32: ankles, heels and toes of other people in a frame, small pixels; see `draw_legs`."""
    return np.concatenate([np.zeros((0, 2), np.float32), *(points[27:33] for points in _standing(others, idx))])


def feet_during(others: Sequence[Landmarks], motion: BackgroundMotion, frames: Iterable[int], anchor: int) -> NDArray:
    """(n, 2) float: `find_feet` of several frames, in pixels of the anchor frame."""
    found = [np.zeros((0, 2))]
    for idx in frames:
        to_anchor = np.linalg.inv(motion.to_first[anchor]) @ motion.to_first[idx]
        found.append(warp_points(to_anchor, find_feet(others, idx) * STEP))
    return np.concatenate(found)


def _standing(others: Sequence[Landmarks], idx: int) -> Iterator[NDArray]:
    """Yield the landmarks (33, 2), small pixels, of those who stand there in a frame."""
    for one in others:
        seen = one.score > 0
        if seen[max(0, idx - _GAP) : idx + _GAP + 1].any() and np.median(one.visibility[seen, 23:27]) > _SEEN:
            yield one.image_px[idx] / STEP
