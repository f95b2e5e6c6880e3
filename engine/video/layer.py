"""Layers on disk: lossless video files indexed by frame number (FFV1 level 3 in Matroska, RFC 9043)."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from numpy.typing import NDArray

from engine.errors import InputError
from engine.types import FrameSource, Size
from engine.video.color import plane_layout, to_8_bits
from engine.video.decode import decode_stream, open_container, pick_stream, prefetch
from engine.video.planes import Orientation, frame_rgb, frame_rgba, read_planes
from engine.video.still import list_pictures, read_samples

LAYER_RATE = 25
"""Nominal frames per second: 40 ms a frame, exact in Matroska's milliseconds. The time is in `clip/frames.csv`."""

STORED: dict[str, str] = {"gray8": "gray", "gray16": "gray16le", "rgb": "bgr0", "rgba": "bgra"}
"""Pixel format each kind of layer is stored in."""

NUM_SLICES = 4
"""Slices per frame; they are coded in parallel. Part of the bytes, so fixed whatever the number of threads."""

LOW, HIGH = 5, 250
"""In masks that are not ours, <= LOW is 0 and >= HIGH is 255: what editors make of 0 and 255."""


MAX_PENDING = 3
"""Frames that wait for the encoder at most: computing and encoding overlap, memory does not grow."""


class LayerWriter:
    """Write frames to a lossless file; equal frames give equal bytes, whatever the number of threads.

    Args:
        path: where to; written directly (moving it into place is the caller's business).
        size: (height, width), pixels.
        kind: "gray8" or "gray16" for (H, W) uint8/uint16, "rgb" for (H, W, 3), "rgba" for (H, W, 4) straight alpha,
            or a planar pixel format such as "yuv420p10le" for lists of planes as in `engine.video.color`.
        threads: of the encoder; no effect on the bytes.

    Source: RFC 9043 (FFV1); level 3, every frame a key frame, a checksum per slice.
    """

    def __init__(self, path: str | os.PathLike[str], size: Size, kind: str, *, threads: int = 2) -> None:
        self.path, self.size, self.kind = Path(path), size, kind
        pix_fmt = STORED.get(kind) or stored_format(kind)
        self._layout = None if kind in STORED else plane_layout(kind)
        assert kind in STORED or self._layout is not None, kind
        self._pix_fmt = pix_fmt
        self.num_frames = 0
        self._container: OutputContainer | None = av.open(
            f"file:{path}", "w", format="matroska", options={"fflags": "+bitexact"}
        )
        self._stream = add_ffv1_stream(self._container, size, pix_fmt, Fraction(1, LAYER_RATE), threads)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="layer")
        self._pending: deque[Future[None]] = deque()

    def write(self, frame: NDArray | list[NDArray]) -> None:
        """Append one frame. It is copied, and encoded in a thread while the caller makes the next one.

        Raises:
            OSError: the disk refused this frame or one of the `MAX_PENDING` before it.
        """
        assert self._container is not None, "the layer is closed"
        picture = self._pack(frame)
        picture.pts = self.num_frames
        picture.time_base = Fraction(1, LAYER_RATE)
        while len(self._pending) >= MAX_PENDING:
            self._pending.popleft().result()
        self._pending.append(self._worker.submit(self._encode, self._container, picture))
        self.num_frames += 1

    def _encode(self, container: OutputContainer, picture: "av.VideoFrame | None") -> None:
        container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write what the encoder still holds, and the end of the file. Safe to call twice."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            while self._pending:
                self._pending.popleft().result()
            self._encode(container, None)
        finally:
            self._worker.shutdown()
            container.close()

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

    def _pack(self, frame: NDArray | list[NDArray]) -> "av.VideoFrame":
        if self._layout is not None:
            assert isinstance(frame, list)
            assert frame[0].shape == self.size, (frame[0].shape, self.size)
            return stored_frame(frame, self.kind)
        assert isinstance(frame, np.ndarray)
        assert frame.shape[:2] == self.size, (frame.shape, self.size)
        if self.kind in ("gray8", "gray16"):
            assert frame.dtype == (np.uint8 if self.kind == "gray8" else np.uint16), frame.dtype
            assert frame.ndim == 2, frame.shape
            return planes_frame([frame], self._pix_fmt)
        assert frame.dtype == np.uint8, frame.dtype
        code = cv2.COLOR_RGB2BGRA if self.kind == "rgb" else cv2.COLOR_RGBA2BGRA
        return packed_frame(cv2.cvtColor(frame, code), self._pix_fmt)


