import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from engine.body.model import forward_kinematics
from engine.errors import InputError
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.motion.amass import read_amass
from engine.motion.given import Mapping
from engine.types import JOINTS

HEAD, ANKLE = JOINTS.index("head"), JOINTS.index("left_ankle")
Y_DOWN = np.diag([1.0, -1, -1])  # a standing body's world to a camera's


@pytest.fixture
def poses():
    """A standing person who bends all joints a little: root (T, 3) in a y-up world, body (T, 69), way (T, 3)."""
    rng = np.random.default_rng(4)
    num = 20
    root = np.array([0.1, 0.5, 0.05]) + np.cumsum(rng.normal(0, 0.02, (num, 3)), 0)
    body = rng.normal(0, 0.15, (num, 69))
    way = np.cumsum(rng.normal(0, 0.01, (num, 3)), 0) + np.array([0.5, 1.2, 2.0])
    return root, body, way


def in_camera(root, way):
    return matrix_to_rotvec(Y_DOWN @ rotvec_to_matrix(root)), way @ Y_DOWN.T


def dump(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


def check(motion, poses, frames=slice(None), turned=True):
    """The person stands in our world as it stood in the file's, and moves by the same joints."""
    root, body, way = (a[frames] for a in poses)
    assert_allclose(motion.rotvec[:, 1:22].reshape(len(root), 63), body[:, :63], atol=2e-6)  # float32
    if turned:
        assert_allclose(rotvec_to_matrix(motion.rotvec[:, 0].astype(float)), rotvec_to_matrix(root), atol=2e-6)
    joints, _ = forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)
    assert (joints[:, HEAD, 1] - joints[:, ANKLE, 1]).min() > 1.0
    assert abs(np.percentile(joints[:, [7, 8, 10, 11], 1].min(1), 2)) < 0.15  # feet on the ground
    steps, want = np.diff(motion.root_m, axis=0), np.diff(way, axis=0)
    assert_allclose(steps[:, [0, 2]], want[:, [0, 2]], atol=1e-5)
    assert motion.contact is not None


def test_wham(tmp_path, poses):
    root, body, way = poses
    cam_root, cam_way = in_camera(root, way)
    frames = np.delete(np.arange(25), [3, 4, 11, 12, 13])
    person = {
        "pose": np.hstack([cam_root, body]), "trans": cam_way, "pose_world": np.hstack([root, body]),
        "trans_world": way, "betas": np.full((20, 10), 0.5), "verts": np.zeros((20, 4, 3)), "frame_ids": frames,
    }  # fmt: skip
    short = {key: value[:5] for key, value in person.items()}
    path = dump(tmp_path / "wham_output.pkl", {0: short, 3: person})
    motion, facts = read_amass(path, Mapping(frame_rate=25))
    check(motion, poses)
    assert_allclose(motion.time_s, frames / 25)
    assert facts.layout == "WHAM" and facts.who == "3" and facts.betas[0] == 0.5
    text = "\n".join(facts.lines("w"))
    assert "3 (20 frames), 0 (5 frames); 3 is taken" in text and "25 frames per second" in text
    assert len(read_amass(path, Mapping(person="0"))[0]) == 5
    with pytest.raises(InputError, match='no person "7"'):
        read_amass(path, Mapping(person="7"))
    del person["pose_world"], person["trans_world"]
    motion, facts = read_amass(dump(tmp_path / "local.pkl", {3: person}))
    check(motion, poses)
    assert facts.in_camera and facts.up == "-y" and "no frame rate" in facts.notes[0]


def test_a_body_without_a_way_stands_where_it_is(tmp_path, poses):
    root, body, _ = poses
    cam_root, _ = in_camera(root, np.zeros((20, 3)))
    motion, _ = read_amass(dump(tmp_path / "vibe.pkl", {1: {"pose": np.hstack([cam_root, body])}}))
    assert_array_equal(motion.root_m[:, [0, 2]], 0)
    joints, _ = forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)
    lift = joints[:, [7, 8, 10, 11], 1] - motion.rest_m[[7, 8, 10, 11], 1]
    assert_allclose(lift.min(1), 0, atol=1e-6)


