"""`mimo swap --animator diffusion` from the shell, on a tiny network in the published layout and under its name."""

import json
import os
from dataclasses import replace

import filmed
import numpy as np
import pytest
from filmed import CAT, assert_refused, finish, mimo, start
from tiny_networks import write_tiny_mimo

from engine.video import LayerWriter, open_clip, open_layer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`game.mp4`, nine frames, with weights beside it, and a project that is driven by the embedded body's surface."""
    folder = tmp_path_factory.mktemp("diffusion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filmed, "SPEC", replace(filmed.SPEC, num_frames=9, size=(120, 160)))
        filmed.film(folder / "game.mp4")
    write_tiny_mimo(folder / "weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIMO_WEIGHTS", str(folder / "weights"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        finish(*swap("--dry-run"), cwd=folder)  # makes the project
        settings = folder / "game.mimo" / "project.toml"
        text = settings.read_text(encoding="utf-8") + '\n[animate]\npose = "surface"\nwindow = 4\noverlap = 2\n'
        settings.write_text(text, encoding="utf-8")
        yield folder


def swap(*more):
    first = ("swap", "--video", "game.mp4", "--character", CAT, "--animator", "diffusion")
    return *first, "--side", "64", "--steps", "2", *more


def test_missing_weights_and_commercial_use(folder, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIMO_WEIGHTS", str(tmp_path))
        patch.setenv("HF_HUB_CACHE", str(tmp_path))
        assert_refused(finish(*swap("--lossless", "--dry-run"), cwd=folder), 4, "mimo weights pull mimo")
    assert_refused(finish(*swap("--commercial"), cwd=folder), 2, "mimo is not for commercial use", "--animator puppet")


def test_the_plan_is_measured_and_nothing_runs(folder):
    done = finish(*swap("--plan", "--json"), cwd=folder)
    told = next(json.loads(line) for line in done.stdout.splitlines() if '"forecast"' in line)
    assert (told["windows"], told["exact"]) == (4, False)  # nine frames, four at a time, two of them known
    assert told["minutes"] >= 0 and told["memory_bytes"] > 1e7 and told["step_tera_flop"] > 0
    assert not (folder / "game.mimo" / "clip").exists()
    done = finish(*swap("--plan"), cwd=folder)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["windows", "time", "memory", "disk"]


def test_the_whole_walk(folder):
    """The network's figure in the scene; every pixel that is not edited is the source's own; a kill costs nothing."""
    project = folder / "game.mimo"
    with start(*swap("--lossless"), cwd=folder) as process:
        while "windows" not in (line := process.stderr.readline()) and line:
            pass
        while process.poll() is None and not list((project / ".mimo/work").glob("animate@cat-*/chunks/shot*[0-9]")):
            pass
        os.killpg(process.pid, 9)
        process.communicate()
    stdout, stderr = mimo(*swap("--lossless"), cwd=folder)
    assert "4 windows of up to 4 frames in one crop" in stderr
    record = json.loads((project / "stages/animate@cat.json").read_text(encoding="utf-8"))
    assert record["weights"].keys() == {"mimo", "sd-vae-ft-mse", "image-encoder"}
    assert record["params"]["precision"] in ("float32", "float16")  # "auto" is no part of a key
    clip = open_clip(folder / "game.mp4")
    result = open_layer(folder / stdout.strip(), kind=clip.info.pix_fmt)
    scene = open_layer(project / "layers/scene.mkv", kind="rgba")
    human = open_layer(project / "render/cat/human.mkv", kind="rgba")
    shown = 0
    for frame, planes, behind, figure in zip(
        clip.read_frames(), result.read(), scene.read(), human.read(), strict=True
    ):
        edited = (behind[..., 3] > 0) | (figure[..., 3] > 0)
        np.testing.assert_array_equal(planes[0][~edited], frame.planes[0][~edited])
        shown += int((figure[..., 3] > 127).sum())
    assert shown > 1000
    before = (project / "render/cat/human.mkv").read_bytes()
    mimo(*swap("--lossless", "--redo", "animate"), cwd=folder)
    assert (project / "render/cat/human.mkv").read_bytes() == before  # unbroken, and the same
    _, stderr = mimo(*swap("--lossless", "--animator", "puppet"), cwd=folder)
    assert "animate.animator diffusion → puppet" in stderr


def test_a_pose_video_of_ones_own(folder):
    """The published network's pose video may be brought: it is a slot like any other."""
    project = folder / "game.mimo"
    clip = open_clip(folder / "game.mp4")
    (project / "motion").mkdir(exist_ok=True)
    with LayerWriter(project / "motion/sdc.mkv", clip.size, "rgb") as writer:
        for _ in range(clip.num_frames):
            frame = np.zeros((*clip.size, 3), np.uint8)
            frame[20:100, 60:90] = (180, 90, 40)
            writer.write(frame)
    text = (project / "project.toml").read_text(encoding="utf-8").replace('pose = "surface"', 'pose = "sdc"')
    (project / "project.toml").write_text(text, encoding="utf-8")
    stdout, _ = mimo(*swap("--alpha", "-o", "cat.mkv"), cwd=folder)
    alpha = np.stack(list(open_layer(folder / stdout.strip(), kind="rgba").read()))[..., 3]
    assert alpha[:, 20:100, 60:90].mean() > 128 and not alpha[:, :, 130:].any()
