"""`mimo dataset` and `mimo train` as a person types them."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from filmed import ROOT, assert_refused, film, finish, mimo, start
from tiny_networks import write_tiny_mimo

from engine.training.body_map import draw_body
from engine.training.shards import Shards
from engine.video import open_clip

TINY = """
[data]
shards = "clips"
size = 32
frames = 2
[data.synth]
count = 2
identities = 2
num_frames = 3
fps = 6
pairs = true
[model]
codec = "pixels"
block_out_channels = [32, 64]
layers_per_block = 1
cross_attention_dim = 16
num_attention_heads = 2
norm_num_groups = 8
code_channels = 4
[objective]
prediction = "x0"
[optim]
steps = {steps}
batch = 2
lr = 1e-3
warmup_steps = 2
ema = 0.9
[validate]
every = {every}
clips = 1
num_steps = 2
[checkpoint]
every = {every}
"""


def recipe(folder: Path, *, steps: int, every: int) -> Path:
    path = folder / "tiny.toml"
    path.write_text(TINY.format(steps=steps, every=every))
    return path


def test_train_and_go_on(tmp_path):
    recipe(tmp_path, steps=2, every=1)
    stdout, stderr = mimo("train", "tiny.toml", cwd=tmp_path)
    run = tmp_path / "runs" / "tiny"
    assert Path(stdout.strip()) == Path("runs/tiny")
    assert "held-out PSNR" in stderr
    assert (run / "samples" / "step-000002.png").is_file()
    film = open_clip(run / "samples" / "step-000002.mp4")
    assert (film.size, film.num_frames) == ((2 * 32, 3 * 32), 2)  # identity, true, made; a clip, and its swap
    last = list(csv.DictReader((run / "metrics.csv").open()))[-1]
    assert all(float(last[name]) > 0 for name in ("psnr_db", "psnr_human_db", "swap_db", "swap_human_db"))
    assert json.loads((run / "speed.json").read_text())["steps"] == 2
    assert (run / "checkpoints" / "best" / "ema.safetensors").is_file()
    first = (run / "metrics.csv").read_text()
    mimo("train", "tiny.toml", "--set", "optim.steps=3", cwd=tmp_path)
    assert (run / "metrics.csv").read_text().startswith(first)
    words = ("animate", "--motion", ROOT / "examples" / "dance.bvh", "--size", "96x96", "--fps", "1", "-o", "made.mp4")
    network = ("--animator", "diffusion", "--weights", "runs/tiny", "--side", "64", "--steps", "1", "--guidance", "1")
    mimo(*words, *network, cwd=tmp_path)  # blocks of pixels and an image encoder of its own: nothing else is needed
    assert open_clip(tmp_path / "made.mp4").size == (96, 96)
    done = finish("train", "tiny.toml", "--set", "optim.lr=1", cwd=tmp_path)
    assert_refused(done, 3, "optim.lr", "--out")


def test_what_is_missing_is_said_before_any_work(tmp_path):
    done = finish("train", str(ROOT / "recipes" / "stage1.toml"), cwd=tmp_path)
    assert_refused(done, 4, "mimo weights pull")
    assert_refused(finish("train", "none.toml", cwd=tmp_path), 3, "not there")
    assert_refused(finish("train", str(ROOT / "recipes" / "nano.toml"), "--init", "zero", cwd=tmp_path), 2, "--init")
    assert list(tmp_path.iterdir()) == []


def test_the_plan_trains_nothing(tmp_path):
    stdout, _ = mimo("train", recipe(tmp_path, steps=2, every=1), "--plan", cwd=tmp_path)
    for word in ("denoising_unet", "trained", "one step", "memory", "disk"):
        assert word in stdout
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


@pytest.mark.slow
def test_kill_nine_changes_no_bit(tmp_path):
    """20 steps straight are 10, kill -9, and 10 more."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    recipe(tmp_path / "a", steps=20, every=5)
    recipe(tmp_path / "b", steps=20, every=5)
    mimo("train", "tiny.toml", "-q", cwd=tmp_path / "a")
    metrics = tmp_path / "b" / "runs" / "tiny" / "metrics.csv"
    with start("train", "tiny.toml", "-q", cwd=tmp_path / "b") as process:
        while process.poll() is None and (not metrics.is_file() or metrics.read_text().count("\n") < 12):
            time.sleep(0.05)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    mimo("train", "tiny.toml", "-q", cwd=tmp_path / "b")
    for name in ("model", "ema"):
        stem = f"runs/tiny/checkpoints/step-000020/{name}.safetensors"
        assert (tmp_path / "a" / stem).read_bytes() == (tmp_path / "b" / stem).read_bytes()