def test_gvhmr(tmp_path, poses):
    root, body, way = (torch.tensor(a, dtype=torch.float32) for a in poses)
    world = {"body_pose": body[:, :63], "betas": torch.zeros(20, 10), "global_orient": root, "transl": way}
    saved = {"smpl_params_global": world, "smpl_params_incam": world, "K_fullimg": torch.eye(3).expand(20, 3, 3),
             "net_outputs": {"x": [torch.zeros(2)]}}  # fmt: skip
    torch.save(saved, tmp_path / "hmr4d_results.pt")
    motion, facts = read_amass(tmp_path / "hmr4d_results.pt")
    check(motion, poses)
    assert facts.layout == "GVHMR" and facts.frame_rate == 30 and facts.up == "y"
    torch.save({"x": torch.nn.Linear(2, 2)}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match="no file of plain tensors"):
        read_amass(tmp_path / "bad.pt")


def test_4d_humans(tmp_path, poses):
    root, body, way = poses
    cam_root, cam_way = in_camera(root, way)
    turns = rotvec_to_matrix(body.reshape(20, 23, 3)).astype(np.float32)
    frames = {}
    for t in range(20):
        mine = {"global_orient": rotvec_to_matrix(cam_root[t])[None], "body_pose": turns[t], "betas": np.ones(10)}
        other = {"global_orient": np.eye(3)[None], "body_pose": turns[0], "betas": np.zeros(10)}
        seen = [(2, mine, cam_way[t], 0)] if t % 5 else [(1, other, cam_way[0], 0), (2, mine, cam_way[t], 1)]
        tid, smpl, camera, late = (list(column) for column in zip(*seen))
        frames[f"img/{t:06d}.jpg"] = {"time": t, "shot": 0, "tid": tid, "smpl": smpl, "camera": camera,
                                      "tracked_time": late, "tracked_ids": [2], "img_path": ["x"]}  # fmt: skip
    motion, facts = read_amass(dump(tmp_path / "demo_video.pkl", frames))
    kept = np.array([t for t in range(20) if t % 5])  # in the others the tracker only kept the person alive
    check(motion, poses, kept)
    assert_allclose(motion.time_s, (kept - kept[0]) / 30)
    assert facts.layout == "4D-Humans" and facts.who == "2" and facts.betas[0] == 1


def test_tram(tmp_path, poses):
    root, body, way = poses
    cam_root, cam_way = in_camera(root, way)
    pose = np.concatenate([cam_root[:, None], body.reshape(20, 23, 3)], 1)
    saved = {
        "pred_rotmat": torch.tensor(rotvec_to_matrix(pose)), "pred_trans": torch.tensor(cam_way[:, None]),
        "pred_shape": torch.full((20, 10), 0.25), "frame": torch.arange(5, 25), "pred_cam": torch.zeros(20, 3),
        "pred_pose": torch.zeros(20, 144),
    }  # fmt: skip
    np.save(tmp_path / "hps_track_0.npy", saved)
    motion, facts = read_amass(tmp_path / "hps_track_0.npy")
    check(motion, poses)
    assert facts.layout == "TRAM" and facts.betas[0] == 0.25


def test_slahmr(tmp_path, poses):
    root, body, way = poses
    tilt = rotvec_to_matrix(np.array([0.3, 0.0, 0.1]))  # its camera looks down: the floor is not level there
    cam = matrix_to_rotvec(tilt @ Y_DOWN @ rotvec_to_matrix(root))
    both = np.stack([cam[:6], cam[6:12]]), np.stack([body[:6, :63], body[6:12, :63]])
    trans = np.stack([way[:6], way[6:12]]) @ (tilt @ Y_DOWN).T
    floor = 1.3 * (tilt @ [0, -1.0, 0])[None]
    more = {"betas": np.zeros((2, 16)), "floor_plane": floor, "cam_R": np.zeros((2, 6, 3, 3))}
    path = tmp_path / "a_000060_world_results.npz"
    np.savez(path, root_orient=both[0], pose_body=both[1], trans=trans, **more)
    for person, part in (("0", slice(0, 6)), ("1", slice(6, 12))):
        motion, facts = read_amass(path, Mapping(person=person))
        # the heading in the level world is free: only what is seen from the floor is compared
        joints, _ = forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)
        upright = rotvec_to_matrix(motion.rotvec[:, 0].astype(float))[:, 1, 1]
        assert_allclose(upright, rotvec_to_matrix(root[part])[:, 1, 1], atol=1e-6)
        assert (joints[:, HEAD, 1] - joints[:, ANKLE, 1]).min() > 1.0
        assert facts.layout == "SLAHMR"


