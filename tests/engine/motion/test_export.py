import csv
from dataclasses import replace

import numpy as np
import pytest
from body_files import tables
from fbx_files import write_fbx
from numpy.testing import assert_allclose, assert_array_equal

from engine.body import load_body
from engine.body.bvh import read_bvh
from engine.body.gltf_file import GltfFile
from engine.body.model import forward_kinematics
from engine.errors import InputError, UsageError
from engine.geometry import rotvec_to_matrix
from engine.motion.amass import read_amass
from engine.motion.export import export_motion
from engine.motion.files import is_motion_file, read_motion_file
from engine.motion.given import Mapping
from engine.motion.retarget import motion_from_bvh
from engine.motion.rig import read_motion
from engine.types import JOINTS, Camera

TENTH_MM = 1e-4


def joints_of(motion):
    return forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)[0]


@pytest.fixture
def body_file(tmp_path):
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **tables("SMPL"))
    return tmp_path / "SMPL_NEUTRAL.npz"


@pytest.mark.parametrize("name", ["a.bvh", "a.npz", "a.smpl.npz", "a.glb"])
def test_what_is_written_is_read_again(walk, tmp_path, name):
    export_motion(walk, tmp_path / name)
    read = read_motion_file(tmp_path / name, Mapping(level_floor=False) if name == "a.glb" else None, place=False)
    # the glTF reader puts the soles on the ground anew
    assert_allclose(joints_of(read.motion) - read.motion.root_m[:1, None], joints_of(walk) - walk.root_m[:1, None],
                    atol=TENTH_MM)  # fmt: skip
    assert_allclose(read.motion.root_m[:, [0, 2]], walk.root_m[:, [0, 2]], atol=TENTH_MM)
    assert abs(read.motion.root_m[0, 1] - walk.root_m[0, 1]) < (0.05 if name == "a.glb" else 1e-4)
    assert_allclose(read.motion.time_s, walk.time_s, atol=1e-6)
    again = tmp_path / f"again-{name}"
    export_motion(walk, again)
    assert again.read_bytes() == (tmp_path / name).read_bytes() or name.endswith("npz")  # a zip holds the time of day


