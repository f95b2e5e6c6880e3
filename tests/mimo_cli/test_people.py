"""Everybody's motion: two people side by side, fitted by both backends, and the table they come from."""

import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from filmed import SPEC
from tiny_networks import write_tiny_hmr2
from typer.testing import CliRunner

from engine.errors import InputError
from engine.motion.rig import read_motion
from engine.synth.clip import make_clip
from engine.types import Landmarks, Tracks
from mimo_cli import app, tables


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Where the project of a film of a footballer and, to the right, the same one mirrored is going to be."""
    folder = tmp_path_factory.mktemp("people")
    with av.open(str(folder / "two.mp4"), "w") as out:
        video = out.add_stream("libx264", rate=Fraction(25), options={"crf": "12"})
        video.width, video.height, video.pix_fmt = 2 * SPEC.size[1], SPEC.size[0], "yuv420p"
        for rgb in make_clip(SPEC).rgb.read():
            both = np.concatenate([rgb, rgb[:, ::-1]], axis=1)
            out.mux(video.encode(av.VideoFrame.from_ndarray(both, format="rgb24")))
        out.mux(video.encode())
    return folder / "two.mimo"


@pytest.fixture
def fit(project, monkeypatch):
    monkeypatch.setenv("MIMO_WEIGHTS", str(project.parent / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.parent / "cache"))

    def fit(*words: str, code: int = 0):
        video = str(project.with_suffix(".mp4"))
        done = CliRunner().invoke(app.app, ["fit-motion", video, "-p", str(project), *words], prog_name="mimo")
        assert done.exit_code == code, done.stderr
        return done

    return fit


def test_a_motion_for_everybody(project, fit):
    done = fit("--person", "all")
    assert [line.rpartition("/")[2] for line in done.stdout.split()] == ["body.bvh", "camera.csv", "people"]
    assert f"person-2: seen in {SPEC.num_frames} of {SPEC.num_frames} frames" in done.stderr
    folders = sorted((project / "motion/people").iterdir())
    assert [folder.name for folder in folders] == ["person-1", "person-2"]
    for folder in folders:
        assert {file.name for file in folder.iterdir()} == {"body.bvh", "shape.toml", "camera.csv"}
        assert len(read_motion(folder / "body.bvh")) == SPEC.num_frames
        assert len(tables.read_camera(folder / "camera.csv")) == SPEC.num_frames
    for name in ("body.bvh", "shape.toml", "camera.csv"):  # the chosen person's motion is the project's
        assert (folders[0] / name).read_bytes() == (project / "motion" / name).read_bytes()
    apart = [np.genfromtxt(folder / "camera.csv", delimiter=",")[1:, 1] for folder in folders]
    np.testing.assert_array_equal(*apart)  # one lens
    assert folders[0].joinpath("body.bvh").read_bytes() != folders[1].joinpath("body.bvh").read_bytes()

    write_tiny_hmr2(project.parent / "weights/hmr2/hmr2.ckpt")
    before = {folder.name: (folder / "body.bvh").read_bytes() for folder in folders}
    assert "non-commercial" in fit("--person", "all", "--backend", "hmr2").stderr
    for folder in sorted((project / "motion/people").iterdir()):
        assert (folder / "body.bvh").read_bytes() != before.pop(folder.name)
    assert not before

    assert set(tables.read_others(project / "layers/others.csv", SPEC.num_frames)) == {2}
    assert "person None → 2" in fit("--person", "2", "--dry-run").stderr


def test_everybody_is_listed(project, fit):
    done = CliRunner().invoke(app.app, ["decompose", str(project), "--list-people"], prog_name="mimo")
    assert done.exit_code == 0, done.stderr
    sheet = cv2.imread(done.stdout.strip())
    assert done.stdout.strip() == str(project / "layers/people.png") and sheet is not None
    rows = [line for line in done.stderr.splitlines() if "frames" in line and " in frame " in line]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert sum("taken" in row for row in rows) == 1
    assert sheet.shape[1] > sheet.shape[0]  # two pictures beside each other

    done = CliRunner().invoke(app.app, ["--json", "decompose", str(project), "--list-people"], prog_name="mimo")
    people = json.loads(done.stdout.splitlines()[-1])["people"]
    assert [person["number"] for person in people] == [1, 2]
    assert people[0]["box_px"] != people[1]["box_px"]


def test_nobody_of_that_name(fit):
    for word in ("both", "0", "-1", "1.5"):
        assert "count from 1" in fit("--person", word, code=2).stderr
    assert "2 people found" in fit("--person", "7", code=3).stderr


def test_the_table_of_others(tmp_path):
    noise = np.random.default_rng(2)
    frames = 6
    score = np.array([0, 0.9, 0, 0, 0.8, 0], np.float32)
    tracks = Tracks(noise.uniform(0, 100, (frames, 4)).astype(np.float32), score)
    landmarks = Landmarks(
        noise.uniform(0, 100, (frames, 33, 2)).astype(np.float32),
        noise.normal(size=(frames, 33, 3)).astype(np.float32),
        noise.uniform(size=(frames, 33)).astype(np.float32), score,
    )  # fmt: skip
    path = tmp_path / "others.csv"
    tables.write_others({2: (tracks, landmarks), 5: (tracks, landmarks)}, path)
    others = tables.read_others(path, frames)
    assert list(others) == [2, 5]
    seen, (got, points) = [1, 4], others[5]
    np.testing.assert_allclose(got.score, score, atol=1e-4)
    for mine, his in ((got.box_px, tracks.box_px), (points.image_px, landmarks.image_px),
                      (points.world_m, landmarks.world_m), (points.visibility, landmarks.visibility)):  # fmt: skip
        np.testing.assert_allclose(mine[seen], his[seen], atol=1e-4)
        np.testing.assert_array_equal(mine[[0, 5]], mine[[1, 4]])  # constant before the first and after the last
        np.testing.assert_allclose(mine[2], mine[1] + (mine[4] - mine[1]) / 3, rtol=1e-4, atol=1e-5)  # float32
    with pytest.raises(InputError, match=r"person 2 are not 0 \.\.\. 3"):
        tables.read_others(path, 4)
    tables.write_others({}, path)
    assert tables.read_others(path, frames) == {}
