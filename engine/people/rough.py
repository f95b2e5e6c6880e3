"""Which pixels are roughly a person's: the network's small masks, kept on disk and seen at full size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.npz import save_npz
from engine.people.roi import Roi
from engine.people.table import CHUNK
from engine.threads import map_in_order, run_ahead
from engine.types import Landmarks, Size, Tracks

BEFORE = 3
"""Frames before somebody is found in which they may be on their way in, blurred."""
LONGEST_GAP = 12
"""Frames for which somebody may be missed and still be guessed at; longer while another hides them."""
FAINT = 24
"""Levels of a rough mask that are nobody."""
_HIDDEN = "hidden.npy"


class Seen(Protocol):
    """Somebody of whom every frame has a rough mask: a `Person`, a `Followed`, or a network's view of one."""

    @property
    def tracks(self) -> Tracks:
        """Where they are."""
        ...

    @property
    def landmarks(self) -> Landmarks:
        """Where their joints are."""
        ...

    @property
    def hidden(self) -> NDArray:
        """(T,) bool: not seen because somebody else stands before them."""
        ...

    def rough_masks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Roi, NDArray] | None]:
        """Yield, for each frame, the square and its (256, 256) uint8 mask, or None where they were not seen."""
        ...


@dataclass(frozen=True)
class Followed:
    """One person of a clip, read from where `save_rough` and the tables keep them."""

    tracks: Tracks
    landmarks: Landmarks
    folder: Path
    """Of `save_rough`."""

    @property
    def hidden(self) -> NDArray:
        """See `Seen`."""
        return np.load(self.folder / _HIDDEN)

    def rough_masks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Roi, NDArray] | None]:
        """See `Seen`."""
        stop = len(self.tracks.score) if stop is None else stop
        for first in range(start - start % CHUNK, stop, CHUNK):
            with np.load(self.folder / _name(first)) as file:
                found = dict(zip(file["frame"].tolist(), zip(file["roi"], file["mask"])))
            for frame in range(max(start, first), min(stop, first + CHUNK)):
                yield (Roi.from_array(found[frame][0]), found[frame][1]) if frame in found else None


def bridged_masks(person: Seen, start: int, stop: int) -> Iterator[tuple[Roi, NDArray, bool] | None]:
    """Yield, for each frame, the square, its (256, 256) uint8 mask, and whether the person was seen there.

    In gaps of at most `LONGEST_GAP` frames, and while another hides them, the square moves evenly from where they were
    to where they are again, and the mask, a mixture, is half as sure: a guess that colours and movement have to
    confirm. So is the first mask in the `BEFORE` frames before it. None in longer gaps, and after the last sighting.
    """
    seen, hidden = np.flatnonzero(person.tracks.score > 0), person.hidden
    ends: dict[int, tuple[Roi, NDArray]] = {}
    for frame, own in enumerate(person.rough_masks(start, stop), start):
        if own is not None:
            yield *own, True
            continue
        after = int(np.searchsorted(seen, frame))
        if after == 0 and len(seen) and seen[0] - frame <= BEFORE:
            found = next(person.rough_masks(int(seen[0]), int(seen[0]) + 1))
            yield None if found is None else (found[0], cv2.addWeighted(found[1], 0.5, found[1], 0, 64), False)
            continue
        if not 0 < after < len(seen) or not (hidden[frame] or seen[after] - seen[after - 1] <= LONGEST_GAP + 1):
            yield None
            continue
        first, last = int(seen[after - 1]), int(seen[after])
        if last not in ends:
            found = [next(person.rough_masks(each, each + 1)) for each in (first, last)]
            ends = {each: pair for each, pair in zip((first, last), found) if pair is not None}
        share = (frame - first) / (last - first)
        if first not in ends or last not in ends:  # a network may miss somebody whom the tracks have
            yield None
            continue
        (roi, mask), (next_roi, next_mask) = ends[first], ends[last]
        between = Roi.from_array((1 - share) * roi.as_array() + share * next_roi.as_array())
        yield between, cv2.addWeighted(mask, (1 - share) / 2, next_mask, share / 2, 64), False


def save_rough(person: Seen, folder: Path) -> None:
    """Write the rough masks of one person into an empty folder, for `Followed`: a file for every `CHUNK` frames."""
    num_frames = len(person.tracks.score)
    np.save(folder / _HIDDEN, person.hidden)

    def save(start: int) -> None:
        seen = enumerate(person.rough_masks(start, min(start + CHUNK, num_frames)), start)
        found = [(frame, roi.as_array(), mask) for frame, (roi, mask) in ((k, each) for k, each in seen if each)]
        save_npz(
            folder / _name(start),
            frame=np.array([frame for frame, _, _ in found], np.int64),
            roi=np.array([roi for _, roi, _ in found], np.float64).reshape(-1, 4),
            mask=np.array([mask for _, _, mask in found], np.uint8).reshape(-1, 256, 256),
        )

    for _ in map_in_order(save, range(0, num_frames, CHUNK), ahead=2):
        pass


def _name(start: int) -> str:
    return f"{start:06d}.npz"


class Silhouettes:
    """A `FrameSource` of rough masks: (H, W) uint8, up to `FAINT` not the person ... 255 the person.

    Args:
        person: whose.
        size: (height, width) of the clip, pixels.
        scale: the masks are the clip's size times this.
    """

    def __init__(self, person: Seen, size: Size, scale: float = 1.0) -> None:
        self._person, self._scale = person, scale
        self.size: Size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self._person.tracks.score)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """Yield frames start ... stop-1; empty where the person was not seen for long. See `FrameSource.read`."""
        seen = bridged_masks(self._person, start, self.num_frames if stop is None else stop)
        yield from run_ahead(self._paste(found) for found in seen)

    def _paste(self, found: tuple[Roi, NDArray, bool] | None) -> NDArray:
        out = np.zeros(self.size, np.uint8)
        if found is not None:
            roi, mask = Roi.from_array(found[0].as_array() * [self._scale, self._scale, self._scale, 1]), found[1]
            x, y, width, height = cv2.boundingRect(cv2.compare(mask, FAINT, cv2.CMP_GT))  # pyright: ignore[reportCallIssue, reportArgumentType]
            corners = [[u, v, 1] for u in (x - 1, x + width + 1) for v in (y - 1, y + height + 1)]
            reach = np.array(corners if width else [[0, 0, 1]]) @ roi.to_image(len(mask)).T
            x0, y0 = np.clip(np.floor(reach.min(0)), 0, self.size[::-1]).astype(int).tolist()
            x1, y1 = np.clip(np.ceil(reach.max(0)), 0, self.size[::-1]).astype(int).tolist()
            if x1 > x0 and y1 > y0:
                out[y0:y1, x0:x1] = roi.paste(mask, (y1 - y0, x1 - x0), x0=x0, y0=y0)
        return out
