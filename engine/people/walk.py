"""The first walk, forwards: everybody who is seen, in finished chunks."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.detect import Detector
from engine.people.landmarks import Landmarker
from engine.people.npz import save_npz
from engine.people.table import CHUNK, columns_of
from engine.people.track import Scouted, Sighting, Tracker, same_tracks
from engine.shelf import MAX_BYTES
from engine.threads import NUM_THREADS, map_in_order
from engine.types import Chunks, FrameSource, Progress

THUMB_PX = 96
"""Height of the small picture of a person."""
AHEAD_BYTES = 44_000_000
"""Frames in memory at once that wait for their turn."""
LEAST = 64
"""Frames from which on a clip is worth walking through from several places at once."""
MOST = 128
"""Frames of a chunk then at most."""
EARLY = 8
"""Frames before a chunk with which a walk begins that does not know who was there: a tracker has settled then."""

Found = dict[str, NDArray]
"""`table.columns_of` who was seen in a chunk, pictures of them, and the state of the tracker after it."""


def chunk_length(clip: FrameSource) -> int:
    """Frames of a chunk: an even number, of equal work, for clips that are kept in memory, see `walk_forth`."""
    if not _is_kept(clip):
        return CHUNK
    num = NUM_THREADS * -(-clip.num_frames // (NUM_THREADS * MOST))
    return -(-(clip.num_frames + (num - 1) * EARLY) // num)  # all but the first are begun early


def _is_kept(clip: FrameSource) -> bool:
    """Whether the frames of a clip are at hand in any order, and many enough."""
    return clip.num_frames >= LEAST and clip.num_frames * clip.size[0] * clip.size[1] * 3 // 2 <= MAX_BYTES


def walk_forth(clip: FrameSource, length: int, chunks: Chunks, progress: Progress) -> list[Path]:
    """Follow everybody through a clip.

    Who is followed depends on the frame before, so one walk keeps one core busy. A clip whose frames are at hand is
    walked through from several places at once. Each walk begins some frames early without knowing who is there; if it
    has found everybody by then whom the one before it follows, it stands, under their names, else it is made again
    from there. A clip that has to be decoded is walked through in order.

    Args:
        clip: (H, W, 3) RGB frames.
        length: of a chunk, frames.
        chunks: keeps finished chunks.
        progress: told after every frame.

    Returns:
        The folders of the chunks, in order; each has a file "people.npz" of a `Found`.
    """
    starts = range(0, clip.num_frames, length)
    names = [f"people-{start:06d}-{min(start + length, clip.num_frames) - 1:06d}" for start in starts]
    folders = [folder for folder in map(chunks.get, names) if folder is not None]  # finished chunks are the first ones
    rest = starts[len(folders) :]
    told = _Told(progress, min(len(folders) * length, clip.num_frames), clip.num_frames)
    walk = _walk_at_once if _is_kept(clip) else _walk_in_order
    packed: list[Future[Path]] = []
    with ThreadPoolExecutor(1) as packer:  # packs a chunk while the next one is walked through
        with closing(walk(clip, rest, _read_state(folders[-1]) if folders else None, told)) as walked:
            for name, found in zip(names[len(folders) :], walked):
                packed.append(packer.submit(_keep, chunks, name, found))
        return folders + [each.result() for each in packed]


class _Told:
    """Tells of progress from several threads."""

    def __init__(self, progress: Progress, done: int, total: int) -> None:
        self._lock, self._progress, self._done, self._total = Lock(), progress, done, total

    def __call__(self, news: int) -> None:
        with self._lock:
            self._done += news
            self._progress(self._done, self._total)


def _walk_in_order(clip: FrameSource, starts: range, state: Found | None, told: _Told) -> Generator[Found, None, None]:
    """Walk through the chunks that begin at `starts`, on from a state; many frames are looked at ahead where they are
    small, so that a look at all parts of one does not hold the others up."""
    if not starts:
        return
    tracker = Tracker(Detector(), Landmarker())
    if state is not None:
        tracker.restore(state)
    ahead = int(np.clip(AHEAD_BYTES // (3 * clip.size[0] * clip.size[1]), 4, 16))
    numbered = enumerate(clip.read(starts[0]), starts[0])
    with closing(map_in_order(_scout(tracker, search=True), numbered, ahead)) as frames:
        for start in starts:
            yield _track(start, islice(frames, starts.step), tracker, told)


def _walk_at_once(clip: FrameSource, starts: range, state: Found | None, told: _Told) -> Generator[Found, None, None]:
    """The same, several chunks at once."""
    free: deque[tuple[Detector, Landmarker]] = deque()

    @contextmanager
    def lent() -> Iterator[Tracker]:
        networks = free.popleft() if len(free) else (Detector(), Landmarker(threads=1))
        yield Tracker(*networks)
        free.append(networks)

    def read(start: int, stop: int, tracker: Tracker) -> Iterator[Scouted]:
        return map(_scout(tracker, search=False), enumerate(clip.read(start, min(stop, clip.num_frames)), start))

    def begin(start: int) -> tuple[Found, Found]:
        """The state of the tracker before a chunk, and what was found in it."""
        early = max(0, start - EARLY)
        with lent() as tracker:
            frames = read(early, start + starts.step, tracker)
            for frame_idx in range(early, start):
                tracker.step(frame_idx, next(frames))
            return tracker.state(), _track(start, frames, tracker, told)

    def go_on(start: int, state: Found) -> Found:
        with lent() as tracker:
            tracker.restore(state)
            return _track(start, read(start, start + starts.step, tracker), tracker, told, news=0)

    with closing(map_in_order(begin, starts, NUM_THREADS)) as begun:
        for start, (before, found) in zip(starts, begun):
            names = {} if state is None else same_tracks(state, before)
            if state is None:
                state = found
            else:
                state = go_on(start, state) if names is None else _rename(found, names, int(state["state_next"]))
            yield state


def _scout(tracker: Tracker, *, search: bool) -> Callable[[tuple[int, NDArray]], Scouted]:
    return lambda frame: tracker.scout(frame[0], np.ascontiguousarray(frame[1][..., :3]), search=search)


def _track(start: int, frames: Iterable[Scouted], tracker: Tracker, told: _Told, *, news: int = 1) -> Found:
    """Walk through some frames; of each is told as `news` frames more."""
    seen: list[Sighting] = []
    best: dict[int, tuple[float, int, NDArray]] = {}  # area, row and picture of each person where they are largest
    for frame_idx, scouted in enumerate(frames, start):
        for sighting in tracker.step(frame_idx, scouted):
            area = box_area(sighting.pose.box_px)
            if area > 1.1 * best.get(sighting.track_id, (0.0,))[0]:
                best[sighting.track_id] = (area, len(seen), _thumb(scouted.rgb, sighting.pose.box_px))
            seen.append(sighting)
        told(news)
    columns = columns_of(seen) | {
        "thumb_row": np.array(sorted(row for _, row, _ in best.values()), np.int64),
    }
    pictures = {f"thumb_{row}": picture for _, row, picture in best.values()}
    return columns | pictures | tracker.state()


def _rename(found: Found, names: Mapping[int, int], fresh: int) -> Found:
    """Give tracks other names: those known, and for the rest new ones from `fresh` on."""
    table = np.zeros(int(found["state_next"]), np.int64)
    others = [name for name in range(len(table)) if name not in names]
    table[others] = fresh + np.arange(len(others))
    table[list(names)] = list(names.values())
    ids = found["state_ids"].copy()
    ids[:, 0] = table[ids[:, 0]]
    return found | {"track": table[found["track"]], "state_ids": ids, "state_next": np.array(fresh + len(others))}


def _read_state(folder: Path) -> Found:
    with np.load(folder / "people.npz") as table:
        return {name: table[name] for name in table.files if name.startswith("state_")}


def _keep(chunks: Chunks, name: str, found: Found) -> Path:
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


def box_area(box: NDArray) -> float:
    """Of a box (4,), square pixels."""
    return float((box[2] - box[0]) * (box[3] - box[1]))
