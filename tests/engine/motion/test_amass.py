import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.body.bvh import read_bvh
from engine.body.model import forward_kinematics
from engine.errors import InputError
from engine.geometry import rotvec_to_matrix
from engine.motion.amass import SmplFacts, read_amass, write_amass
from engine.motion.given import Mapping
from engine.motion.retarget import motion_from_bvh
from engine.motion.rig import read_motion, write_motion
from engine.types import JOINTS


@pytest.fixture
def published():
    rng = np.random.default_rng(5)
    poses = rng.normal(0, 0.4, (12, 156))
    poses[:, :3] = [1.2, 0.3, -0.4]  # z up world: a standing body is turned by about 90 degrees
    return {
        "poses": poses,
        "trans": rng.normal(0, 1, (12, 3)),
        "betas": rng.normal(0, 1, 16),
        "gender": np.array("female"),
        "mocap_framerate": np.array(120.0),
        "dmpls": np.zeros((12, 8)),
    }


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_what_is_read_is_written_back_to_float32(published, tmp_path):
    motion, facts = read_amass(save(tmp_path / "a.npz", **published))
    write_amass(motion, tmp_path / "b.npz", facts)
    with np.load(tmp_path / "b.npz", allow_pickle=False) as data:
        # float32 holds 7 digits; the pelvis is turned into our world and back between
        assert_allclose(data["poses"], published["poses"], atol=5e-7)
        assert_allclose(data["trans"], published["trans"], atol=5e-7)
        assert_array_equal(data["betas"], published["betas"])
        assert str(data["gender"]) == "female" and data["mocap_framerate"] == 120
    again, _ = read_amass(tmp_path / "b.npz")
    assert_allclose(again.rotvec, motion.rotvec, atol=5e-7)
    assert_allclose(again.root_m, motion.root_m, atol=5e-7)
    assert_allclose(motion.time_s, np.arange(12) / 120)
    assert_array_equal(motion.rotvec[:, 1:], published["poses"].reshape(12, 52, 3)[:, 1:].astype(np.float32))


def test_a_body_standing_in_a_z_up_world_stands_in_ours(published, tmp_path):
    poses = np.zeros((2, 156))
    poses[:, 0] = np.pi / 2  # SMPL's y to the world's z
    published |= {"poses": poses, "trans": np.array([[1.0, 2.0, 0.9235]] * 2)}
    motion, _ = read_amass(save(tmp_path / "a.npz", **published))
    assert_allclose(motion.rotvec[:, 0], 0, atol=1e-7)
    joints, _ = forward_kinematics(motion.rotvec, motion.root_m, motion.rest_m)
    assert_allclose(
        joints[0, 0], [1 - 0.0018, 0.9235 + 0.0282, -(2 - 0.2233)], atol=1e-6
    )  # SMPL: pelvis = trans + template's
    assert_allclose(joints[0, :, 1], motion.rest_m[:, 1], atol=1e-6)  # soles on the ground
    assert motion.contact.all()
    assert joints[0, JOINTS.index("left_wrist"), 0] > joints[0, 0, 0] + 0.6


@pytest.mark.parametrize("width", [66, 72, 156, 165])
def test_layouts_of_the_family(published, tmp_path, width):
    rng = np.random.default_rng(1)
    poses = rng.normal(0, 0.3, (3, width)).astype(np.float32)
    motion, _ = read_amass(save(tmp_path / "a.npz", poses=poses, trans=np.zeros((3, 3), np.float32)), Mapping(up="y"))
    assert_array_equal(motion.rotvec[:, :22], poses[:, :66].reshape(3, 22, 3))
    fingers = motion.rotvec[:, 22:].reshape(3, -1)
    want = {66: np.zeros((3, 90)), 72: np.zeros((3, 90)), 156: poses[:, 66:], 165: poses[:, 75:]}[width]
    assert_array_equal(fingers, want)


def test_split_keys_of_smplx_files(published, tmp_path):
    poses = published["poses"]
    path = save(
        tmp_path / "a.npz",
        root_orient=poses[:, :3], pose_body=poses[:, 3:66], pose_hand=poses[:, 66:], trans=published["trans"],
        mocap_frame_rate=np.array(60),
    )  # fmt: skip
    motion, facts = read_amass(path)
    whole, _ = read_amass(save(tmp_path / "b.npz", **published))
    assert_array_equal(motion.rotvec, whole.rotvec)
    assert facts.frame_rate == 60 and facts.gender == "neutral"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.pop("poses"), "no poses array"),
        (lambda d: d.pop("trans"), "trans is missing"),
        (lambda d: d.update(trans=np.zeros((11, 3))), r"trans is \(11, 3\)"),
        (lambda d: d.update(poses=np.zeros((12, 100))), r"\(12, 100\), not"),
        (lambda d: d.update(poses=np.zeros((0, 156)), trans=np.zeros((0, 3))), r"\(0, 156\), not"),
        (lambda d: d.update(poses=np.full((12, 156), np.nan)), "not a finite number"),
        (lambda d: d.update(poses=np.array(["x"] * 12)), "not"),
        (lambda d: d.update(mocap_framerate=np.array(0.0)), "frame rate of 0"),
        (lambda d: d.update(mimo_rest_m=np.zeros((3, 3))), "mimo_rest_m is"),
    ],
)
def test_refuses_with_a_reason(published, tmp_path, change, reason):
    change(published)
    with pytest.raises(InputError, match=reason):
        read_amass(save(tmp_path / "a.npz", **published))


class Bomb:
    def __reduce__(self):
        return (open, ("/tmp/mimo-was-unpickled", "w"))


def test_never_unpickles(published, tmp_path):
    path = tmp_path / "a.npz"
    published["poses"] = np.array([Bomb()], dtype=object)
    np.savez(path, **published)
    with pytest.raises(InputError, match="no poses array"):
        read_amass(path)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="no npz file"):
        read_amass(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError):
        read_amass(tmp_path / "c.npz")
    with pytest.raises(InputError, match="cannot be read"):
        read_amass(tmp_path / "none.npz")


def test_bvh_to_amass_to_bvh(sample_data, tmp_path):
    motion, _ = motion_from_bvh(read_bvh(sample_data / "motion" / "pybvh_fingers_crlf.bvh"))
    write_amass(motion, tmp_path / "a.npz")
    again, _ = read_amass(tmp_path / "a.npz")
    write_motion(again, tmp_path / "b.bvh")
    last = read_motion(tmp_path / "b.bvh")
    joints = [forward_kinematics(m.rotvec.astype(float), m.root_m.astype(float), m.rest_m)[0] for m in (motion, last)]
    assert_allclose(joints[1], joints[0], atol=1e-4)  # the contract: 0.1 mm
    assert_array_equal(again.time_s, motion.time_s)


def test_a_turn_of_the_world_turns_only_the_pelvis(walk, tmp_path):
    write_amass(walk, tmp_path / "a.npz", SmplFacts(betas=np.zeros(16), gender="male", frame_rate=25))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        poses, trans = data["poses"].reshape(-1, 52, 3), data["trans"]
    assert_array_equal(poses[:, 1:].astype(np.float32), walk.rotvec[:, 1:])
    up = rotvec_to_matrix(poses[0, 0]) @ [0, 1, 0]
    assert_allclose(up, [0, 0, 1], atol=1e-6)
    assert_allclose(np.ptp(trans[:, 1]), np.ptp(walk.root_m[:, 2]), rtol=1e-5)  # our forward is their -y
