"""The second walk, backwards: from where somebody was found (again) into the frames before it.

Going forward, a person who comes out from behind a tree is found some frames late, and one who is small at first much
later. Backwards the tracker has them from the start. Who is lost on the way back, as the tracker slips to somebody else
or a quick movement is blurred, is looked for a moment longer in the whole picture.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.people.detect import Detector, tiles
from engine.people.landmarks import MIN_PRESENCE, Landmarker, Pose
from engine.people.npz import save_npz
from engine.people.roi import Roi
from engine.people.table import SECOND, Table, columns_of, concatenate, read_table
from engine.people.track import Sighting, align_step, is_same_place, is_sound, torso_colors
from engine.types import Chunks, FrameSource, Size

REACH = 96
"""Frames to go back at most."""
SEARCH = 12
"""Frames for which somebody lost is looked for in the whole picture, unless they went out of it."""
MIN_SCORE = 0.4
"""Of a detection then; the landmark network has the last word."""
MIN_ALIKE = 0.6
"""Likeness of colours, 0 ... 1, that it takes to be the one who was lost."""
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
    """Where to look next; None while they are lost."""
    smooth: NDArray | None = None
    steps: int = 0
    look: NDArray | None = None
    """(72,) float32: colours of the torso; None where there is nobody to look for."""
    box_px: NDArray | None = None
    """(4,) float32: where they were seen last."""
    away: int = 0
    """Frames since they were lost."""

    @property
    def is_lost(self) -> bool:
        """Whether they are looked for everywhere."""
        return self.roi is None and self.look is not None

    @property
    def is_out(self) -> bool:
        """Whether there is anybody to look for."""
        return self.roi is not None or self.look is not None

    def stand_at(self, table: Table, row: int) -> None:
        """Begin, or go on, from what the first walk saw."""
        roi = Roi.from_array(table.roi[row])
        # The square that found them may lie a step aside; where the hips are, they are.
        middle = table.image[row, 23:25].mean(0)
        self.roi, self.smooth, self.steps = Roi(float(middle[0]), float(middle[1]), roi.side, roi.turn), None, 0
        self.look, self.box_px, self.away = table.look[row], table.box[row], 0

    def lose(self, size: Size) -> None:
        """Nobody is there any more; who went out of the picture is not looked for."""
        assert self.box_px is not None
        self.roi, self.smooth = None, None
        if self.box_px[0] < 0 or self.box_px[2] > size[1] or self.steps > REACH:
            self.look = None


def walk_back(
    clip: FrameSource, length: int, table: Table, groups: list[NDArray], chunks: Chunks
) -> tuple[Table, list[NDArray], dict[int, Path]]:
    """Look for people in the frames before those in which they were found.

    Args:
        clip: (H, W, 3) RGB frames.
        length: of a chunk, frames.
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
    networks: tuple[Landmarker, Detector] | None = None
    for number in range((clip.num_frames - 1) // length, -1, -1):
        start, stop = number * length, min((number + 1) * length, clip.num_frames)
        if all(len(rows[k].keys() & range(start, stop)) == stop - start for k in chosen) or not _can_start(
            walkers, rows, range(start, stop)
        ):
            _pass_by(walkers, rows, table, range(start, stop))
            continue
        name = f"people-back-{start:06d}-{stop - 1:06d}"
        if (folder := chunks.get(name)) is None:
            networks = networks or (Landmarker(), Detector())
            with chunks.make(name) as part:
                seen = _walk_chunk(clip, range(start, stop), walkers, rows, table, networks)
                save_npz(part / "people.npz", **columns_of(seen), **_state(walkers))
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
    if any(walker.is_out and frames[-1] not in rows[k] for k, walker in walkers.items()):
        return True
    return any(t in rows[k] and t - 1 not in rows[k] for k in walkers for t in frames[1:])


def _pass_by(walkers: dict[int, Walker], rows: dict[int, dict[int, int]], table: Table, frames: range) -> None:
    """What the walkers know after a chunk in which there is nothing to do."""
    for k, walker in walkers.items():
        row = rows[k].get(frames[0])
        if row is None:
            walker.roi, walker.look = None, None
        else:
            walker.stand_at(table, row)


def _walk_chunk(
    clip: FrameSource,
    frames: range,
    walkers: dict[int, Walker],
    rows: dict[int, dict[int, int]],
    table: Table,
    networks: tuple[Landmarker, Detector],
) -> list[Sighting]:
    seen: list[Sighting] = []
    step = int(np.clip(WINDOW_BYTES // (3 * clip.size[0] * clip.size[1]), 2, WINDOW))
    pictures: dict[int, NDArray] = {}
    for first in range(frames[0] + (len(frames) - 1) // step * step, frames[0] - 1, -step):
        window = range(first, min(first + step, frames[-1] + 1))
        if not _can_start(walkers, rows, window):
            _pass_by(walkers, rows, table, window)
            continue
        if not any(walker.is_lost for walker in walkers.values()):
            pictures.clear()
        pictures = {k: pictures[k] for k in range(window[-1] + 1, window[-1] + 1 + step) if k in pictures}
        pictures |= enumerate(clip.read(window[0], window[-1] + 1), first)
        for frame_idx in reversed(window):
            for k, walker in walkers.items():
                row = rows[k].get(frame_idx)
                if row is not None:
                    walker.stand_at(table, row)
                else:
                    seen += _look(walker, k, frame_idx, pictures, networks, table)
    return seen


def _look(
    walker: Walker,
    name: int,
    frame_idx: int,
    pictures: dict[int, NDArray],
    networks: tuple[Landmarker, Detector],
    table: Table,
) -> list[Sighting]:
    """Look where they should be; or, while they are lost, everywhere, and from there into the frames passed over."""
    rgb, others = np.ascontiguousarray(pictures[frame_idx][..., :3]), table.image[table.frame == frame_idx]
    found: list[Sighting] = []
    if walker.roi is not None:
        pose = networks[0].find(rgb, walker.roi)
        walker.steps += 1
        if not _is_seen(pose, rgb, others) or walker.steps > REACH:
            walker.lose(rgb.shape[:2])
            return found
    elif walker.look is not None:
        pose = _search(walker, rgb, networks, others)
        walker.away, walker.steps = walker.away + 1, walker.steps + 1
        if pose is None:
            if walker.away >= SEARCH:
                walker.look = None
            return found
        later = [k for k in range(frame_idx + 1, frame_idx + 1 + walker.away) if k in pictures]
        found = _walk_on(pose, name, later, pictures, networks[0], table)
    else:
        return found
    walker.roi, walker.smooth = align_step(walker.smooth, pose)
    walker.box_px, walker.away = pose.box_px, 0
    return [*found, Sighting(frame_idx, name, pose, torso_colors(rgb, pose))]


def _walk_on(
    pose: Pose, name: int, frames: list[int], pictures: dict[int, NDArray], landmarker: Landmarker, table: Table
) -> list[Sighting]:
    """Follow somebody forward again, as far as they are seen: in this direction they may be clear of the others."""
    found: list[Sighting] = []
    smooth = None
    for frame_idx in frames:
        roi, smooth = align_step(smooth, pose)
        rgb = np.ascontiguousarray(pictures[frame_idx][..., :3])
        pose = landmarker.find(rgb, roi)
        if not _is_seen(pose, rgb, table.image[table.frame == frame_idx]):
            break
        found.append(Sighting(frame_idx, name, pose, torso_colors(rgb, pose)))
    return found


def _search(walker: Walker, rgb: NDArray, networks: tuple[Landmarker, Detector], others: NDArray) -> Pose | None:
    """Whoever in the picture is of the size and the colours of the one who was lost, and nobody else."""
    assert walker.look is not None and walker.box_px is not None
    landmarker, detector = networks
    was = float(walker.box_px[3] - walker.box_px[1])
    where = tiles(rgb.shape[:2], 0) + tiles(rgb.shape[:2], 1)
    for detection in detector.detect(rgb, where, min_score=MIN_SCORE):
        pose = landmarker.find(rgb, detection.roi)
        if not _is_seen(pose, rgb, others):
            continue
        height = float(pose.box_px[3] - pose.box_px[1])
        alike = float(np.sqrt(walker.look * torso_colors(rgb, pose)).sum())
        if alike * min(height, was) / max(height, was) > MIN_ALIKE:
            return pose
    return None


def _is_seen(pose: Pose, rgb: NDArray, others: NDArray) -> bool:
    """Somebody is there, and it is none of the others (N, 33, 2)."""
    there = pose.score > MIN_PRESENCE and is_sound(pose, rgb)
    return there and not any(is_same_place(pose.image_px, other) for other in others)


def _state(walkers: dict[int, Walker]) -> dict[str, NDArray]:
    nowhere, calm, nothing = np.full(4, np.nan), np.full((3, 2, 2), np.nan), np.full(72, np.nan)
    return {
        "state_roi": np.array([nowhere if w.roi is None else w.roi.as_array() for w in walkers.values()]),
        "state_smooth": np.array([calm if w.smooth is None else w.smooth for w in walkers.values()]),
        "state_look": np.array([nothing if w.look is None else w.look for w in walkers.values()]),
        "state_box": np.array([nowhere if w.box_px is None else w.box_px for w in walkers.values()]),
        "state_steps": np.array([[w.steps, w.away] for w in walkers.values()]),
    }


def _restore(walkers: dict[int, Walker], folder: Path) -> None:
    with np.load(folder / "people.npz") as file:
        state = [file[f"state_{name}"] for name in ("roi", "smooth", "look", "box", "steps")]
    for walker, roi, smooth, look, box, (steps, away) in zip(walkers.values(), *state):
        known = [None if np.isnan(each).any() else each for each in (smooth, look, box)]
        walker.roi = None if np.isnan(roi).any() else Roi.from_array(roi)
        walker.smooth, walker.look, walker.box_px = known
        walker.steps, walker.away = int(steps), int(away)
