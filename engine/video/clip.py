"""A video as a clip: what it is, its clock, and its frames upright in their working format."""

import os
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.shelf import SHELF
from engine.threads import run_ahead
from engine.types import ClipInfo, FrameTimes, Size
from engine.video.color import planes_to_rgb
from engine.video.decode import (
    StreamIndex,
    decode_range,
    index_stream,
    open_container,
    pick_stream,
    reuse_index,
)
from engine.video.planes import over_white, read_orientation, read_planes, read_tags, working_format
from engine.video.sight import Sight
from engine.video.still import PICTURE_SUFFIXES, animation_frames, list_pictures, read_animation, read_image

FOLDER_RATE = 25
"""Frames per second a folder of pictures is taken to have."""

Planes = list[NDArray]


@dataclass(frozen=True)
class Frame:
    """One upright picture of a clip in its working format."""

    idx: int
    planes: Planes
    """The planes in `info.pix_fmt`, as `engine.video.color` describes them."""
    info: ClipInfo

    def rgb(self) -> NDArray:
        """(H, W, 3) uint8 RGB."""
        return planes_to_rgb(self.planes, self.info)


_NEAR = 250
"""From one frame to another this many later it is quicker to decode on: key frames are seldom closer."""


class Clip:
    """A `FrameSource` of upright RGB frames that also knows the planes, the clock and the tags of its source.

    Attributes:
        info: what the video is. `num_frames` counts frames that can be decoded.
        times: when each frame is shown.
        warning: what is wrong with the file, or None.
    """

    def __init__(
        self,
        path: Path,
        info: ClipInfo,
        times: FrameTimes,
        walk: Callable[[int, int], Generator[Planes, None, None]],
        warning: str | None = None,
        name: Hashable = None,
    ) -> None:
        self.path, self.info, self.times, self.warning = path, info, times, warning
        self._walk, self._name = walk, name

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.info.num_frames

    @property
    def size(self) -> Size:
        """(height, width), pixels, upright."""
        return self.info.size

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """Yield frames start ... stop-1: (H, W, 3) uint8 RGB. See `FrameSource.read`."""
        yield from run_ahead(frame.rgb() for frame in self._frames(start, self._stop(stop)))

    def read_frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames start ... stop-1 in their working format; decoding runs a few frames ahead in a thread.

        Raises:
            InputError: the file changed or can no longer be decoded.
        """
        yield from self._frames(start, self._stop(stop), ahead=True)

    def glimpse(self, start: int = 0, stop: int | None = None) -> Iterator[Sight]:
        """Yield frames start ... stop-1, to look at parts of them. See `engine.types.glimpse`."""
        for frame in self._frames(start, self._stop(stop), ahead=True):
            yield Sight(frame.planes, frame.info)

    def pick(self, frame_idx: Iterable[int]) -> Iterator[NDArray]:
        """Yield single frames, (H, W, 3) uint8 RGB; in rising order what lies between them is decoded once at most."""
        frames, position = None, 0
        for idx in frame_idx:
            if frames is None or not position <= idx < position + _NEAR:
                frames, position = self._frames(idx, self.num_frames), idx
            frame = next(islice(frames, idx - position, None))
            position = idx + 1
            yield frame.rgb()

    def _stop(self, stop: int | None) -> int:
        return self.num_frames if stop is None else min(stop, self.num_frames)

    def _frames(self, start: int, stop: int, *, ahead: bool = False) -> Generator[Frame, None, None]:
        """The frames, from the shelf as far as they are there; the others are decoded, `ahead` in a thread."""
        for planes in SHELF.walk(self._name, start, stop):
            yield Frame(start, planes, self.info)
            start += 1
        if start < stop:
            walk = self._walk(start, stop)
            for idx, planes in enumerate(run_ahead(walk) if ahead else walk, start):
                yield Frame(idx, planes, self.info)


def open_clip(path: str | os.PathLike[str], *, stream: int | None = None, known: FrameTimes | None = None) -> Clip:
    """Open a video, an animated picture, a still picture (one frame) or a folder of numbered pictures.

    A video is decoded once to learn the true number of frames and their times; a damaged one keeps its good frames
    and says so in `Clip.warning`. Transparent pictures come over white.

    Args:
        path: the file or folder.
        stream: which video stream of the file, from 0; None is the one with the largest picture.
        known: the clock of this very video, found when it was opened before: where its packets still have these times
            it is not decoded to learn them.

    Raises:
        InputError: missing, empty, no video, nothing that can be decoded, absurdly large.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return _open_animation(path)
    facts = path.stat() if path.exists() else None
    size, mtime_ns = facts and facts.st_size, facts and facts.st_mtime_ns
    if known is not None and len(known.pts):
        clip = _reopen_video(path, stream, size, mtime_ns, known.pts.tobytes(), float(known.duration_s[-1]))
        if clip is not None:
            return clip
    return _open_video(path, stream, size, mtime_ns)


@lru_cache(maxsize=4)
def _open_video(path: Path, stream: int | None, _size: int | None, _mtime_ns: int | None) -> Clip:
    """Decoding a video to count its frames takes a while; as long as the file stays as it is, once is enough."""
    with open_container(path) as container:
        video = pick_stream(container, path, stream)
        keeper = _Keeper(path, video.index) if SHELF.is_open else None
        index, first = index_stream(path, video, keeper)
        num_audio = len(container.streams.audio)
        if keeper is not None and not index.is_sound:
            SHELF.clear()
        return _video_clip(path, video, index, first, num_audio)


