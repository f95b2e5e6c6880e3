"""A small filmed game with sound and uneven frame times, and the tool run on it as a person would."""

import contextlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from typer.testing import CliRunner

from engine.synth.clip import ClipSpec, SynthClip, make_clip
from mimo_cli import app

ROOT = Path(__file__).resolve().parents[1]
CAT = ROOT / "examples" / "cat.png"
SPEC = ClipSpec(size=(240, 320), num_frames=20, camera="pan", occluder="ball", noise=1.0)
TIME_BASE = Fraction(1, 12800)


def frame_pts() -> np.ndarray:
    """Variable rate: every fifth frame is shown for half as long again."""
    steps = np.where(np.arange(SPEC.num_frames) % 5 == 4, 768, 512)
    return np.concatenate([[0], np.cumsum(steps)[:-1]])


def film(path: Path) -> SynthClip:
    """Write the clip as H.264 with AAC sound and a title."""
    clip = make_clip(SPEC)
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "A game"
        video = out.add_stream("libx264", rate=25, options={"crf": "12", "x264-params": "bframes=0"})
        video.width, video.height, video.pix_fmt = SPEC.size[1], SPEC.size[0], "yuv420p"
        video.time_base = video.codec_context.time_base = TIME_BASE
        sound = out.add_stream("aac", rate=44100, layout="mono")
        for rgb, pts in zip(clip.rgb.read(), frame_pts(), strict=True):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = int(pts), TIME_BASE
            out.mux(video.encode(frame))
        out.mux(video.encode())
        tone = np.sin(np.arange(40960) / 44100 * 2 * np.pi * 440).astype(np.float32)[None] * 0.3
        for start in range(0, tone.shape[1], 1024):
            part = av.AudioFrame.from_ndarray(tone[:, start : start + 1024], format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = 44100, start, Fraction(1, 44100)
            out.mux(sound.encode(part))
        out.mux(sound.encode())
    return clip


def start(*words: str | Path, cwd: Path) -> subprocess.Popen:
    """Start `mimo WORDS` in its own process group."""
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "mimo_cli", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **pipes)


def mimo(*words: str | Path, cwd: Path) -> tuple[str, str]:
    """Run `mimo WORDS`; it must succeed. Returns stdout and stderr."""
    with start(*words, cwd=cwd) as process:
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return stdout, stderr


def finish(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """Run `mimo WORDS` to its end, however that is."""
    with start(*words, cwd=cwd) as process:
        stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def finish_here(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """Run `mimo WORDS` to its end in this process: a second less each, for the many that are refused."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(app.app, list(map(str, words)), prog_name="mimo")
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def assert_refused(done: subprocess.CompletedProcess, code: int, *words: str) -> None:
    """It ended with the exit code, a sentence on what is wrong and one on what to type, and no traceback."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    fixes = [line for line in done.stderr.splitlines() if line.strip().startswith("fix: ")]
    assert len(errors) == 1 and len(fixes) == 1, done.stderr
    for word in words:
        assert word in errors[0] + fixes[0], done.stderr


def packets(path: Path, kind: str) -> list[tuple]:
    """Every packet of the first stream of a kind: time in seconds, exactly, and bytes."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.pts is not None and packet.size
        ]


def presentation_times(path: Path) -> list[Fraction]:
    """When each frame is shown, seconds, exactly."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]
