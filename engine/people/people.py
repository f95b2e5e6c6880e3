"""Everybody in a clip: who they are, where they are in every frame, and their rough masks on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.roi import Roi
from engine.people.settle import Table, settle
from engine.people.track import Sighting, Tracker
from engine.types import Chunks, FrameSource, Landmarks, Progress, Tracks, quiet

CHUNK = 64
"""Frames of one finished piece of work."""
THUMB_PX = 96
"""Height of the small picture of a person."""


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

    def rough_masks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Roi, NDArray] | None]:
        """Yield, for each frame, the square and its (256, 256) uint8 mask, or None where they were not seen."""
        stop = len(self.rows) if stop is None else stop
        for first in range(start - start % CHUNK, stop, CHUNK):
            with np.load(self.folders[first // CHUNK] / "people.npz") as table:
                rois, masks = table["roi"], table["mask"]
            for row in self.rows[max(start, first) : min(stop, first + CHUNK)]:
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
    tracker: Tracker | None = None
    folders: list[Path] = []
    for start in range(0, clip.num_frames, CHUNK):
        stop = min(start + CHUNK, clip.num_frames)
        name = f"people-{start:06d}-{stop - 1:06d}"
        folder = chunks.get(name)
        if folder is None:
            tracker = tracker or _resume(folders)
            with chunks.make(name) as part:
                _track_chunk(clip, start, stop, tracker, part, progress)
            folder = chunks.get(name)
            assert folder is not None, name
        folders.append(folder)
        progress(stop, clip.num_frames)
    return _gather(clip, tuple(folders))


def _resume(folders: list[Path]) -> Tracker:
    tracker = Tracker()
    if folders:
        with np.load(folders[-1] / "people.npz") as table:
            tracker.restore({name: table[name] for name in table.files if name.startswith("state_")})
    return tracker


def _track_chunk(clip: FrameSource, start: int, stop: int, tracker: Tracker, part: Path, progress: Progress) -> None:
    seen: list[Sighting] = []
    thumbs: list[NDArray] = []
    for frame_idx, rgb in enumerate(clip.read(start, stop), start):
        found = tracker.step(frame_idx, np.ascontiguousarray(rgb[..., :3]))
        seen += found
        thumbs += [_thumb(rgb, sighting.pose.box_px) for sighting in found]
        progress(frame_idx + 1, clip.num_frames)
    best: dict[int, int] = {}
    for row, sighting in enumerate(seen):
        held = best.get(sighting.track_id)
        if held is None or _area(sighting) > _area(seen[held]):
            best[sighting.track_id] = row
    columns = {
        "frame": np.array([s.frame_idx for s in seen], np.int64),
        "track": np.array([s.track_id for s in seen], np.int64),
        "score": np.array([s.pose.score for s in seen], np.float32),
        "roi": np.array([s.pose.roi.as_array() for s in seen], np.float64).reshape(-1, 4),
        "box": np.array([s.pose.box_px for s in seen], np.float32).reshape(-1, 4),
        "image": np.array([s.pose.image_px for s in seen], np.float32).reshape(-1, 33, 2),
        "world": np.array([s.pose.world_m for s in seen], np.float32).reshape(-1, 33, 3),
        "visibility": np.array([s.pose.visibility for s in seen], np.float32).reshape(-1, 33),
        "look": np.array([s.look for s in seen], np.float32).reshape(-1, 72),
        "mask": np.array([s.pose.mask for s in seen], np.uint8).reshape(-1, 256, 256),
        "thumb_row": np.array(sorted(best.values()), np.int64),
    }
    pictures = {f"thumb_{row}": thumbs[row] for row in best.values()}
    np.savez_compressed(part / "people.npz", **columns, **pictures, **tracker.state())


def _area(sighting: Sighting) -> float:
    x0, y0, x1, y1 = sighting.pose.box_px
    return float((x1 - x0) * (y1 - y0)) * sighting.pose.score


def _thumb(rgb: NDArray, box: NDArray) -> NDArray:
    height, width = rgb.shape[:2]
    x0, y0 = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(box[2:]), (x0 + 1, y0 + 1), (width, height)).astype(int)
    scale = THUMB_PX / (y1 - y0)
    wide = int(np.clip(round((x1 - x0) * scale), 8, 4 * THUMB_PX))
    return cv2.resize(np.ascontiguousarray(rgb[y0:y1, x0:x1, :3]), (wide, THUMB_PX), interpolation=cv2.INTER_AREA)


def _gather(clip: FrameSource, folders: tuple[Path, ...]) -> list[Person]:
    """Join the chunks' tables into one per person, smooth and complete them."""
    names = ("frame", "track", "score", "box", "image", "world", "visibility", "look")
    columns: dict[str, list[NDArray]] = {name: [] for name in names}
    rows, pictures = [], {}
    for folder in folders:
        with np.load(folder / "people.npz") as table:
            offset = sum(len(part) for part in columns["frame"])
            for name in names:
                columns[name].append(table[name])
            rows.append(np.arange(len(table["frame"])))
            pictures |= {offset + row: table[f"thumb_{row}"] for row in table["thumb_row"]}
    if not folders or not sum(len(part) for part in rows):
        return []
    whole = Table(**{name: np.concatenate(parts) for name, parts in columns.items()}, row=np.concatenate(rows))
    people = []
    for settled in settle(whole, clip.num_frames, clip.size):
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
            )
        )
    return sorted(people, key=lambda person: -person.importance)


def _box_area(box: NDArray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
