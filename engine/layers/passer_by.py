"""Somebody else who walks in front: nearer, as their feet stand lower in the picture, and not the place behind.

What is neither the place nor nearer to the person's own bones, around the other's bones, is the other's.
"""

from collections.abc import Mapping
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.bones import bone_distance
from engine.layers.moving_object import colour_bins
from engine.layers.views import View, is_short_gap
from engine.types import Landmarks, Tracks

_FEET = slice(27, 33)
_REACH = 0.11
"""Flesh and clothes are at most this far from a bone, heights of the body; hair a little more."""
_FLESH = 0.055
"""This near a bone nothing of the one behind is seen."""
_BONE = 0.02
"""This near a bone it is asked whether anybody is there, heights of the body."""
_WIDE = 0.17
"""The same where the clothes, too, are theirs."""
_SURE = 0.7
"""Log odds of the clothes that outweigh the bones."""
_TRUNK = 0.4
"""Share of the trunk from which on all of it is theirs: bones of two who cross are guessed too often."""
_HOLE = 0.006
"""What is surrounded by somebody, and near their bones, is theirs up to this size, squared heights of the body."""
_LEAST_SEEN = 2000
"""Pixels of each person from which on the colours of their clothes count."""
_SOMEBODY, _MAYBE = 0.6, 0.3
"""Shares of the bones that must differ from the place to cut somebody out, and to call nothing near them a prop."""
_NEARER = 0.015
"""How much lower the other's feet are at least, heights of the person."""
_MINE = 0.6
"""Where the mask says it is the person, the other's bones have to be nearer by this factor."""


def seen_beside(tracks: Tracks, others: Mapping[int, tuple[Tracks, Landmarks]]) -> dict[int, tuple[Tracks, Landmarks]]:
    """Keep of the others, tracks and landmarks by number, those who are seen in some frame that shows the person, too.

    Who is only seen where the person is lost is the person, badly seen: an arm and a wheel beside a trunk.
    """
    return {number: one for number, one in others.items() if ((one[0].score > 0) & (tracks.score > 0)).any()}


def is_in_front(mine: Landmarks, other: Landmarks, tracks: Tracks, others: Tracks) -> NDArray:
    """Tell in which frames another person is nearer, and near; also while they hide the person for a moment.

    Args:
        mine: landmarks of the person.
        other: of the other one.
        tracks: the person's box.
        others: the other's box.

    Returns:
        (T,) bool.
    """
    height = np.maximum(tracks.box_px[:, 3] - tracks.box_px[:, 1], 1)
    lower = (other.image_px[:, _FEET, 1].max(1) - mine.image_px[:, _FEET, 1].max(1)) / height
    # One step forwards is no change of places: the median of a second.
    lower = np.array([np.median(lower[max(0, t - 12) : t + 13]) for t in range(len(lower))])
    return are_near(tracks, others) & (lower > _NEARER)


def are_near(tracks: Tracks, others: Tracks) -> NDArray:
    """(T,) bool: the boxes of two people, with some room, overlap; also while one is out of sight for a moment."""
    near = np.logical_and(*(seen | is_short_gap(seen) for seen in (others.score > 0, tracks.score > 0)))
    room = 0.3 * np.maximum(tracks.box_px[:, 3] - tracks.box_px[:, 1], 1)
    low = np.maximum(tracks.box_px[:, :2] - room[:, None], others.box_px[:, :2])
    high = np.minimum(tracks.box_px[:, 2:] + room[:, None], others.box_px[:, 2:])
    return near & (high > low).all(1)


class Clothes:
    """What two people look like: learned where each is alone, asked where one hides the other."""

    def __init__(self) -> None:
        num = len(colour_bins(np.zeros((1, 3), np.uint8), count=True))
        self._counts = np.zeros((2, num))

    def look(self, view: View, mine: NDArray, other: NDArray, threshold: float) -> None:
        """Learn from one frame; arguments as in `find_passer_by`."""
        size, corner = view.away.shape, np.array([view.x0, view.y0])
        far_mine, far_other = bone_distance(mine - corner, size), bone_distance(other - corner, size)
        stands_out = (view.away > threshold) & (view.away < 255)
        theirs = (
            stands_out & (view.human < 24) & (far_other < _FLESH * np.ptp(other[:, 1])) & (far_other < far_mine / 2)
        )
        own = stands_out & (view.human > 200) & (far_other > _REACH * np.ptp(other[:, 1]))
        self._counts += [colour_bins(view.rgb[where], count=True) for where in (own, theirs)]

    def odds(self, rgb: NDArray) -> NDArray:
        """(h, w) float32: log odds of the other one's clothes against mine; 0 while either is not known."""
        total = self._counts.sum(1, keepdims=True)
        if (total < _LEAST_SEEN).any():
            return np.zeros(rgb.shape[:2], np.float32)
        shares = self._counts / total + 1e-4
        table = np.log(shares[1] / shares[0]).astype(np.float32)
        levels = np.take(table, colour_bins(rgb)).reshape(rgb.shape[:2])
        return cv2.blur(np.clip(levels, -3, 3), (5, 5))


