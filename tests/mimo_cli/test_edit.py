"""`mimo edit`, and the way through other programs: the forms in which they write are made here and read back."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from filmed import assert_refused, finish_here, mimo
from PIL import Image

from engine.identity.rig_file import read_joints
from engine.report.sheets import draw_joints, draw_mask_sheet
from engine.video import open_layer, read_image


@pytest.fixture(scope="module")
def game(swapped, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edited")
    shutil.copytree(swapped[0] / "game.mimo", folder / "game.mimo")
    shutil.copy(swapped[0] / "game.mp4", folder / "game.mp4")
    return folder


def edit(*words, cwd) -> tuple[dict[str, Path], list[str]]:
    """Role to file, and the next commands."""
    stdout, _ = mimo("edit", "game.mimo", *words, "--json", cwd=cwd)
    events = [json.loads(line) for line in stdout.splitlines()]
    files = {e["role"]: Path(e["path"]) for e in events if e["event"] == "result"}
    return files, [e["command"] for e in events if e["event"] == "next"]


def states(cwd) -> dict[str, str]:
    stdout, _ = mimo("status", "game.mimo", "--json", cwd=cwd)
    return {e["stage"]: e["state"] for e in map(json.loads, stdout.splitlines()) if e["event"] == "stage"}


def masks(path: Path, *, ours: bool) -> list[np.ndarray]:
    return list(open_layer(path, kind="gray8", ours=ours).read())


def test_joints(game):
    before = states(game)
    files, commands = edit("joints", cwd=game)
    assert states(game) == before  # nothing changes before a file does
    assert commands == ["mimo swap --project game.mimo --character cat"]
    assert files["edit"] == (game / "game.mimo/identity/cat/joints.toml").resolve()
    picture, joints = read_image(files["look"]), read_joints(files["edit"])
    scale = picture.shape[0] / read_image(game / "game.mimo/identity/cat/cutout.png").shape[0]
    x, y = np.round(joints.xy_px[joints.names.index("left_wrist")] * scale).astype(int)
    assert picture[y, x, 2] > picture[y, x, 0] + 60  # the character's left is blue

    text = files["edit"].read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("left_wrist"))
    files["edit"].write_text(text.replace(row, row.replace("xy = [", "xy = [1")), encoding="utf-8")  # far to the right
    after = states(game)
    assert (after["joints@cat"], after["lift@cat"], after["animate@cat"]) == ("yours", "run", "run")
    files["edit"].write_text(text, encoding="utf-8")
    assert states(game) == before  # taken back: as if nothing had been


@pytest.mark.parametrize(("layer", "form"), [("human", "png"), ("occlusion", "mov")])
def test_a_mask_comes_back_as_it_went(game, layer, form):
    files, (command,) = edit("mask", "--layer", layer, "--as", form, cwd=game)
    before = masks(game / f"game.mimo/layers/{layer}.mask.mkv", ours=True)
    after = masks(files["edit"], ours=False)
    for old, new in zip(before, after, strict=True):
        clear = (old <= 2) | (old >= 253)  # at the door 5 counts as 0 and 250 as 255: ProRes may lose 3 levels
        np.testing.assert_array_equal(new[clear], np.where(old >= 253, 255, 0)[clear])  # full is full, nothing nothing
        assert np.abs(new[~clear].astype(int) - old[~clear]).mean() < 8 if (~clear).any() else True  # ProRes' loss
    assert read_image(files["look"]).shape[1] == 4 * 320
    put_back, go_on = command.split(" && ")
    assert go_on == "mimo swap --project game.mimo"
    assert put_back.startswith("mv game.mimo/edit/") and put_back.endswith(" game.mimo/layers/")

    assert_refused(
        finish_here("edit", "game.mimo", "mask", "--layer", layer, "--as", form, cwd=game), 3, "mv game.mimo/edit"
    )
    there = game / "game.mimo/layers" / files["edit"].name
    shutil.move(files["edit"], there)
    assert states(game)["animate@cat" if layer == "human" else "compose@cat"] == "run"  # what follows it follows yours
    shutil.rmtree(there) if there.is_dir() else there.unlink()


def test_person_and_motion(game):
    stdout, stderr = mimo("edit", "game.mimo", "person", cwd=game)
    assert stdout.strip().endswith("people.png") and "--person N" in stderr and "taken" in stderr
    (game / "game.mimo/identity/dog").mkdir()  # a second character: the command says which
    files, commands = edit("motion", cwd=game)
    assert files["look"].name == "preview.mp4" and files["edit"].name == "body.bvh"
    assert commands == ["mimo swap --project game.mimo --character cat"]
    (game / "game.mimo/identity/dog").rmdir()


def test_what_cannot_be_edited(game):
    assert_refused(finish_here("edit", "game.mimo", "join", cwd=game), 2, "joints")
    assert_refused(finish_here("edit", "game.mimo", cwd=game), 2, "joints, mask, person, motion")
    assert_refused(finish_here("edit", "game.mimo", "mask", "--layer", "scene", cwd=game), 2)
    assert_refused(finish_here("edit", "game.mimo", "joints", "--character", "dog", cwd=game), 2, "cat")


def painted() -> np.ndarray:
    """A mask as somebody paints it: a hard shape, and an edge as soft as a brush's."""
    mask = np.zeros((64, 96), np.uint8)
    cv2.circle(mask, (48, 32), 20, 255, cv2.FILLED)
    return cv2.GaussianBlur(mask, (5, 5), 1.2)


