"""FFV1 frames slice by slice: only what is not blank is encoded, to the bytes FFmpeg's encoder gives for the whole.

Most of a layer is nothing, and FFV1 spends as long on nothing as on a picture. But its slices are independent: what a
slice of an intra frame holds depends on its own samples alone, and only the few bytes of its header on where it lies.
So a slice can be encoded as a small picture of its own and be given the header of its place, and blank slices are the
same bytes in every frame. Headers are not made here but taken from frames that FFmpeg encoded; that what is put
together equals FFmpeg's own frame is checked once before it is relied on.

Source: RFC 9043, section 4 (slice header, footer and checksum).
"""

import zlib
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
import cv2
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

from engine.types import Size
from engine.video.color import plane_layout

MAX_TILE: Size = (288, 352)
"""FFmpeg encodes larger pictures in four slices at least."""
MIN_TILE = 96
"""Smaller slices cost more than they save."""
MAX_SLICES = 1024
"""FFmpeg encodes no more."""
MOST_USED = 0.7
"""Share of slices in use from which the whole frame is encoded at once, in threads."""
_TRIED = 6
"""Of so many slices and one more, one is tried with a second picture: all have been with a blank one."""
_FOOTER = 8
"""Bytes behind a slice: 3 of its size, 1 of its state, 4 of the checksum."""
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Grid:
    """How a frame is divided into slices of equal size."""

    rows: int
    columns: int
    tile: Size
    """(height, width) of a slice, pixels."""

    @property
    def num_slices(self) -> int:
        """How many there are."""
        return self.rows * self.columns

    def place(self, idx: int) -> tuple[int, int]:
        """Top and left edge of a slice, pixels; slices are counted along rows."""
        row, column = divmod(idx, self.columns)
        return row * self.tile[0], column * self.tile[1]


def choose_grid(size: Size, step: Size) -> Grid | None:
    """Divide a frame as FFmpeg does for that number of slices.

    Args:
        size: (height, width), pixels.
        step: (rows, columns) of pixels that share a sample of chroma: no slice cuts them.

    Returns:
        The grid with the smallest slices of `MIN_TILE` and more, None where the size divides into none.
    """
    found = None
    for rows in range(2, 33):
        for columns in range(rows, 2 * rows + 1):
            tile = size[0] // rows, size[1] // columns
            even = size[0] % (rows * step[0]) == 0 and size[1] % (columns * step[1]) == 0
            fits = min(tile) >= MIN_TILE and tile[0] <= MAX_TILE[0] and tile[1] <= MAX_TILE[1]
            if even and fits and rows * columns <= MAX_SLICES and _first_of(rows * columns) == (rows, columns):
                found = Grid(rows, columns, tile)
    return found


