import numpy as np
import pytest
import torch
from body_files import NUM_VERTICES, first_published, python2_pickle, slow_pose, tables
from numpy.testing import assert_allclose, assert_array_equal

from engine.body import load_body
from engine.body.family import LAYOUTS
from engine.body.model import forward_kinematics
from engine.body.model import load_body as embedded
from engine.errors import InputError
from engine.types import JOINT_PARENTS, JOINTS

ATOL_M = 5e-6
"""float32 through chains of up to nine joints and sums over 55, bodies of some metres."""


@pytest.fixture
def save(tmp_path):
    def save(data, suffix=".npz"):
        path = tmp_path / f"body{suffix}"
        np.savez(path, **data)
        return path

    return save


@pytest.fixture
def poses():
    rng = np.random.default_rng(3)
    return rng.normal(0, 0.5, (4, 55, 3)), rng.normal(0, 1, (4, 3)), rng.normal(0, 1, 10)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_equals_the_slow_form(kind, save, poses):
    data = tables(kind)
    body = load_body(save(data))
    num = len(LAYOUTS[kind])
    rotvec, transl, betas = poses[0][:, :num], poses[1], poses[2]
    pelvis = body.shaped(betas)[1][0]
    got = body.pose(rotvec, transl + pelvis, betas)
    assert got.dtype == np.float32 and got.shape == (4, NUM_VERTICES, 3)
    for frame in range(4):
        want, _ = slow_pose(data, rotvec[frame], transl[frame], betas)
        assert_allclose(got[frame], want, atol=ATOL_M)
    alone = body.pose(rotvec[1], transl[1] + pelvis, betas)
    assert_allclose(alone, got[1], atol=ATOL_M)
    each = body.pose(rotvec, transl + pelvis, np.tile(betas, (4, 1)))
    assert_allclose(each, got, atol=ATOL_M)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_is_driven_by_our_joints(kind, save, poses):
    data = tables(kind)
    body = load_body(save(data))
    ours = poses[0][:, :52]
    names = LAYOUTS[kind]
    own = np.zeros((4, len(names), 3))
    for j, name in enumerate(names):
        if name in JOINTS:
            own[:, j] = ours[:, JOINTS.index(name)]
    assert_allclose(body.pose(ours, poses[1]), body.pose(own, poses[1]), atol=ATOL_M)
    vertices, joints = body.rest(poses[2])
    assert_allclose(vertices[:, 1].min(), 0, atol=1e-6)
    assert_allclose(joints[0, [0, 2]], 0, atol=1e-6)
    still = body.pose(np.zeros((52, 3)), joints[0], poses[2])
    assert_allclose(still, vertices, atol=ATOL_M)
    moved, _ = forward_kinematics(ours[:1], poses[1][:1], joints.astype(float))
    own_joints = slow_pose(data, own[0], poses[1][0] - body.shaped(poses[2])[1][0], poses[2])[1]
    for j, name in enumerate(names):
        if name in JOINTS:
            assert_allclose(moved[0, JOINTS.index(name)], own_joints[j], atol=ATOL_M)


def test_smpl_has_fingers_for_the_joints_alone(save):
    joints = load_body(save(tables("SMPL"))).joints
    spare = embedded().joints
    for wrist, first in ((20, 22), (21, 37)):
        for j in range(first, first + 15):
            bone, theirs = joints[j] - joints[JOINT_PARENTS[j]], spare[j] - spare[JOINT_PARENTS[j]]
            size = np.linalg.norm(joints[wrist] - joints[wrist - 2]) / np.linalg.norm(spare[wrist] - spare[wrist - 2])
            assert_allclose(bone, size * theirs, atol=1e-6)


