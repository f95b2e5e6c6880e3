"""surface and sdc as stages of a project: made on demand, the person's own file wins, refusals name what is missing."""

import json
import os
import shutil

import numpy as np
import pose_video
import pytest
import stand_in_smpl
from filmed import ROOT, assert_refused, finish, mimo

from engine.body.family import load_smpl
from engine.conditions.color_table import read_colors, write_colors
from engine.errors import InputError, MissingError
from engine.video import LayerWriter, open_layer
from mimo_cli import slots
from mimo_cli.project import Project
from mimo_cli.stages import MOTION_STAGES


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of weights with a body and its colours, used by every test here."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("smpl", "sdc-colors"):
        (folder / name).mkdir()
    stand_in_smpl.write(folder / "smpl" / "SMPL_NEUTRAL.npz")
    write_colors(folder / "sdc-colors" / "sdc_colors.npz", stand_in_smpl.smooth_colors())
    return folder


@pytest.fixture
def dance(tmp_path):
    """A project of the example's dance, 14 frames of 80x96."""
    sources = {"motion": ROOT / "examples" / "dance.bvh"}
    params = {"import": {"width": 80, "height": 96, "fps": 2.0}}
    return Project.create(tmp_path / "dance.mimo", sources, params, stages=MOTION_STAGES)


def frames_of(path):
    return np.stack(list(open_layer(path, kind="rgb").read()))


def test_both_are_drawn_of_a_motion_file(dance, weights, monkeypatch):
    monkeypatch.setenv("MIMO_WEIGHTS", str(weights))
    made = dance.run((slots.SURFACE, slots.SDC))
    surface, drawn = (frames_of(made[slot]) for slot in (slots.SURFACE, slots.SDC))
    assert surface.shape == drawn.shape and surface.shape[1:] == (96, 80, 3)
    for ours, theirs in zip(surface.any(-1), drawn.any(-1)):
        # 900 pixels, 400 of them on the edge; perspective differs, and the stand-in's vertices were merged.
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.75
    assert not (
        surface.any(-1)[:, [0, -1]].any() or surface.any(-1)[:, :, [0, -1]].any()
    )  # all of it is in the picture
    record = json.loads((dance.root / "stages" / "sdc.json").read_text())
    assert set(record["weights"]) == {"smpl", "sdc-colors"} and len(record["facts"]["betas"]) == 10
    assert made[slots.SDC] == dance.run((slots.SDC,))[slots.SDC]
    assert "sdc" not in [step.stage.name for step in dance.planner().plan([slots.SDC]) if step.action == "run"]


def test_without_the_files_it_says_which(dance, weights, monkeypatch, tmp_path):
    monkeypatch.setenv("MIMO_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(MissingError, match="smpl") as caught:
        dance.run((slots.SDC,))
    assert caught.value.exit_code == 4 and "smpl.is.tue.mpg.de" in caught.value.fix
    assert not (dance.root / "motion").exists()  # said before any work
    (tmp_path / "none" / "smpl").mkdir(parents=True)
    shutil.copy(weights / "smpl" / "SMPL_NEUTRAL.npz", tmp_path / "none" / "smpl")
    with pytest.raises(MissingError, match="sdc-colors"):
        dance.run((slots.SDC,))


def test_other_colours_draw_it_again(dance, weights, monkeypatch, tmp_path):
    mine = tmp_path / "weights"
    shutil.copytree(weights, mine)
    monkeypatch.setenv("MIMO_WEIGHTS", str(mine))
    before = frames_of(dance.run((slots.SDC,))[slots.SDC])
    write_colors(mine / "sdc-colors" / "sdc_colors.npz", 255 - stand_in_smpl.smooth_colors())
    os.utime(mine / "sdc-colors" / "sdc_colors.npz")
    after = frames_of(dance.run((slots.SDC,))[slots.SDC])
    inside = (before > 0).all(-1) & (after > 0).all(-1)
    assert inside.mean() > 0.05 and np.abs(before.astype(int) - after)[inside].mean() > 30


def test_a_surface_of_ones_own_wins(dance, tmp_path):
    with LayerWriter(tmp_path / "mine.mkv", (96, 80), "rgb") as writer:
        for _ in range(3):
            writer.write(np.full((96, 80, 3), 99, np.uint8))
    dance.run((slots.BODY,))
    dance.put(slots.SURFACE, tmp_path / "mine.mkv")
    assert dance.run((slots.SURFACE,))[slots.SURFACE].name == "surface.mkv"
    assert (frames_of(dance.root / "motion" / "surface.mkv") == 99).all()
    slot = slots.SURFACE
    with pytest.raises(InputError, match="3 frames; the clip has"):  # the check at the door of whatever reads it
        slot.check(dance.root / "motion" / "surface.mkv", {slots.CLIP: dance.root / "clip" / "clip.toml"})


@pytest.fixture(scope="module")
def published(weights, tmp_path_factory):
    """A published pose video and its motion."""
    folder = tmp_path_factory.mktemp("published")
    motion = pose_video.turning(12)
    body = load_smpl(weights / "smpl" / "SMPL_NEUTRAL.npz")
    pose_video.write(folder / "sdc.mp4", motion, body, stand_in_smpl.smooth_colors())
    np.savez(folder / "motion.npz", poses=motion.rotvec.reshape(12, -1), transl=motion.transl_m, betas=motion.betas)
    np.savez(folder / "short.npz", poses=np.zeros((3, 72)), transl=np.ones((3, 3)))
    return folder


def test_colours_are_recovered_in_the_shell(published, weights, monkeypatch):
    monkeypatch.setenv("MIMO_WEIGHTS", str(weights))
    stdout, stderr = mimo("weights", "recover-sdc", "sdc.mp4", "motion.npz", "-o", "table.npz", cwd=published)
    assert stdout.strip() == "table.npz"
    assert "12 of 12 frames fit" in stderr and "of the vertices were seen" in stderr
    apart = np.abs(read_colors(published / "table.npz") - stand_in_smpl.smooth_colors()).max(1)
    with np.load(published / "table.npz") as file:
        seen = file["seen_px"] >= 1
    assert seen.mean() > 0.3 and np.median(apart[seen]) < 8  # fewer frames than in the engine's test: more noise


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("sdc.mp4",), 2, "a pose video and its motion"),
        (("sdc.mp4", "motion.npz", "-o", "table.png"), 2, "no table"),
        (("sdc.mp4", "short.npz"), 3, "has 3 frames; sdc.mp4 has 12"),
        (("sdc.mp4", "nothing.npz"), 3, "is not there"),
    ],
)
def test_what_cannot_be_recovered_is_refused(words, code, says, published, weights, monkeypatch):
    monkeypatch.setenv("MIMO_WEIGHTS", str(weights))
    assert_refused(finish("weights", "recover-sdc", *words, cwd=published), code, says)
