"""The whole walk on a clip that knows its own truth: what a person gets from `mimo swap` and `mimo animate`."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from filmed import CAT, ROOT, SPEC, mimo, packets, presentation_times, start

from engine.body.bvh import read_bvh
from engine.motion.amass import write_amass
from engine.motion.retarget import motion_from_bvh
from engine.video import open_clip, open_layer, write_png
from mimo_cli import __version__


def records(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "game.mimo" / "stages").glob("*.json"))}


def test_size_frames_times_sound_and_title_are_the_sources(swapped):
    folder, _ = swapped
    source, result = folder / "game.mp4", folder / "game.mimo" / "out" / "cat.mp4"
    assert open_clip(result).size == SPEC.size
    assert presentation_times(result) == presentation_times(source)  # exact fractions, variable rate
    assert [data for _, data in packets(result, "audio")] == [data for _, data in packets(source, "audio")]
    with av.open(str(result)) as container:
        assert container.metadata.get("title") == "A game"
        note = container.metadata["comment"]
    assert note.startswith(
        f'Made with mimo {__version__}: the person was replaced by the character "cat". Parts: mimo '
    )
    record = json.loads((folder / "game.mimo" / "stages" / "compose@cat.json").read_text())
    assert record["credits"] and note.endswith(f"Parts: {'; '.join(record['credits'])}.")
    for part in ("BlazePose detector and landmarks (MediaPipe) (Apache-2.0)", "embedded body", "FFmpeg"):
        assert part in note


def test_pixels_outside_the_edit_are_the_sources_own(swapped):
    folder, _ = swapped
    project, clip = folder / "game.mimo", open_clip(folder / "game.mp4")
    stdout, _ = mimo("swap", "--project", "game.mimo", "--character", "cat", "--lossless", cwd=folder)
    result = open_layer(folder / stdout.strip(), kind=clip.info.pix_fmt)
    scene = open_layer(project / "layers/scene.mkv", kind="rgba")
    human = open_layer(project / "render/cat/human.mkv", kind="rgba")
    shadow = open_layer(project / "render/cat/shadow.mkv", kind="gray8")
    layers = zip(clip.read_frames(), result.read(), scene.read(), human.read(), shadow.read(), strict=True)
    untouched = 0
    for frame, planes, behind, figure, dark in layers:
        edited = (behind[..., 3] > 0) | (figure[..., 3] > 0) | (dark > 0)
        # 4:2:0: one chroma sample covers 2x2 pixels
        blocks = edited.reshape(SPEC.size[0] // 2, 2, SPEC.size[1] // 2, 2).any(axis=(1, 3))
        np.testing.assert_array_equal(planes[0][~edited], frame.planes[0][~edited])
        for chroma in (1, 2):
            np.testing.assert_array_equal(planes[chroma][~blocks], frame.planes[chroma][~blocks])
        untouched += int((~edited).sum())
    assert untouched > 0.4 * SPEC.num_frames * SPEC.size[0] * SPEC.size[1]


def test_the_person_is_gone_and_the_ball_is_not(swapped):
    folder, truth = swapped
    project = folder / "game.mimo"
    result = open_clip(folder / "game.mimo/out/cat.mp4")
    human = open_layer(project / "render/cat/human.mkv", kind="rgba")
    ghost, ball = [], []
    for idx, (rgb, figure) in enumerate(zip(result.read(), human.read(), strict=True)):
        frame = truth.frame(idx)
        covered = cv2.dilate((figure[..., 3] > 0).astype(np.uint8), np.ones((9, 9))) > 0
        was_person = (frame.human[..., 3] > 250) & ~covered & (frame.occluder[..., 3] == 0)
        ghost.append(np.abs(rgb.astype(int) - frame.scene)[was_person])
        before_the_body = (frame.occluder[..., 3] > 250) & (frame.human_full > 250)
        if before_the_body.sum() > 40:
            ball.append(np.abs(rgb.astype(int) - frame.rgb)[before_the_body].mean())
    assert sum(map(len, ghost)) > 500  # the cat is not the same shape: some of the person must have been uncovered
    assert np.concatenate(ghost).mean() < 14  # 8-bit steps; a ghost of the person would be 60
    assert np.mean(ball) < 14  # the ball still passes in front: the source's own pixels, through H.264


def test_nothing_runs_twice(swapped):
    folder, _ = swapped
    before = records(folder)
    _, stderr = mimo("swap", "--video", "game.mp4", "--character", CAT, cwd=folder)
    assert records(folder) == before
    assert "done in" not in stderr
    stdout, _ = mimo("status", "game.mimo", "--json", cwd=folder)
    assert stdout.count('"state": "fresh"') >= 10


def test_a_second_character_redoes_only_what_is_its_own(swapped):
    folder, _ = swapped
    before = records(folder)
    dog = folder / "dog.png"
    rgba = cv2.imread(str(CAT), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(dog), np.dstack([rgba[..., 1], rgba[..., 0], rgba[..., 2], rgba[..., 3]]))
    mimo("swap", "--project", "game.mimo", "--character", dog, cwd=folder)
    after = records(folder)
    assert {name for name in after if name not in before} == {
        f"{stage}@dog.json" for stage in ("cutout", "joints", "lift", "animate", "compose")
    }
    assert all(after[name] == data for name, data in before.items())


def test_a_painted_occlusion_wins(swapped, tmp_path):
    folder, _ = swapped
    shutil.copytree(folder / "game.mimo", tmp_path / "game.mimo")
    shutil.copy(folder / "game.mp4", tmp_path / "game.mp4")
    layers = tmp_path / "game.mimo" / "layers"
    painted = layers / "occlusion.mask"
    painted.mkdir()
    for idx in range(SPEC.num_frames):
        write_png(painted / f"{idx:06d}.png", np.full(SPEC.size, 255, np.uint8))  # everything is in front
    mimo("swap", "--project", "game.mimo", "--character", "cat", "--lossless", "-o", "front.mkv", cwd=tmp_path)
    clip = open_clip(tmp_path / "game.mp4")
    result = open_layer(tmp_path / "front.mkv", kind=clip.info.pix_fmt)
    for frame, planes in zip(clip.read_frames(), result.read(), strict=True):
        np.testing.assert_array_equal(planes[0], frame.planes[0])  # so nothing of the swap is seen
    assert len(list(painted.iterdir())) == SPEC.num_frames
    (painted / "000003.png").unlink()
    with start("swap", "--project", "game.mimo", "--character", "cat", cwd=tmp_path) as process:
        _, stderr = process.communicate()
    assert process.returncode == 3
    assert f"{SPEC.num_frames - 1} frames" in stderr


def test_kill_and_go_on_gives_the_same_bytes(swapped, tmp_path, kills=3):
    folder, _ = swapped
    shutil.copy(folder / "game.mp4", tmp_path / "game.mp4")
    words = ("swap", "--video", "game.mp4", "--character", CAT)
    chance = random.Random(7)
    for _ in range(kills):
        with start(*words, cwd=tmp_path) as process:
            time.sleep(chance.uniform(1.0, 9.0))
            os.killpg(process.pid, signal.SIGKILL)
    mimo(*words, cwd=tmp_path)
    for stem in ("out/cat.mp4", "layers/human.mask.mkv", "layers/scene.mkv", "motion/body.bvh", "render/cat/human.mkv"):
        want = (folder / "game.mimo" / stem).read_bytes()
        assert (tmp_path / "game.mimo" / stem).read_bytes() == want, stem
    assert not list((tmp_path / "game.mimo" / ".mimo" / "work").glob("*"))


@pytest.mark.slow
def test_kill_twenty_times(swapped, tmp_path):
    test_kill_and_go_on_gives_the_same_bytes(swapped, tmp_path, kills=20)


def test_two_runs_at_once_queue(swapped, tmp_path):
    folder, _ = swapped
    shutil.copy(folder / "game.mp4", tmp_path / "game.mp4")
    words = ("decompose", "game.mp4")
    first = start(*words, cwd=tmp_path)
    time.sleep(0.5)
    second = start(*words, cwd=tmp_path)
    outcomes = [process.communicate(timeout=300) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outcomes
    assert outcomes[0][0] == outcomes[1][0]  # both print the same results


def test_ctrl_c_leaves_a_project_to_go_on_with(swapped, tmp_path):
    folder, _ = swapped
    shutil.copy(folder / "game.mp4", tmp_path / "game.mp4")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores Ctrl-C,
    process = start("decompose", "game.mp4", cwd=tmp_path)  # and so would what it starts
    signal.signal(signal.SIGINT, before)
    while process.poll() is None and not list((tmp_path / "game.mimo" / ".mimo" / "work").glob("segment-*")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr and "same command again" in stderr
    mimo("decompose", "game.mp4", cwd=tmp_path)


def test_animate_before_a_colour_and_alone(tmp_path):
    dance = ROOT / "examples" / "dance.bvh"
    out = tmp_path / "dance.mp4"
    words = ("animate", "--motion", dance, "--size", "160x120", "--fps", "5", "--scene", "skyblue")
    stdout, _ = mimo(*words, "-o", out, cwd=tmp_path)
    assert stdout.strip() == str(out)
    clip = open_clip(out)
    assert clip.size == (120, 160)
    first = next(iter(clip.read(0, 1)))
    assert np.abs(first[:10, :10].astype(int) - (135, 206, 235)).max() <= 4  # skyblue, through H.264 4:2:0
    mimo("animate", "--motion", dance, "--alpha", "-o", tmp_path / "frames", cwd=tmp_path)
    picture = cv2.imread(str(sorted((tmp_path / "frames").iterdir())[3]), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (120, 160, 4)
    assert 0.02 < (picture[..., 3] > 0).mean() < 0.6
    record = json.loads((tmp_path / "dance.mimo/stages/import.json").read_text())
    assert record["facts"]


def test_animate_takes_amass(tmp_path):
    motion, _ = motion_from_bvh(read_bvh(ROOT / "examples" / "dance.bvh"))
    write_amass(motion, tmp_path / "dance.npz")
    words = ("animate", "--motion", "dance.npz", "--size", "96x96", "--fps", "2")
    stdout, _ = mimo(*words, cwd=tmp_path)
    clip = open_clip(tmp_path / stdout.strip())
    assert abs(clip.num_frames - motion.time_s[-1] * 2) <= 1
