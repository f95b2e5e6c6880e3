"""Small videos made on the spot, with known pixels and times."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.types import ClipInfo, FrameTimes
from engine.video.color import plane_layout


def random_planes(rng: np.random.Generator, info: ClipInfo) -> list[np.ndarray]:
    """Noise over the whole range of the format."""
    layout = plane_layout(info.pix_fmt)
    return [
        rng.integers(0, 1 << layout.bits, size).astype(layout.dtype)
        for size in layout.plane_sizes(info.size)[: 1 if layout.family == "gray" else 3]
    ]


def make_info(size=(48, 64), *, num_frames=8, pix_fmt="yuv420p", time_base=Fraction(1, 90000), **tags) -> ClipInfo:
    facts = {"num_frames": num_frames, "pix_fmt": pix_fmt, "time_base": time_base, "rate": Fraction(25), **tags}
    return ClipInfo(height=size[0], width=size[1], **facts)


def make_times(pts: list[int], time_base: Fraction, last: int) -> FrameTimes:
    ticks = np.append(np.diff(pts), last)
    return FrameTimes(np.array(pts), np.array([float(p * time_base) for p in pts]), ticks * float(time_base))


@pytest.fixture
def clip_with_sound(tmp_path: Path) -> Path:
    """64x48 H.264, 12 frames at a variable rate that start at 0.3 s, and AAC sound that starts at 0.1 s."""
    path = tmp_path / "source.mp4"
    pts = [27000, 30000, 33003, 36000, 45000, 45001, 50000, 60000, 61234, 70000, 80000, 81000]
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "a title"
        video = out.add_stream("libx264", rate=25, options={"crf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 90000)
        audio = out.add_stream("aac", rate=44100, layout="mono")
        audio.metadata["language"] = "nor"
        wave = (np.sin(np.arange(44100) / 20) * 0.3).astype(np.float32)
        for idx in range(0, 44100 - 1024, 1024):
            sound = av.AudioFrame.from_ndarray(wave[None, idx : idx + 1024], format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 44100, 4410 + idx, Fraction(1, 44100)
            out.mux(audio.encode(sound))
        for idx, when in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * idx, np.uint8), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = when, Fraction(1, 90000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


def packets_of(path: Path, kind: str) -> list[list[tuple[bytes, Fraction]]]:
    """Bytes and times of the packets of every stream of a kind."""
    found = []
    with av.open(str(path)) as container:
        indices = [s.index for s in container.streams if s.type == kind]
    for index in indices:
        with av.open(str(path)) as container:
            stream = container.streams[index]
            found.append([(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.size])
    return found


@pytest.fixture(name="make_info")
def _make_info():
    return make_info


@pytest.fixture(name="make_times")
def _make_times():
    return make_times


@pytest.fixture(name="packets_of")
def _packets_of():
    return packets_of


@pytest.fixture
def random_planes_of():
    """(pix_fmt, size, count) to that many frames of noise."""

    def make(pix_fmt, size, count):
        rng = np.random.default_rng(3)
        return [random_planes(rng, make_info(size, pix_fmt=pix_fmt)) for _ in range(count)]

    return make
