import hashlib
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from engine.body.model import (
    BODY_FILE,
    forward_kinematics,
    forward_kinematics_torch,
    load_body,
    rotvec_to_matrix_torch,
    shape_from_height,
)
from engine.geometry import rotvec_to_matrix
from engine.types import JOINT_PARENTS, JOINTS, LANDMARKS

AT = {name: k for k, name in enumerate(JOINTS)}


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def poses():
    rng = np.random.default_rng(3)
    return rng.normal(0, 0.4, (6, len(JOINTS), 3)), rng.normal(0, 1, (6, 3))


def direction(body, start, end):
    bone = body.joints[AT[end]] - body.joints[AT[start]]
    return bone / np.linalg.norm(bone)


def test_file_is_small_and_holds_no_pickle():
    assert BODY_FILE.stat().st_size <= 1_500_000
    with np.load(BODY_FILE, allow_pickle=False) as data:
        assert all(data[key].dtype.kind in "uif" for key in data.files)
    assert (BODY_FILE.parent / "PROVENANCE.md").is_file()


def test_stands_in_the_t_pose_of_smpl(body):
    assert_allclose(body.joints[0, [0, 2]], 0, atol=1e-6)
    assert (
        abs(body.vertices[:, 1].min()) < 2e-3
    )  # soles on the ground: mean of bodies whose soles are, some ribs of them not
    for side, sign in (("left", 1), ("right", -1)):
        out = np.array([sign, 0, 0])
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1")):
            # float32 metres over bones of 10 cm and more
            assert direction(body, f"{side}_{start}", f"{side}_{end}") @ out > (0.9999 if end != "middle1" else 0.995)
        for start, end in (("hip", "knee"), ("knee", "ankle")):
            assert (
                direction(body, f"{side}_{start}", f"{side}_{end}")[1] < -0.99
            )  # SMPL's own legs lean by 5 and 6 degrees
        assert direction(body, f"{side}_ankle", f"{side}_foot")[2] > 0.8  # feet forwards
    assert 1.65 < np.ptp(body.vertices[:, 1]) < 1.75


def mirrored(name):
    return name.replace("left", "right") if "left" in name else name.replace("right", "left")


def test_is_a_mirror_image(body):
    swap = [JOINTS.index(mirrored(n)) for n in JOINTS]
    assert_allclose(body.joints[swap] * [-1, 1, 1], body.joints, atol=1e-6)
    marks = [LANDMARKS.index(mirrored(n)) for n in LANDMARKS]
    assert_allclose(body.landmarks[marks] * [-1, 1, 1], body.landmarks, atol=4e-3)  # the face's vertices are not quite


