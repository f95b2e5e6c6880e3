"""Somebody else who walks in front: nearer, as their feet stand lower in the picture, and not the place behind."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.layers.bones import bone_distance, bone_height
from engine.layers.occlusion.views import View, is_short_gap
from engine.types import Landmarks, Tracks

_FEET = slice(27, 33)
_REACH = 0.11
"""Flesh and clothes are at most this far from a bone, heights of the body; hair a little more."""
_BONE = 0.02
"""This near a bone it is asked whether anybody is there, heights of the body."""
_SOMEBODY, _MAYBE = 0.6, 0.3
"""Shares of the bones that must differ from the place to cut somebody out, and to call nothing near them a prop."""
_NEARER = 0.015
"""How much lower the other's feet are at least, heights of the person."""


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


def is_somebody(view: View, points: NDArray, threshold: float) -> bool:
    """Whether somebody is there whose landmarks are (33, 2) small pixels of the frame: a painting of them is the place.

    Args:
        view: the frame.
        points: the landmarks.
        threshold: difference from the plate that is no noise.
    """
    far, height = bone_distance(points - (view.x0, view.y0), view.away.shape), bone_height(points)
    return _stands_out(far < _BONE * height, view, threshold) > _SOMEBODY


def near_somebody(view: View, points: NDArray, threshold: float) -> NDArray:
    """(h, w) bool: near the bones of somebody, whose landmarks are (33, 2) small pixels of the frame."""
    far, height = bone_distance(points - (view.x0, view.y0), view.away.shape), bone_height(points)
    return (far < _REACH * height) & (_stands_out(far < _BONE * height, view, threshold) > _MAYBE)


def _stands_out(bones: NDArray, view: View, threshold: float) -> float:
    """Share of bones (h, w) bool that are not the place: a painting of somebody is."""
    return float(((view.away > threshold) | (view.human > 127))[bones].mean()) if bones.any() else 0.0
