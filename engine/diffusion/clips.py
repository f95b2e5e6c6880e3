"""Where the person is, and which frames share one crop: a clip whose person moves far is generated in several crops.

Facts of the published code, reproduced exactly. Boxes are (x_min, x_max, y_min, y_max) with exclusive ends, pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import Size

Box = tuple[int, int, int, int]
"""x_min, x_max, y_min, y_max; ends exclusive, pixels. (0, 0, 0, 0): nobody there."""

GREY = 10  # of 255: what is brighter belongs to the body
CLOSE_PX, OPEN_PX = 5, 2
MARGIN_Y, MARGIN_X = 0.10, 0.05  # of the box's sides
MULTIPLE = 16
MIN_AREA_RATIO = 0.5
OVERLAP = 4
EMPTY: Box = (0, 0, 0, 0)
NOWHERE: Box = (10000, 0, 10000, 0)  # the union of no boxes, as the published code starts


@dataclass(frozen=True)
class ClipPart:
    """Frames that are generated in one crop."""

    frames: list[int]
    """Indices in the clip, ascending; all parts but the first begin with frames that the part before also has."""
    box: Box
    """The crop, the same for all its frames."""


def body_box(pose_rgb: NDArray, *, clean: bool = True) -> Box:
    """Find the drawn body in one frame of the pose video.

    Args:
        pose_rgb: (H, W, 3) uint8, the body on black.
        clean: close and open the mask first, so that specks do not count.

    Returns:
        Its bounding box with a margin, sides even where the picture allows, clipped; (0, 0, 0, 0) for a black frame.
    """
    mask = (cv2.cvtColor(pose_rgb, cv2.COLOR_RGB2GRAY) > GREY).astype(np.uint8)
    if clean:
        mask = clean_mask(mask)
    ys, xs = np.nonzero(mask)
    if len(xs) == 0:
        return EMPTY
    h, w = mask.shape
    x0, x1, y0, y1 = int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1
    grow_x, grow_y = int(MARGIN_X * (x1 - x0)), int(MARGIN_Y * (y1 - y0))
    x0, x1, y0, y1 = max(x0 - grow_x, 0), min(x1 + grow_x, w), max(y0 - grow_y, 0), min(y1 + grow_y, h)
    return x0, x1 + (x1 - x0) % 2, y0, y1 + (y1 - y0) % 2


def clean_mask(mask: NDArray) -> NDArray:
    """Fill gaps of up to 5 pixels, then drop what is thinner than 2: (H, W) uint8 both ways."""
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((CLOSE_PX, CLOSE_PX), np.uint8))
    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((OPEN_PX, OPEN_PX), np.uint8))


def square_box(box: Box, size: Size) -> Box:
    """Widen a box to a square with a side that is a multiple of 16, centred, each edge clipped to the picture.

    Args:
        box: any box; (0, 0, 0, 0) stays.
        size: (height, width) of the picture.
    """
    if box == EMPTY:
        return EMPTY
    x0, x1, y0, y1 = box
    side = round_up(max(x1 - x0, y1 - y0))
    left, up = (side - (x1 - x0)) // 2, (side - (y1 - y0)) // 2
    return max(x0 - left, 0), min(x0 - left + side, size[1]), max(y0 - up, 0), min(y0 - up + side, size[0])


def split_clip(boxes: Sequence[Box]) -> list[ClipPart]:
    """Split a clip where one crop for all would leave a person too small in some frame.

    A part is closed before the frame with which an earlier box of the part would cover less than half of the union.

    Args:
        boxes: `square_box` of every frame.

    Returns:
        Parts that cover all frames; each but the first begins with up to 4 frames of the one before.
    """
    parts: list[ClipPart] = []
    start, union, lead = 0, NOWHERE, []
    smallest, largest = math.inf, 0  # areas of the part's boxes so far
    for frame_idx, box in enumerate(boxes):
        wider = unite(union, box)
        whole = area(wider)
        if frame_idx == len(boxes) - 1:
            parts.append(ClipPart(lead + list(range(start, frame_idx + 1)), wider))
        elif whole and smallest / whole < MIN_AREA_RATIO and largest > 0:
            frames = lead + list(range(start, frame_idx))
            parts.append(ClipPart(frames, union))
            lead = frames[-OVERLAP:]
            start, wider, smallest, largest = frame_idx, box, math.inf, 0
        smallest, largest = min(smallest, area(box)), max(largest, area(box))
        union = wider
    return parts


def crop_box(part: ClipPart, size: Size) -> Box:
    """The pixels to cut out for a part; for one in which nobody was found, nearly the whole picture."""
    x0, x1, y0, y1 = part.box
    return part.box if x1 > x0 and y1 > y0 else (0, size[1] - 1, 0, size[0] - 1)


def animation_box(pose_rgbs: Sequence[NDArray]) -> Box:
    """One crop for a whole animation: the union of all bodies with their margins, sides even."""
    union = NOWHERE
    for pose_rgb in pose_rgbs:
        union = unite(union, body_box(pose_rgb, clean=False))
    x0, x1, y0, y1 = union
    return x0, x1 + (x1 - x0) % 2, y0, y1 + (y1 - y0) % 2


def resampled_frames(num_frames: int, rate: float, target_rate: int) -> list[int]:
    """Which source frames to read for another frame rate; slower sources repeat frames.

    Args:
        num_frames: of the source.
        rate: frames per second of the source; rounded to an integer, as in the published code.
        target_rate: frames per second wanted.
    """
    rate = round(rate)
    count = -(-num_frames * target_rate // rate)  # all k with k * rate / target_rate < num_frames
    return [k * rate // target_rate for k in range(count)]


def unite(a: Box, b: Box) -> Box:
    """The smallest box around two."""
    return min(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), max(a[3], b[3])


def area(box: Box) -> int:
    """Square pixels."""
    return (box[1] - box[0]) * (box[3] - box[2])


def round_up(side: int) -> int:
    """The next multiple of 16."""
    return -(-side // MULTIPLE) * MULTIPLE
