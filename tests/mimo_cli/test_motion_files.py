"""Motion files from the shell: in every form, out in every form, and what a person knows better."""

import csv
import json
import pickle

import numpy as np
import pytest
from body_files import first_published, tables
from fbx_files import write_fbx
from filmed import CAT, ROOT, assert_refused, finish, mimo
from numpy.testing import assert_allclose

from engine.body.bvh import read_bvh
from engine.body.model import forward_kinematics
from engine.motion.files import read_motion_file
from engine.motion.rig import read_motion
from engine.types import JOINTS, Camera, FrameTimes
from engine.video import open_clip
from mimo_cli import slots
from mimo_cli.motions import export_project
from mimo_cli.tables import write_camera, write_frames

DANCE = ROOT / "examples" / "dance.bvh"


def joints_of(motion):
    return forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)[0]


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The example's dance in every form, converted from the shell."""
    folder = tmp_path_factory.mktemp("forms")
    words = [word for name in ("a.bvh", "a.npz", "a.smpl.npz", "a.glb", "a.csv") for word in ("--export", name)]
    stdout, stderr = mimo("fit-motion", DANCE, *words, cwd=folder)
    assert stdout.split() == ["a.bvh", "a.npz", "a.smpl.npz", "a.glb", "a.csv"]
    assert "dance.bvh" in stderr
    assert not list(folder.glob("*.mimo"))  # a conversion makes no project
    dance = read_motion_file(DANCE, place=False).motion
    num = len(dance)
    pose = np.hstack([dance.rotvec[:, :22].reshape(num, 66), np.zeros((num, 6))])
    person = {
        "pose_world": pose,
        "trans_world": dance.root_m,
        "betas": np.zeros((num, 10)),
        "frame_ids": np.arange(num),
    }
    (folder / "a.pkl").write_bytes(pickle.dumps({0: person}))
    write_fbx(folder / "a.fbx", read_bvh(folder / "a.bvh").animation())
    return folder, dance


@pytest.mark.parametrize("name", ["a.bvh", "a.npz", "a.smpl.npz", "a.glb", "a.pkl", "a.fbx"])
def test_every_form_becomes_a_body(forms, tmp_path, name):
    if name == "a.fbx":
        pytest.importorskip("ufbx")
    folder, dance = forms
    stdout, stderr = mimo("fit-motion", folder / name, cwd=tmp_path)
    body = tmp_path / stdout.strip()
    assert body.name == "body.bvh" and name in stderr
    want = joints_of(dance)
    got = joints_of(read_motion(body))
    assert len(got) == len(want)
    # heading and place may be those of the start; shapes of bodies are compared, without fingers for SMPL's 24
    rows = range(20) if name == "a.pkl" else range(52)
    reach = [np.linalg.norm(j[:, rows] - j[:, :1], axis=2) for j in (got, want)]
    if name == "a.pkl":  # SMPL's neutral skeleton instead of the dancer's own
        assert np.corrcoef(reach[0].ravel(), reach[1].ravel())[0, 1] > 0.99
    else:
        assert_allclose(*reach, atol=1e-3 if name == "a.fbx" else 2e-4)


@pytest.mark.slow  # six seconds, of which the motion file is a twentieth
def test_a_character_dances_from_a_glb(forms, tmp_path):
    folder, dance = forms
    words = ("--character", CAT, "--size", "96x96", "--fps", "4")
    stdout, _ = mimo("animate", "--motion", folder / "a.glb", *words, cwd=tmp_path)
    clip = open_clip(tmp_path / stdout.strip())
    length_s = dance.time_s[-1] - dance.time_s[0]
    assert (clip.size, clip.num_frames) == ((96, 96), int(length_s * 4 + 0.05) + 1)


def test_what_a_person_knows_better(forms, tmp_path):
    folder, dance = forms
    mapping = tmp_path / "mine.toml"
    mapping.write_text('metres_per_unit = 0.02\n[joints]\nleft_middle3 = ""\nhead = "head"\n')
    mimo("fit-motion", folder / "a.bvh", "--mapping", mapping, "--export", "double.bvh", cwd=tmp_path)
    double = read_motion_file(tmp_path / "double.bvh", place=False).motion
    assert np.ptp(double.rest_m[:, 1]) == pytest.approx(2 * np.ptp(dance.rest_m[:, 1]), rel=1e-3)
    mimo("fit-motion", folder / "a.npz", "--mapping", mapping, cwd=tmp_path)
    mapping.write_text("frame_rate = 10\n")
    _, stderr = mimo("fit-motion", folder / "a.npz", cwd=tmp_path)  # the project remembers it, and sees the change
    assert "import" in stderr and "up to date" not in stderr
    mapping.write_text("metres_per_units = 1\n")
    done = finish("fit-motion", folder / "a.bvh", "--mapping", mapping, "--export", "x.bvh", cwd=tmp_path)
    assert_refused(done, 3, "metres_per_units", "did you mean metres_per_unit?")


