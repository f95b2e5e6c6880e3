"""Every motion file of the sample data, imported or refused, and a few of them animated from the shell."""

import re

import cv2
import numpy as np
import pytest
from filmed import CAT, mimo

from engine.body.bvh import read_bvh
from engine.body.model import forward_kinematics
from engine.errors import MimoError
from engine.motion.retarget import motion_from_bvh
from engine.types import JOINTS
from engine.video import open_clip, open_layer

WALKS = ("bandai2_walk_turn_left", "bandai_walk_happy", "bvhtoolbox_walk_scientific")
TOO_FEW = "pybvh_rotation_first_root"


def test_every_motion_file_is_a_person_who_stands_or_is_refused_with_a_sentence(sample_data):
    paths = sorted((sample_data / "motion").glob("*.bvh"))
    assert len(paths) >= 12
    for path in paths:
        if path.stem == TOO_FEW:
            with pytest.raises(MimoError) as refusal:
                motion_from_bvh(read_bvh(path))
            assert len(str(refusal.value).split()) > 4
            continue
        motion, table = motion_from_bvh(read_bvh(path))
        assert len(motion) >= 1, path
        assert table, path
        joints, _ = forward_kinematics(motion.rotvec, motion.root_m, motion.rest_m)
        at = {name: joints[:, k] for k, name in enumerate(JOINTS)}
        assert np.isfinite(joints).all(), path
        # nobody in the samples lies down: in most frames the head is above the pelvis and the feet below it
        assert np.median(at["head"][:, 1] - at["pelvis"][:, 1]) > 0.25, path
        assert np.median(at["pelvis"][:, 1] - at["left_ankle"][:, 1]) > 0.25, path
        # a human: 1.2 ... 2.2 m tall whatever units the file counts in
        assert 1.2 < np.ptp(motion.rest_m[:, 1]) * 1.1 < 2.2, path
        # left and right are not swapped: shoulders and hips are on the same side
        across = at["left_shoulder"] - at["right_shoulder"]
        assert np.median((across * (at["left_hip"] - at["right_hip"])).sum(-1)) > 0, path


@pytest.mark.parametrize("name", WALKS)
def test_walkers_walk_forwards(sample_data, name):
    motion, _ = motion_from_bvh(read_bvh(sample_data / "motion" / f"{name}.bvh"))
    _, rotations = forward_kinematics(motion.rotvec, motion.root_m, motion.rest_m)
    facing = rotations[:-1, 0, :, 2]
    steps = np.diff(motion.root_m, axis=0)
    # share of the way that goes where the pelvis faces; the rest is sway and the curve
    assert (steps * facing)[:, [0, 2]].sum() > 0.8 * np.linalg.norm(steps[:, [0, 2]], axis=1).sum()


def shorten(source, target, num_frames: int) -> None:
    """Copy a BVH with its first frames alone."""
    lines = source.read_text().splitlines()
    head = next(k for k, line in enumerate(lines) if line.strip().startswith("Frames"))
    kept = [line for line in lines[head + 2 :] if line.strip()][:num_frames]
    target.write_text("\n".join([*lines[:head], f"Frames: {len(kept)}", lines[head + 1], *kept]) + "\n")


def test_the_shell_animates_a_character_that_stands_in_the_picture(sample_data, tmp_path):
    shorten(sample_data / "motion" / "cmu_jumping_jacks.bvh", tmp_path / "jacks.bvh", 40)
    stdout, stderr = mimo("animate", "--motion", "jacks.bvh", "--character", CAT, "--size", "96x96", cwd=tmp_path)
    clip = open_clip(tmp_path / stdout.strip())
    assert (clip.size, clip.num_frames) == ((96, 96), 40)
    assert "left_wrist" in stderr  # the joint mapping is printed
    figure = open_layer(next(tmp_path.glob("*.mimo/render/*/human.mkv")), kind="rgba")
    for rgba in figure.read():
        rows, columns = np.nonzero(rgba[..., 3] > 127)
        assert 40 < np.ptp(rows) < 92  # as large as the picture allows, nothing cut off
        assert rows.min() > 0
        assert columns.min() > 0
        assert columns.max() < 95


def test_joints_of_the_picture_fit_a_cutout_of_another_size(sample_data, tmp_path):
    source = sample_data / "characters" / "ad_char3"
    folder = tmp_path / "small"
    folder.mkdir()
    picture = cv2.imread(str(source / "texture.png"))
    scale = 250 / picture.shape[0]  # so small that the cutout is enlarged
    size = round(picture.shape[1] * scale), 250
    cv2.imwrite(str(folder / "texture.png"), cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    mask = cv2.imread(str(source / "mask.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(folder / "mask.png"), cv2.resize(mask, size, interpolation=cv2.INTER_AREA))
    numbers = re.compile(r"(?m)^(\s*- |height: |width: )(\d+)$")
    text = (source / "char_cfg.yaml").read_text()
    rig = numbers.sub(lambda found: f"{found[1]}{round(int(found[2]) * scale)}", text)
    rig = re.sub(r"(?m)^width: .*", f"width: {size[0]}", rig)
    (folder / "char_cfg.yaml").write_text(rig)
    motion = sample_data / "motion" / "pybvh_rest_1frame.bvh"
    for name, character in (("large", source), ("small", folder)):
        words = ("--motion", motion, "--character", character, "--name", name, "--project", "p.mimo")
        mimo("animate", *words, "--size", "64x64", cwd=tmp_path)
    large, small = (np.load(tmp_path / f"p.mimo/identity/{name}/puppet.npz") for name in ("large", "small"))
    # in figure heights; joints of the small picture are rounded to 1/250 of it
    np.testing.assert_allclose(small["joints"], large["joints"], atol=0.02)
