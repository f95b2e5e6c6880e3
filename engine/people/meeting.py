"""Where people meet: what is seen of one on the other by mistake, and who is hidden by whom."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.people.settle import MAX_MEETING
from engine.people.table import Table
from engine.types import Tracks

_TORSO = (11, 12, 23, 24)
_FLEETING = 3
"""Frames for which somebody lost may be seen on the way and be lost again, by mistake."""
_COVERS = 0.25
"""Share of the box of somebody hidden that the other's box covers."""


def without_mistakes(table: Table, groups: Sequence[NDArray]) -> list[NDArray]:
    """Leave out what was seen of somebody lost behind another for a moment, on the other's body.

    Args:
        table: all sightings.
        groups: rows of each person.

    Returns:
        The rows of each person.
    """
    groups = [group[np.argsort(table.frame[group], kind="stable")] for group in groups]
    return [_without(table, groups[k], groups[:k] + groups[k + 1 :]) for k in range(len(groups))]


def hidden_frames(mine: Tracks, others: Sequence[Tracks]) -> NDArray:
    """Find the frames in which somebody is out of sight because another stands before them.

    Args:
        mine: their box, filled in where they are not seen.
        others: the boxes of everybody else.

    Returns:
        (T,) bool: between two sightings at most `MAX_MEETING` frames apart, if another covers them most of the time.
    """
    hidden, covered = np.zeros((2, len(mine.score)), bool)
    for other in others:
        low, high = (
            np.maximum(mine.box_px[:, :2], other.box_px[:, :2]),
            np.minimum(mine.box_px[:, 2:], other.box_px[:, 2:]),
        )
        area = np.prod(mine.box_px[:, 2:] - mine.box_px[:, :2], axis=1)
        covered |= (other.score > 0) & (np.prod(np.clip(high - low, 0, None), axis=1) > _COVERS * area)
    seen = np.flatnonzero(mine.score > 0)
    for first, last in pairwise(seen.tolist()):
        if 1 < last - first <= MAX_MEETING and covered[first + 1 : last].mean() > 0.5:
            hidden[first + 1 : last] = True
    return hidden


def _without(table: Table, entries: NDArray, others: Sequence[NDArray]) -> NDArray:
    """The rows of one person but for the few in a gap that lie nearer to another one than to the way through it."""
    frames, centers = table.frame[entries], table.image[:, _TORSO].mean(1)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(frames) > 2) + 1, [len(frames)]])
    keep = np.ones(len(entries), bool)
    for first, last in pairwise(starts[1:-1].tolist()):
        if last - first > _FLEETING or frames[last] - frames[first - 1] > MAX_MEETING:
            continue
        share = (frames[first:last] - frames[first - 1]) / (frames[last] - frames[first - 1])
        here, (start, end) = centers[entries[first:last]], centers[entries[[first - 1, last]]]
        astray = np.linalg.norm(here - start - share[:, None] * (end - start), axis=1).mean()
        for other in others:
            there = other[np.isin(table.frame[other], frames[first:last])]
            if len(there) == last - first and np.linalg.norm(here - centers[there], axis=1).mean() < astray:
                keep[first:last] = False
    return entries[keep]