def test_mesh_is_sound(body):
    assert body.faces.max() < len(body.vertices) and body.faces.min() >= 0
    assert body.face_uv.max() < len(body.uv)
    assert body.uv.min() >= 0 and body.uv.max() <= 1
    assert_allclose(body.weights.sum(1), 1, atol=1e-6)  # 255 parts, float32
    a, b, c = (body.vertices[body.faces[:, k]].astype(np.float64) for k in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert 0.04 < volume < 0.11  # a person in cubic metres; positive: faces are counter-clockwise seen from outside


def test_landmarks_are_where_a_person_has_them(body):
    mark = {name: body.landmarks[k] for k, name in enumerate(LANDMARKS)}
    assert mark["nose"][2] == body.landmarks[:, 2].max() or mark["nose"][2] > mark["left_eye"][2]
    assert mark["left_eye_inner"][0] < mark["left_eye"][0] < mark["left_eye_outer"][0] < mark["left_ear"][0]
    assert mark["mouth_left"][1] < mark["nose"][1] < mark["left_eye"][1]
    assert mark["left_heel"][2] < mark["left_ankle"][2] < mark["left_foot_index"][2]
    assert mark["left_foot_index"][1] < 0.04 and mark["left_heel"][1] < 0.06
    # Every landmark but the joints inside the flesh lies on or just under the skin.
    surface = [
        k for k, n in enumerate(LANDMARKS) if any(p in n for p in ("nose", "eye", "ear", "mouth", "heel", "foot_index"))
    ]
    for k in surface:
        assert np.linalg.norm(body.vertices - body.landmarks[k], axis=1).min() < 0.025


def test_rest_pose_is_the_zero_pose(body):
    posed = body.pose(np.zeros((2, len(JOINTS), 3)), np.tile(body.joints[0], (2, 1)))
    assert_allclose(posed[1], body.vertices, atol=2e-6)  # float32, six products deep


def test_skinning_equals_the_slow_way(body, poses):
    rotvec, root_m = (a[:2] for a in poses)
    shape = np.array([1.0, -0.5, 0, 0.7, 0, 0, 0, 0, 0, 0.2])
    vertices, joints = body.rest(shape)
    posed, turned = forward_kinematics(rotvec, root_m, joints)
    got = body.pose(rotvec, root_m, np.tile(shape, (2, 1)))
    assert_allclose(got, np.stack([body.pose(rotvec[k], root_m[k], shape) for k in range(2)]), atol=1e-5)
    moves = np.einsum("vk,tvkab->tvab", body.weights, turned[:, body.weight_joints])
    offset = posed - np.einsum("tjab,jb->tja", turned, joints)
    slow = np.einsum("tvab,vb->tva", moves, vertices) + np.einsum(
        "vk,tvka->tva", body.weights, offset[:, body.weight_joints]
    )
    assert_allclose(got, slow, atol=1e-5)  # float32 against float64 over a body of 2 m


def test_skin_is_not_torn_in_a_squat(body):
    rotvec = np.zeros((len(JOINTS), 3))
    for side in ("left", "right"):
        rotvec[AT[f"{side}_hip"]] = [-1.7, 0, 0]
        rotvec[AT[f"{side}_knee"]] = [2.0, 0, 0]
        rotvec[AT[f"{side}_elbow"]] = [0, -1.5 if side == "left" else 1.5, 0]
    posed = body.pose(rotvec, np.zeros(3))
    edges = np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]]])
    before = np.linalg.norm(body.vertices[edges[:, 0]] - body.vertices[edges[:, 1]], axis=1)
    after = np.linalg.norm(posed[edges[:, 0]] - posed[edges[:, 1]], axis=1)
    assert (
        after - before
    ).max() < 0.06  # the longest stretch, over buttock and knee, is centimetres; a tear is decimetres


def test_shape(body):
    tall, _ = body.rest(shape_from_height(1.90))
    small, joints = body.rest(shape_from_height(1.50))
    assert (
        abs(np.ptp(tall[:, 1]) - 1.90) < 5e-3 and abs(np.ptp(small[:, 1]) - 1.50) < 5e-3
    )  # another vertex may be the top
    assert abs(small[:, 1].min()) < 1e-6
    elbow = joints[AT["left_elbow"]] - joints[AT["left_shoulder"]]
    assert elbow[0] / np.linalg.norm(elbow) > 0.9999  # components are of bodies in the T-pose
    assert body.rest(np.zeros(10))[0] is body.vertices


def test_landmarks_follow_the_joints(body, poses):
    joints, turned = forward_kinematics(*poses, body.joints)
    marks = body.landmarks_of(joints, turned)
    assert marks.shape == (6, 33, 3)
    zero = forward_kinematics(np.zeros((1, len(JOINTS), 3)), body.joints[:1], body.joints)
    assert_allclose(body.landmarks_of(*zero)[0], body.landmarks, atol=1e-6)
    nose, head = LANDMARKS.index("nose"), AT["head"]
    length = np.linalg.norm(marks[:, nose] - joints[:, head], axis=1)
    assert_allclose(length, np.linalg.norm(body.landmark_offsets[nose]), rtol=1e-5)
    other = body.offsets(np.array([2.0] + [0] * 9))
    assert np.abs(other - body.landmark_offsets).max() > 1e-3


