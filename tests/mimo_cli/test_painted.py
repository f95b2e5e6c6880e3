"""Masks painted in another program: PNG, MP4 and ProRes are taken, checked, followed, and told of by `mimo status`."""

import shutil

import av
import cv2
import numpy as np
import pytest
from filmed import SPEC, film
from typer.testing import CliRunner

from engine.video import open_layer, write_png
from mimo_cli import app

BOX = np.s_[150:200, 20:60]
"""Ground beside the person, which the tool has no reason to touch."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("painted")
    film(folder / "game.mp4")
    call("decompose", folder / "game.mp4", folder / "game.mimo")
    return folder / "game.mimo"


def call(*words, code: int = 0):
    done = CliRunner().invoke(app.app, [str(word) for word in words], prog_name="mimo")
    assert done.exit_code == code, done.stderr
    return done.stdout + done.stderr


def paint(path, num: int = SPEC.num_frames) -> None:
    """Export a mask that is white in the box, as the suffix says."""
    mask = np.zeros(SPEC.size, np.uint8)
    mask[BOX] = 255
    if not path.suffix or path.suffix == ".mask":
        path.mkdir()
        for idx in range(num):
            write_png(path / f"{idx:06d}.png", mask)
        return
    codec, pix_fmt = {".mp4": ("libx264", "yuv420p"), ".mov": ("prores_ks", "yuv422p10le")}[path.suffix]
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25)
        video.height, video.width, video.pix_fmt = *SPEC.size, pix_fmt
        for _ in range(num):
            frame = av.VideoFrame.from_ndarray(cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB), format="rgb24")
            out.mux(video.encode(frame.reformat(format=pix_fmt)))
        out.mux(video.encode())


def test_what_is_painted_is_followed(project):
    def hidden() -> float:
        """Share of the box that the scene replaces."""
        return float(np.mean([(rgba[BOX][..., 3] > 127).mean() for rgba in open_layer(scene, kind="rgba").read()]))

    scene = project / "layers/scene.mkv"
    assert hidden() < 0.3
    for suffix in ("", ".mp4", ".mov"):
        mine = project / f"layers/props.mask{suffix}"
        paint(mine)
        assert "layers/props.mask is yours" in " ".join(call("status", project).split())
        call("decompose", project)
        assert hidden() > 0.95, suffix
        shutil.rmtree(mine) if mine.is_dir() else mine.unlink()
        call("decompose", project)
        assert hidden() < 0.3, suffix


def test_a_mask_of_the_wrong_length_is_refused(project):
    paint(project / "layers/human.mask.mov", SPEC.num_frames - 1)
    text = call("decompose", project, code=3)
    assert f"{SPEC.num_frames - 1} frames" in text and str(SPEC.num_frames) in text
    (project / "layers/human.mask.mov").unlink()