def test_is_differentiable(save, poses):
    body = load_body(save(tables("SMPL-H")))
    given = [
        torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in (poses[0][:2, :52], poses[1][:2], poses[2])
    ]
    weight = torch.linspace(-1, 1, 2 * NUM_VERTICES * 3).reshape(2, NUM_VERTICES, 3)
    (body.pose(*given) * weight).sum().backward()
    rng = np.random.default_rng(0)
    for tensor in given:
        way = torch.tensor(rng.normal(size=tuple(tensor.shape)), dtype=torch.float32)
        step = 5e-2 / way.norm()
        ends = [
            (body.pose(*[t + sign * step * way if t is tensor else t for t in given]).double() * weight).sum()
            for sign in (1, -1)
        ]
        slope = ((ends[0] - ends[1]) / (2 * step)).item()
        # central differences in float32 leave some parts in a thousand of curvature and rounding
        assert slope == pytest.approx((tensor.grad * way).sum().item(), rel=1e-2, abs=1e-2)
    assert_allclose(body.pose(torch.zeros(1, 52, 3), torch.zeros(1, 3)).isfinite().all(), True)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_pickles_as_first_published(tmp_path, save, protocol):
    data = tables("SMPL")
    want = load_body(save(data))
    got = load_body(first_published(data, tmp_path / "old.pkl", protocol))
    for name in ("template", "shape_dirs", "pose_dirs", "regressor", "skin", "faces"):
        assert_array_equal(getattr(got, name), getattr(want, name))
    (tmp_path / "two.pkl").write_bytes(python2_pickle(data))
    assert_array_equal(load_body(tmp_path / "two.pkl").pose_dirs, want.pose_dirs)


def test_expressions_are_left_out_and_correctives_may_be_missing(save, poses):
    data = tables("SMPL-X", shapes=400)
    assert load_body(save(data)).num_shapes == 300
    assert load_body(save(tables("SMPL-X", shapes=20))).num_shapes == 10
    assert load_body(save(tables("SMPL", shapes=300))).num_shapes == 300
    stiff = {key: value for key, value in data.items() if key != "posedirs"}
    got = load_body(save(stiff)).pose(poses[0], poses[1])
    want = load_body(save(data | {"posedirs": 0 * data["posedirs"]})).pose(poses[0], poses[1])
    assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.pop("v_template"), "no body"),
        (lambda d: d.pop("weights"), "no weights"),
        (lambda d: d.update(weights=d["weights"][:, :5]), r"weights is \(60, 5\)"),
        (lambda d: d.update(weights=2 * d["weights"]), "do not sum to 1"),
        (lambda d: d.update(f=d["f"] + 60), "of 60 vertices"),
        (lambda d: d.update(v_template=np.full((60, 3), np.nan)), "v_template"),
        (lambda d: d.update(posedirs=d["posedirs"][..., :9]), "posedirs is"),
        (lambda d: d.update(kintree_table=d["kintree_table"][:, :16]), "16 joints"),
        (lambda d: d.update(kintree_table=d["kintree_table"][:, ::-1]), "hangs on joint"),
        (lambda d: d.update(kintree_table=np.array(["x"])), "kintree_table"),
    ],
)
def test_refuses_with_a_reason(save, change, reason):
    data = tables("SMPL")
    change(data)
    with pytest.raises(InputError, match=reason):
        load_body(save(data))


def test_equals_the_published_package(save, poses):
    smplx = pytest.importorskip("smplx")
    from smplx.utils import Struct

    data = tables("SMPL", num_vertices=6890)  # the package picks landmarks out of the real number of vertices
    body = load_body(save(data))
    theirs = smplx.SMPL("", data_struct=Struct(**data), batch_size=4)
    rotvec, transl, betas = (torch.tensor(a, dtype=torch.float32) for a in (poses[0][:, :24], poses[1], poses[2]))
    with torch.no_grad():
        want = theirs(
            betas=betas.expand(4, -1), global_orient=rotvec[:, 0], body_pose=rotvec[:, 1:].flatten(1), transl=transl
        ).vertices
    pelvis = torch.tensor(body.shaped(poses[2])[1][0])
    assert_allclose(body.pose(rotvec, transl + pelvis, betas), want, atol=ATOL_M)
