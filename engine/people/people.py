"""Everybody in a clip: who they are, where they are in every frame, and their rough masks on disk."""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.npz import save_npz
from engine.people.roi import Roi
from engine.people.second import walk_back
from engine.people.settle import join, settle
from engine.people.table import CHUNK, SECOND, columns_of, concatenate, read_table
from engine.people.track import Scouted, Sighting, Tracker
from engine.threads import map_in_order
from engine.types import Chunks, FrameSource, Landmarks, Progress, Tracks, quiet

THUMB_PX = 96
"""Height of the small picture of a person."""


AHEAD_BYTES = 44_000_000
"""Frames in memory at once that wait for their turn."""


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
    rows: NDArray = field(repr=False)
    """(T,) int32: row of the rough mask in the chunk of that frame, -1 where they were not seen."""
    folders: tuple[Path, ...] = field(repr=False)
    """Folders of the chunks of `CHUNK` frames, with the rough masks."""
    second: dict[int, Path] = field(repr=False)
    """By number of the chunk, the folder of what the second walk found there."""

    def rough_masks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Roi, NDArray] | None]:
        """Yield, for each frame, the square and its (256, 256) uint8 mask, or None where they were not seen."""
        stop = len(self.rows) if stop is None else stop
        for first in range(start - start % CHUNK, stop, CHUNK):
            with np.load(self.folders[first // CHUNK] / "people.npz") as table:
                rois, masks = table["roi"], table["mask"]
            mine = self.rows[max(start, first) : min(stop, first + CHUNK)]
            if (mine >= SECOND).any():
                mine = np.where(mine >= SECOND, mine - SECOND + len(masks), mine)
                with np.load(self.second[first // CHUNK] / "people.npz") as table:
                    rois, masks = np.concatenate([rois, table["roi"]]), np.concatenate([masks, table["mask"]])
            for row in mine:
                yield None if row < 0 else (Roi.from_array(rois[row]), masks[row])


def find_people(clip: FrameSource, *, chunks: Chunks, progress: Progress = quiet) -> list[Person]:
    """Find everybody in a clip and follow them through it, the most important person first.

    Args:
        clip: (H, W, 3) RGB frames.
        chunks: keeps finished pieces of `CHUNK` frames; the rough masks stay there.
        progress: told after every frame.

    Returns:
        The people; empty when there is nobody (or no frame).

    Raises:
        MissingError: the networks are not installed.
    """
    folders: list[Path] = []
    packed: list[Future[Path]] = []
    with ExitStack() as stack:
        packer = stack.enter_context(ThreadPoolExecutor(1))  # packs a chunk while the next one is walked through
        tracker: Tracker | None = None
        scouted: Iterator[Scouted] = iter(())
        for start in range(0, clip.num_frames, CHUNK):
            stop = min(start + CHUNK, clip.num_frames)
            name = f"people-{start:06d}-{stop - 1:06d}"
            if (folder := chunks.get(name)) is not None:  # finished chunks are the first ones
                folders.append(folder)
                progress(stop, clip.num_frames)
                continue
            if tracker is None:
                tracker = _resume(folders)
                scouted = stack.enter_context(closing(_scout(clip, start, tracker)))
            found = _track_chunk(clip.num_frames, start, islice(scouted, stop - start), tracker, progress)
            packed.append(packer.submit(_keep, chunks, name, found))
        folders += [each.result() for each in packed]
    return _gather(clip, tuple(folders), chunks)


def _resume(folders: list[Path]) -> Tracker:
    tracker = Tracker()
    if folders:
        with np.load(folders[-1] / "people.npz") as table:
            tracker.restore({name: table[name] for name in table.files if name.startswith("state_")})
    return tracker


def _scout(clip: FrameSource, start: int, tracker: Tracker) -> Generator[Scouted, None, None]:
    """Every frame from `start` on, with what can be known of it before its turn; so that a look at all parts of one
    frame does not hold the others up, many are looked at ahead where they are small."""
    ahead = int(np.clip(AHEAD_BYTES // (3 * clip.size[0] * clip.size[1]), 4, 16))

    def scout(frame: tuple[int, NDArray]) -> Scouted:
        return tracker.scout(frame[0], np.ascontiguousarray(frame[1][..., :3]))

    return map_in_order(scout, zip(range(start, clip.num_frames), clip.read(start)), ahead)


def _track_chunk(
    num_frames: int, start: int, frames: Iterable[Scouted], tracker: Tracker, progress: Progress
) -> dict[str, NDArray]:
    """Walk through some frames; returns who was seen there, and the state of the tracker after them."""
    seen: list[Sighting] = []
    best: dict[int, tuple[float, int, NDArray]] = {}  # area, row and picture of each person where they are largest
    for frame_idx, scouted in enumerate(frames, start):
        for sighting in tracker.step(frame_idx, scouted):
            area = _box_area(sighting.pose.box_px)
            if area > 1.1 * best.get(sighting.track_id, (0.0,))[0]:
                best[sighting.track_id] = (area, len(seen), _thumb(scouted.rgb, sighting.pose.box_px))
            seen.append(sighting)
        progress(frame_idx + 1, num_frames)
    columns = columns_of(seen) | {
        "thumb_row": np.array(sorted(row for _, row, _ in best.values()), np.int64),
    }
    pictures = {f"thumb_{row}": picture for _, row, picture in best.values()}
    return columns | pictures | tracker.state()


def _keep(chunks: Chunks, name: str, found: dict[str, NDArray]) -> Path:
    with chunks.make(name) as part:
        save_npz(part / "people.npz", **found)
    folder = chunks.get(name)
    assert folder is not None, name
    return folder


def _thumb(rgb: NDArray, box: NDArray) -> NDArray:
    height, width = rgb.shape[:2]
    x0, y0 = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(box[2:]), (x0 + 1, y0 + 1), (width, height)).astype(int)
    scale = THUMB_PX / (y1 - y0)
    wide = int(np.clip(round((x1 - x0) * scale), 8, 4 * THUMB_PX))
    return cv2.resize(np.ascontiguousarray(rgb[y0:y1, x0:x1, :3]), (wide, THUMB_PX), interpolation=cv2.INTER_AREA)


def _gather(clip: FrameSource, folders: tuple[Path, ...], chunks: Chunks) -> list[Person]:
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
    whole, groups, second = walk_back(clip, whole, groups, chunks)
    people = []
    for settled in settle(whole, groups, clip.num_frames, clip.size):
        pick = max((i for i in settled.entries if i in pictures), key=lambda i: _box_area(whole.box[i]))
        people.append(
            Person(
                tracks=settled.tracks,
                landmarks=settled.landmarks,
                thumb=pictures[pick],
                importance=settled.importance,
                first_idx=settled.first_idx,
                rows=settled.rows,
                folders=folders,
                second=second,
            )
        )
    return sorted(people, key=lambda person: -person.importance)


def _box_area(box: NDArray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
