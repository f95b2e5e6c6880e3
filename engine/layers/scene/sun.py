"""Whose a shadow is, where several people stand: the sun draws all of them the same way, each from its owner's feet."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_ONES = np.ones(3, np.float32)
_DARK = 0.88
"""A shadow lets less than this share of the light through."""
_NEAR, _FAR = 0.15, 0.7
"""Where along its length a shadow is looked for, heights of the person."""
_ANGLES = np.deg2rad(np.r_[0:240:2, 302:360:2]).astype(np.float32)
"""Not upwards: what is dark there is their own body, and such a shadow lies behind it."""
_LEAST, _STANDS_OUT = 0.25, 0.2
"""Share of its length that must be dark on the mean, and how much more than in most directions."""
_BEAM, _EDGE = 0.3, 0.7
"""Radians beside the darkest direction, and share of its darkness, that tell where the middle of a shadow is."""
_ALONG, _BEHIND = 0.05, 4.0
"""What a pixel along the light, and one towards it, counts as, in pixels across: nobody throws a shadow at the sun."""
_FEET = 12
"""Points that stand for the person's feet, at most."""


@dataclass(frozen=True)
class Bystanders:
    """Those who stand beside the person, as far as their shadows go."""

    feet: NDArray
    """(n, 2) float32: ankles, heels and toes, pixels of the picture that is asked about."""
    sun: float | None
    """Radians from the picture's x axis towards y: which way shadows fall; None where none does."""

    def own(self, shade: NDArray, person: NDArray) -> NDArray:
        """Say what of a shade is theirs.

        Args:
            shade: (h, w) uint8, above 0 where it is asked.
            person: (h, w), above 0 where the person is.

        Returns:
            (h, w) uint8, 0 or 1: on what lies better behind their feet than behind the person's.
        """
        theirs = np.zeros(shade.shape, np.uint8)
        if len(self.feet):
            at = np.flatnonzero(shade)
            points = np.stack([at % shade.shape[1], at // shade.shape[1]], 1).astype(np.float32)
            mine = self._away(points, lowest(person))
            theirs.ravel()[at] = self._away(points, self.feet) < mine
        return theirs

    def _away(self, points: NDArray, feet: NDArray) -> NDArray:
        """(N,) float32: how far points are from where feet throw a shadow, pixels."""
        least = np.full(len(points), np.inf, np.float32)
        for foot in feet:
            x, y = (points - foot).T
            if self.sun is None:
                away = np.hypot(x, y)
            else:
                cos, sin = np.cos(self.sun), np.sin(self.sun)
                along = x * cos + y * sin
                away = np.hypot(x * sin - y * cos, _BEHIND * np.minimum(along, 0)) + _ALONG * np.maximum(along, 0)
            least = np.minimum(least, away)
        return least


def lowest(person: NDArray) -> NDArray:
    """(n, 2) float32: up to `_FEET` points along the lower edge of the lowest tenth of a mask (h, w), if it has any."""
    x, y, width, height = cv2.boundingRect((person > 0).astype(np.uint8))
    if height == 0:
        return np.zeros((0, 2), np.float32)
    top = max(0, y + height - 1 - max(2, height // 10))
    part = person[top : y + height, x : x + width] > 0
    cols = np.flatnonzero(part.any(0))
    cols = cols[:: max(1, -(-len(cols) // _FEET))]
    rows = len(part) - 1 - part[::-1, cols].argmax(0)
    return np.stack([cols + x, rows + top], 1).astype(np.float32)


def find_sun(
    pictures: Sequence[NDArray], seen: Sequence[NDArray], lit: NDArray, feet: Sequence[NDArray], height: float
) -> float | None:
    """Find which way people's shadows fall.

    Args:
        pictures: (h, w, 3) uint8 each, laid over each other.
        seen: (h, w) uint8 each, above 0 where a picture shows the place.
        lit: (h, w, 3) uint8: the place in the light.
        feet: (n, 2) float32 in each of them, pixels: where people stand.
        height: of a person, pixels.

    Returns:
        Radians, see `Bystanders.sun`; None where no direction is darker than the others.
    """
    light = lit @ _ONES
    steps = np.arange(_NEAR * height, _FAR * height, max(1.0, height / 40), dtype=np.float32)
    rays = steps[None, :, None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)[:, None]
    total, count = np.zeros(len(_ANGLES)), 0
    for picture, shown, points in zip(pictures, seen, feet):
        if len(points):
            dark = ((picture @ _ONES < _DARK * light) & (shown > 0)).astype(np.float32)
            x, y = ((points[:, None, None] + rays)[..., axis].astype(np.float32) for axis in (0, 1))
            flat = len(points), -1
            along = cv2.remap(dark, x.reshape(flat), y.reshape(flat), cv2.INTER_NEAREST)
            total += along.reshape(x.shape).mean(2).sum(0)
            count += len(points)
    score = total / max(1, count)
    best = int(score.argmax())
    is_sure = score[best] > _LEAST and score[best] > np.median(score) + _STANDS_OUT
    if not is_sure:
        return None
    turn = (_ANGLES - _ANGLES[best] + np.pi) % (2 * np.pi) - np.pi
    weight = np.where(np.abs(turn) < _BEAM, np.maximum(score - _EDGE * score[best], 0), 0)
    return float(_ANGLES[best] + (turn * weight).sum() / weight.sum())
