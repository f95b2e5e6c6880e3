"""Odd places and odd clips: names with spaces and letters of all kinds, nothing written elsewhere, hours, 8K."""

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from filmed import CAT, ROOT, assert_refused, finish

from engine.video import encode_result, open_clip

NAME = "Änna's 100% größtes „Vidéo“ 日本 [1] $HOME"


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below: its size and when it was written."""
    found = {}
    for path in folder.rglob("*"):
        facts = path.lstat()
        found[path.relative_to(folder).as_posix()] = (facts.st_size, facts.st_mtime_ns) if path.is_file() else (0, 0)
    return found


@pytest.fixture
def world(tmp_path):
    """A home, a working directory and a place for temporary files, all watched."""
    places = {name: tmp_path / name for name in ("home", "cwd", "tmp")}
    for place in places.values():
        place.mkdir()
    places["work"] = tmp_path / NAME
    places["work"].mkdir()

    def run(*words):
        environment = {
            "HOME": str(places["home"]), "TMPDIR": str(places["tmp"]), "NO_COLOR": "1", "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        command = [sys.executable, "-m", "mimo_cli", *map(str, words)]
        return subprocess.run(command, cwd=places["cwd"], env=environment, capture_output=True, text=True, check=False)

    return places, run


def test_nothing_is_written_but_the_project_and_the_named_output(world, swapped):
    places, run = world
    work = places["work"]
    shutil.copy(swapped[0] / "game.mp4", work / "ein spiel.mp4")
    shutil.copytree(swapped[0] / "game.mimo", work / "mein projekt.mimo")
    text = (work / "mein projekt.mimo/project.toml").read_text()
    (work / "mein projekt.mimo/project.toml").write_text(text.replace("game.mp4", "ein spiel.mp4"))
    (work / "ergebnis ü").mkdir()
    before = {name: snapshot(place) for name, place in places.items()}
    out = work / "ergebnis ü" / "die Katze.mkv"
    words = ("--project", work / "mein projekt.mimo", "--character", "cat", "--scale", "0.9", "--lossless", "-o", out)
    done = run("swap", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out) and open_clip(out).num_frames == 20
    after = {name: snapshot(place) for name, place in places.items()}
    for name in ("home", "cwd", "tmp"):
        assert after[name] == before[name], name
    new = {path for path in after["work"] if after["work"][path] != before["work"].get(path)}
    assert {path for path in new if not path.startswith("mein projekt.mimo/")} == {"ergebnis ü/die Katze.mkv"}
    assert set(before["work"]) - set(after["work"]) == set()


def test_a_dance_in_a_folder_of_odd_letters(world):
    places, run = world
    work = places["work"]
    shutil.copy(ROOT / "examples/dance.bvh", work / "tänzchen 1.bvh")
    shutil.copy(CAT, work / "süße katze.png")
    words = ("--character", work / "süße katze.png", "--size", "64x64", "--fps", "2")
    done = run("animate", "--motion", work / "tänzchen 1.bvh", *words)
    assert done.returncode == 0, done.stderr
    result = Path(done.stdout.strip())
    made = places["cwd"] / result
    assert made.is_file() and made.is_relative_to(places["cwd"])
    assert snapshot(places["home"]) == snapshot(places["tmp"]) == {}
    assert len(snapshot(work)) == 2  # the two files that were there
    assert {path.name for path in places["cwd"].iterdir()} == {made.relative_to(places["cwd"]).parts[0]}


def late_clip(path: Path) -> list[Fraction]:
    """Four frames that begin three hours in; the third is shown for two hours."""
    times = [Fraction(10800), Fraction(270001, 25), Fraction(270002, 25), Fraction(18000)]
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 40 * number, np.uint8)).reformat(format="yuv420p")
            frame.pts, frame.time_base = int(time * 1000), Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode())
    return times


def test_frames_hours_apart_keep_their_times(tmp_path):
    times = late_clip(tmp_path / "late.mkv")
    clip = open_clip(tmp_path / "late.mkv")
    assert clip.times.time_s.tolist() == [float(time) for time in times]
    planes = (frame.planes for frame in clip.read_frames())
    encode_result(planes, clip.info, clip.times, tmp_path / "again.mkv", mode="lossless")
    again = open_clip(tmp_path / "again.mkv")
    np.testing.assert_array_equal(np.diff(again.times.time_s), np.diff(clip.times.time_s))


def huge_clip(path: Path, num_frames: int) -> None:
    """8K, a grey ramp."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "40"})
        video.width, video.height, video.pix_fmt = 7680, 4320, "yuv420p"
        planes = np.zeros((4320 * 3 // 2, 7680), np.uint8) + np.linspace(30, 200, 7680, dtype=np.uint8)
        for _ in range(num_frames):
            out.mux(video.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        out.mux(video.encode())


@pytest.mark.slow
def test_8k_is_looked_at(tmp_path):
    """Twelve frames of 50 MB each: nobody is in them, which is all that is wrong with them."""
    huge_clip(tmp_path / "huge.mp4", 12)
    assert open_clip(tmp_path / "huge.mp4").size == (4320, 7680)
    assert_refused(finish("decompose", "huge.mp4", cwd=tmp_path), 3, "no person")
