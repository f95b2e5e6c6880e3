"""Packets and frames of a video file: which stream, how many frames, decoding from any of them, in the background."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from numpy.typing import NDArray

from engine.errors import InputError

MAX_PIXELS = 1 << 26
"""Largest picture that is decoded: 8192 x 8192. Refused before memory is taken."""

CONVERT = "convert it first, e.g. ffmpeg -i {name} out.mp4, or choose another file."


@dataclass(frozen=True)
class StreamIndex:
    """The frames of one video stream, in the order they are shown."""

    stream: int
    """Index of the stream in its file."""
    pts: NDArray
    """(T,) int64, strictly rising, ticks of the stream's time base."""
    seekable: bool
    """The frames carry these pts themselves; if not, they are found by counting from the start."""
    last_duration: int
    """Ticks the last frame is shown; 0 where the file does not say."""
    warning: str | None = None
    """What is wrong with the file, when not all of it can be decoded."""
    is_sound: bool = True
    """Nothing was wrong with any packet."""


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open a media file for reading.

    Raises:
        InputError: the file is missing, a directory, empty, not readable or not media.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist.", fix="check the spelling of the path.")
    if path.is_dir():
        raise InputError(f"{path} is a directory.", fix="name a video file in it.")
    try:
        empty = path.stat().st_size == 0
        container = av.open(f"file:{path}", metadata_errors="replace")  # a colon in a name is no protocol
    except PermissionError as error:
        raise InputError(f"{path} may not be read.", fix=f"allow it: chmod u+r {path.name}") from error
    except (FFmpegError, OSError, ValueError) as error:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes).", fix="copy or download it again.") from error
        raise InputError(f"{path} is not a video that can be read.", fix=CONVERT.format(name=path.name)) from error
    if empty:
        container.close()
        raise InputError(f"{path} is empty (0 bytes).", fix="copy or download it again.")
    with container:
        yield container