def test_aist(tmp_path, poses):
    root, body, way = poses
    pose = np.hstack([root, body])
    saved = {"smpl_poses": pose, "smpl_trans": 90 * way, "smpl_scaling": np.array([90.0]), "smpl_loss": 0.1}
    motion, facts = read_amass(dump(tmp_path / "a.pkl", saved))
    check(motion, poses)
    assert facts.frame_rate == 60 and facts.layout == "AIST++"


def test_parameters_of_other_tools(tmp_path, poses):
    root, body, way = poses
    cam_root, cam_way = in_camera(root, way)
    hands = np.random.default_rng(0).normal(0, 0.3, (2, 20, 45))
    plain = {"global_orient": cam_root[:, None], "body_pose": body[:, :63].reshape(20, 21, 3), "transl": cam_way,
             "left_hand_pose": hands[0], "right_hand_pose": hands[1], "fps": 24.0}  # fmt: skip
    motion, facts = read_amass(dump(tmp_path / "a.pkl", {"smplx": plain}))
    check(motion, poses)
    assert_allclose(motion.rotvec[:, 22:37].reshape(20, 45), hands[0], atol=1e-6)
    assert_allclose(motion.rotvec[:, 37:].reshape(20, 45), hands[1], atol=1e-6)
    assert facts.frame_rate == 24
    plain |= {"left_hand_pose": hands[0][:, :12], "global_orient": root, "transl": way}
    motion, facts = read_amass(dump(tmp_path / "b.pkl", plain))
    check(motion, poses)  # a y-up world is seen from the bodies that stand in it
    assert facts.up == "y" and any("components" in note for note in facts.notes)
    assert_array_equal(motion.rotvec[:, 22:37], 0)
    assert read_amass(tmp_path / "b.pkl", Mapping(up="-y"))[1].up == "-y"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(pose_world=d["pose_world"][:, :70]), r"pose_world is \(20, 70\)"),
        (lambda d: d.update(trans_world=np.zeros((19, 3))), r"trans is \(19, 3\)"),
        (lambda d: d["pose_world"].__setitem__((7, 3), np.inf), r"not a finite number \(frame 7\)"),
        (lambda d: d.update(pose_world=d["pose_world"] * 1e4), "radians makes no sense"),
        (lambda d: d.update(trans_world=np.full((20, 3), 1e9)), "m makes no sense"),
        (lambda d: d.update(frame_ids=np.zeros(20)), "do not rise"),
        (lambda d: d.update(pose_world=np.zeros((0, 72))), r"\(0, 72\)"),
        (lambda d: d.update(pose_world="x"), "not numbers"),
        (lambda d: d.clear(), "no poses array"),
    ],
)
def test_refuses_with_a_reason(tmp_path, poses, change, reason):
    root, body, way = poses
    person = {"pose_world": np.hstack([root, body]), "trans_world": way}
    change(person)
    with pytest.raises(InputError, match=reason):
        read_amass(dump(tmp_path / "a.pkl", {0: person}))


NUMBERS = st.sampled_from([np.zeros((3, 72)), np.zeros((3, 3)), np.zeros(3), np.zeros((3, 1, 3, 3)), np.zeros((0, 72)),
                           np.full((3, 24, 3, 3), np.nan), np.array(5.0), 3, "x", None, [], [1, [2]], {}])  # fmt: skip
KEYS = st.sampled_from(
    ["poses", "trans", "pose", "pose_world", "trans_world", "global_orient", "body_pose", "transl", "smpl", "tid",
     "fps", "root_orient", "pose_body", "pred_rotmat", "smpl_poses", "smpl_scaling", "betas", "frame_ids",
     "floor_plane", "smpl_params_global", "left_hand_pose", "camera", "time", 0, "1"]
)  # fmt: skip
TREES = st.recursive(NUMBERS, lambda inner: st.dictionaries(KEYS, inner, max_size=5), max_leaves=12)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_never_crashes(tmp_path, tree):
    try:
        motion, _ = read_amass(dump(tmp_path / "a.pkl", tree))
        assert np.isfinite(motion.root_m).all()
    except InputError as error:
        assert len(error.what.split()) > 3
