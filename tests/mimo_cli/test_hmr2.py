"""`mimo fit-motion --backend hmr2`, from the film to the body, with a small checkpoint in the published layout."""

import json

import numpy as np
import pytest
from filmed import SPEC, film
from tiny_networks import write_tiny_hmr2
from typer.testing import CliRunner

from mimo_cli import app, tables
from mimo_cli.opening import open_video_project

CHECKPOINT = "epoch=35-step=1000000.ckpt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A film and its project, in which nothing has been done."""
    folder = tmp_path_factory.mktemp("hmr2")
    film(folder / "game.mp4")
    open_video_project(folder / "game.mp4", folder / "game.mimo")
    return folder


@pytest.fixture
def fit(folder, monkeypatch):
    """Call `mimo fit-motion` on the project, in this process; weights are only in the folder."""
    from huggingface_hub import constants

    monkeypatch.setenv("MIMO_WEIGHTS", str(folder / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))

    def fit(*words: str, code: int = 0):
        done = CliRunner().invoke(app.app, ["fit-motion", str(folder / "game.mimo"), *words], prog_name="mimo")
        assert done.exit_code == code, done.stderr
        return done

    return fit


def test_the_whole_walk(folder, fit):
    body = folder / "game.mimo/motion/body.bvh"
    fit()
    embedded = body.read_bytes()

    missing = fit("--backend", "hmr2", code=4).stderr
    assert CHECKPOINT in missing and "fix: mimo weights pull hmr2" in missing
    assert body.read_bytes() == embedded

    write_tiny_hmr2(folder / "weights/hmr2" / CHECKPOINT)
    done = fit()  # the backend is remembered in project.toml
    assert "non-commercial" in done.stderr
    assert done.stdout.splitlines()[0].endswith("motion/body.bvh")
    first = body.read_bytes()
    assert first != embedded
    camera = tables.read_camera(folder / "game.mimo/motion/camera.csv", SPEC.num_frames)
    assert np.isfinite(camera.world_to_cam).all()
    record = json.loads((folder / "game.mimo/stages/fit.json").read_text())
    assert set(record["weights"]) == {"hmr2"} and len(record["weights"]["hmr2"]) == 64
    assert len(record["facts"]["smpl_betas"]) == 10

    fit("--redo", "fit")
    assert body.read_bytes() == first  # same input, same bytes
    write_tiny_hmr2(folder / "weights/hmr2" / CHECKPOINT, seed=1, sway=0.1)
    assert "fit " in fit("--dry-run").stderr.replace("up to date", "")
    fit()
    assert body.read_bytes() != first  # other weights, other key
    (folder / "weights/hmr2" / CHECKPOINT).write_bytes(b"no checkpoint")
    assert "cannot be read" in fit(code=3).stderr

    fit("--backend", "embedded")
    assert body.read_bytes() == embedded


def test_another_backend_is_not_remembered(folder, fit):
    settings = (folder / "game.mimo/project.toml").read_bytes()
    assert "did you mean hmr2?" in fit("--backend", "hmr3", code=2).stderr
    assert (folder / "game.mimo/project.toml").read_bytes() == settings
