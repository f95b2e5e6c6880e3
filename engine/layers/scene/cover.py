"""Whether a place was gathered without the whole person: where a rough mask left them out again and again."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.background_motion import find_shots
from engine.layers.grow import grow_mask
from engine.layers.membrane import above, shrink
from engine.types import BackgroundMotion, FrameSource

_EVERY = 2
"""Frames between those that are looked at."""
_TOGETHER = 64
"""Frames whose pictures of the place are compared; as many as a window of a plate serves."""
_STEP = 8
"""Pixels per pixel of these pictures."""
_OFTEN = 0.25
"""Share of the frames that show a spot in which it may be the person without a median of them seeing it."""


def is_covered(human_mask: FrameSource, rough: FrameSource, motion: BackgroundMotion) -> bool:
    """Say whether no spot of the place is the person in many of the frames in which a rough mask shows it as the place.

    Args:
        human_mask: (H, W) uint8, 0 ... 255.
        rough: (h, w) uint8, 0 ... 255, of the same frames, of the same size or half of it; grown here as
            `plate.build_plate` grows it.
        motion: of the background.
    """
    masks = enumerate(zip(human_mask.read(), rough.read()))
    for first, last in find_shots(motion):
        for start in range(first, last, _TOGETHER):
            stop = min(start + _TOGETHER, last)
            counts = np.zeros((2, *(2 * (side // _STEP + 1) for side in human_mask.size)), np.float32)
            for idx, (human, cover) in (next(masks) for _ in range(start, stop)):
                if (idx - start) % _EVERY == 0:
                    _count(counts, human, cover, _to_middle(motion, idx, (start + stop) // 2, human_mask.size))
            person, shown = counts
            seldom = (person > _OFTEN * shown) & (person > 2)
            if cv2.erode(seldom.astype(np.uint8), np.ones((2, 2), np.uint8)).any():
                return False
    return True


def _count(counts: NDArray, human: NDArray, cover: NDArray, to_canvas: NDArray) -> None:
    """Add one frame to how often a spot was the person's without cover, and how often it was shown at all."""
    open_place = cv2.bitwise_not(grow_mask(cover))
    step = round(_STEP * cover.shape[0] / human.shape[0])
    human = cv2.resize(human, cover.shape[::-1], interpolation=cv2.INTER_NEAREST)
    person = cv2.bitwise_and(above(human, 127), open_place)
    size = counts.shape[:0:-1]
    for k, mask in enumerate((person, open_place)):
        counts[k] += cv2.warpPerspective(shrink(mask, step), to_canvas, size, flags=cv2.INTER_NEAREST) > 127


def _to_middle(motion: BackgroundMotion, idx: int, middle: int, size: tuple[int, int]) -> NDArray:
    """(3, 3): from small pixels of a frame to those of a canvas, twice as large, around the frame in the middle."""
    to_middle = np.linalg.inv(motion.to_first[middle]) @ motion.to_first[idx]
    shift = np.array([[1, 0, size[1] / (2 * _STEP)], [0, 1, size[0] / (2 * _STEP)], [0, 0, 1.0]])
    return shift @ np.diag([1 / _STEP, 1 / _STEP, 1]) @ to_middle @ np.diag([_STEP, _STEP, 1.0])
