"""Results: the pictures encoded with the source's own times and tags, its sound copied beside them."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from numpy.typing import NDArray

from engine.errors import UsageError
from engine.types import ClipInfo, FrameTimes
from engine.video.color import plane_layout, planes_to_rgb, rgb_to_planes
from engine.video.gif import GifEncoder
from engine.video.layer import add_ffv1_stream, packed_frame, planes_frame, stored_format, stored_frame
from engine.video.matroska import PLACEHOLDER, set_pixel_aspect
from engine.video.planes import tag_colors
from engine.video.soundtrack import Soundtrack
from engine.video.still import PICTURE_SUFFIXES, write_png

CONTAINERS: dict[str, dict[str, str]] = {
    "h264": {
        ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".gif": "gif",
    },
    "lossless": {".mkv": "matroska"},
    "alpha": {".mov": "mov", ".webm": "webm", ".mkv": "matroska", ".gif": "gif", "": "folder"},
}  # fmt: skip
"""For each mode, the suffixes it can write and the container each stands for; no suffix is a folder of PNG."""

X264_OPTIONS: dict[str, str] = {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"}
"""Visually lossless; the slowest preset that does 60 frames of 720p per second on two cores. Macroblock trees together
with B-frames gave 2 to 5 different files in 6 equal runs (x264 of PyAV 18.1), without them one; they save 1.5 %."""

X264_THREADS = 4
"""Part of the bytes (x264 looks at other pictures with other numbers of threads), so the same on every machine."""

NOTE_KEYS = ("comment", "description", "synopsis")
"""Where a note may go: what MP4, QuickTime and Matroska all hold, and players show."""

Pictures = Iterable[list[NDArray]] | Iterable[NDArray]


@dataclass(frozen=True)
class _Job:
    info: ClipInfo
    times: FrameTimes
    ticks: list[int]
    """Duration of each frame, ticks of the clip's time base."""
    path: Path
    container: str
    source: Path | None
    note: str


def container_for(path: str | os.PathLike[str], mode: str) -> str:
    """The container the suffix of `path` stands for in a mode ("h264", "lossless", "alpha").

    Raises:
        UsageError: this mode cannot write such a file; lists what is possible.
    """
    suffix = Path(path).suffix.lower()
    possible = CONTAINERS[mode]
    if suffix not in possible:
        names = ", ".join(s or "a folder (no ending)" for s in possible)
        what = {"h264": "a video", "lossless": "a lossless result", "alpha": "a result with alpha"}[mode]
        raise UsageError(f"{Path(path).name}: {what} cannot be written as {suffix or 'a folder'}.", fix=f"use {names}.")
    return possible[suffix]


def encode_result(
    frames: Pictures,
    info: ClipInfo,
    times: FrameTimes,
    path: str | os.PathLike[str],
    *,
    audio_from: str | os.PathLike[str] | None = None,
    mode: str = "h264",
    final_path: str | os.PathLike[str] | None = None,
    note: str = "",
) -> list[str]:
    """Write a result: the given pictures at the clip's times, with everything else of the source beside them.

    Equal input gives equal bytes on one machine. Matroska and WebM round times to milliseconds, GIF to hundredths.

    Args:
        frames: one per entry of `times`. For "h264" and "lossless": lists of planes in `info.pix_fmt`; for "alpha":
            (H, W, 4) uint8 straight RGBA.
        info: size, format and tags of the clip.
        times: its clock.
        path: where to write (a file, or a new folder for PNG); the caller moves it into place.
        audio_from: file whose sound, subtitles, chapters and metadata are copied; None, a picture or a folder of
            pictures for none.
        mode: "h264" (VP9 in .webm), "lossless" (FFV1) or "alpha" (ProRes 4444, VP9, FFV1, GIF or PNG).
        final_path: decides the format by its suffix, where `path` is a temporary name.
        note: a sentence about the result, put into the first of `NOTE_KEYS` that the source does not use; GIF and PNG
            hold none.

    Returns:
        Sentences about what could not be copied as it was; usually none.

    Raises:
        UsageError: the suffix does not fit the mode.
    """
    container = container_for(final_path or path, mode)
    ticks = [max(1, round(d / info.time_base)) for d in times.duration_s.tolist()]
    source = None if audio_from is None or container in ("gif", "folder") else Path(audio_from)
    if source is not None and (source.is_dir() or source.suffix.lower() in PICTURE_SUFFIXES):
        source = None
    job = _Job(info, times, ticks, Path(path), container, source, note)
    if container == "folder":
        job.path.mkdir(parents=True, exist_ok=True)
        for idx, rgba in enumerate(frames):
            assert isinstance(rgba, np.ndarray)
            write_png(job.path / f"{idx:06d}.png", rgba)
        return []
    if container == "gif":
        return _encode_gif(frames, job, alpha=mode == "alpha")
    if mode == "alpha":
        return _encode_alpha(frames, job)
    if mode == "lossless":
        pictures = (stored_frame(p, info.pix_fmt) for p in _planes(frames))
        return _write(job, _ffv1(stored_format(info.pix_fmt)), pictures)
    target = replace(info, **delivered_format(info))
    pictures = (planes_frame(convert_planes(p, info, target), target.pix_fmt) for p in _planes(frames))
    return _write(replace(job, info=target), _vp9 if container == "webm" else _h264, pictures)