class _Keeper:
    """Puts the frames of a video on the shelf while they are counted."""

    def __init__(self, path: Path, stream: int) -> None:
        self._name, self._count = _shelf_name(path, stream), 0
        self._first: av.VideoFrame | None = None

    def __call__(self, frame: "av.VideoFrame") -> None:
        """Keep the next frame, if there is room, and if it is like the first."""
        first = self._first = self._first or frame
        same = (frame.format.name, frame.width, frame.height) == (first.format.name, first.width, first.height)
        if same and SHELF.has_room(self._name, self._count):
            orientation = read_orientation(first)
            SHELF.put(self._name, self._count, read_planes(frame, working_format(first, orientation), orientation))
        self._count += 1


def _shelf_name(path: Path, stream: int) -> tuple[Path, int, int, int]:
    facts = path.stat()
    return path.absolute(), stream, facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=4)
def _reopen_video(
    path: Path, stream: int | None, _size: int | None, _mtime_ns: int | None, pts: bytes, last_s: float
) -> Clip | None:
    """The clip of a video whose times are known; None where its packets say otherwise."""
    with open_container(path) as container:
        video = pick_stream(container, path, stream)
        found = reuse_index(path, video, np.frombuffer(pts, np.int64), last_s)
        return found and _video_clip(path, video, *found, len(container.streams.audio))


def _video_clip(path: Path, video: "av.VideoStream", index: StreamIndex, first: "av.VideoFrame", audio: int) -> Clip:
    orientation = read_orientation(first)
    pix_fmt = working_format(first, orientation)
    assert video.time_base is not None
    width, height = (first.height, first.width) if orientation.transpose else (first.width, first.height)
    aspect = video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio or Fraction(1)
    times = _frame_times(index, video)
    color_range, color_space = read_tags(first, pix_fmt)
    codec = video.codec_context
    info = ClipInfo(
        width=width,
        height=height,
        num_frames=len(index.pts),
        time_base=video.time_base,
        rate=video.average_rate or video.guessed_rate or _rate(times),
        pixel_aspect=1 / aspect if orientation.transpose else aspect,
        rotation_deg=orientation.rotation_deg,
        pix_fmt=pix_fmt,
        color_range=color_range,
        color_space=color_space,
        color_primaries=int(codec.color_primaries),
        color_trc=int(codec.color_trc),
        codec=codec.name,
        num_audio=audio,
    )
    first_format, first_size = first.format.name, (first.width, first.height)
    name = _shelf_name(path, index.stream)

    def walk(start: int, stop: int) -> Generator[Planes, None, None]:
        for idx, frame in enumerate(decode_range(path, index, start, stop), start):
            if frame.format.name != first_format or (frame.width, frame.height) != first_size:  # changed on the way
                same = frame.reformat(width=first_size[0], height=first_size[1], format=first_format)
            else:
                same = frame
            planes = read_planes(same, pix_fmt, orientation)
            SHELF.put(name, idx, planes)
            yield planes

    return Clip(path, info, times, walk, index.warning, name)


def _frame_times(index: StreamIndex, video: "av.VideoStream") -> FrameTimes:
    assert video.time_base is not None
    gaps = np.diff(index.pts)
    rate = video.average_rate or video.guessed_rate
    last = index.last_duration or (int(np.median(gaps)) if len(gaps) else 0)
    last = last or (round(1 / (rate * video.time_base)) if rate else 1)
    ticks = np.append(gaps, last)
    seconds = float(video.time_base)
    if video.time_base.numerator == 1:  # dividing rounds once, multiplying by 1/den twice
        return FrameTimes(index.pts, index.pts / video.time_base.denominator, ticks / video.time_base.denominator)
    return FrameTimes(index.pts, index.pts * seconds, ticks * seconds)


def _rate(times: FrameTimes) -> Fraction:
    return Fraction(len(times.pts) / float(times.duration_s.sum())).limit_denominator(1001)


def _open_animation(path: Path) -> Clip:
    num_frames, size, durations_ms = read_animation(path)

    def walk(start: int, stop: int) -> Generator[Planes, None, None]:
        for rgba in animation_frames(path, start, stop):
            yield _rgb_planes(over_white(rgba))

    return _picture_clip(path, size, durations_ms, walk, "animation" if num_frames > 1 else "picture")


def _open_folder(path: Path) -> Clip:
    pictures = list_pictures(path)
    size = read_image(pictures[0]).shape[:2]

    def walk(start: int, stop: int) -> Generator[Planes, None, None]:
        for picture in pictures[start:stop]:
            rgba = read_image(picture)
            if rgba.shape[:2] != size:
                raise InputError(
                    f"{picture} is {rgba.shape[1]}x{rgba.shape[0]}; {pictures[0].name} is {size[1]}x{size[0]}.",
                    fix="make all pictures of the folder the same size.",
                )
            yield _rgb_planes(over_white(rgba))

    return _picture_clip(path, size, [1000 // FOLDER_RATE] * len(pictures), walk, "folder")


def _picture_clip(
    path: Path,
    size: Size,
    durations_ms: list[int],
    walk: Callable[[int, int], Generator[Planes, None, None]],
    codec: str,
) -> Clip:
    ticks = np.maximum(np.array(durations_ms, np.int64), 1)
    pts = np.concatenate([[0], np.cumsum(ticks)[:-1]]).astype(np.int64)
    times = FrameTimes(pts, pts / 1000, ticks / 1000)
    info = ClipInfo(
        width=size[1],
        height=size[0],
        num_frames=len(pts),
        time_base=Fraction(1, 1000),
        rate=_rate(times),
        pix_fmt="gbrp",
        color_range="pc",
        color_space="rgb",
        color_primaries=1,
        color_trc=13,
        codec=codec,
    )
    return Clip(path, info, times, walk)


def _rgb_planes(rgb: NDArray) -> Planes:
    red, green, blue = cv2.split(rgb)
    return [green, blue, red]
