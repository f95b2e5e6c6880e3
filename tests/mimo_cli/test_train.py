"""`mimo dataset` and `mimo train` as a person types them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filmed import ROOT, assert_refused, finish, mimo

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
[model]
codec = "pixels"
block_out_channels = [32, 32, 64, 64]
cross_attention_dim = 16
num_attention_heads = 2
norm_num_groups = 8
code_channels = 4
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
    assert (run / "checkpoints" / "best" / "ema.safetensors").is_file()
    first = (run / "metrics.csv").read_text()
    mimo("train", "tiny.toml", "--set", "optim.steps=3", cwd=tmp_path)
    assert (run / "metrics.csv").read_text().startswith(first)
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
    command = [sys.executable, "-m", "mimo_cli", "train", "tiny.toml", "-q"]
    metrics = tmp_path / "b" / "runs" / "tiny" / "metrics.csv"
    with subprocess.Popen(command, cwd=tmp_path / "b", env={"PYTHONPATH": str(ROOT), "PATH": ""}) as process:
        while process.poll() is None and (not metrics.is_file() or metrics.read_text().count("\n") < 12):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    mimo("train", "tiny.toml", "-q", cwd=tmp_path / "b")
    for name in ("model", "ema"):
        stem = f"runs/tiny/checkpoints/step-000020/{name}.safetensors"
        assert (tmp_path / "a" / stem).read_bytes() == (tmp_path / "b" / stem).read_bytes()


def test_dataset_synth(tmp_path):
    words = ("dataset", "synth", "--count", "1", "--size", "32", "--frames", "2", "--fps", "4", "--pairs")
    stdout, _ = mimo(*words, "--motion", ROOT / "examples" / "dance.bvh", "--out", "clips", cwd=tmp_path)
    assert stdout.strip() == "clips"
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["shard-000000.tar"]
    assert_refused(finish("dataset", "draw", "--out", "clips", cwd=tmp_path), 2, "mimo dataset synth")
