"""Decoded frames kept in memory, up to a limit: the stages of a run walk the same clip one after the other."""

import threading
from collections.abc import Generator, Hashable, Iterator
from contextlib import contextmanager

from numpy.typing import NDArray

MAX_BYTES = 384 << 20
"""Of all frames kept; eleven seconds of 1280x720 at 25 frames a second."""

Planes = list[NDArray]


class Shelf:
    """Frames of one clip at a time, its first ones; may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
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
                    self._clear(None)

    def walk(self, clip: Hashable, start: int, stop: int) -> Iterator[Planes]:
        """Yield the frames of a clip from `start` on, as far as they are here."""
        for idx in range(start, stop):
            with self._lock:
                planes = self._frames.get(idx) if self._clip == clip else None
            if planes is None:
                return
            yield planes

    def put(self, clip: Hashable, idx: int, planes: Planes) -> None:
        """Keep a frame if there is room; from then on nobody may write to it."""
        size = sum(plane.nbytes for plane in planes)
        with self._lock:
            if not self._users:
                return
            if self._clip != clip:
                self._clear(clip)
            if idx not in self._frames and (idx + 1) * size <= MAX_BYTES:
                for plane in planes:
                    plane.flags.writeable = False
                self._frames[idx] = planes

    def _clear(self, clip: Hashable) -> None:
        self._clip, self._frames = clip, {}


SHELF = Shelf()
"""The one of this process."""