def test_dataset_synth(tmp_path):
    words = ("dataset", "synth", "--count", "1", "--size", "32", "--frames", "2", "--fps", "4", "--pairs")
    stdout, _ = mimo(*words, "--motion", ROOT / "examples" / "dance.bvh", "--out", "clips", cwd=tmp_path)
    assert stdout.strip() == "clips"
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["shard-000000.tar"]
    assert_refused(finish("dataset", "draw", "--out", "clips", cwd=tmp_path), 2, "mimo dataset build")


VAE_RECIPE = """
[data]
shards = "clips"
size = 64
frames = 2
[data.synth]
count = 2
num_frames = 2
fps = 6
[model]
block_out_channels = [32, 32, 64, 64]
cross_attention_dim = 32
code_channels = 4
[optim]
steps = 1
batch = 1
train = ["codes", "pose_encoder", "reference_net", "denoising_unet", "motion_modules"]
[init]
stable_diffusion = ""
[validate]
clips = 1
num_steps = 1
"""


def test_a_trained_network_animates(tmp_path, monkeypatch):
    """From the recipe to a video: the paper's variant on latents of a (tiny) VAE, in the folder of the run."""
    write_tiny_mimo(tmp_path / "weights")
    monkeypatch.setenv("MIMO_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "paper.toml").write_text(VAE_RECIPE)
    _, stderr = mimo("train", "paper.toml", cwd=tmp_path)
    assert "--animator diffusion --network runs/paper/network" in stderr
    words = ("animate", "--motion", ROOT / "examples" / "dance.bvh", "--size", "96x96", "--fps", "1")
    network = ("--animator", "diffusion", "--network", "runs/paper/network", "--side", "64", "--steps", "1")
    stdout, _ = mimo(*words, *network, cwd=tmp_path)
    assert open_clip(tmp_path / stdout.strip()).size == (96, 96)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A game, and a file that is no video."""
    folder = tmp_path_factory.mktemp("films")
    film(folder / "game.mp4")
    (folder / "notes.mp4").write_text("no video")
    return folder


def test_dataset_build(films, tmp_path):
    words = ("dataset", "build", films, "--size", "64", "--frames", "8", "--out", "data")
    stdout, stderr = mimo(*words, cwd=tmp_path)
    assert stdout.strip() == "data"
    assert "2 clips of 20 frames" in stderr and "notes.mp4" in stderr
    clip = Shards(tmp_path / "data").read(1)
    assert clip.rgb.shape == clip.scene.shape == (8, 64, 64, 3) and clip.occlusion.shape == (8, 64, 64, 4)
    seen = clip.human_mask > 250
    assert 0.05 < seen.mean() < 0.5
    changed = np.abs(clip.rgb.astype(int) - clip.scene).max(-1)
    assert np.median(changed[seen]) > 20 > np.median(changed[clip.human_mask == 0])  # nobody is in the scene
    body = np.zeros(seen.shape, bool)
    body.reshape(-1)[draw_body(clip, 64, "codes").pixel_P] = True
    assert (body & seen).sum() / body.sum() > 0.7  # fitted to 240 lines: within two pixels of 64
    assert (clip.reference[0] == 255).all() and (clip.reference < 250).any()
    page = (tmp_path / "data" / "statistics.html").read_text()
    assert "2 videos" in page and "too short a stretch" in page
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.tar")}
    mimo(*words, cwd=tmp_path)  # all is done: nothing is made again
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_dataset_build_on_ray(films, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install '.[cluster]'")
    words = ("dataset", "build", films, "--size", "64", "--frames", "8", "--out", "data")
    mimo(*words, "--ray", "local", "--workers", "2", cwd=tmp_path)
    verdicts = [json.loads(path.read_text()) for path in (tmp_path / "data" / "verdicts").iterdir()]
    assert sorted(one["clips"] for one in verdicts) == [0, 2]
