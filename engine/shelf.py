"""Decoded frames kept in memory, up to a limit: the stages of a run walk the same clip one after the other."""

import threading
from collections.abc import Generator, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 340 << 20
"""Of all frames kept; ten seconds of 1280x720 at 25 frames a second."""

Planes = list["NDArray"]


class Shelf:
    """Frames of one clip at a time, its first ones; may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = self._frame_bytes = 0
        self._clip: Hashable = None
        self._frames: dict[int, Planes] = {}

    @contextmanager
    def kept(self) -> Generator[None, None, None]:
        """Keep frames until the block ends; without it none are."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._clip, self._frames = None, {}

    @property
    def is_open(self) -> bool:
        """Frames are kept at this time."""
        return self._users > 0

    def walk(self, clip: Hashable, start: int, stop: int) -> Iterator[Planes]:
        """Yield the frames of a clip from `start` on, as far as they are here."""
        for idx in range(start, stop):
            with self._lock:
                planes = self._frames.get(idx) if self._clip == clip else None
            if planes is None:
                return
            yield planes

    def has_room(self, clip: Hashable, idx: int) -> bool:
        """Whether a frame of this number would be kept: the first one always, later ones if all up to them fit in."""
        with self._lock:
            return idx == 0 or (self._clip == clip and (idx + 1) * self._frame_bytes <= MAX_BYTES)

    def put(self, clip: Hashable, idx: int, planes: Planes) -> None:
        """Keep a frame if there is room; from then on nobody may write to it."""
        with self._lock:
            if not self._users:
                return
            if self._clip != clip:
                self._clip, self._frames = clip, {}
            self._frame_bytes = sum(plane.nbytes for plane in planes)
            if idx not in self._frames and (idx + 1) * self._frame_bytes <= MAX_BYTES:
                for plane in planes:
                    plane.flags.writeable = False
                self._frames[idx] = planes

    def clear(self) -> None:
        """Forget all frames."""
        with self._lock:
            self._clip, self._frames = None, {}


SHELF = Shelf()
"""The one of this process."""
