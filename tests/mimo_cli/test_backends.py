"""`mimo decompose --backend`, from the film to the layers, with small networks in the published layouts."""

import importlib.util
import json

import numpy as np
import pytest
from filmed import SPEC, film
from tiny_networks import write_propainter, write_tiny_depth_anything, write_tiny_mask2former, write_tiny_sam2
from typer.testing import CliRunner

from engine.layers.scene.propainter import FILES
from engine.video import open_layer
from mimo_cli import app
from mimo_cli.opening import open_video_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backends")
    film(folder / "game.mp4")
    open_video_project(folder / "game.mp4", folder / "game.mimo")
    return folder


@pytest.fixture
def decompose(folder, monkeypatch):
    """Call `mimo decompose` on the project, in this process; weights are only in the folder."""
    from huggingface_hub import constants

    monkeypatch.setenv("MIMO_WEIGHTS", str(folder / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))

    def decompose(*words: str, code: int = 0):
        done = CliRunner().invoke(app.app, ["decompose", str(folder / "game.mimo"), *words], prog_name="mimo")
        assert done.exit_code == code, done.stderr
        return done

    return decompose


def test_depth_of_a_network(folder, decompose):
    missing = decompose("--backend", "depth=depth-anything", code=4).stderr
    assert "fix: mimo weights pull depth-anything-v2-small" in missing
    write_tiny_depth_anything(folder / "weights/depth-anything-v2-small")
    done = decompose()  # remembered in project.toml
    path = folder / "game.mimo/layers/depth.mkv"
    assert str(path) in done.stdout.split()
    layer = open_layer(path, kind="gray16")
    assert (layer.num_frames, layer.size) == (SPEC.num_frames, SPEC.size)
    measured = path.read_bytes()
    again = decompose("--backend", "depth=embedded", "--dry-run").stderr
    assert "depth" in again and "depth-anything → embedded" in again
    decompose("--backend", "depth=embedded")
    frame = next(iter(open_layer(path, kind="gray16").read()))
    assert path.read_bytes() != measured and len(np.unique(frame)) > 10


def test_mask_of_a_network(folder, decompose):
    missing = decompose("--backend", "mask=sam2", code=4).stderr
    assert "fix: mimo weights pull sam2" in missing
    write_tiny_sam2(folder / "weights/sam2")
    done = decompose()
    layers = {line.rpartition("/")[2] for line in done.stdout.split()}
    assert layers == {"human.mask.mkv", "scene.mkv", "occlusion.mask.mkv", "depth.mkv"}
    masks = np.stack(list(open_layer(folder / "game.mimo/layers/human.mask.mkv", kind="gray8").read()))
    assert masks.shape == (SPEC.num_frames, *SPEC.size) and masks.any(axis=(1, 2)).all()
    record = json.loads((folder / "game.mimo/stages/segment.json").read_text())
    assert set(record["weights"]) == {"sam2"}


def test_mask_of_an_instance_network(folder, decompose):
    missing = decompose("--backend", "mask=mask2former", code=4).stderr
    assert "fix: mimo weights pull mask2former" in missing
    write_tiny_mask2former(folder / "weights/mask2former")
    decompose()
    masks = np.stack(list(open_layer(folder / "game.mimo/layers/human.mask.mkv", kind="gray8").read()))
    assert masks.shape == (SPEC.num_frames, *SPEC.size) and masks.any(axis=(1, 2)).all()
    record = json.loads((folder / "game.mimo/stages/segment.json").read_text())
    assert set(record["weights"]) == {"mask2former"}


def test_scene_of_a_network(folder, decompose):
    missing = decompose("--backend", "scene=propainter", code=4).stderr
    assert "fix: get the three .zip files" in missing and "github.com/osmr/imgclsmob" in missing
    if importlib.util.find_spec("pytorchcv") is None:
        weights = folder / "weights/propainter"
        weights.mkdir(parents=True)
        for name in FILES.values():
            (weights / name).touch()
        assert "whose package does not start" in decompose(code=4).stderr
        return
    write_propainter(folder / "weights/propainter")
    assert "non-commercial use only" in decompose().stderr
    record = json.loads((folder / "game.mimo/stages/scene.json").read_text())
    assert set(record["weights"]) == {"propainter"}
    decompose("--backend", "scene=embedded", "--dry-run")


def test_what_is_no_backend(folder, decompose):
    settings = (folder / "game.mimo/project.toml").read_bytes()
    assert "dpeth is no layer" in decompose("--backend", "dpeth=depth-anything", code=2).stderr
    assert "did you mean depth-anything?" in decompose("--backend", "depth=depth-anythin", code=2).stderr
    assert (folder / "game.mimo/project.toml").read_bytes() == settings
