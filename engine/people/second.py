"""The second walk, backwards: from where somebody was found (again) into the frames before it.

Going forward, a person who comes out from behind a tree is found some frames late, and one who is small at first much
later. Backwards the tracker has them from the start.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.people.landmarks import MIN_PRESENCE, Landmarker
from engine.people.roi import Roi
from engine.people.table import CHUNK, SECOND, Table, columns_of, concatenate, read_table
from engine.people.track import Sighting, align_step, is_same_place, is_sound, torso_colors
from engine.types import Chunks, FrameSource

REACH = 96
"""Frames to go back at most."""
WINDOW = 16
"""Frames held in memory at once, as a video cannot be read backwards; fewer where they are large."""
WINDOW_BYTES = 128_000_000
MAX_PEOPLE = 3
"""The largest ones; the others stay as they are."""
MIN_SHARE = 0.2
"""Of the largest person's sum of heights; passers-by are not worth reading the clip again."""


@dataclass
class Walker:
    """One person on the way back."""

    roi: Roi | None = None
    smooth: NDArray | None = None
    steps: int = 0


def walk_back(
    clip: FrameSource, table: Table, groups: list[NDArray], chunks: Chunks
) -> tuple[Table, list[NDArray], dict[int, Path]]:
    """Look for people in the frames before those in which they were found.

    Args:
        clip: (H, W, 3) RGB frames.
        table: what the first walk saw.
        groups: rows of each person.
        chunks: keeps what is found.

    Returns:
        The table and the groups with what was found, and by number of the chunk the folder it is in.
    """
    size = [float(np.sqrt(np.prod(table.box[g, 2:] - table.box[g, :2], axis=1)).sum()) for g in groups]
    order = np.argsort(-np.array(size), kind="stable")[:MAX_PEOPLE].tolist()
    chosen = sorted(k for k in order if size[k] >= MIN_SHARE * max(size))
    walkers = {k: Walker() for k in chosen}
    rows = {k: dict(zip(table.frame[groups[k]].tolist(), groups[k].tolist())) for k in chosen}
    folders: dict[int, Path] = {}
    landmarker: Landmarker | None = None
    for number in range((clip.num_frames - 1) // CHUNK, -1, -1):
        start, stop = number * CHUNK, min((number + 1) * CHUNK, clip.num_frames)
        if all(len(rows[k].keys() & range(start, stop)) == stop - start for k in chosen) or not _can_start(
            walkers, rows, range(start, stop)
        ):
            _pass_by(walkers, rows, table, range(start, stop))
            continue
        name = f"people-back-{start:06d}-{stop - 1:06d}"
        if (folder := chunks.get(name)) is None:
            landmarker = landmarker or Landmarker()
            with chunks.make(name) as part:
                seen = _walk_chunk(clip, range(start, stop), walkers, rows, table, landmarker)
                np.savez_compressed(part / "people.npz", **columns_of(seen), **_state(walkers))  # pyright: ignore[reportArgumentType]
            folder = chunks.get(name)
        assert folder is not None, name
        folders[number] = folder
        _restore(walkers, folder)
    if not folders:
        return table, groups, folders
    found = []
    for folder in folders.values():
        with np.load(folder / "people.npz") as file:
            found.append(read_table(file, first_row=SECOND))
    extra = concatenate(found)
    offset = len(table.frame)
    return (
        concatenate([table, extra]),
        [np.concatenate([group, offset + np.flatnonzero(extra.track == k)]) for k, group in enumerate(groups)],
        folders,
    )


def _can_start(walkers: dict[int, Walker], rows: dict[int, dict[int, int]], frames: range) -> bool:
    """Somebody is on the way, or is seen here with a frame before it in which they are not."""
    if any(walker.roi is not None and frames[-1] not in rows[k] for k, walker in walkers.items()):
        return True
    return any(t in rows[k] and t - 1 not in rows[k] for k in walkers for t in frames[1:])


def _pass_by(walkers: dict[int, Walker], rows: dict[int, dict[int, int]], table: Table, frames: range) -> None:
    """What the walkers know after a chunk in which there is nothing to do."""
    for k, walker in walkers.items():
        row = rows[k].get(frames[0])
        walker.roi = None if row is None else Roi.from_array(table.roi[row])
        walker.smooth, walker.steps = None, 0


def _walk_chunk(
    clip: FrameSource,
    frames: range,
    walkers: dict[int, Walker],
    rows: dict[int, dict[int, int]],
    table: Table,
    landmarker: Landmarker,
) -> list[Sighting]:
    seen: list[Sighting] = []
    step = int(np.clip(WINDOW_BYTES // (3 * clip.size[0] * clip.size[1]), 2, WINDOW))
    for first in range(frames[0] + (len(frames) - 1) // step * step, frames[0] - 1, -step):
        window = range(first, min(first + step, frames[-1] + 1))
        if not _can_start(walkers, rows, window):
            _pass_by(walkers, rows, table, window)
            continue
        pictures = list(clip.read(window[0], window[-1] + 1))
        for frame_idx in reversed(window):
            rgb = np.ascontiguousarray(pictures[frame_idx - first][..., :3])
            others = table.image[table.frame == frame_idx]
            for k, walker in walkers.items():
                row = rows[k].get(frame_idx)
                if row is not None:
                    walker.roi, walker.smooth, walker.steps = Roi.from_array(table.roi[row]), None, 0
                elif walker.roi is not None:
                    sighting = _look(walker, k, frame_idx, rgb, landmarker, others)
                    seen += [sighting] if sighting else []
    return seen


def _look(
    walker: Walker, name: int, frame_idx: int, rgb: NDArray, landmarker: Landmarker, others: NDArray
) -> Sighting | None:
    assert walker.roi is not None
    pose = landmarker.find(rgb, walker.roi)
    walker.steps += 1
    lost = pose.score <= MIN_PRESENCE or not is_sound(pose, rgb) or walker.steps > REACH
    if lost or any(is_same_place(pose.image_px, other) for other in others):
        walker.roi = None
        return None
    walker.roi, walker.smooth = align_step(walker.smooth, pose)
    return Sighting(frame_idx, name, pose, torso_colors(rgb, pose))


def _state(walkers: dict[int, Walker]) -> dict[str, NDArray]:
    nowhere, calm = np.full(4, np.nan), np.full((3, 2, 2), np.nan)
    return {
        "state_roi": np.array([nowhere if w.roi is None else w.roi.as_array() for w in walkers.values()]),
        "state_smooth": np.array([calm if w.smooth is None else w.smooth for w in walkers.values()]),
        "state_steps": np.array([w.steps for w in walkers.values()]),
    }


def _restore(walkers: dict[int, Walker], folder: Path) -> None:
    with np.load(folder / "people.npz") as file:
        state = (file["state_roi"], file["state_smooth"], file["state_steps"])
    for walker, roi, smooth, steps in zip(walkers.values(), *state):
        walker.roi = None if np.isnan(roi).any() else Roi.from_array(roi)
        walker.smooth = None if np.isnan(smooth).any() else smooth
        walker.steps = int(steps)
