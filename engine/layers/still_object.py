"""Find what stands still in front of the person: a pole or a trunk that the body passes behind.

The place is known from frames in which the person is elsewhere. Where the body must be (its trunk and legs, by
landmarks that are sure) and the frame still shows that place, again and again, something stands in front. It is
believed only as a band that is slim, long and of other colours than the body; then it is followed up and down along
its two edges. What stands before a person who never steps aside, or moves against the background as the camera
travels, is missed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.moving_object import View, colour_bins
from engine.types import Landmarks, Size

_MIN_FRAMES = 3
"""Frames in which the body must have been behind a pixel."""
_MIN_SHARE = 0.7
"""Share of these frames in which the pixel shows the place all the same."""
_MAX_FRONT = 0.35
"""More of the body's way than this in front of it is a plate that went wrong."""
_SLIM, _LONG = 0.2, 0.25
"""A band is at most this wide and at least this high, heights of the body."""
_RARE = 4e-4
"""Share of the body's pixels below which a colour is not the body's."""
_BONES = ((23, 25, 0.03), (24, 26, 0.03), (25, 27, 0.012), (26, 28, 0.012))
"""Landmark, landmark, radius in heights of the body: well inside the flesh."""


@dataclass(frozen=True)
class StillThing:
    """What stands in front, in one shot."""

    x0: int
    y0: int
    """Top-left corner of the mask in the pixels of the shot's first frame, shrunk."""
    mask: NDArray
    """(h, w) uint8, 0 or 255."""


