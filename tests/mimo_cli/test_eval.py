"""`mimo eval` as a person types it: numbers on stdout that say what they are, and refusals."""

import csv
import json

import av
import numpy as np
import pytest
from classifier_files import write_i3d, write_lpips
from filmed import CAT, ROOT
from PIL import Image
from tiny_networks import tiny_image_encoder
from typer.testing import CliRunner

from engine.metrics.picture import psnr_db
from mimo_cli import app

DANCE = ROOT / "examples" / "dance.bvh"
SIZE = (72, 96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two clips as pictures, the mask of an edit, and the numbers of frames 0 ... 5."""
    folder = tmp_path_factory.mktemp("eval")
    rng = np.random.default_rng(0)
    true = np.repeat(rng.integers(60, 190, (1, *SIZE, 3), np.uint8), 6, 0)
    got = true.copy()
    got[:, 20:50, 30:60] += np.arange(6, dtype=np.uint8)[:, None, None, None] * 5
    mask = np.zeros((6, *SIZE), np.uint8)
    mask[:, 20:50, 30:60] = 255
    for name, frames in (("true", true), ("got", got), ("mask", mask), ("small", got[:, ::2])):
        (folder / name).mkdir()
        for idx, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / name / f"{idx}.png")
    return folder, got, true


@pytest.fixture
def measure(folder, monkeypatch):
    """Call `mimo eval` in the folder; weights are only in the folder `weights`."""
    from huggingface_hub import constants

    monkeypatch.chdir(folder[0])
    monkeypatch.setenv("MIMO_WEIGHTS", str(folder[0] / "weights"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder[0] / "hub"))

    def measure(*words, code=0):
        done = CliRunner().invoke(app.app, ["eval", *map(str, words)], prog_name="mimo")
        assert done.exit_code == code, done.stderr
        return done

    return measure


def scores(done):
    told = next(line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "scores")
    return {score["name"]: score for score in told["scores"]}


def test_a_clip_beside_the_true_one(measure, folder):
    _, got, true = folder
    done = measure("got", "--truth", "true", "--json")
    found = scores(done)
    assert list(found) == ["psnr", "psnr_pooled", "ssim", "flicker", "warp"]
    assert found["psnr"]["value"] == "inf"  # frame 0 is equal, and JSON has no word for it
    assert found["psnr_pooled"]["value"] == pytest.approx(psnr_db(got, true))
    assert "mimo weights pull alexnet lpips-alex" in done.stderr  # left out, and how to have it
    table = measure("got", "--truth", "true").stdout.splitlines()
    assert table[1].split()[:3] == ["psnr_pooled", f"{psnr_db(got, true):.4g}", "dB"]


def test_only_in_the_mask_and_every_frame(measure, folder):
    home = folder[0]
    out = measure(
        "got", "-t", "true", "--mask", "mask", "-m", "psnr", "-m", "flicker", "-m", "seam", "-o", "a.csv"
    ).stdout
    assert out == "a.csv\n"
    rows = list(csv.DictReader((home / "a.csv").open()))
    assert [row["frame"] for row in rows] == list("012345") and set(rows[0]) == {"frame", "psnr", "flicker", "seam"}
    assert float(rows[5]["psnr"]) == pytest.approx(20 * np.log10(255 / 25))
    assert rows[0]["flicker"] == "" and float(rows[3]["flicker"]) == pytest.approx(5)
    assert float(rows[5]["seam"]) > float(rows[1]["seam"]) > 0
    measure("got", "-t", "true", "-o", "a.json")
    assert json.loads((home / "a.json").read_text())["frames"]["psnr"][0] == "inf"


def test_masks(measure, folder):
    table = measure("mask", "--truth", "mask", "--masks").stdout
    assert [line.split()[:2] for line in table.splitlines()] == [["J", "1"], ["F", "1"], ["J&F", "1"]]


def test_motions(measure, folder, tmp_path):
    found = scores(measure(DANCE, "--truth", DANCE, "--json"))
    assert found["mpjpe"]["value"] == 0 and found["pa_mpjpe"]["value"] < 1e-9 and found["jitter"]["value"] > 0
    assert list(scores(measure(DANCE, "--json"))) == ["jitter"]
    slow = tmp_path / "slow.bvh"
    slow.write_text(DANCE.read_text().replace("Frame Time: 0.0", "Frame Time: 0.1"))
    assert "frames per second" in measure(DANCE, "-t", slow, code=3).stderr


def test_networks(measure, folder):
    home = folder[0]
    for network in ("alex", "vgg"):
        write_lpips(home / "weights", network)
        found = scores(measure("got", "-t", "true", "-m", "lpips", "--lpips", network, "--json"))["lpips"]
        assert found["value"] > 0 and network in found["protocol"]
    assert "lpips" in scores(measure("got", "-t", "true", "--json"))
    tiny_image_encoder().save_pretrained(home / "weights/image-encoder/image_encoder")
    (home / "weights/image-encoder/image_encoder/pytorch_model.bin").touch()  # its published name; safetensors do
    words = ("--identity", CAT, "--mask", "mask", "--json")
    assert -1 <= scores(measure("got", *words))["identity"]["value"] <= 1


@pytest.mark.slow
def test_two_folders_of_videos(measure, folder):
    """Eight passes of a full I3D: minutes on a busy machine."""
    home = folder[0]
    write_i3d(home / "weights/i3d/rgb_imagenet.pt")
    for name in ("ours", "theirs"):
        (home / name).mkdir()
        for number in range(2):
            film(home / name / f"{number}.mp4", seed=number)
    done = measure("ours", "-t", "theirs", "--json")
    assert scores(done)["fvd"]["value"] == pytest.approx(0, abs=1e-6)
    assert "2 against 2 videos" in scores(done)["fvd"]["protocol"] and "reads too high" in done.stderr


def film(path, seed):
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for _ in range(16):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rng.integers(0, 256, (32, 48, 3), np.uint8))))
        out.mux(stream.encode())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("got", "-t", "true", "-m", "vmaf"), 2, "does not know the measure vmaf"),
        (("got", "-t", "true", "-m", "mpjpe"), 2, "no measure of pictures"),
        (("got", "-m", "psnr"), 2, "--truth"),
        (("got", "-t", "true", "-m", "seam"), 2, "--mask"),
        (("got", "-m", "identity"), 2, "--identity"),
        (("mask", "--masks"), 2, "--truth"),
        (("got", "-t", "true", "--lpips", "squeeze"), 2, "alex or vgg"),
        (("got", "-t", "true", "-o", "a.txt"), 2, ".csv or .json"),
        (("got", "-t", "true", "-o", "no/a.csv"), 3, "mkdir -p"),
        (("got", "-t", "absent.mp4"), 3, "absent.mp4 is not there"),
        (("got", "-t", "small"), 3, "resizes nothing"),
        (("got", "-t", CAT), 3, "cat.png is"),
        (("got", "-t", "true", "--mask", "small"), 3, "small"),
        (("got", "-t", "true", "-m", "fvd"), 3, "two folders of videos"),
        (("small", "-t", "small", "-m", "lpips"), 3, "at least 64"),
        ((DANCE, "-t", "got"), 3, "got"),
    ],
)  # fmt: skip
def test_what_is_refused(words, code, says, measure):
    done = measure(*words, code=code)
    assert "error: " in done.stderr and "fix: " in done.stderr
    assert says in done.stderr


def test_fvd_without_its_network(measure, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MIMO_WEIGHTS", str(tmp_path))
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(2):
        film(videos / f"{number}.mp4", number)
    assert "fix: mimo weights pull i3d" in measure(videos, "-t", videos, code=4).stderr
