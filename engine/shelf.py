"""What was decoded or written kept in memory, up to a limit: stages of a run walk the same clip and layers in turn."""

import threading
from collections.abc import Generator, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 340 << 20
"""Of all frames kept; ten seconds of 1280x720 at 25 frames a second."""
PART_BYTES = 240 << 20
"""The same of a longer clip: the decoder of the rest needs room, too."""
MASK_BYTES = 32 << 20
"""Of all masks kept, packed; some 400 of a person of 1280x720."""

Planes = list["NDArray"]


class Packed(Protocol):
    """A frame of a layer that takes little room; see `engine.video.packed`."""

    nbytes: int


class Shelf:
    """Frames of one clip at a time, its first ones; may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = self._frame_bytes = 0
        self._clip: Hashable = None
        self._most_bytes = MAX_BYTES
        self._frames: dict[int, Planes] = {}
        self._masks: dict[tuple[Hashable, int], Packed] = {}
        self._pictures: dict[tuple[Hashable, int], Packed] = {}
        self._mask_bytes = self._picture_bytes = 0

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
                    self._empty()

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
            return idx == 0 or (self._clip == clip and self._fits(idx))

    def put(self, clip: Hashable, idx: int, planes: Planes) -> None:
        """Keep a frame if there is room; from then on nobody may write to it."""
        with self._lock:
            if not self._users:
                return
            if self._clip != clip:
                self._empty()
                self._clip, self._most_bytes = clip, MAX_BYTES
            self._frame_bytes = sum(plane.nbytes for plane in planes)
            if idx not in self._frames and self._fits(idx):
                for plane in planes:
                    plane.flags.writeable = False
                self._frames[idx] = planes

    def _fits(self, idx: int) -> bool:
        """Whether a frame is one of the first that are kept; the first that is not makes them fewer."""
        if (idx + 1) * self._frame_bytes + self._picture_bytes <= self._most_bytes:
            return True
        if self._most_bytes > PART_BYTES:
            self._most_bytes = PART_BYTES
            num = PART_BYTES // self._frame_bytes
            self._frames = {number: planes for number, planes in self._frames.items() if number < num}
        return False

    def find_mask(self, layer: Hashable, idx: int) -> Packed | None:
        """A mask that was put here."""
        with self._lock:
            return self._masks.get((layer, idx))

    def put_mask(self, layer: Hashable, idx: int, mask: Packed) -> None:
        """Keep a mask if there is room beside those that came first, until another clip comes."""
        with self._lock:
            if self._users and (layer, idx) not in self._masks and self._mask_bytes + mask.nbytes <= MASK_BYTES:
                self._masks[layer, idx] = mask
                self._mask_bytes += mask.nbytes

    def put_picture(self, layer: Hashable, idx: int, picture: Packed) -> None:
        """Keep a picture of a layer if the clip leaves room for it, until it is taken or another clip comes."""
        with self._lock:
            used = len(self._frames) * self._frame_bytes + self._picture_bytes
            if self._users and (layer, idx) not in self._pictures and used + picture.nbytes <= PART_BYTES:
                self._pictures[layer, idx] = picture
                self._picture_bytes += picture.nbytes

    def take_picture(self, layer: Hashable, idx: int) -> Packed | None:
        """A picture that was put here; it is here no more."""
        with self._lock:
            picture = self._pictures.pop((layer, idx), None)
            self._picture_bytes -= 0 if picture is None else picture.nbytes
            return picture

    def name_layer(self, layer: Hashable, name: Hashable) -> None:
        """Give what is kept of a layer that was being written the name by which it is read."""
        self.join_layers([(layer, 0)], name)

    def join_layers(self, parts: Iterable[tuple[Hashable, int]], name: Hashable) -> None:
        """Give what is kept of some layers the name of the one they are parts of; each starts at a frame of it."""
        starts = dict(parts)

        def renamed(key: tuple[Hashable, int]) -> tuple[Hashable, int]:
            return (name, starts[key[0]] + key[1]) if key[0] in starts else key

        with self._lock:
            self._masks, self._pictures = (
                {renamed(key): frame for key, frame in kept.items()} for kept in (self._masks, self._pictures)
            )

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._empty()

    def _empty(self) -> None:
        self._clip, self._frames, self._masks, self._pictures = None, {}, {}, {}
        self._mask_bytes = self._picture_bytes = 0


SHELF = Shelf()
"""The one of this process."""
