"""Layers from disk: frames by number, of our own files, of any video FFmpeg reads, of folders of pictures."""

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from engine.errors import InputError
from engine.shelf import SHELF
from engine.threads import run_ahead
from engine.types import FrameSource, Size
from engine.video.color import plane_layout, to_8_bits
from engine.video.decode import decode_stream, open_container, pick_stream
from engine.video.layer import STORED, WITH_ALPHA, plan_slices
from engine.video.packed import PackedMask, PackedPicture, layer_name
from engine.video.planes import Orientation, copy_planes, frame_rgb, frame_rgba, read_planes
from engine.video.slices import Headers, SliceDecoder, SlicePlan, find_headers
from engine.video.still import list_pictures, read_samples

LOW, HIGH = 5, 250
"""In masks that are not ours, <= LOW is 0 and >= HIGH is 255: what editors make of 0 and 255."""


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
            (H, W, 4) straight, uint8; or the planar pixel format or the one `WITH_ALPHA` that it was written in, for
            lists of planes.
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
            self._name = layer_name(path, kind, ours=ours)
            stream = pick_stream(container, path, None)
            self._stream = stream.index
            self._is_layer = stream.codec_context.name == "ffv1" and "matroska" in container.format.name
            self.size: Size = (stream.height, stream.width)
            packets = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.size]
        pts = [p for p, _ in packets]
        self._pts = sorted(p for p in pts if p is not None)
        intra = len(self._pts) == len(pts) and len(set(pts)) == len(pts) and all(key for _, key in packets)
        self._can_seek = intra
        self._coding = self._find_coding(stream) if intra and ours else None
        self.num_frames = len(packets)
        if not intra:
            self._count()
        if not self.num_frames:
            raise InputError(f"{path} holds no frames.", fix="delete it and mimo makes a new one.")

    def _find_coding(self, stream: "av.VideoStream") -> tuple[str, SlicePlan, Headers] | None:
        """How our own writer divided the frames; None where it did not."""
        pix_fmt = STORED.get(self._kind, self._kind)
        codec = stream.codec_context
        plan = plan_slices(self._kind, self.size, limited=codec.color_range == 1) if self._is_layer else None
        if plan is None or codec.pix_fmt != pix_fmt:
            return None
        headers = find_headers(self.size, pix_fmt, plan)
        if headers is None or codec.extradata != headers.extradata[1]:
            return None
        return pix_fmt, plan, headers

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
        while start < stop and (kept := self._kept(start)) is not None:
            yield kept.unpack()
            start += 1
        if start < stop:
            yield from run_ahead(self._walk_and_keep(start, stop))

    def _kept(self, idx: int) -> PackedMask | PackedPicture | None:
        """A frame that is on the shelf."""
        look = SHELF.find_mask if self._kind == "gray8" else SHELF.take_picture
        return cast(PackedMask | PackedPicture | None, look(self._name, idx))

    def _walk_and_keep(self, start: int, stop: int) -> Generator:
        """Masks that were decoded once are on the shelf for who reads them next."""
        walk = self._walk if self._coding is None else self._walk_slices
        for idx, frame in enumerate(walk(start, stop), start):
            if self._kind == "gray8" and SHELF.is_open:
                SHELF.put_mask(self._name, idx, PackedMask(frame))
            yield frame

    def _walk_slices(self, start: int, stop: int) -> Generator:
        if start >= stop:
            return
        assert self._coding is not None
        decoder, count = SliceDecoder(self.size, *self._coding), start
        with open_container(self._path) as container:
            stream = container.streams.video[0]
            container.seek(self._pts[start], stream=stream, backward=True)
            for packet in _packets(container, stream):
                if packet.pts is None or packet.pts < self._pts[start]:
                    continue
                try:
                    planes = decoder.decode(bytes(packet))
                except (FFmpegError, ValueError) as error:
                    self._check([str(error)])
                    raise
                yield planes if self._kind in WITH_ALPHA else planes[0]
                count += 1
                if count == stop:
                    return
        self._end(count)

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
        self._end(count)

    def _end(self, count: int) -> NoReturn:
        raise InputError(f"{self._path} ends at frame {count - 1}.", fix="delete it and mimo makes a new one.")

    def _check(self, errors: list[str]) -> None:
        if errors:
            raise InputError(
                f"{self._path} is damaged ({errors[0]}).", fix="export it again, or delete it and mimo makes a new one."
            )


def _packets(container: InputContainer, stream: "av.VideoStream") -> Iterator["av.Packet"]:
    """Packets up to the first that cannot be read."""
    packets = container.demux(stream)
    with suppress(FFmpegError):
        yield from (packet for packet in packets if packet.size)


class _PictureLayer:
    """Frames of a folder of numbered pictures."""

    def __init__(self, path: Path, kind: str, ours: bool) -> None:
        self._pictures, self._kind, self._ours = list_pictures(path), kind, ours
        self.num_frames = len(self._pictures)
        height, width = read_samples(self._pictures[0]).shape[:2]
        self.size: Size = (height, width)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """See `FrameSource.read`."""
        yield from run_ahead(self._walk(start, self.num_frames if stop is None else stop))

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
    if kind in ("gray8", "gray16"):
        return _read_gray(frame, kind, ours)
    if kind == "rgba":
        return frame_rgba(frame)
    if kind == "rgb":
        return frame_rgb(frame)
    if kind in WITH_ALPHA:
        assert frame.format.name == kind, (frame.format.name, kind)
        return copy_planes(frame, np.uint8)
    return read_planes(frame, kind, Orientation())


def _read_gray(frame: "av.VideoFrame", kind: str, ours: bool) -> NDArray:
    name = frame.format.name
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
