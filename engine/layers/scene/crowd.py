"""People in the place, whom nobody follows: what is missing beside them is not to be filled with pieces of them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.detect import Detector, tiles
from engine.people.landmarks import MIN_PRESENCE, Landmarker

_LARGE = 0.005
"""Share of the picture that has to be missing before somebody is looked for."""
_REACH = 1.0
"""How far around the hole, heights of it."""
_LEVELS = 0, 1, 2
"""See `tiles`."""
_MARGIN = 0.02
"""What clothes, hair and bags add to the outline of a person, heights of them."""
_BLANK = 128
"""Levels of what is missing: grey has nobody in it."""
_THERE = 0.5
"""Share of somebody that is not missing: who is found in less is the outline of the hole."""


def draw_crowd(rgb: NDArray, hole: NDArray, known: NDArray) -> NDArray:
    """Draw everybody who stands around a hole in a picture of the place, also who is small or half hidden.

    Args:
        rgb: (H, W, 3) uint8.
        hole: (H, W) uint8, above 0 where the picture is missing and wanted.
        known: (H, W) uint8, above 0 where there is a picture at all.

    Returns:
        (H, W) uint8, 255 on people; 0 everywhere if the hole is small.

    Raises:
        MissingError: the networks are not installed.
    """
    crowd = np.zeros(hole.shape, np.uint8)
    if np.count_nonzero(hole) < _LARGE * hole.size:
        return crowd
    x, y, width, height = cv2.boundingRect(hole)
    reach = round(_REACH * height)
    part = slice(max(0, y - reach), y + height + reach), slice(max(0, x - reach), x + width + reach)
    picture = np.where(known[part][..., None] > 0, rgb[part], np.uint8(_BLANK))
    where = [tile for level in _LEVELS for tile in tiles(picture.shape[:2], level)]
    people = Detector().detect(picture, where)
    if not people:
        return crowd
    landmarker = Landmarker()
    for found in people:
        pose = landmarker.find(picture, found.roi)
        if pose.score >= MIN_PRESENCE:
            side = 2 * round(_MARGIN * float(np.ptp(pose.box_px[1::2]))) + 1
            body = (pose.roi.paste(pose.mask, picture.shape[:2]) > 127).astype(np.uint8) * 255
            if np.count_nonzero(body[known[part] > 0]) > _THERE * np.count_nonzero(body):
                crowd[part] = cv2.max(crowd[part], cv2.dilate(body, np.ones((side, side), np.uint8)))
    return crowd