def find_passer_by(
    view: View, mine: NDArray, other: NDArray, threshold: float, clothes: Clothes | None = None
) -> NDArray:
    """Cut another person out of a view.

    Args:
        view: the frame.
        mine: (33, 2) float, landmarks of the person, small pixels of the frame.
        other: (33, 2) float, of the other one.
        threshold: difference from the plate that is no noise.
        clothes: of both, if known.

    Returns:
        (h, w) uint8: 255 where the other one is; nothing where the place is seen instead.
    """
    size = view.away.shape
    corner = np.array([view.x0, view.y0])
    far_other, far_mine = bone_distance(other - corner, size), bone_distance(mine - corner, size)
    height = max(8.0, float(np.ptp(other[:, 1])))
    if _stands_out(far_other < _BONE * height, view, threshold) <= _SOMEBODY:
        return np.zeros(size, np.uint8)
    theirs = far_other < np.where(view.human > 127, _MINE, 1.0) * far_mine
    theirs |= (far_other < _FLESH * height) & (view.human < 128)  # they are in front: my bones behind say nothing
    odds = np.zeros(size, np.float32) if clothes is None else clothes.odds(view.rgb)
    theirs = (theirs & (odds > -_SURE)) | ((odds > _SURE) & (far_other / 2 < far_mine))
    near = far_other < np.where(odds > _SURE, _WIDE, _REACH) * height
    shows = ((view.away > threshold) & ((view.shade == 0) | (far_other < _FLESH * height))) | (view.human > 127)
    theirs |= (far_other < _FLESH * height) & (view.human < 128) & (odds > -2 * _SURE)
    found = theirs & near & shows
    found |= _holes(found, far_other < _REACH * height, _HOLE * height**2)
    trunk = _trunk(other - corner, size)
    if trunk.any() and found[trunk].mean() > _TRUNK:
        found |= trunk
    flat = cv2.morphologyEx(found.astype(np.uint8) * 255, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(flat, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))


def _trunk(points: NDArray, size: tuple[int, ...]) -> NDArray:
    """(h, w) bool: between shoulders and hips, where who is in front hides all else, whatever it looks like."""
    inside = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.round(points[[11, 12, 23, 24]]).astype(np.int32)), 1)
    return inside > 0


def _holes(found: NDArray, near: NDArray, most: float) -> NDArray:
    """(h, w) bool: the holes of a shape (h, w) of at most so many pixels, that are near somebody all over."""
    free = (~found).astype(np.uint8)
    count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents(free, connectivity=4))
    area = np.bincount(labels.ravel(), minlength=count)
    inside = np.bincount(labels.ravel(), near.ravel(), count) == area
    table = inside & (area <= most)
    table[0] = False
    return np.take(table, labels)


def near_somebody(view: View, points: NDArray, threshold: float) -> NDArray:
    """(h, w) bool: near the bones of somebody, whose landmarks are (33, 2) small pixels of the frame."""
    far, height = bone_distance(points - (view.x0, view.y0), view.away.shape), max(8.0, float(np.ptp(points[:, 1])))
    return (far < _REACH * height) & (_stands_out(far < _BONE * height, view, threshold) > _MAYBE)


def _stands_out(bones: NDArray, view: View, threshold: float) -> float:
    """Share of bones (h, w) bool that are not the place: a painting of somebody is."""
    return float(((view.away > threshold) | (view.human > 127))[bones].mean()) if bones.any() else 0.0


def draw_passer_by(mask: NDArray, view: View, found: NDArray, step: int) -> None:
    """Add what was found in a view to a frame's mask (H, W) uint8, softly; `step` pixels per small pixel."""
    rows, cols = (slice(at * step, (at + num) * step) for at, num in zip((view.y0, view.x0), found.shape))
    part = mask[rows, cols]
    wide = cv2.resize(cv2.GaussianBlur(found, (0, 0), 0.7), part.shape[::-1], interpolation=cv2.INTER_LINEAR)
    part[:] = np.maximum(part, wide)