def test_an_smpl_body_gives_the_mesh(forms, tmp_path):
    folder, _ = forms
    body = first_published(tables("SMPL"), tmp_path / "old.pkl")
    mimo("fit-motion", folder / "a.npz", "--body", body, "--export", "b.glb", cwd=tmp_path)
    raw = (tmp_path / "b.glb").read_bytes()
    scene = json.loads(raw[20 : 20 + int.from_bytes(raw[12:16], "little")])
    points = scene["accessors"][scene["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert points["count"] == 60
    done = finish("fit-motion", folder / "a.npz", "--body", CAT, "--export", "c.glb", cwd=tmp_path)
    assert_refused(done, 3, "cat.png")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("dance.bvh", "--export", "a.fbx"), 2, "a.fbx is no form"),
        (("dance.bvh", "--export", "nowhere/a.bvh"), 3, "nowhere"),
        (("notes.txt", "--export", "a.bvh"), 3, "notes.txt is not a video"),
        (("notes.txt",), 3, "Motion files are .bvh"),
        (("cut.glb",), 3, "cut.glb"),
    ],
)
def test_refusals(tmp_path, words, code, said):
    (tmp_path / "dance.bvh").write_bytes(DANCE.read_bytes())
    (tmp_path / "notes.txt").write_text("no motion\n")
    (tmp_path / "cut.glb").write_bytes(b"glTF\x02\x00\x00\x00\xff\xff\x00\x00")
    assert_refused(finish("fit-motion", *words, cwd=tmp_path), code, said)
    assert not (tmp_path / "notes.mimo").exists()


def test_a_project_is_exported_with_its_camera(forms, tmp_path):
    folder, dance = forms
    num = len(dance)
    K = np.tile(np.array([[300, 0, 160], [0, 300, 120], [0, 0, 1]], np.float32), (num, 1, 1))
    cam = np.tile(np.diag([1.0, -1, -1, 1]).astype(np.float32), (num, 1, 1))
    cam[:, :3, 3] = [0, 1, 6]
    times = np.cumsum(np.full(num, 0.05)) - 0.05
    write_camera(Camera(K, cam), tmp_path / "camera.csv")
    write_frames(FrameTimes(np.arange(num), times, np.full(num, 0.05)), tmp_path / "frames.csv")
    (tmp_path / "shape.toml").write_text(f"shape = {[0.0] * 10}\njoints_height_m = 1.5\n")
    made = {slots.BODY: folder / "a.bvh", slots.FRAMES: tmp_path / "frames.csv", slots.SHAPE: tmp_path / "shape.toml",
            slots.CAMERA: tmp_path / "camera.csv"}  # fmt: skip
    export_project(made, [tmp_path / "out.csv"], body=None)
    with open(tmp_path / "out.csv") as file:
        row = list(csv.DictReader(file))[2]
    x, y, z = joints_of(read_motion(folder / "a.bvh"))[2, JOINTS.index("head")]
    assert float(row["time_s"]) == pytest.approx(0.1)
    assert float(row["head.x_px"]) == pytest.approx(160 + 300 * x / (6 - z), abs=0.01)
    assert float(row["head.y_px"]) == pytest.approx(120 + 300 * (1 - y) / (6 - z), abs=0.01)


def test_a_motion_of_another_length_is_not_put_into_a_clip(forms, tmp_path):
    folder, dance = forms
    mimo("fit-motion", folder / "a.bvh", cwd=tmp_path)
    np.savez(tmp_path / "short.npz", poses=np.zeros((5, 156)), trans=np.zeros((5, 3)))
    before = (tmp_path / "a.mimo" / "motion" / "body.bvh").read_bytes()
    done = finish("fit-motion", "a.mimo", "--motion", "short.npz", cwd=tmp_path)
    assert_refused(done, 3, f"short.npz has 5 frames; the clip has {len(dance)}")
    assert (tmp_path / "a.mimo" / "motion" / "body.bvh").read_bytes() == before
    mimo("fit-motion", "a.mimo", "--motion", folder / "a.npz", cwd=tmp_path)  # as many: it is taken, as a BVH
    assert_allclose(joints_of(read_motion(tmp_path / "a.mimo" / "motion" / "body.bvh")), joints_of(dance), atol=2e-4)