def _first_of(num_slices: int) -> tuple[int, int]:
    """Rows and columns FFmpeg chooses for a number of slices."""
    return next(
        (rows, num_slices // rows)
        for rows in range(2, 33)
        if num_slices % rows == 0 and rows <= num_slices // rows <= 2 * rows
    )


@dataclass(frozen=True)
class SlicePlan:
    """How the frames of a layer are divided, and what nothing looks like in it."""

    grid: Grid
    blank: tuple[int, ...]
    """The level of each plane where there is nothing."""


@dataclass(frozen=True)
class Headers:
    """What turns slices of small pictures into slices of a frame, and back."""

    blank: tuple[bytes, ...]
    """Each slice of a blank frame, with its footer."""
    fronts: tuple[tuple[bytes, bytes], ...]
    """For each slice, how a small picture begins, and what stands there in the frame."""
    extradata: tuple[bytes, bytes]
    """What a decoder needs to know, of small pictures and of frames."""

    def move(self, small: bytes, idx: int) -> bytes:
        """The one slice of a small picture as slice `idx` of a frame."""
        before, after = self.fronts[idx]
        return _replace_front(small, before, after)

    def take(self, piece: bytes, idx: int) -> bytes:
        """Slice `idx` of a frame as the one slice of a small picture."""
        after, before = self.fronts[idx]
        return _replace_front(piece, before, after)


def _replace_front(piece: bytes, before: bytes, after: bytes) -> bytes:
    if not piece.startswith(before):
        raise ValueError("a slice with a header of another kind")
    if before == after:
        return piece
    body = after + piece[len(before) : -_FOOTER]
    body += len(body).to_bytes(3, "big") + b"\0"
    return body + _checksum(body).to_bytes(4, "big")


def split(packet: bytes) -> list[bytes]:
    """The slices of a frame, each with its footer.

    Raises:
        ValueError: the sizes in the footers do not add up.
    """
    slices, end = [], len(packet)
    while end > 0:
        start = end - _FOOTER - int.from_bytes(packet[max(end - 8, 0) : max(end - 5, 0)], "big")
        if start < 0:
            raise ValueError("slices that are cut short")
        slices.append(packet[start:end])
        end = start
    return slices[::-1]


def _checksum(data: bytes) -> int:
    """CRC-32 of FFV1: zlib's polynomial with the bits of bytes and sum in the other order, and nothing inverted."""
    mirrored = zlib.crc32(data.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def open_encoder(size: Size, pix_fmt: str, num_slices: int, threads: int = 1) -> "av.VideoCodecContext":
    """An FFV1 encoder for pictures that are not written to a file yet."""
    codec = av.CodecContext.create("ffv1", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width = size
    codec.pix_fmt = pix_fmt
    codec.time_base = Fraction(1, 25)
    set_up_encoder(codec, num_slices, threads)
    return codec


def set_up_encoder(codec: "av.VideoCodecContext", num_slices: int, threads: int) -> None:
    """Give an FFV1 encoder the settings of all our layers: equal input gives equal bytes."""
    codec.thread_type, codec.thread_count = "SLICE", threads
    codec.flags |= Flags.bitexact
    codec.gop_size = 1
    codec.options = {"level": "3", "slices": str(num_slices), "slicecrc": "1", "coder": "rice", "context": "0"}


def fill(frame: "av.VideoFrame", planes: list[NDArray]) -> "av.VideoFrame":
    """Copy planes, (h, w) or packed (h, w, C), into a frame."""
    for target, plane in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(target, plane.dtype).reshape(target.height, -1)  # type: ignore[arg-type]
        rows[:, : plane[0].size] = plane.reshape(len(plane), -1)
    return frame


@lru_cache(maxsize=32)
def find_headers(size: Size, pix_fmt: str, plan: SlicePlan) -> Headers | None:
    """Learn the headers of a grid from frames that FFmpeg encoded.

    Args:
        size: (height, width), pixels.
        pix_fmt: "gray", "bgra", or planar YUV of 8 bits with alpha.
        plan: its grid is of `choose_grid`.

    Returns:
        Headers; None where frames put together slice by slice are not those that FFmpeg makes.
    """
    grid = plan.grid
    whole, small = open_encoder(size, pix_fmt, grid.num_slices), open_encoder(grid.tile, pix_fmt, 1)
    nothing = _picture(size, pix_fmt, plan.blank)
    blanks = split(_encode(whole, nothing))
    headers = None
    for seed in (0, 1):
        picture = [plane.copy() for plane in nothing]
        for plane in picture:
            some = plane.reshape(len(plane), -1)[:, :: 32 - seed]
            some[:] = np.random.default_rng(seed).integers(0, 256, some.shape)
        wanted = split(_encode(whole, picture))
        if not len(blanks) == len(wanted) == grid.num_slices:
            return None
        tried = range(0, grid.num_slices, _TRIED * seed + 1)
        pieces = [_encode(small, cut(picture, size, grid, idx)) for idx in tried]
        if headers is None:  # the second picture shows that what the first taught is so
            assert whole.extradata is not None and small.extradata is not None
            fronts = tuple(_front(piece, want) for piece, want in zip(pieces, wanted))
            headers = Headers(tuple(blanks), fronts, (small.extradata, whole.extradata))
        none = _encode(small, cut(nothing, size, grid, 0))
        for idx, piece in zip(tried, pieces):
            if headers.move(piece, idx) != wanted[idx] or headers.move(none, idx) != blanks[idx]:
                return None
            if headers.take(wanted[idx], idx) != piece:
                return None
    return headers


def _front(small: bytes, piece: bytes) -> tuple[bytes, bytes]:
    """How two slices of the same samples begin, before they become the same."""
    small, piece = small[:-_FOOTER], piece[:-_FOOTER]
    same = next(num for num in range(len(small) + 1) if piece.endswith(small[num:]))
    return small[:same], piece[: len(piece) - (len(small) - same)]


def _encode(codec: "av.VideoCodecContext", planes: list[NDArray]) -> bytes:
    assert codec.pix_fmt is not None
    (packet,) = codec.encode(fill(av.VideoFrame(codec.width, codec.height, codec.pix_fmt), planes))
    return bytes(packet)


def _picture(size: Size, pix_fmt: str, blank: tuple[int, ...]) -> list[NDArray]:
    """A blank picture: (h, w) planes, or one packed plane (h, w, 4)."""
    if pix_fmt == "bgra":
        return [np.full((*size, 4), blank[0], np.uint8)]
    layout = plane_layout(pix_fmt.replace("yuva", "yuv"))
    assert layout is not None, pix_fmt
    sizes = layout.plane_sizes(size) + [size] * pix_fmt.startswith("yuva")
    return [np.full(plane_size, level, np.uint8) for plane_size, level in zip(sizes, blank, strict=True)]


def cut(planes: list[NDArray], size: Size, grid: Grid, idx: int) -> list[NDArray]:
    """Views of the samples of one slice."""
    top, left = grid.place(idx)
    parts = []
    for plane in planes:
        step_y, step_x = -(-size[0] // plane.shape[0]), -(-size[1] // plane.shape[1])
        rows = slice(top // step_y, (top + grid.tile[0]) // step_y)
        parts.append(plane[rows, left // step_x : (left + grid.tile[1]) // step_x])
    return parts


class SliceEncoder:
    """Encodes the frames of one layer, slice by slice where that is less work. One thread at a time."""

    def __init__(self, size: Size, pix_fmt: str, plan: SlicePlan) -> None:
        """Learn the headers, once per process; the arguments are those of `find_headers`."""
        self._size, self._pix_fmt, self._grid, self._blank = size, pix_fmt, plan.grid, plan.blank
        self._headers = find_headers(size, pix_fmt, plan)
        self._small = open_encoder(plan.grid.tile, pix_fmt, 1)

    def pack(self, planes: list[NDArray]) -> "dict[int, av.VideoFrame] | None":
        """Copy what there is to encode of a frame.

        Args:
            planes: (h, w) uint8, or one (H, W, 4) RGBA.

        Returns:
            Slice to its samples; None where the frame is better encoded as a whole.
        """
        used = find_used(planes, self._grid, self._blank)
        if self._headers is None or len(used) > MOST_USED * self._grid.num_slices:
            return None
        height, width = self._grid.tile
        tiles = {}
        for idx in used.tolist():
            part = cut(planes, self._size, self._grid, idx)
            if self._pix_fmt == "bgra":
                part = [cv2.cvtColor(part[0], cv2.COLOR_RGBA2BGRA)]
            tiles[idx] = fill(av.VideoFrame(width, height, self._pix_fmt), part)
        return tiles

    def encode(self, tiles: "dict[int, av.VideoFrame]") -> bytes:
        """The packet of a frame, of what `pack` gave."""
        assert self._headers is not None
        slices = list(self._headers.blank)
        for idx, tile in tiles.items():
            slices[idx] = self._headers.move(bytes(self._small.encode(tile)[0]), idx)
        return b"".join(slices)


class SliceDecoder:
    """Decodes the frames of a layer that `SliceEncoder` could have written, without its blank slices."""

    def __init__(self, size: Size, pix_fmt: str, plan: SlicePlan, headers: Headers) -> None:
        """Open the decoders; the arguments are those of `find_headers` and what it returned."""
        self._size, self._pix_fmt, self._grid, self._blank = size, pix_fmt, plan.grid, plan.blank
        self._headers = headers
        sizes = plan.grid.tile, size
        self._small, self._whole = (_open_decoder(s, pix_fmt, data) for s, data in zip(sizes, headers.extradata))

    def decode(self, packet: bytes) -> list[NDArray]:
        """Decode one frame.

        Args:
            packet: of the file.

        Returns:
            (h, w) uint8 planes, or one (H, W, 4) RGBA.

        Raises:
            ValueError: the frame is damaged.
        """
        pieces = split(packet)
        if len(pieces) != self._grid.num_slices:
            raise ValueError(f"{len(pieces)} slices instead of {self._grid.num_slices}")
        used = [idx for idx, (piece, nothing) in enumerate(zip(pieces, self._headers.blank)) if piece != nothing]
        if any(_checksum(pieces[idx]) for idx in used):
            raise ValueError("a checksum does not fit")
        if len(used) > MOST_USED * len(pieces):
            return [self._as_array(plane) for plane in self._planes(self._whole, packet)]
        picture = _picture(self._size, self._pix_fmt, self._blank)
        for idx in used:
            planes = self._planes(self._small, self._headers.take(pieces[idx], idx))
            for target, plane in zip(cut(picture, self._size, self._grid, idx), planes, strict=True):
                target[:] = self._as_array(plane)
        return picture

    def _planes(self, decoder: "av.VideoCodecContext", packet: bytes) -> list[NDArray]:
        """Views of the samples in the decoder's frame."""
        frames = decoder.decode(av.Packet(packet))
        if len(frames) != 1:
            raise ValueError(f"{len(frames)} pictures instead of one")
        packed = self._pix_fmt == "bgra"
        views = []
        for plane in frames[0].planes:
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)  # type: ignore[arg-type]
            view = rows[:, : plane.width * (4 if packed else 1)]
            views.append(view.reshape(plane.height, plane.width, 4) if packed else view)
        return views

    def _as_array(self, plane: NDArray) -> NDArray:
        return cv2.cvtColor(plane, cv2.COLOR_BGRA2RGBA) if self._pix_fmt == "bgra" else plane


def _open_decoder(size: Size, pix_fmt: str, extradata: bytes) -> "av.VideoCodecContext":
    codec = av.CodecContext.create("ffv1", "r")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width = size
    codec.pix_fmt = pix_fmt
    codec.extradata = extradata
    codec.thread_type, codec.thread_count = "SLICE", 1  # no frame waits for the next
    return codec


def find_used(planes: list[NDArray], grid: Grid, blank: tuple[int, ...]) -> NDArray:
    """Indices of the slices in which any plane, uint8, differs from its blank level."""
    used = np.zeros((grid.rows, grid.columns), bool)
    for plane, level in zip(planes, blank, strict=True):
        rows = np.ascontiguousarray(plane).reshape(grid.rows, -1, grid.columns, plane[0].size // grid.columns)
        width = next(width for width in (8, 4, 2, 1) if rows.shape[3] % width == 0)
        wide = rows.view(f"u{width}")
        if level:
            wide = wide ^ np.frombuffer(bytes([level]) * width, f"u{width}")[0]
        used |= np.bitwise_or.reduce(wide, axis=1).any(-1)
    return np.flatnonzero(used)
