"""Odd files of the world: each is used, or refused in two lines that name it, with little memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filmed import ROOT, assert_refused, finish
from PIL import Image

from engine.video import open_clip
from mimo_cli.runs.backdrop import Backdrop

DANCE = ROOT / "examples" / "dance.bvh"
TINY = ("--size", "64x64", "--fps", "2")
BROKEN = {
    "images/broken.png": "not a picture",
    "images/broken_data_stream.png": "damaged",
    "images/decompression_bomb.gif": "",  # as a picture it is too large, as a video nothing in it decodes
    "images/png_decompression_dos.png": "not a picture",
    "images/truncated_image.png": "damaged",
    "images/zero_width.gif": "not a",
}
"""File to what is said of it."""
SHOWN = (
    *("alpha_vp9.webm", "corrupt_tail.mp4", "gif_47x26.gif", "one_pixel.mp4", "rot180_phone_vfr.mp4"),
    *("unordered_4frames.mov", "images/mode_16bit.png", "images/p_trns_single.png", "images/pil_sample_cmyk.jpg"),
)
"""Stood behind a dance, and looked at in the result."""
OPENED = (
    *("full_range_709.mp4", "gif_odd_height.gif", "h264_10bit.mp4", "multi_stream_nasa.mp4", "no_duration.webm"),
    *("rot90_3frames.mov", "sar_carphone_qcif.mp4", "images/1_trns.png", "images/hopper_gray.jpg"),
    *("images/hopper_orientation_3.jpg", "images/hopper_orientation_6.jpg", "images/iss634.webp"),
    *("images/pil123rgba.png", "images/transparent.webp"),
)
"""Accepted as a scene; the video room's own tests look at their frames."""
MAX_BYTES = 600e6
"""Python with its libraries takes up to 0.25 GB; either bomb unpacked takes 4 GB and more."""


@pytest.fixture(scope="module")
def danced(tmp_path_factory) -> Path:
    """A folder with dance.mimo, whose character is made already."""
    folder = tmp_path_factory.mktemp("media")
    done = finish("animate", "--motion", DANCE, *TINY, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_file_has_its_test(sample_data):
    media = sample_data / "media"
    there = {path.relative_to(media).as_posix() for path in media.rglob("*") if path.is_file()}
    assert {name for name in there if not name.startswith("peers/")} == {*BROKEN, *SHOWN, *OPENED}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_is_no_character(name, sample_data, tmp_path):
    done = finish("animate", "--motion", DANCE, "--character", sample_data / "media" / name, cwd=tmp_path)
    assert_refused(done, 3, str(sample_data / "media" / name), BROKEN[name])  # the file as it was typed, not a copy
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_is_no_scene(name, sample_data, tmp_path):
    done = finish("animate", "--motion", DANCE, "--scene", sample_data / "media" / name, cwd=tmp_path)
    assert_refused(done, 3, str(sample_data / "media" / name), BROKEN[name])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--character", "--scene"])
@pytest.mark.parametrize("name", ["images/decompression_bomb.gif", "images/png_decompression_dos.png"])
def test_a_bomb_takes_little_memory(name, option, sample_data, tmp_path):
    words = ("animate", "--motion", str(DANCE), option, str(sample_data / "media" / name))
    # A process counts what its parent held when it was forked: a small one stands between the tests and mimo.
    between = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'mimo_cli', *sys.argv[1:]], capture_output=True, check=False)\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", between, *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    exit_code, peak_kib = map(int, told.split())
    assert exit_code == 3
    assert peak_kib * 1024 < MAX_BYTES


@pytest.mark.parametrize("name", SHOWN)
def test_an_odd_file_stands_behind_the_dance(name, sample_data, danced):
    file = sample_data / "media" / name
    done = finish("animate", "--motion", DANCE, "--scene", file, *TINY, cwd=danced)
    assert done.returncode == 0, done.stderr
    clip = open_clip(Path(done.stdout.strip()))
    assert clip.size == (64, 64)
    wanted = np.stack(list(Backdrop(file, "", (64, 64)).read(clip.times.time_s))).astype(float)
    shown = np.stack(list(clip.read())).astype(float)
    # The top corners are never danced through. 16 of 256 levels: H.264 at its default quality, halved chroma and
    # quarter-pixel noise in so small a picture; the studio, or the picture upside down, is 45 and more off.
    for corner in (np.s_[:, :12, :12], np.s_[:, :12, -12:]):
        assert np.abs(shown[corner].mean(axis=(1, 2)) - wanted[corner].mean(axis=(1, 2))).max() < 16


def test_a_folder_of_pictures_stands_behind_the_dance(danced):
    folder = danced / "pictures"
    folder.mkdir()
    for idx, color in enumerate(["red", "blue"]):
        Image.new("RGB", (64, 64), color).save(folder / f"{idx}.png")
    done = finish("animate", "--motion", DANCE, "--scene", folder, *TINY, cwd=danced)
    assert done.returncode == 0, done.stderr
    first = next(iter(open_clip(Path(done.stdout.strip())).read(0, 1)))
    assert first[:12, :12, 0].mean() > 200 and first[:12, :12, 1:].mean() < 40  # red, though encoded


@pytest.mark.parametrize("name", OPENED)
def test_an_odd_file_is_accepted_as_a_scene(name, sample_data, tmp_path):
    done = finish("animate", "--motion", DANCE, "--scene", sample_data / "media" / name, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "compose" in done.stderr


@pytest.mark.parametrize("name", ["one_pixel.mp4", "corrupt_tail.mp4"])
def test_a_video_without_a_person_is_refused(name, sample_data, tmp_path):
    done = finish("decompose", sample_data / "media" / name, cwd=tmp_path)
    assert_refused(done, 3, "no person")
    assert ("only its first 28 frames" in done.stderr) == (name == "corrupt_tail.mp4")


def test_a_portrait_on_a_busy_wall_is_no_character(sample_data, tmp_path):
    picture = sample_data / "media" / "images" / "hopper_orientation_6.jpg"
    assert_refused(finish("animate", "--motion", DANCE, "--character", picture, cwd=tmp_path), 3, "no character")
