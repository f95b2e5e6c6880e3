"""Layers on disk: lossless video files indexed by frame number (FFV1 level 3 in Matroska, RFC 9043)."""

import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from engine.shelf import SHELF
from engine.types import ClipInfo, Size
from engine.video.color import plane_layout
from engine.video.decode import open_container
from engine.video.packed import PACKED, PackedMask, PackedPicture, layer_name
from engine.video.planes import tag_colors
from engine.video.slices import SliceEncoder, SlicePlan, choose_grid, set_up_encoder

LAYER_RATE = 25
"""Nominal frames per second: 40 ms a frame, exact in Matroska's milliseconds. The time is in `clip/frames.csv`."""

STORED: dict[str, str] = {"gray8": "gray", "gray16": "gray16le", "rgb": "bgr0", "rgba": "bgra"}
"""Pixel format each kind of layer is stored in."""

WITH_ALPHA = ("yuva420p", "yuva422p", "yuva444p")
"""Kinds with an alpha plane behind the planes of a clip; see `engine.video.overlay`."""

NUM_SLICES = 4
"""Slices of a full frame; they are coded in parallel. Part of the bytes, so fixed whatever the number of threads."""

MAX_PENDING = 3
"""Frames that wait for the encoder at most: computing and encoding overlap, memory does not grow."""


class LayerWriter:
    """Write frames to a lossless file; equal frames give equal bytes, whatever the number of threads.

    Args:
        path: where to; written directly (moving it into place is the caller's business).
        size: (height, width), pixels.
        kind: "gray8" or "gray16" for (H, W) uint8/uint16, "rgb" for (H, W, 3), "rgba" for (H, W, 4) straight alpha,
            or a planar pixel format such as "yuv420p10le" for lists of planes as in `engine.video.color`; or one of
            `WITH_ALPHA` for such lists with alpha behind them.
        threads: of the encoder; no effect on the bytes.
        info: whose range, matrix and other tags the file carries, where it holds planes.

    Source: RFC 9043 (FFV1); level 3, every frame a key frame, a checksum per slice.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: Size,
        kind: str,
        *,
        threads: int = 2,
        info: ClipInfo | None = None,
    ) -> None:
        self.path, self.size, self.kind = Path(path), size, kind
        pix_fmt = STORED.get(kind) or stored_format(kind)
        assert kind in STORED or kind in WITH_ALPHA or plane_layout(kind) is not None, kind
        self._pix_fmt = pix_fmt
        self.num_frames = 0
        self._container: OutputContainer | None = av.open(
            f"file:{path}", "w", format="matroska", options={"fflags": "+bitexact"}
        )
        plan = plan_slices(kind, size, limited=info is not None and info.color_range == "tv")
        self._stream = add_ffv1_stream(
            self._container,
            size,
            pix_fmt,
            Fraction(1, LAYER_RATE),
            threads,
            num_slices=plan.grid.num_slices if plan else 0,
        )
        if info is not None and kind not in STORED:
            tag_colors(self._stream.codec_context, info)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="layer")
        # It learns its headers while the first frame is made.
        self._slices = None if plan is None else self._worker.submit(SliceEncoder, size, pix_fmt, plan)
        self._pending: deque[Future[None]] = deque()

    def write(self, frame: NDArray | list[NDArray]) -> None:
        """Append one frame. It is copied, and encoded in a thread while the caller makes the next one.

        Raises:
            OSError: the disk refused this frame or one of the `MAX_PENDING` before it.
        """
        assert self._container is not None, "the layer is closed"
        picture = self._pack(frame)
        if self.kind in PACKED and SHELF.is_open:  # who reads it next need not decode it
            if self.kind == "gray8":
                SHELF.put_mask(self, self.num_frames, PackedMask(cast(NDArray, frame)))
            else:
                SHELF.put_picture(self, self.num_frames, PackedPicture(cast(NDArray, frame)))
        while len(self._pending) >= MAX_PENDING:
            self._pending.popleft().result()
        self._pending.append(self._worker.submit(self._encode, self._container, picture, self.num_frames))
        self.num_frames += 1

    def _encode(
        self, container: OutputContainer, picture: "av.VideoFrame | dict[int, av.VideoFrame]", frame_idx: int
    ) -> None:
        if isinstance(picture, dict):
            assert self._slices is not None
            packet = av.Packet(self._slices.result().encode(picture))
            packet.stream, packet.time_base, packet.is_keyframe = self._stream, Fraction(1, LAYER_RATE), True
            packet.pts = packet.dts = frame_idx
            packet.duration = 1
            container.mux(packet)
            return
        picture.pts, picture.time_base = frame_idx, Fraction(1, LAYER_RATE)
        container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write what the encoder still holds, and the end of the file. Safe to call twice."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            while self._pending:
                self._pending.popleft().result()
            container.mux(self._stream.encode(None))
        finally:
            self._worker.shutdown()
            container.close()
        SHELF.name_layer(self, layer_name(self.path, self.kind))

    def __enter__(self) -> "LayerWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        container, self._container = self._container, None  # half a file: close it, and let the first error speak
        self._worker.shutdown(cancel_futures=True)
        if container is not None:
            with suppress(OSError, ValueError):
                container.close()

    def _pack(self, frame: NDArray | list[NDArray]) -> "av.VideoFrame | dict[int, av.VideoFrame]":
        planes = [frame] if isinstance(frame, np.ndarray) else frame
        assert isinstance(frame, list) == (self.kind not in STORED), type(frame)
        assert planes[0].shape[:2] == self.size, (planes[0].shape, self.size)
        if self.kind in STORED:
            assert planes[0].dtype == (np.uint16 if self.kind == "gray16" else np.uint8), planes[0].dtype
            assert planes[0].ndim == (2 if self.kind in ("gray8", "gray16") else 3), planes[0].shape
        slices = self._slices.result().pack(planes) if self._slices is not None else None
        if slices is not None:
            return slices
        if self.kind in ("rgb", "rgba"):
            code = cv2.COLOR_RGB2BGRA if self.kind == "rgb" else cv2.COLOR_RGBA2BGRA
            return packed_frame(cv2.cvtColor(planes[0], code), self._pix_fmt)
        return stored_frame(planes, self._pix_fmt if self.kind in STORED else self.kind)


def plan_slices(kind: str, size: Size, *, limited: bool) -> SlicePlan | None:
    """How frames of a layer are divided; None for kinds that are full, and sizes that do not divide.

    Args:
        kind: see `LayerWriter`.
        size: (height, width), pixels.
        limited: planes are of limited range, in which black is 16.
    """
    if kind not in ("gray8", "rgba", *WITH_ALPHA):
        return None
    grid = choose_grid(size, _step(STORED.get(kind, kind)))
    return None if grid is None else SlicePlan(grid, (16 * limited, 128, 128, 0) if kind in WITH_ALPHA else (0,))


def _step(pix_fmt: str) -> Size:
    """Rows and columns that share a sample of chroma."""
    layout = plane_layout(pix_fmt.replace("yuva", "yuv"))
    return (1, 1) if layout is None else (layout.sub_y, layout.sub_x)


def add_ffv1_stream(
    container: OutputContainer,
    size: Size,
    pix_fmt: str,
    time_base: Fraction,
    threads: int,
    rate: Fraction = Fraction(LAYER_RATE),
    num_slices: int = 0,
) -> "av.VideoStream":
    """Add a lossless video stream to a file being written, set up so that equal input gives equal bytes.

    `num_slices` per frame, 0 for what suits a full picture.
    """
    stream = container.add_stream("ffv1", rate=rate)
    assert isinstance(stream, av.VideoStream)
    stream.height, stream.width = size
    stream.pix_fmt = pix_fmt
    stream.time_base = time_base
    stream.codec_context.time_base = time_base
    step_y, step_x = _step(pix_fmt)
    odd = size[0] % step_y or size[1] % step_x
    most = 1 if odd or min(size) < 64 else NUM_SLICES  # FFmpeg refuses slices that cut a chroma sample, or tiny ones
    set_up_encoder(stream.codec_context, num_slices or most, threads)
    return stream


def stored_format(pix_fmt: str) -> str:
    """The format FFV1 stores a working format in: its own, but for 8-bit RGB, which FFV1 only knows packed."""
    return "bgr0" if pix_fmt == "gbrp" else pix_fmt


def stored_frame(planes: list[NDArray], pix_fmt: str) -> "av.VideoFrame":
    """A frame for FFV1 from planes in a working format."""
    if pix_fmt != "gbrp":
        return planes_frame(planes, pix_fmt)
    green, blue, red = planes
    return packed_frame(cv2.merge([blue, green, red, np.zeros_like(red)]), "bgr0")


def planes_frame(planes: list[NDArray], pix_fmt: str) -> "av.VideoFrame":
    """A frame for an encoder, with the planes copied in."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for target, plane in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(target, plane.dtype).reshape(target.height, -1)  # type: ignore[arg-type]
        rows[:, : plane.shape[1]] = plane
    return frame