def test_forward_kinematics_equals_the_textbook(poses):
    rotvec, root_m = poses
    rest = load_body().joints.astype(np.float64)
    joints, turned = forward_kinematics(rotvec, root_m, rest)
    local = rotvec_to_matrix(rotvec)
    for frame in range(2):
        world = [np.block([[local[frame, 0], root_m[frame][:, None]], [np.zeros((1, 3)), np.ones((1, 1))]])]
        for j in range(1, len(JOINTS)):
            step = (rest[j] - rest[JOINT_PARENTS[j]])[:, None]
            here = np.block([[local[frame, j], step], [np.zeros((1, 3)), np.ones((1, 1))]])
            world.append(world[JOINT_PARENTS[j]] @ here)
        assert_allclose(joints[frame], [w[:3, 3] for w in world], atol=1e-12)
        assert_allclose(turned[frame], [w[:3, :3] for w in world], atol=1e-12)


def test_torch_twin_and_its_gradient(poses):
    rotvec = torch.tensor(poses[0][:2, :, :], requires_grad=True)
    root_m = torch.tensor(poses[1][:2], requires_grad=True)
    rest = torch.tensor(load_body().joints, dtype=torch.float64, requires_grad=True)
    got = forward_kinematics_torch(rotvec, root_m, rest)
    want = forward_kinematics(poses[0][:2], poses[1][:2], load_body().joints.astype(np.float64))
    assert_allclose(got[0].detach().numpy(), want[0], atol=1e-12)
    assert_allclose(got[1].detach().numpy(), want[1], atol=1e-12)
    wrist = AT["left_wrist"]
    got[0][0, wrist, 0].backward()
    moved = poses[0][:2].copy()
    moved[0, AT["left_elbow"], 1] += 1e-6
    slope = (forward_kinematics(moved, poses[1][:2], load_body().joints.astype(np.float64))[0] - want[0])[
        0, wrist, 0
    ] / 1e-6
    assert_allclose(rotvec.grad[0, AT["left_elbow"], 1].item(), slope, atol=1e-5)  # forward difference of step 1e-6
    assert rest.grad is not None and torch.isfinite(rest.grad).all()


def test_torch_rotation_has_a_gradient_at_zero():
    zero = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    rotvec_to_matrix_torch(zero)[:, 2, 1].sum().backward()
    assert_allclose(zero.grad.numpy(), np.tile([1.0, 0, 0], (4, 1)))
    small = torch.tensor([[1e-5, 2e-5, 0.0], [0.3, -2, 1.0]], dtype=torch.float64)
    assert_allclose(rotvec_to_matrix_torch(small).numpy(), rotvec_to_matrix(small.numpy()), atol=1e-13)


def test_pose_is_differentiable(body):
    rotvec = torch.zeros(1, len(JOINTS), 3, requires_grad=True)
    shape = torch.zeros(10, requires_grad=True)
    body.pose(rotvec, torch.zeros(1, 3), shape).square().mean().backward()
    assert torch.isfinite(rotvec.grad).all() and rotvec.grad.abs().sum() > 0 and shape.grad.abs().sum() > 0


def test_another_body_of_the_same_kind_is_not_mixed_up(body):
    other = replace(body, vertices=body.vertices * 2)
    zero = np.zeros((len(JOINTS), 3))
    assert_allclose(other.pose(zero, body.joints[0]), other.vertices, atol=5e-6)
    assert_allclose(body.pose(zero, body.joints[0]), body.vertices, atol=2e-6)


def test_is_fast_and_repeatable(body, poses):
    rotvec = np.tile(poses[0], (17, 1, 1))[:100]
    root_m = np.zeros((100, 3))
    seconds, digests = [], set()
    for _ in range(3):
        start = time.perf_counter()
        posed = body.pose(rotvec, root_m)
        seconds.append(time.perf_counter() - start)
        digests.add(hashlib.sha256(posed.tobytes()).hexdigest())
    assert min(seconds) < 2.0  # 0.12 s on two idle cores; the room for a loaded machine
    assert len(digests) == 1
    assert_array_equal(posed[0], posed[6])
