"""`mimo weights`, and stages whose networks come and go."""

import json
from dataclasses import replace

import pytest
from stand_in_hub import serving
from typer.testing import CliRunner

from engine.errors import MissingError
from mimo_cli import app


@pytest.fixture
def mimo(monkeypatch, tmp_path):
    """Call the command line in this process on a machine without weights."""
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MIMO_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return lambda *args: CliRunner().invoke(app.app, [str(arg) for arg in args], prog_name="mimo")


def test_list(mimo):
    done = mimo("weights", "list")
    assert done.exit_code == 0
    assert "mimo weights pull sd-vae-ft-mse" in done.stdout
    rows = [json.loads(line) for line in mimo("weights", "list", "--json").stdout.splitlines()]
    assert {row["name"] for row in rows} >= {"mimo", "smpl", "propainter"}
    assert all(row["folder"] is None for row in rows)
    vae = next(row for row in rows if row["name"] == "sd-vae-ft-mse")
    assert vae["commercial"] and vae["sha256"]["config.json"].startswith("92d3dfb7")


def test_pull_path_and_verify(mimo, monkeypatch, tmp_path):
    with serving() as (hub, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        names = ("config.json", "preprocessor_config.json", "model.safetensors")
        hub.files = {f"/depth-anything/Depth-Anything-V2-Small-hf/resolve/main/{n}": n.encode() for n in names}
        missing = mimo("weights", "path", "depth-anything-v2-small")
        assert missing.exit_code == 4
        assert "fix: mimo weights pull depth-anything-v2-small" in missing.stderr
        done = mimo("weights", "pull", "depth-anything-v2-small")
        folder = tmp_path / "mine" / "depth-anything-v2-small"
        assert (done.exit_code, done.stdout) == (0, f"{folder}\n"), done.stderr
        assert "licence Apache-2.0" in done.stderr
    assert mimo("weights", "path", "depth-anything-v2-small").stdout == f"{folder}\n"
    done = mimo("weights", "verify")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok", "ok", "ok"]
    (folder / "config.json").write_text("bent")
    done = mimo("weights", "verify", "depth-anything-v2-small")
    assert done.exit_code == 3
    assert "WRONG" in done.stdout and "config.json" in done.stderr


def test_commercial(mimo):
    done = mimo("weights", "pull", "diffusion", "--commercial")
    assert done.exit_code == 2
    assert "mimo is not for commercial use" in done.stderr and "--animator puppet" in done.stderr
    done = mimo("weights", "list", "--commercial")
    assert "refused  propainter" in done.stdout


def test_words_that_mean_nothing(mimo):
    assert "did you mean pull?" in mimo("weights", "pul").stderr
    assert "did you mean mimo?" in mimo("weights", "pull", "mim").stderr
    assert mimo("weights", "pull").exit_code == 2


def test_what_was_made_outlives_its_network(toy, tmp_path):
    """Weights that are gone stop a stage only when it has to run again; which ones it needs follows its settings."""
    has = [True]

    def digest(name):
        if not has[0]:
            raise MissingError(f"{name} is not here.", fix=f"mimo weights pull {name}")
        return f"sha of {name}"

    stages = [replace(s, weights=lambda p: (p.mode,)) if s.name == "segment" else s for s in toy.STAGES]
    project = toy.make(tmp_path / "dance.mimo", stages=stages)
    project._weights = digest
    project.run([toy.RESULT], identity="cat")
    assert json.loads((project.root / "stages" / "segment.json").read_text())["weights"] == {"plain": "sha of plain"}
    has[0] = False
    toy.ran.clear()
    project.run([toy.RESULT], identity="cat")
    assert toy.ran == []
    with pytest.raises(MissingError, match="fancy is not here"):
        project.run([toy.RESULT], identity="cat", overrides={"segment": {"mode": "fancy"}})