def test_every_sample_through_every_form(sample_data, tmp_path):
    """BVH -> internal -> BVH -> AMASS -> BVH and glTF, joints within a tenth of a millimetre."""
    for path in sorted((sample_data / "motion").glob("*.bvh")):
        try:
            bvh = read_bvh(path)
            thin = replace(bvh, values=bvh.values[:: 1 + len(bvh.values) // 150])  # every rig, not every frame
            motion, _ = motion_from_bvh(thin, place=False)
        except InputError:
            continue
        want = joints_of(motion)
        export_motion(motion, tmp_path / "a.bvh")
        first = read_motion(tmp_path / "a.bvh")
        assert_allclose(joints_of(first), want, atol=TENTH_MM, err_msg=path.name)
        export_motion(first, tmp_path / "b.npz")
        second, facts = read_amass(tmp_path / "b.npz")
        export_motion(second, tmp_path / "c.bvh", facts=facts)
        assert_allclose(joints_of(read_motion(tmp_path / "c.bvh")), want, atol=TENTH_MM, err_msg=path.name)
        export_motion(motion, tmp_path / "d.glb")
        third = read_motion_file(tmp_path / "d.glb", Mapping(level_floor=False), place=False).motion
        moved = joints_of(third) - want
        assert_allclose(moved, moved[:1, :1] * np.ones_like(moved), atol=TENTH_MM, err_msg=path.name)
        assert np.abs(moved[0, 0]).max() < 0.02, path.name


def test_amass_is_exact_with_pelvis_vectors_of_any_length(tmp_path):
    rng = np.random.default_rng(8)
    poses = rng.normal(0, 0.4, (9, 156))
    poses[:, :3] = np.linspace(1, 6, 9)[:, None] * [0.8, 0.6, 0.0]  # past pi
    published = {"poses": poses, "trans": rng.normal(5, 1, (9, 3)), "betas": rng.normal(0, 1, 16),
                 "gender": np.array("male"), "mocap_framerate": np.array(100.0)}  # fmt: skip
    np.savez(tmp_path / "a.npz", **published)
    read = read_motion_file(tmp_path / "a.npz")
    assert read.facts.lift_m != 0  # five metres up: it is put on the ground, and back
    export_motion(read.motion, tmp_path / "b.npz", facts=read.facts)
    with np.load(tmp_path / "b.npz") as data:
        assert_array_equal(data["poses"].astype(np.float32), poses.astype(np.float32))
        assert_allclose(data["trans"], published["trans"], atol=1e-6)  # float32 of some metres
        assert_array_equal(data["betas"], published["betas"])
        assert data["gender"] == "male" and data["mocap_framerate"] == 100


def test_fingers_of_amass_reach_the_bvh(tmp_path):
    rng = np.random.default_rng(8)
    poses = rng.normal(0, 0.3, (4, 156))
    np.savez(tmp_path / "a.npz", poses=poses, trans=np.zeros((4, 3)), mocap_framerate=60)
    export_motion(read_amass(tmp_path / "a.npz")[0], tmp_path / "b.bvh")
    again = read_motion_file(tmp_path / "b.bvh", place=False).motion
    want = rotvec_to_matrix(poses[:, 66:].reshape(4, 30, 3))
    assert_allclose(rotvec_to_matrix(again.rotvec[:, 22:].astype(float)), want, atol=1e-5)  # six decimals of degrees


def skinned(path, frame):
    """Vertices of one frame of a .glb by the specification: nodes, inverse bind matrices, weights."""
    file = GltfFile(path)
    scene = file.json
    clip = scene["animations"][0]
    local = []
    for node in scene["nodes"]:
        matrix = np.eye(4)
        matrix[:3, 3] = node.get("translation", [0, 0, 0])
        local.append(matrix)
    for channel in clip["channels"]:
        sampler = clip["samplers"][channel["sampler"]]
        value = file.accessor(sampler["output"], "", ("VEC3", "VEC4"))[frame]
        if channel["target"]["path"] == "translation":
            local[channel["target"]["node"]][:3, 3] = value
        else:
            x, y, z, w = value
            vector = np.array([x, y, z])
            cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            turn = np.eye(3) + 2 * w * cross + 2 * cross @ cross
            assert abs(vector @ vector + w * w - 1) < 1e-5
            local[channel["target"]["node"]][:3, :3] = turn
    world = {}

    def walk(node, above):
        world[node] = above @ local[node]
        for child in scene["nodes"][node].get("children", ()):
            walk(child, world[node])

    for root in scene["scenes"][0]["nodes"]:
        walk(root, np.eye(4))
    skin = scene["skins"][0]
    inverse = np.swapaxes(file.accessor(skin["inverseBindMatrices"], "", ("MAT4",)).reshape(-1, 4, 4), 1, 2)
    moves = np.stack([world[node] @ bind for node, bind in zip(skin["joints"], inverse)])
    parts = scene["meshes"][0]["primitives"][0]["attributes"]
    points = file.accessor(parts["POSITION"], "", ("VEC3",))
    joints = file.accessor(parts["JOINTS_0"], "", ("VEC4",)).astype(int)
    weights = file.accessor(parts["WEIGHTS_0"], "", ("VEC4",))
    assert_allclose(weights.sum(1), 1, atol=1e-6)
    blended = np.einsum("vk,vkab->vab", weights, moves[joints])
    return np.einsum("vab,vb->va", blended, np.hstack([points, np.ones((len(points), 1))]))[:, :3], world


def test_the_skin_of_a_glb_is_the_posed_body(walk, tmp_path):
    body = load_body()
    moved = [0.5, -1.0, 0.3, 0, 0, 0, 0, 0, 0, 0]
    rest = body.rest(np.array(moved))[1]
    motion = type(walk)(**{**vars(walk), "rest_m": rest, "shape": np.array(moved, np.float32)})
    export_motion(motion, tmp_path / "a.glb")
    for frame in (0, 17):
        points, world = skinned(tmp_path / "a.glb", frame)
        want = body.pose(motion.rotvec[frame], motion.root_m[frame], motion.shape)
        assert_allclose(points, want, atol=2e-5)  # float32 through nine joints
        assert_allclose([world[j + 1][:3, 3] for j in range(len(JOINTS))], joints_of(motion)[frame], atol=1e-5)


def test_the_skin_of_an_smpl_body(walk, tmp_path, body_file):
    data = tables("SMPL")
    data["posedirs"] = 0 * data["posedirs"]  # a skin has no correctives
    keep = np.argsort(-data["weights"], axis=1)[:, :4]  # and four joints for a vertex
    weights = np.zeros_like(data["weights"])
    np.put_along_axis(weights, keep, np.take_along_axis(data["weights"], keep, 1), 1)
    weights[:, 22:] = 0
    data["weights"] = weights / weights.sum(1, keepdims=True)
    np.savez(body_file, **data)
    body = load_body(body_file)
    betas = np.array([0.6, -0.4, 0, 0, 0, 0, 0, 0, 0, 0])
    motion = type(walk)(**{**vars(walk), "rest_m": body.rest(betas)[1]})
    assert_allclose(body.shaped(body.betas_for(motion.rest_m))[1], body.shaped(betas)[1], atol=0.02)
    np.savez(
        tmp_path / "a.npz", poses=motion.rotvec.reshape(-1, 156).astype(float), trans=np.zeros((40, 3)), betas=betas
    )
    facts = read_amass(tmp_path / "a.npz", body=body)[1]
    export_motion(motion, tmp_path / "a.glb", body=body, facts=facts)
    points, _ = skinned(tmp_path / "a.glb", 9)
    assert_allclose(points, body.pose(motion.rotvec[9], motion.root_m[9], betas), atol=2e-5)


def test_a_glb_is_read_by_others(walk, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    export_motion(walk, tmp_path / "a.glb")
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh")
    assert mesh.faces.shape == load_body().faces.shape and mesh.is_winding_consistent


def test_smpl_parameters_pose_smpl(walk, tmp_path, body_file):
    """What is written poses the user's model to where the motion's pelvis is."""
    body = load_body(body_file)
    export_motion(walk, tmp_path / "a.smpl.npz", body=body)
    with np.load(tmp_path / "a.smpl.npz") as data:
        pelvis = body.shaped(data["betas"])[1][0]
        assert_allclose(data["transl"] + pelvis, walk.root_m, atol=1e-6)
        assert_array_equal(data["global_orient"], walk.rotvec[:, 0])
        assert data["body_pose"].shape == (40, 69) and not data["body_pose"][:, 63:].any()
        assert data["left_hand_pose"].shape == (40, 45) and data["fps"] == pytest.approx(25)


def test_a_table_of_joints(walk, tmp_path):
    K = np.tile(np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1]], np.float32), (40, 1, 1))
    world_to_cam = np.tile(np.diag([1.0, -1, -1, 1]).astype(np.float32), (40, 1, 1))
    world_to_cam[:, :3, 3] = [0, 1, 4]
    world_to_cam[7:, 2, 3] = -9  # from here on behind the camera
    export_motion(walk, tmp_path / "a.csv", camera=Camera(K, world_to_cam))
    with open(tmp_path / "a.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40 and len(rows[0]) == 2 + 5 * 52
    x, y, z = joints_of(walk)[3, JOINTS.index("left_wrist")]
    got = [float(rows[3][f"left_wrist.{axis}_m"]) for axis in "xyz"]
    assert_allclose(got, [x, y, z], atol=1e-6)
    assert_allclose(float(rows[3]["left_wrist.x_px"]), 320 + 500 * x / (4 - z), atol=2e-3)
    assert_allclose(float(rows[3]["left_wrist.y_px"]), 240 + 500 * (1 - y) / (4 - z), atol=2e-3)
    assert rows[7]["left_wrist.x_px"] == ""
    export_motion(walk, tmp_path / "b.csv")
    with open(tmp_path / "b.csv") as file:
        assert next(csv.DictReader(file))["head.y_px"] == ""


def test_a_rig_of_mixamo(walk, foreign, tmp_path):
    """A rig with Mixamo's names and turned bones, as FBX: our own motion comes back."""
    pytest.importorskip("ufbx")
    parts = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
             "elbow": "ForeArm", "wrist": "Hand"}  # fmt: skip
    trunk = dict(pelvis="Hips", spine1="Spine", spine2="Spine1", spine3="Spine2", neck="Neck", head="Head")
    names = {joint: f"mixamorig:{trunk.get(joint, joint)}" for joint in JOINTS}
    for joint in JOINTS:
        side, _, part = joint.partition("_")
        if part in parts:
            names[joint] = f"mixamorig:{side.title()}{parts[part]}"
        elif part and part[-1].isdigit() and side in ("left", "right"):
            names[joint] = f"mixamorig:{side.title()}Hand{part[:-1].title()}{part[-1]}"
    rig = foreign(walk, rename=names)
    rng = np.random.default_rng(3)
    turns = {name: rotvec_to_matrix(rng.normal(0, 1, 3)) for name in rig.skeleton.names}
    path = write_fbx(tmp_path / "a.fbx", rig, pre_turn=turns)
    read = read_motion_file(path, Mapping(level_floor=False), place=False)
    assert read.lines[0] == "a.fbx: 52 of 52 joints"
    assert any("mixamorig:LeftForeArm" in line and line.endswith("left_elbow") for line in read.lines)
    moved = joints_of(read.motion) - joints_of(walk)
    # FBX keeps curves as float32 degrees and a clock of its own; one shift for the sole's height is allowed
    assert_allclose(moved, moved[:1, :1] * np.ones_like(moved), atol=5e-4)
    assert np.abs(moved[0, 0]).max() < 0.05


def test_forms(tmp_path, walk):
    assert is_motion_file("a.FBX") and is_motion_file("a.b.pkl") and not is_motion_file("a.mp4")
    with pytest.raises(InputError, match=r"a\.txt is no motion file"):
        read_motion_file(tmp_path / "a.txt")
    with pytest.raises(UsageError, match=r"a\.fbx is no form mimo exports"):
        export_motion(walk, tmp_path / "a.fbx")