GIMP = {
    "gray": Image.fromarray,
    "rgb": lambda mask: Image.fromarray(mask).convert("RGB"),
    "gray and alpha": lambda mask: Image.merge("LA", [Image.fromarray(mask), Image.new("L", mask.shape[::-1], 255)]),
    "rgba": lambda mask: Image.fromarray(mask).convert("RGBA"),
    "indexed": lambda mask: Image.fromarray(mask).quantize(256),
    "16 bits": lambda mask: Image.fromarray(mask.astype(np.uint16) * 257),
}
"""GIMP's export of PNG in each of its modes."""


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", GIMP)
def test_pictures_of_painters(tmp_path, mode, suffix):
    mask = painted()
    for idx in range(2):
        GIMP[mode](mask).save(tmp_path / f"mask {idx}{suffix}")
    for picture in masks(tmp_path, ours=False):
        assert np.abs(picture.astype(int) - np.where(mask <= 5, 0, np.where(mask >= 250, 255, mask))).max() <= 1


EDITORS = {
    "ProRes 422 HQ": ("prores_ks", "yuv422p10le", ".mov", {"profile": "3", "vendor": "apl0"}),
    "ProRes 4444": ("prores_ks", "yuva444p10le", ".mov", {"profile": "4"}),
    "DNxHR HQ": ("dnxhd", "yuv422p", ".mov", {"profile": "dnxhr_hq"}),
    "DNxHR 444": ("dnxhd", "yuv444p10le", ".mov", {"profile": "dnxhr_444"}),
    "H.264": ("libx264", "yuv420p", ".mp4", {"crf": "12"}),
    "FFV1": ("ffv1", "gray", ".mkv", {}),
}
"""What DaVinci Resolve and its kin deliver: video levels, black 16 and white 235."""


@pytest.mark.parametrize("codec", EDITORS)
def test_videos_of_editors(tmp_path, codec):
    name, pix_fmt, suffix, options = EDITORS[codec]
    mask = cv2.resize(painted(), (384, 256), interpolation=cv2.INTER_CUBIC)  # DNxHR wants 256x120 and more
    path = tmp_path / f"mask{suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(name, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = mask.shape[1], mask.shape[0], pix_fmt
        for idx in range(3):
            frame = av.VideoFrame.from_ndarray(mask, format="gray").reformat(format=pix_fmt)
            frame.pts, frame.time_base = idx, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    read = masks(path, ours=False)
    assert len(read) == 3
    for picture in read:
        assert (picture[mask == 0] == 0).mean() > 0.99 and (picture[mask == 255] == 255).mean() > 0.99
        assert np.abs(picture.astype(int) - mask).mean() < 2  # the edge, through a lossy codec


def test_sheets_take_odd_shapes(swapped):
    cutout = np.zeros((7, 300, 4), np.uint8)
    cutout[..., 3] = 255
    joints = read_joints(swapped[0] / "game.mimo/identity/cat/joints.toml")
    assert draw_joints(cutout, joints).shape == (33, 1400, 3)  # joints outside are drawn outside
    frames = [(idx, np.zeros((90, 40, 3), np.uint8), np.zeros((90, 40), np.uint8)) for idx in range(5)]
    assert draw_mask_sheet(frames).shape == (2 * 720, 4 * 320, 3)