def pick_stream(container: InputContainer, path: Path, wanted: int | None) -> "av.VideoStream":
    """The stream to use: the `wanted`-th video stream (from 0), else the largest picture, the first among equals.

    Raises:
        InputError: there is no (such) video stream, or its pictures are absurdly large.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise InputError(f"{path} has no video in it.", fix="choose a file with a picture track.")
    if wanted is not None and not 0 <= wanted < len(streams):
        raise InputError(
            f"{path} has {len(streams)} video stream(s); there is no number {wanted}.", fix="count them from 0."
        )
    stream = streams[wanted] if wanted is not None else max(streams, key=lambda s: s.width * s.height)
    if stream.width * stream.height > MAX_PIXELS:
        raise InputError(
            f"{path} claims pictures of {stream.width}x{stream.height} pixels; the limit is 8192x8192.",
            fix="scale it down first, e.g. ffmpeg -i IN -vf scale=1920:-2 out.mp4",
        )
    return stream


def decode_stream(
    path: Path,
    stream_index: int,
    *,
    seek_pts: int | None = None,
    thread_type: str = "AUTO",
    alpha: bool = False,
    errors: list[str] | None = None,
) -> Generator["av.VideoFrame", None, None]:
    """Decode a video stream, from its start or from the last key frame before `seek_pts`.

    Damaged packets are passed over; what the decoder said about each goes into `errors`. With `alpha`, VP8/VP9 are
    decoded with libvpx, which keeps the alpha channel that FFmpeg's own decoders drop.
    """
    with open_container(path) as container:
        stream = container.streams[stream_index]
        assert isinstance(stream, av.VideoStream)
        codec: av.VideoCodecContext = stream.codec_context
        if alpha and codec.name in ("vp8", "vp9") and _has_alpha(stream):
            libvpx = av.CodecContext.create(f"libvpx{'-vp9' if codec.name == 'vp9' else ''}", "r")
            assert isinstance(libvpx, av.VideoCodecContext)
            codec = libvpx
            codec.extradata = stream.codec_context.extradata
        codec.thread_type = thread_type
        codec.options = {"max_pixels": str(MAX_PIXELS)}
        if seek_pts is not None:
            container.seek(seek_pts, stream=stream, backward=True)
        packets = container.demux(stream)
        is_last = False
        while not is_last:
            try:
                packet = next(packets, None)  # None: the file broke off; what the decoder still holds is good
                is_last = packet is None or packet.size == 0
                frames = codec.decode(None if is_last else packet)
            except (FFmpegError, MemoryError) as error:
                if errors is not None:
                    errors.append(getattr(error, "strerror", None) or str(error))
                if is_last:
                    return
                continue
            yield from frames


def _has_alpha(stream: "av.VideoStream") -> bool:
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def index_stream(
    path: Path, stream: "av.VideoStream", look: "Callable[[av.VideoFrame], None] | None" = None
) -> tuple[StreamIndex, "av.VideoFrame"]:
    """Decode a stream once and note the time of every frame, up to the first damage.

    Args:
        path: the file.
        stream: its stream.
        look: called with every frame; what it saw is right if the index `is_sound`.

    Returns:
        The index and the first frame.

    Raises:
        InputError: not one frame can be decoded.
    """
    found = _walk(path, stream.index, "AUTO", look)
    is_sound = not found.errors
    if found.errors:  # with frame threads the damage surfaces at a moment of its own; without, always at the same frame
        found = _walk(path, stream.index, "SLICE")
    if found.first is None:
        reason = f" ({found.errors[0]})" if found.errors else ""
        raise InputError(
            f"{path} holds no frame that can be decoded{reason}.", fix="copy or download it again, or choose another."
        )
    num_frames = len(found.pts)
    pts, seekable = _repair_pts(found.pts, found.durations, stream)
    warning = None
    if found.damaged:
        warning = f"{path.name} is damaged after frame {num_frames - 1}: only its first {num_frames} frames are used."
    last = found.durations[-1]
    if warning is None and seekable and len(pts) > 1 and stream.duration and stream.start_time is not None:
        # with B-frames a variable rate leaves the last frame another one's duration; the length of the track is right
        rest = stream.start_time + stream.duration - int(pts[-1])
        last = rest if 0 < rest <= 2 * int(np.diff(pts).max()) else last
    return StreamIndex(stream.index, pts, seekable, last, warning, is_sound), found.first


def reuse_index(
    path: Path, stream: "av.VideoStream", pts: NDArray, last_duration_s: float
) -> "tuple[StreamIndex, av.VideoFrame] | None":
    """The index of a stream whose frames have been decoded before, without decoding them again.

    Args:
        path: the file.
        stream: its stream.
        pts: (T,) int64 that were found then.
        last_duration_s: how long its last frame is shown.

    Returns:
        The index and the first frame; None where not every packet has one of these times, each its own: damage,
        packets that are not shown, or frames without times of their own are for `index_stream` to judge.
    """
    with open_container(path) as container:
        packets = container.demux(container.streams[stream.index])
        try:
            found = sorted(packet.pts for packet in packets if packet.size and packet.pts is not None)
        except FFmpegError:
            return None
    frames = decode_stream(path, stream.index)
    first = next(frames, None)
    frames.close()
    if first is None or first.pts != pts[0] or found != pts.tolist() or stream.time_base is None:
        return None
    return StreamIndex(stream.index, pts, seekable=True, last_duration=round(last_duration_s / stream.time_base)), first


@dataclass
class _Walk:
    first: "av.VideoFrame | None"
    pts: list[int | None]
    durations: list[int]
    errors: list[str]
    damaged: bool


def _walk(
    path: Path, stream_index: int, thread_type: str, look: "Callable[[av.VideoFrame], None] | None" = None
) -> _Walk:
    """Decode everything; without frame threads, stop at the first error that follows a frame."""
    walk = _Walk(None, [], [], [], damaged=False)
    frames = decode_stream(path, stream_index, thread_type=thread_type, errors=walk.errors)
    errors_before = 0
    for frame in frames:
        if walk.first is None:
            errors_before = len(walk.errors)  # a stream that was cut may start with packets nobody can decode
            walk.first = frame
        elif len(walk.errors) > errors_before:
            walk.damaged = True
            break
        if look is not None:
            look(frame)
        walk.pts.append(frame.pts if frame.pts is not None else frame.dts)
        walk.durations.append(getattr(frame, "duration", 0) or 0)
    frames.close()
    walk.damaged = walk.damaged or (walk.first is not None and len(walk.errors) > errors_before)
    return walk


def _repair_pts(raw: list[int | None], durations: list[int], stream: "av.VideoStream") -> tuple[NDArray, bool]:
    """Strictly rising pts; False where they had to be made up."""
    given = [p for p in raw if p is not None]
    if len(given) == len(raw) and all(a < b for a, b in pairwise(given)):
        return np.array(given, np.int64), True
    rate = stream.average_rate or stream.guessed_rate or 25
    step = max(1, round(1 / (rate * (stream.time_base or Fraction(1, 25)))))
    pts: list[int] = []
    for value in raw:
        after = pts[-1] + step if pts else 0
        pts.append(after if value is None else max(value, pts[-1] + 1) if pts else value)
    return np.array(pts, np.int64), False


def decode_range(
    path: Path, index: StreamIndex, start: int, stop: int, *, alpha: bool = False
) -> Generator["av.VideoFrame", None, None]:
    """Decode frames start ... stop-1 of a stream, exactly those of its index.

    Raises:
        InputError: the file no longer gives the frames it gave when it was indexed.
    """
    for seek_pts in _entries(index, start):
        frames = decode_stream(path, index.stream, seek_pts=seek_pts, alpha=alpha)
        first = _skip_to(frames, index, start, from_start=seek_pts is None)
        if first is None:
            frames.close()
            continue
        yield first
        count = start + 1
        for frame in frames if count < stop else ():
            if index.seekable and frame.pts != index.pts[count]:
                break
            yield frame
            count += 1
            if count == stop:
                break
        frames.close()
        if count == stop:
            return
        break
    raise InputError(
        f"{path} does not give frame {start} ... {stop - 1} any more; it has changed since it was opened.",
        fix="leave the file as it is while it is being read, and run the command again.",
    )


def _entries(index: StreamIndex, start: int) -> list[int | None]:
    """Where to enter the stream to reach a frame, the nearest first; None is its start."""
    if start == 0 or not index.seekable:
        return [None]
    return [int(index.pts[start]), int(index.pts[max(0, start - 250)]), None]


def _skip_to(
    frames: Iterable["av.VideoFrame"], index: StreamIndex, start: int, *, from_start: bool
) -> "av.VideoFrame | None":
    """The frame with number `start`, or None when decoding began after it."""
    for count, frame in enumerate(frames):
        if not index.seekable:
            if from_start and count == start:
                return frame
        elif frame.pts is not None and frame.pts >= index.pts[start]:
            return frame if frame.pts == index.pts[start] else None
    return None