class Watch:
    """Counts, pixel by pixel of a shot's place, how often the body should hide it and how often it does not."""

    def __init__(self, box: tuple[int, int, int, int], body_px: float) -> None:
        self._x0, self._y0 = box[:2]
        size = (max(1, box[3] - box[1]), max(1, box[2] - box[0]))
        self._behind, self._front = np.zeros(size, np.uint16), np.zeros(size, np.uint16)
        self._body_px = body_px
        self._colours = np.zeros(len(colour_bins(np.zeros((1, 3), np.uint8), count=True)), np.float64)

    def look(self, view: View, points: NDArray, threshold: float) -> None:
        """First pass: learn the body's colours.

        Args:
            view: the frame.
            points: (33, 2) float, landmarks, small pixels of the frame.
            threshold: difference from the plate that is no noise.
        """
        core = draw_core(view, points, self._body_px)
        inside = view.rgb[(core > 0) & (view.away > threshold)]
        self._colours += colour_bins(inside, count=True)

    def count(self, view: View, points: NDArray, to_first: NDArray, threshold: float) -> None:
        """Second pass: lay one frame over the place.

        Args:
            view, points, threshold: as in `look`.
            to_first: (3, 3) small pixels of the frame to small pixels of the shot's first frame.
        """
        core = draw_core(view, points, self._body_px)
        if not core.any():
            return
        strange = (self._colours < _RARE * max(self._colours.sum(), 1.0))[colour_bins(view.rgb.reshape(-1, 3))]
        same = ((view.away < 0.6 * threshold) & (view.sure > 0)).astype(np.uint8) * 255
        # What is like the place and like the body says nothing.
        same_strange = cv2.bitwise_and(same, strange.reshape(core.shape).astype(np.uint8) * 255)
        told = cv2.bitwise_and(core, cv2.bitwise_or(cv2.bitwise_not(same), same_strange))
        layers = told, cv2.bitwise_and(core, same_strange)
        own = np.array([[1, 0, view.x0], [0, 1, view.y0], [0, 0, 1.0]])
        matrix = np.array([[1, 0, -self._x0], [0, 1, -self._y0], [0, 0, 1.0]]) @ to_first @ own
        for total, layer in zip((self._behind, self._front), layers):
            seen = cv2.warpPerspective(layer, matrix, total.shape[::-1], flags=cv2.INTER_NEAREST)
            np.add(total, seen > 0, out=total, casting="unsafe")

    def decide(self, picture: Callable[[tuple[int, int, int, int]], NDArray]) -> StillThing | None:
        """Keep what is surely a thing in front.

        Args:
            picture: gives the place, (h, w, 3) uint8, of a box in small pixels of the first frame.
        """
        crossed = self._behind >= _MIN_FRAMES
        front = (crossed & (self._front >= _MIN_SHARE * self._behind)).astype(np.uint8)
        front = cv2.morphologyEx(front, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        # Stripes that look like the body are bridged where nothing speaks against it.
        tall = np.ones((max(5, round(0.25 * self._body_px)), 1), np.uint8)
        against = (self._behind >= 2) & (self._front < 0.4 * self._behind)
        front = cv2.bitwise_and(cv2.morphologyEx(front, cv2.MORPH_CLOSE, tall), (~against).astype(np.uint8))
        front = cv2.morphologyEx(front, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        if not front.any() or front.sum() > _MAX_FRONT * crossed.sum():
            return None
        size = front.shape
        box = self._x0, self._y0, self._x0 + size[1], self._y0 + size[0]
        place = cv2.GaussianBlur(picture(box), (0, 0), 0.7).astype(np.float32)
        mask = np.zeros(size, np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(front, connectivity=8)
        for label in range(1, count):
            if stats[label, cv2.CC_STAT_HEIGHT] >= _LONG * self._body_px:
                _add_band(mask, labels == label, place, self._body_px)
        return StillThing(self._x0, self._y0, mask) if mask.any() else None


def draw_core(view: View, points: NDArray, body_px: float) -> NDArray:
    """(h, w) uint8: 255 where the body must be, inside trunk and legs."""
    core = np.zeros(view.away.shape, np.uint8)
    at = np.round(points - (view.x0, view.y0)).astype(int)
    for a, b, radius in _BONES:
        cv2.line(core, at[a].tolist(), at[b].tolist(), 255, max(1, round(2 * radius * body_px)))
    trunk = at[[11, 12, 24, 23]]
    cv2.fillConvexPoly(core, cv2.convexHull(trunk), 255)
    return core


def sure_landmarks(landmarks: Landmarks, idx: int) -> bool:
    """Whether a frame's trunk and legs can be trusted."""
    return bool(landmarks.score[idx] > 0.5 and landmarks.visibility[idx, [11, 12, 23, 24]].min() > 0.5)


def _add_band(mask: NDArray, part: NDArray, place: NDArray, body_px: float) -> None:
    """Draw a component as a straight band between its two edges, as long as the place shows these edges."""
    rows = np.flatnonzero(part.any(1))
    left, right = part[rows].argmax(1), part.shape[1] - part[rows][:, ::-1].argmax(1)
    width = float(np.median(right - left))
    if width > _SLIM * body_px or len(rows) < 1.5 * width:
        return
    # The body covers a band bit by bit: its middle line is sure, its edges are where the place changes most.
    whole = np.abs(right - left - width) <= max(1.5, 0.25 * width)
    slope, offset = np.polyfit(rows[whole], (left + right)[whole] / 2, 1)
    away = np.abs((left + right) / 2 - (slope * rows + offset))
    if abs(slope) > 0.5 or float(np.median(away)) > max(1.5, 0.25 * width):
        return
    reach = np.arange(-round(1.2 * width) - 3, round(1.2 * width) + 4)
    xs = np.clip((slope * np.arange(len(part)) + offset)[:, None] + reach, 0, part.shape[1] - 2).astype(int)
    strip = place[np.arange(len(part))[:, None], xs]
    change = np.abs(np.diff(strip, axis=1)).max(2)
    typical = np.median(change[rows], axis=0)
    middle = len(reach) // 2
    a, b = int(typical[:middle].argmax()), middle + int(typical[middle:].argmax())
    if min(typical[a], typical[b]) < 6 or not 0.5 * width <= b - a <= 1.6 * width + 4:
        return
    edge = np.minimum(change[:, max(0, a - 1) : a + 2].max(1), change[:, b - 1 : b + 2].max(1))
    support = cv2.blur(edge[:, None].astype(np.float32), (1, 9))[:, 0]
    good = (support > 0.4 * min(typical[a], typical[b])).astype(np.uint8)
    # A white stripe before a white wall has no edge: gaps are bridged.
    good = cv2.morphologyEx(good[:, None], cv2.MORPH_CLOSE, np.ones((round(0.3 * body_px) | 1, 1), np.uint8))[:, 0]
    top, bottom = int(rows[0]), int(rows[-1])
    while top > 0 and good[top - 1]:
        top -= 1
    while bottom < len(part) - 1 and good[bottom + 1]:
        bottom += 1
    for row in range(top, bottom + 1):
        mask[row, xs[row, a] + 1 : xs[row, b] + 1] = 255


def draw_still(mask: NDArray, thing: StillThing, to_first: NDArray, step: int) -> NDArray:
    """Add a thing to a frame's mask.

    Args:
        mask: (H, W) uint8 of the frame.
        thing: what stands in front.
        to_first: (3, 3): pixels of the frame to pixels of the shot's first frame.
        step: pixels per small pixel.
    """
    size: Size = (mask.shape[0], mask.shape[1])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    small = np.array([[1 / step, 0, -thing.x0], [0, 1 / step, -thing.y0], [0, 0, 1.0]])
    matrix = np.linalg.inv(half) @ small @ to_first @ half
    drawn = cv2.warpPerspective(thing.mask, matrix, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.maximum(mask, drawn)