def add_ffv1_stream(
    container: OutputContainer,
    size: Size,
    pix_fmt: str,
    time_base: Fraction,
    threads: int,
    rate: Fraction = Fraction(LAYER_RATE),
) -> "av.VideoStream":
    """Add a lossless video stream to a file being written, set up so that equal input gives equal bytes."""
    stream = container.add_stream("ffv1", rate=rate)
    assert isinstance(stream, av.VideoStream)
    stream.height, stream.width = size
    stream.pix_fmt = pix_fmt
    stream.time_base = time_base
    codec = stream.codec_context
    codec.time_base = time_base
    codec.thread_type, codec.thread_count = "SLICE", threads
    codec.flags |= Flags.bitexact
    codec.gop_size = 1
    layout = plane_layout(pix_fmt)
    odd = layout is not None and (size[0] % layout.sub_y or size[1] % layout.sub_x)
    slices = 1 if odd or min(size) < 64 else NUM_SLICES  # FFmpeg refuses slices that cut a chroma sample, or tiny ones
    codec.options = {"level": "3", "slices": str(slices), "slicecrc": "1", "coder": "rice", "context": "0"}
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
    count = 0
    with av.open(f"file:{path}", "w", format="matroska", options={"fflags": "+bitexact"}) as target:
        out = None
        for part in parts:
            with open_container(Path(part)) as source:
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


def open_layer(
    path: str | os.PathLike[str],
    *,
    kind: str,
    ours: bool = True,
    num_frames: int | None = None,
    size: Size | None = None,
) -> FrameSource:
    """Open a layer: a file written by `LayerWriter`, any video FFmpeg reads, or a folder of numbered pictures.

    Args:
        path: the file or folder.
        kind: what frames are wanted: "gray8" (H, W) uint8, "gray16" (H, W) uint16, "rgb" (H, W, 3) or "rgba"
            (H, W, 4) straight, uint8; or the planar pixel format it was written in, for lists of planes.
        ours: written by `LayerWriter` and unchanged since. If not, "gray8" is a mask from some editor: full black
            and white are restored (<= 5 is 0, >= 250 is 255).
        num_frames: how many frames there must be.
        size: (height, width) there must be.

    Raises:
        InputError: missing, damaged, cut short, of another size or of another number of frames.
    """
    path = Path(path)
    layer: FrameSource = _PictureLayer(path, kind, ours) if path.is_dir() else _VideoLayer(path, kind, ours)
    if num_frames is not None and layer.num_frames != num_frames:
        raise InputError(
            f"{path} has {layer.num_frames} frames; the clip has {num_frames}.",
            fix=f"export it again with {num_frames} frames, or delete it and mimo makes a new one.",
        )
    if size is not None and layer.size != size:
        raise InputError(
            f"{path} is {layer.size[1]}x{layer.size[0]}; the clip is {size[1]}x{size[0]}.",
            fix=f"export it again at {size[1]}x{size[0]}, or delete it and mimo makes a new one.",
        )
    return layer


class _VideoLayer:
    """Frames of a video file by number; intra-only files are entered at any frame."""

    def __init__(self, path: Path, kind: str, ours: bool) -> None:
        self._path, self._kind, self._ours = path, kind, ours
        with open_container(path) as container:
            stream = pick_stream(container, path, None)
            self._stream = stream.index
            self._is_layer = stream.codec_context.name == "ffv1" and "matroska" in container.format.name
            self.size: Size = (stream.height, stream.width)
            packets = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.size]
        pts = [p for p, _ in packets]
        self._pts = sorted(p for p in pts if p is not None)
        intra = len(self._pts) == len(pts) and len(set(pts)) == len(pts) and all(key for _, key in packets)
        self._can_seek = intra
        self.num_frames = len(packets)
        if not intra:
            self._count()
        if not self.num_frames:
            raise InputError(f"{path} holds no frames.", fix="delete it and mimo makes a new one.")

    def _count(self) -> None:
        """Count frames by decoding: packets of some codecs hold none, or several."""
        errors: list[str] = []
        self.num_frames = 0
        for frame in decode_stream(self._path, self._stream, errors=errors):
            self.num_frames += 1
            self.size = (frame.height, frame.width)
        self._check(errors)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """See `FrameSource.read`."""
        stop = self.num_frames if stop is None else min(stop, self.num_frames)
        yield from prefetch(self._walk(start, stop))

    def _walk(self, start: int, stop: int) -> Generator:
        if start >= stop:
            return
        errors: list[str] = []
        seek_pts = self._pts[start] if self._can_seek and start else None
        frames = decode_stream(self._path, self._stream, seek_pts=seek_pts, alpha=self._kind == "rgba", errors=errors)
        count = 0 if seek_pts is None else start
        for frame in frames:
            self._check(errors)
            if seek_pts is not None and (frame.pts or 0) < seek_pts:
                continue
            if count >= start:
                yield read_layer_frame(frame, self._kind, self._ours)
            count += 1
            if count == stop:
                frames.close()
                return
        self._check(errors)
        raise InputError(f"{self._path} ends at frame {count - 1}.", fix="delete it and mimo makes a new one.")

    def _check(self, errors: list[str]) -> None:
        if errors:
            raise InputError(
                f"{self._path} is damaged ({errors[0]}).", fix="export it again, or delete it and mimo makes a new one."
            )