def packed_frame(pixels: NDArray, pix_fmt: str) -> "av.VideoFrame":
    """A frame of one packed plane, (H, W, C) uint8 copied in."""
    height, width = pixels.shape[:2]
    frame = av.VideoFrame(width, height, pix_fmt)
    rows = np.frombuffer(frame.planes[0], np.uint8).reshape(height, -1)  # type: ignore[arg-type]
    rows[:, : width * pixels.shape[2]] = pixels.reshape(height, -1)
    return frame


def concat_layers(parts: Iterable[str | os.PathLike[str]], path: str | os.PathLike[str]) -> None:
    """Join layers of one kind and size, in order, by copying packets.

    The bytes depend on the frames alone, not on where the parts were cut.
    """
    count, starts = 0, list[tuple[Path, int]]()
    with av.open(f"file:{path}", "w", format="matroska", options={"fflags": "+bitexact"}) as target:
        out = None
        for part in map(Path, parts):
            starts.append((part, count))
            with open_container(part) as source:
                stream = source.streams.video[0]
                if out is None:
                    out = target.add_stream_from_template(stream)
                    out.time_base = Fraction(1, LAYER_RATE)
                for packet in source.demux(stream):
                    if packet.size == 0:
                        continue
                    packet.time_base = Fraction(1, LAYER_RATE)
                    packet.pts = packet.dts = count
                    packet.duration = 1
                    packet.stream = out
                    target.mux(packet)
                    count += 1
        assert out is not None, "no parts"
    if SHELF.is_open:
        for kind in PACKED:
            SHELF.join_layers(((layer_name(part, kind), start) for part, start in starts), layer_name(Path(path), kind))