def delivered_format(info: ClipInfo) -> dict[str, str]:
    """What H.264 keeps of a working format: the same chroma and up to 10 bits; 4:4:4 where the size is odd."""
    layout = plane_layout(info.pix_fmt)
    assert layout is not None
    sub_x, sub_y = (layout.sub_x, layout.sub_y) if layout.family == "yuv" else (2, 2)
    if info.width % sub_x or info.height % sub_y:
        sub_x = sub_y = 1
    name = {(2, 2): "yuv420p", (2, 1): "yuv422p", (1, 1): "yuv444p"}[sub_x, sub_y]
    changed = {"pix_fmt": name if layout.bits == 8 or layout.family == "rgb" else f"{name}10le"}
    if layout.family == "rgb":
        changed |= {"color_space": "bt709", "color_range": "tv"}
    return changed


def convert_planes(planes: list[NDArray], info: ClipInfo, target: ClipInfo) -> list[NDArray]:
    """Planes of one clip in the format of another: identical where the formats are."""
    layout, wanted = plane_layout(info.pix_fmt), plane_layout(target.pix_fmt)
    assert layout is not None
    assert wanted is not None
    if layout.family == "rgb":
        return rgb_to_planes(planes_to_rgb(planes, info), target)
    if layout.bits > wanted.bits:
        shift = layout.bits - wanted.bits
        top = (1 << wanted.bits) - 1
        half = 1 << (shift - 1)
        planes = [np.minimum((p.astype(np.uint32) + half) >> shift, top).astype(wanted.dtype) for p in planes]
    elif layout.bits < wanted.bits:
        planes = [p.astype(wanted.dtype) << (wanted.bits - layout.bits) for p in planes]
    sizes = wanted.plane_sizes(info.size)
    if layout.family == "gray":
        neutral = 1 << (wanted.bits - 1)
        return [planes[0], *(np.full(size, neutral, wanted.dtype) for size in sizes[1:])]
    if (layout.sub_x, layout.sub_y) == (wanted.sub_x, wanted.sub_y):
        return planes
    grown = [p.repeat(layout.sub_y, 0).repeat(layout.sub_x, 1)[: info.height, : info.width] for p in planes[1:]]
    return [planes[0], *grown]


def _planes(frames: Pictures) -> Iterator[list[NDArray]]:
    for frame in frames:
        assert isinstance(frame, list), "h264 and lossless take lists of planes"
        yield frame


AddStream = Callable[[OutputContainer, ClipInfo], "av.VideoStream"]


