"""Somebody else who walks in front of the person: cut out as the person is, only while they are there."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.layers.human.matte import human_mask
from engine.layers.human.rivals import find_rivals
from engine.layers.occlusion.passer_by import is_in_front, seen_beside
from engine.layers.scene.likeness import find_likenesses
from engine.layers.scene.plate import Plate
from engine.people.roi import Roi
from engine.people.rough import Seen, Silhouettes
from engine.types import BackgroundMotion, Chunks, FrameSource, Landmarks, Tracks

_BEFORE = 8
"""Frames before they are in front from which their mask is followed."""


@dataclass(frozen=True)
class Passer:
    """Somebody who is in front of the person in some frames."""

    landmarks: Landmarks
    nearer: NDArray
    """(T,) bool: in front."""
    masks: Iterator[NDArray]
    """(H, W) uint8 of every frame; nothing long before and after they are in front."""


def find_passers(
    clip: FrameSource,
    person: tuple[Tracks, Landmarks],
    others: Mapping[int, Seen],
    plate: Plate,
    motion: BackgroundMotion,
    chunks: Chunks,
) -> list[Passer]:
    """Find who walks in front of the person.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        person: whom they hide.
        others: everybody else, by number.
        plate: the place without the person.
        motion: of the background.
        chunks: keeps finished pieces of their masks.
    """
    passers, tracks = [], {number: (one.tracks, one.landmarks) for number, one in others.items()}
    for number in seen_beside(person[0], tracks):
        one = others[number]
        nearer = is_in_front(person[1], one.landmarks, person[0], one.tracks)
        if nearer.any():
            around = np.convolve(nearer, np.ones(2 * _BEFORE + 1))[_BEFORE:-_BEFORE] > 0.5
            during = _During(one, around)
            looks = find_likenesses(
                clip, Silhouettes(during, clip.size), plate, motion, (one.tracks, one.landmarks), {0: person}
            )
            place = copy(plate)
            place.populate = looks.lay
            known = {"plate": place, "rivals": find_rivals(clip, during, {0: person}, motion, looks)}
            masks = human_mask(clip, during, chunks=chunks, name=f"passer-{number}", **known)
            passers.append(Passer(one.landmarks, nearer, masks))
    return passers


class _During:
    """Somebody in some frames alone; see `Seen`."""

    def __init__(self, one: Seen, frames: NDArray) -> None:
        self._one, self._frames = one, frames
        self.tracks = replace(one.tracks, score=one.tracks.score * frames)
        self.landmarks = replace(one.landmarks, score=one.landmarks.score * frames)
        self.hidden: NDArray = one.hidden & frames

    def rough_masks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Roi, NDArray] | None]:
        """See `Seen.rough_masks`."""
        stop = len(self._frames) if stop is None else min(stop, len(self._frames))
        if not self._frames[start:stop].any():
            yield from (None for _ in range(start, stop))
            return
        for idx, found in enumerate(self._one.rough_masks(start, stop), start):
            yield found if self._frames[idx] else None
