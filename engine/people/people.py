"""Everybody in a clip: who they are, where they are in every frame, and their rough masks on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.people.meeting import hidden_frames, without_mistakes
from engine.people.roi import Roi
from engine.people.second import walk_back
from engine.people.settle import join, settle
from engine.people.table import SECOND, concatenate, read_table
from engine.people.walk import box_area, chunk_length, walk_forth
from engine.types import Chunks, FrameSource, Landmarks, Progress, Tracks, quiet


@dataclass(frozen=True)
class Person:
    """One person of a clip."""

    tracks: Tracks
    landmarks: Landmarks
    thumb: NDArray
    """(96, w, 3) uint8 RGB: a small picture of them, where they are largest."""
    importance: float
    """How much they matter: size, share of the clip, motion. `find_people` puts the most important first."""
    first_idx: int
    """The frame in which they are seen first."""
    hidden: NDArray
    """(T,) bool: not seen because somebody else stands before them."""
    rows: NDArray = field(repr=False)
    """(T,) int32: row of the rough mask in the chunk of that frame, -1 where they were not seen."""
    folders: tuple[Path, ...] = field(repr=False)
    """Folders of the chunks, with the rough masks."""
    length: int = field(repr=False)
    """Frames of a chunk."""
    second: dict[int, Path] = field(repr=False)
    """By number of the chunk, the folder of what the second walk found there."""

    def rough_masks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Roi, NDArray] | None]:
        """Yield, for each frame, the square and its (256, 256) uint8 mask, or None where they were not seen."""
        stop = len(self.rows) if stop is None else min(stop, len(self.rows))
        for first in range(start - start % self.length, stop, self.length):
            with np.load(self.folders[first // self.length] / "people.npz") as table:
                rois, masks = table["roi"], table["mask"]
            mine = self.rows[max(start, first) : min(stop, first + self.length)]
            if (mine >= SECOND).any():
                mine = np.where(mine >= SECOND, mine - SECOND + len(masks), mine)
                with np.load(self.second[first // self.length] / "people.npz") as table:
                    rois, masks = np.concatenate([rois, table["roi"]]), np.concatenate([masks, table["mask"]])
            for row in mine:
                yield None if row < 0 else (Roi.from_array(rois[row]), masks[row])


def find_people(clip: FrameSource, *, chunks: Chunks, progress: Progress = quiet) -> list[Person]:
    """Find everybody in a clip and follow them through it, the most important person first.

    Args:
        clip: (H, W, 3) RGB frames.
        chunks: keeps finished pieces; the rough masks stay there.
        progress: told after every frame.

    Returns:
        The people; empty when there is nobody (or no frame).

    Raises:
        MissingError: the networks are not installed.
    """
    length = chunk_length(clip)
    return _gather(clip, length, tuple(walk_forth(clip, length, chunks, progress)), chunks)


def _gather(clip: FrameSource, length: int, folders: tuple[Path, ...], chunks: Chunks) -> list[Person]:
    """Join the chunks' tables into one per person, walk back into the gaps, smooth and complete."""
    parts, pictures = [], {}
    for folder in folders:
        with np.load(folder / "people.npz") as table:
            offset = sum(len(part.frame) for part in parts)
            parts.append(read_table(table))
            pictures |= {offset + int(row): table[f"thumb_{row}"] for row in table["thumb_row"]}
    if not sum(len(part.frame) for part in parts):
        return []
    whole = concatenate(parts)
    groups = join(whole, clip.num_frames)
    whole, groups, second = walk_back(clip, length, whole, groups, chunks)
    groups = without_mistakes(whole, groups)
    people = []
    everybody = settle(whole, groups, clip.num_frames, clip.size)
    for settled in everybody:
        pick = max((i for i in settled.entries if i in pictures), key=lambda i: box_area(whole.box[i]))
        people.append(
            Person(
                tracks=settled.tracks,
                hidden=hidden_frames(settled.tracks, [one.tracks for one in everybody if one is not settled]),
                landmarks=settled.landmarks,
                thumb=pictures[pick],
                importance=settled.importance,
                first_idx=settled.first_idx,
                rows=settled.rows,
                folders=folders,
                length=length,
                second=second,
            )
        )
    return sorted(people, key=lambda person: -person.importance)