class _PictureLayer:
    """Frames of a folder of numbered pictures."""

    def __init__(self, path: Path, kind: str, ours: bool) -> None:
        self._pictures, self._kind, self._ours = list_pictures(path), kind, ours
        self.num_frames = len(self._pictures)
        height, width = read_samples(self._pictures[0]).shape[:2]
        self.size: Size = (height, width)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """See `FrameSource.read`."""
        yield from prefetch(self._walk(start, self.num_frames if stop is None else stop))

    def _walk(self, start: int, stop: int) -> Generator:
        for picture in self._pictures[start:stop]:
            samples = read_samples(picture)
            if samples.shape[:2] != self.size:
                height, width = samples.shape[:2]
                raise InputError(
                    f"{picture} is {width}x{height}; the others are {self.size[1]}x{self.size[0]}.",
                    fix="make all pictures of the folder the same size.",
                )
            yield _samples_as(samples, self._kind, self._ours)


def read_layer_frame(frame: "av.VideoFrame", kind: str, ours: bool) -> NDArray | list[NDArray]:
    """One decoded frame as a layer's array."""
    name = frame.format.name
    if kind in ("gray8", "gray16"):
        layout = plane_layout(name.replace("yuvj", "yuv"))
        if layout is None or layout.family == "rgb":
            return _samples_as(frame_rgba(frame), kind, ours)
        plane = np.frombuffer(frame.planes[0], layout.dtype)  # type: ignore[arg-type]
        luma = plane.reshape(frame.height, -1)[:, : frame.width].copy()
        limited = layout.family == "yuv" and frame.color_range != 2 and not name.startswith("yuvj")
        if limited or (frame.color_range == 1 and not ours):
            luma = _full_range(luma, layout.bits)
            return _samples_as(luma, kind, ours)
        if layout.bits not in (8, 16):
            luma = np.rint(luma * (65535 / ((1 << layout.bits) - 1))).astype(np.uint16)
        return _samples_as(luma, kind, ours)
    if kind == "rgba":
        return frame_rgba(frame)
    if kind == "rgb":
        return frame_rgb(frame)
    return read_planes(frame, kind, Orientation())


def _full_range(luma: NDArray, bits: int) -> NDArray:
    """Limited-range luma (16 ... 235 in 8 bits) to full range, 8 bits if it has 8 and 16 bits otherwise."""
    top = 255 if bits == 8 else 65535
    step = 1 << (bits - 8)
    levels = np.arange(1 << bits)
    lut = np.clip(np.rint((levels - 16 * step) * (top / (219 * step))), 0, top)
    return lut.astype(np.uint8 if bits == 8 else np.uint16)[luma]


def _samples_as(samples: NDArray, kind: str, ours: bool) -> NDArray:
    """Stored samples, gray or RGB(A), 8 or 16 bits, full range, as the wanted kind."""
    if kind in ("rgb", "rgba"):
        samples = to_8_bits(samples, 8 if samples.dtype == np.uint8 else 16)
        if samples.ndim == 2:
            samples = cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB)
        if kind == "rgba" and samples.shape[2] == 3:
            return cv2.cvtColor(samples, cv2.COLOR_RGB2RGBA)
        return np.ascontiguousarray(samples[..., : len(kind)])
    if samples.ndim == 3:
        samples = cv2.cvtColor(np.ascontiguousarray(samples[..., :3]), cv2.COLOR_RGB2GRAY)
    if kind == "gray16":
        return samples if samples.dtype == np.uint16 else samples.astype(np.uint16) * 257
    mask = to_8_bits(samples, 8 if samples.dtype == np.uint8 else 16)
    if not ours:
        mask = np.where(mask <= LOW, 0, np.where(mask >= HIGH, 255, mask)).astype(np.uint8)
    return mask