def _write(job: _Job, add_stream: AddStream, pictures: Iterator["av.VideoFrame"]) -> list[str]:
    """The walk of every container: pictures at their times, the soundtrack in step with them."""
    info, pts = job.info, job.times.pts.tolist()
    options = {"fflags": "+bitexact"}
    if job.container in ("mp4", "mov"):
        options["movflags"] = "+faststart"
    shaped = job.container in ("matroska", "webm") and info.pixel_aspect != 1
    if shaped:
        options["write_crc32"] = "0"
    with av.open(f"file:{job.path}", "w", format=job.container, options=options) as target:
        stream = add_stream(target, info)
        tag_colors(stream.codec_context, info)
        stream.codec_context.sample_aspect_ratio = info.pixel_aspect
        if shaped:
            stream.metadata["title"] = PLACEHOLDER
        soundtrack = None if job.source is None else Soundtrack(target, job.source)
        _add_note(target, job.note)
        try:
            out = _PictureMuxer(target, job)
            count = 0
            for picture in pictures:
                assert count < len(pts), f"more frames than the {len(pts)} times"
                picture.pts, picture.time_base = pts[count], info.time_base
                tag_colors(picture, info)
                if soundtrack is not None:
                    soundtrack.copy_until(float(pts[count] * info.time_base))
                out.mux(stream.encode(picture))
                count += 1
            assert count == len(pts), f"{count} frames for {len(pts)} times"
            out.mux(stream.encode(None))
            out.close()
            if soundtrack is not None:
                soundtrack.copy_until(None)
        finally:
            if soundtrack is not None:
                soundtrack.close()
    if shaped:
        set_pixel_aspect(job.path, info.size, info.pixel_aspect)
    return soundtrack.notes if soundtrack is not None else []


def _add_note(target: OutputContainer, note: str) -> None:
    """What the source says of itself stays; a note goes where it says nothing."""
    taken = {key.lower() for key in target.metadata}
    free = [key for key in NOTE_KEYS if key not in taken]
    if note and free:
        target.metadata[free[0]] = note


class _PictureMuxer:
    """Writes packets of pictures with the durations that encoders do not pass on.

    MP4 stores the length of a track as the sum of durations in coding order; the last packet coded gets what makes
    that sum end where the last picture shown ends.
    """

    def __init__(self, target: OutputContainer, job: _Job) -> None:
        pts = job.times.pts.tolist()
        self._target = target
        self._duration_at = dict(zip(pts, job.ticks))
        self._length = pts[-1] + job.ticks[-1] - pts[0]
        self._is_mp4 = job.container in ("mp4", "mov")
        self._first_dts: int | None = None
        self._held: av.Packet | None = None

    def mux(self, packets: list["av.Packet"]) -> None:
        """Take the next packets."""
        for packet in packets:
            if self._held is not None:
                self._target.mux(self._held)
            if self._first_dts is None:
                self._first_dts = packet.dts
            packet.duration = self._duration_at.get(packet.pts, packet.duration)
            self._held = packet

    def close(self) -> None:
        """Write the last packet."""
        assert self._held is not None
        if self._is_mp4 and self._first_dts is not None and self._held.dts is not None:
            self._held.duration = max(1, self._length - (self._held.dts - self._first_dts))
        self._target.mux(self._held)


def _add_stream(target: OutputContainer, info: ClipInfo, codec: str, pix_fmt: str) -> "av.VideoStream":
    stream = target.add_stream(codec, rate=info.rate.limit_denominator(100_000))
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = info.width, info.height, pix_fmt
    stream.time_base = info.time_base
    stream.codec_context.time_base = info.time_base
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _h264(target: OutputContainer, info: ClipInfo) -> "av.VideoStream":
    stream = _add_stream(target, info, "libx264", info.pix_fmt)
    stream.codec_context.thread_count = X264_THREADS
    stream.codec_context.options = X264_OPTIONS
    return stream


def _vp9(target: OutputContainer, info: ClipInfo) -> "av.VideoStream":
    return _vpx(target, info, info.pix_fmt)


def _vpx(target: OutputContainer, info: ClipInfo, pix_fmt: str) -> "av.VideoStream":
    stream = _add_stream(target, info, "libvpx-vp9", pix_fmt)
    stream.bit_rate = 0
    stream.codec_context.thread_count = 4
    stream.codec_context.options = {
        "crf": "20", "b": "0", "deadline": "good", "cpu-used": "5", "tile-columns": "2", "auto-alt-ref": "0",
    }  # fmt: skip
    return stream


