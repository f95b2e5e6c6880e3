"""What cannot be done is refused: two lines, the documented exit code, no traceback, nothing lost."""

import errno
from pathlib import Path

import numpy as np
import pytest
from filmed import CAT, ROOT, assert_refused
from filmed import finish_here as mimo
from PIL import Image

from mimo_cli.disk import explain

GAME = ROOT / "examples" / "game.mp4"


def _empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def _text(folder: Path) -> Path:
    path = folder / "notes.mp4"
    path.write_text("this is no video\n" * 100)
    return path


def _folder(folder: Path) -> Path:
    path = folder / "a folder"
    path.mkdir()
    return path


def _truncated(folder: Path) -> Path:
    path = folder / "cut.mp4"
    path.write_bytes(GAME.read_bytes()[:2000])
    return path


@pytest.mark.parametrize("make", [_empty, _text, _folder, _truncated, lambda folder: folder / "absent.mp4"])
def test_a_video_that_is_none(make, tmp_path):
    video = make(tmp_path)
    assert_refused(mimo("swap", "--video", video, "--character", CAT, cwd=tmp_path), 3, video.name)
    assert not list(tmp_path.glob("*.mimo"))  # no project is left behind


@pytest.mark.parametrize("size", [(120, 160), (1, 1)])
def test_a_video_without_a_person(size, tmp_path):
    video = tmp_path / "wall"
    video.mkdir()
    for idx in range(3):
        Image.fromarray(np.full((*size, 3), 90 + idx, np.uint8)).save(video / f"{idx:03d}.png")
    done = mimo("decompose", video, cwd=tmp_path)
    assert_refused(done, 3, "no person")


@pytest.mark.parametrize("kind", ["blank", "broken", "text"])
def test_a_character_that_is_none(kind, tmp_path):
    picture = tmp_path / "character.png"
    if kind == "blank":
        Image.new("RGB", (300, 400), "white").save(picture)
    elif kind == "broken":
        picture.write_bytes(CAT.read_bytes()[:500])
    else:
        picture.write_text("no picture")
    bvh = ROOT / "examples" / "dance.bvh"
    done = mimo("animate", "--motion", bvh, "--character", picture, cwd=tmp_path)
    assert_refused(done, 3)
    again = mimo("animate", "--motion", bvh, "--character", CAT, "--size", "64x64", "--fps", "2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr  # the same project is not spoilt


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("swap",), 2, "no project here"),
        (("swap", "--character", "cat.png"), 2, "no project here"),
        (("swp",), 2, "swap"),
        (("swap", "--charakter", "x"), 2, "--character"),
        (("animate", "--motion", "nowhere.bvh"), 3, "nowhere.bvh"),
        (("animate", "--motion", str(CAT), "--size", "big"), 2, "--size"),
        (("swap", "--video", str(GAME), "--character", "nobody.png"), 3, "nobody.png"),
        (("swap", "--video", str(GAME)), 2, "no character was named"),
        (("swap", "--video", str(GAME), "--lossless", "--alpha"), 2, "two results"),
        (("swap", "--video", str(GAME), "--character", str(CAT), "-o", "x.txt"), 2, "x.txt"),
        (("swap", "--video", str(GAME), "--character", str(CAT), "-o", "no/where/x.mp4"), 3, "mkdir -p"),
        (("swap", "--video", str(GAME), "--character", str(CAT), "--point", "here"), 2, "--point"),
        (("fit-motion", "nothing.mimo"), 3, "nothing.mimo"),
        (("encode-id", str(CAT)), 2, "no project here"),
    ],
)
def test_words_that_make_no_sense(words, code, says, tmp_path):
    assert_refused(mimo(*words, cwd=tmp_path), code, says)
    assert not list(tmp_path.iterdir())  # no project is made for it


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HIERARCHY\n",
        "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n}\n"
        "MOTION\nFrames: 0\nFrame Time: 0.03\n",
    ],
)
def test_a_motion_that_is_none(text, tmp_path):
    motion = tmp_path / "broken.bvh"
    motion.write_text(text)
    assert_refused(mimo("animate", "--motion", motion, cwd=tmp_path), 3, "broken.bvh")


def test_a_project_of_a_newer_version(tmp_path):
    made = mimo("decompose", GAME, "--dry-run", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    settings = tmp_path / "game.mimo" / "project.toml"
    text = settings.read_text()
    assert "schema = 1" in text
    settings.write_text(text.replace("schema = 1", "schema = 99"))
    assert_refused(mimo("status", "game.mimo", cwd=tmp_path), 3, "newer")


@pytest.mark.parametrize(("there", "says"), [(True, "copy it"), (False, "--project")])
def test_a_read_only_disk(there, says, tmp_path):
    folder = tmp_path / "game.mimo"
    if there:
        folder.mkdir()
    sentence = explain(OSError(errno.EROFS, "Read-only file system", str(folder)), folder)
    assert sentence is not None and sentence.exit_code == 3
    assert "read-only" in sentence.what and says in sentence.fix


def test_another_scene_takes_the_place_of_the_first(tmp_path):
    for name in ("red", "blue"):
        Image.new("RGB", (64, 64), name).save(tmp_path / f"{name}.png")
        words = ("animate", "--motion", ROOT / "examples" / "dance.bvh", "--scene", f"{name}.png", "--dry-run")
        done = mimo(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{name}.png" in (tmp_path / "dance.mimo" / "project.toml").read_text()
    assert "red.png" not in (tmp_path / "dance.mimo" / "project.toml").read_text()