def _ffv1(pix_fmt: str) -> AddStream:
    def add(target: OutputContainer, info: ClipInfo) -> "av.VideoStream":
        rate = info.rate.limit_denominator(100_000)
        return add_ffv1_stream(target, info.size, pix_fmt, info.time_base, threads=2, rate=rate)

    return add


def _encode_alpha(frames: Pictures, job: _Job) -> list[str]:
    """RGBA pictures: lossless in Matroska, else 4:4:4 (ProRes) or 4:2:0 (VP9) with an alpha plane."""
    info = replace(job.info, color_space="bt709", color_range="tv", color_primaries=1, color_trc=1)
    if job.container == "matroska":
        info = replace(info, color_space="rgb", color_range="pc")
        pictures = (packed_frame(cv2.cvtColor(f, cv2.COLOR_RGBA2BGRA), "bgra") for f in frames)  # type: ignore[arg-type]
        return _write(replace(job, info=info), _ffv1("bgra"), pictures)
    pix_fmt = "yuva444p10le" if job.container == "mov" else "yuva420p"

    target = replace(info, pix_fmt=pix_fmt.replace("yuva", "yuv"))
    top = 1023 if job.container == "mov" else 255

    def picture(rgba: NDArray) -> "av.VideoFrame":
        planes = rgb_to_planes(np.ascontiguousarray(bleed_colors(rgba)[..., :3]), target)
        alpha = np.rint(rgba[..., 3] * np.float32(top / 255)).astype(planes[0].dtype)
        return planes_frame([*planes, alpha], pix_fmt)

    def prores(target: OutputContainer, info: ClipInfo) -> "av.VideoStream":
        stream = _add_stream(target, info, "prores_ks", pix_fmt)
        stream.codec_context.options = {"profile": "4444", "vendor": "apl0"}
        return stream

    def vp9(target: OutputContainer, info: ClipInfo) -> "av.VideoStream":
        stream = _vpx(target, info, pix_fmt)
        stream.metadata["alpha_mode"] = "1"
        return stream

    add_stream = prores if job.container == "mov" else vp9
    return _write(replace(job, info=info), add_stream, (picture(f) for f in frames))  # type: ignore[arg-type]


def bleed_colors(rgba: NDArray, radius_px: int = 8) -> NDArray:
    """Give fully transparent pixels the colour of the visible ones nearby.

    Lossy codecs smear colour across the edge of a figure; without this they smear black into it. (H, W, 4) uint8.
    """
    alpha = rgba[..., 3]
    if not alpha.any() or alpha.min() > 0:
        return rgba
    alpha_01 = alpha.astype(np.float32) / 255
    side = 2 * radius_px + 1
    color = cv2.blur(rgba[..., :3] * alpha_01[..., None], (side, side))
    weight = cv2.blur(alpha_01, (side, side))[..., None]
    near = (alpha == 0) & (weight[..., 0] > 1e-4)
    out = rgba.copy()
    out[near, :3] = np.rint(np.clip(color[near] / weight[near], 0, 255)).astype(np.uint8)
    return out


def _encode_gif(frames: Pictures, job: _Job, *, alpha: bool) -> list[str]:
    start = job.times.time_s[0]
    pts = [round(float(t - start) * 100) for t in job.times.time_s]
    last = round(float(job.times.duration_s[-1]) * 100)
    with GifEncoder(job.path, job.info.size, alpha=alpha) as gif:
        for idx, frame in enumerate(frames):
            rgba = frame if alpha else cv2.cvtColor(planes_to_rgb(list(frame), job.info), cv2.COLOR_RGB2RGBA)
            assert isinstance(rgba, np.ndarray)
            shown = (pts[idx + 1] if idx + 1 < len(pts) else pts[idx] + last) - pts[idx]
            if shown < 2 and idx + 1 < len(pts) and pts[idx + 1] - pts[idx] == 0:
                continue  # two frames in one hundredth of a second: the later one is shown
            gif.write(rgba, pts[idx], max(1, shown))
    return []
