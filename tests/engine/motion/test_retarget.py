from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.body.bvh import read_bvh
from engine.body.model import forward_kinematics, load_body
from engine.errors import InputError, RecipeError
from engine.geometry import rotvec_to_matrix
from engine.motion.given import Mapping, read_mapping
from engine.motion.ground import sole_height
from engine.motion.mapping import find_mapping, side_of, words_of
from engine.motion.retarget import motion_from_bvh, retarget
from engine.types import BODY_JOINTS, JOINTS

AT = {name: k for k, name in enumerate(JOINTS)}
LIMBS = [
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]
HUMANOIDS = {  # name: up axis, rest pose, unit, joints mapped at least
    "bandai2_walk_turn_left": ("y", "found from the movement", "centimetres", 21),
    "bandai_dash_active": ("y", "found from the movement", "centimetres", 21),
    "bandai_walk_happy": ("y", "found from the movement", "centimetres", 21),
    "bvhtoolbox_walk_scientific": ("y", "T-pose", "centimetres", 19),
    "cmu_jumping_jacks": ("y", "arms down", "CMU units", 22),
    "fair1_dab": ("z", "T-pose", "no unit fits: taken as a body of ordinary size", 24),
    "mocapbank_crlf": ("y", "arms down", "centimetres", 19),
    "pybvh_fingers_crlf": ("z", "T-pose", "inches", 52),
    "pybvh_mixed_orders": ("z", "T-pose", "inches", 22),
    "pybvh_rest_1frame": ("z", "T-pose", "inches", 22),
    "rokoko_dance_fingers": ("y", "found from the movement", "centimetres", 52),
}
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # our world to a z up one
MIXAMO = dict(
    zip(
        BODY_JOINTS,
        (
            "Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot",
            "Spine2", "LeftToeBase", "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm",
            "RightArm", "LeftForeArm", "RightForeArm", "LeftHand", "RightHand",
        ),
        strict=True,
    )
)  # fmt: skip


def angle_deg(a, b):
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=-1) / 2, 0, 1)))


def turn_deg(a, b):
    return angle_deg(*(rotvec_to_matrix(np.asarray(r, np.float64)).reshape(*r.shape[:-1], 9) for r in (a, b)))


def kinematics(motion):
    return forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m.astype(float))


@pytest.fixture(scope="module")
def retargeted(sample_data):
    results = {}
    for name in HUMANOIDS:
        bvh = read_bvh(sample_data / "motion" / f"{name}.bvh")
        results[name] = (bvh, *motion_from_bvh(bvh, name=name, place=False))
    return results


@pytest.mark.parametrize("name", HUMANOIDS)
def test_finds_axes_unit_and_rest_pose(retargeted, name):
    up, rest_pose, unit, num_joints = HUMANOIDS[name]
    table = retargeted[name][2]
    assert (table.up, table.rest_pose, table.unit) == (up, rest_pose, unit)
    assert len(table.joints) >= num_joints
    assert name in str(table) and table.joints["left_elbow"] in str(table)
    assert 1.3 < table.height_m < 1.75


@pytest.mark.parametrize("name", HUMANOIDS)
def test_every_limb_points_where_the_source_points(retargeted, name):
    bvh, motion, table = retargeted[name]
    places, _ = bvh.animation().world
    if table.up == "z":
        places = places @ Z_UP
    joints, _ = kinematics(motion)
    index = {ours: bvh.skeleton.names.index(theirs) for ours, theirs in table.joints.items()}
    for start, end in LIMBS:
        want = places[:, index[end]] - places[:, index[start]]
        got = joints[:, AT[end]] - joints[:, AT[start]]
        assert angle_deg(want, got).max() < 0.1  # float32 rotations, eight in a row; the contract is one degree
        length = np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
        assert_allclose(length, table.metres_per_unit, rtol=2e-3)
    feet = [AT["left_ankle"], AT["right_ankle"]]
    want = table.metres_per_unit * places[:, [index["left_ankle"], index["right_ankle"]]]
    # Ankles are the source's own, moved as a whole (and, where its floor drifts, levelled).
    moved = joints[:, feet] - want
    spread = np.ptp(moved, axis=(0, 1))
    assert spread[[0, 2]].max() < 2e-3
    assert spread[1] < (2e-3 if table.drift_m == 0 else table.drift_m + 2e-3)


@pytest.mark.parametrize("name", HUMANOIDS)
def test_bodies_stand_upright_on_the_ground_and_nothing_is_twisted(retargeted, name):
    _, motion, _ = retargeted[name]
    joints, turned = kinematics(motion)
    assert (joints[:, AT["neck"], 1] > joints[:, [AT["left_ankle"], AT["right_ankle"]], 1].max(1)).mean() > 0.95
    soles = sole_height(joints, motion.rest_m)
    assert abs(np.percentile(soles, 2)) < 0.03 and soles.min() > -0.08
    # Turns about the bone that no joint can do: elbows and knees are hinges, heads do not turn round.
    for joint, limit in (("elbow", 120), ("knee", 50)):
        for side in ("left", "right"):
            local = motion.rotvec[:, AT[f"{side}_{joint}"]]
            axis = 0 if joint == "elbow" else 1  # along the bone, in our T-pose
            assert np.degrees(np.abs(local[:, axis])).mean() < limit
    facing = np.einsum("ta,ta->t", turned[:, AT["head"], :, 2], turned[:, AT["spine3"], :, 2])
    assert facing.mean() > 0.7  # faces look where chests look
    thigh, shin = turned[:, AT["left_hip"], :, 2], turned[:, AT["left_knee"], :, 2]
    assert np.einsum("ta,ta->t", thigh, shin).mean() > 0.2
    toes = (turned[:, AT["left_ankle"], :, 2] + turned[:, AT["right_ankle"], :, 2]) / 2
    assert np.einsum("ta,ta->t", toes, turned[:, 0, :, 2]).mean() > 0.3  # toes point where the pelvis looks
    bend = motion.rotvec[:, [AT["left_knee"], AT["right_knee"]], 0]
    assert np.degrees(np.percentile(bend, 2)) > -25  # knees do not bend forwards


def test_starts_at_the_origin_facing_the_camera(retargeted):
    bvh, _, _ = retargeted["mocapbank_crlf"]
    motion, _ = motion_from_bvh(bvh)
    assert_allclose(motion.root_m[0, [0, 2]], 0, atol=1e-6)
    forward = rotvec_to_matrix(motion.rotvec[0, 0].astype(float))[:, 2]
    assert abs(forward[0]) < 1e-5 and forward[2] > 0


def test_walkers_walk_forwards(retargeted):
    for name in ("bandai_walk_happy", "bvhtoolbox_walk_scientific", "bandai_dash_active"):
        motion, _ = motion_from_bvh(retargeted[name][0])
        assert motion.root_m[-1, 2] > 2 and abs(motion.root_m[-1, 0]) < 0.4 * motion.root_m[-1, 2]


def test_walkers_plant_one_foot_after_the_other(retargeted):
    for name in ("bandai_walk_happy", "bvhtoolbox_walk_scientific"):
        motion = retargeted[name][1]
        assert motion.contact.any(1).mean() > 0.85  # a walk always has a foot on the ground
        assert motion.contact.all(1).mean() < 0.35
        joints, _ = kinematics(motion)
        for side, foot in enumerate(("left", "right")):
            planted = motion.contact[1:, side] & motion.contact[:-1, side]
            heel, ball = joints[:, AT[f"{foot}_ankle"]], joints[:, AT[f"{foot}_foot"]]
            slide = np.minimum(*(np.linalg.norm(np.diff(p[:, [0, 2]], axis=0), axis=1) for p in (heel, ball)))
            assert np.median(slide[planted]) < 0.012  # per frame of 1/30 s; the limit of contact is 0.35 m/s


def test_refuses_what_is_no_humanoid(sample_data):
    bvh = read_bvh(sample_data / "motion" / "pybvh_rotation_first_root.bvh")
    with pytest.raises(InputError) as caught:
        motion_from_bvh(bvh, name="toy.bvh")
    assert "toy.bvh is no humanoid: no two legs with knee and ankle and no two arms" in caught.value.what
    assert "4 joints (Hips, Spine, Head, LeftLeg)" in caught.value.what


@pytest.mark.parametrize(("arms_deg", "legs_deg"), [(0, 0), (45, 0), (80, 8), (-30, 0)])
@pytest.mark.parametrize(("world", "unit_m"), [(np.eye(3), 0.01), (Z_UP, 1.0), (Z_UP @ Z_UP, 0.001)])
def test_rest_pose_axes_and_unit_change_nothing(walk, foreign, lowered_arms, arms_deg, legs_deg, world, unit_m):
    rest = lowered_arms(arms_deg, legs_deg)
    motion, table = retarget(foreign(walk, rest=rest, world=world, unit_m=unit_m), place=False)
    assert table.metres_per_unit == unit_m
    got, want = kinematics(motion)[0], kinematics(walk)[0]
    shift = got - want
    assert np.ptp(shift, axis=(0, 1)).max() < 1e-4  # the same joints, moved as a whole
    # Legs lean a little in our T-pose, so that spreading them is not quite the smallest turn that gets them there.
    tolerance = 0.1 if legs_deg == 0 else 0.3
    assert turn_deg(motion.rotvec, walk.rotvec).max() < tolerance
    assert_allclose(motion.rest_m[:22], walk.rest_m[:22], atol=2e-3)  # soles are found to millimetres


@pytest.mark.parametrize("prefix", ["", "mixamorig:", "mixamorig7:", "Character1_", "Armature|"])
def test_names_of_mixamo(walk, foreign, prefix):
    rig = foreign(walk, rename={ours: prefix + theirs for ours, theirs in MIXAMO.items()})
    found = find_mapping(rig.skeleton)
    assert {ours: rig.skeleton.names[k] for ours, k in found.items() if ours in MIXAMO} == {
        ours: prefix + theirs for ours, theirs in MIXAMO.items()
    }


@pytest.mark.parametrize(
    ("left", "right"), [("{}_L", "{}_R"), ("L_{}", "R_{}"), ("{}.l", "{}.r"), ("l{}", "r{}"), ("L{}", "R{}")]
)
def test_other_ways_to_say_left(walk, foreign, left, right):
    rename = {}
    for ours, theirs in MIXAMO.items():
        core = theirs.replace("Left", "").replace("Right", "")
        rename[ours] = (left if "Left" in theirs else right if "Right" in theirs else "{}").format(core)
    keep = set(BODY_JOINTS)
    rig = foreign(walk, rename=rename, keep=keep)
    found = find_mapping(rig.skeleton)
    assert {ours: rig.skeleton.names[k] for ours, k in found.items()} == rename


def test_names_that_say_nothing(walk, foreign):
    keep = set(BODY_JOINTS)
    rig = foreign(walk, rename={name: f"joint{k:03d}" for k, name in enumerate(JOINTS)}, keep=keep)
    found = find_mapping(rig.skeleton)
    truth = {name: rig.skeleton.names.index(f"joint{JOINTS.index(name):03d}") for name in BODY_JOINTS}
    assert found == truth


def test_words_and_sides():
    assert "forearm" in words_of("mixamorig:LeftForeArm") and "left" in words_of("mixamorig:LeftForeArm")
    assert [side_of(n) for n in ("LHipJoint", "rhand", "Foot_R", "Bip01 L Thigh", "Spine", "Lowerback", "Root",
    "Larynx")] == [
        "left", "right", "right", "left", None, None, None, None,
    ]  # fmt: skip


def test_extra_joints_do_not_disturb(walk, foreign):
    rename = dict(MIXAMO)
    rig = foreign(walk, rename=rename)
    # A tail with three bones on the pelvis, as long as an arm.
    skeleton = rig.skeleton
    num = len(skeleton.names)
    from engine.body.skeleton import Animation, Skeleton

    longer = Skeleton(
        names=(*skeleton.names, "Tail1", "Tail2", "Tail3"),
        parents=(*skeleton.parents, 0, num, num + 1),
        offsets=np.concatenate([skeleton.offsets, [[0, -5, -10], [0, 0, -25], [0, 0, -25]]]),
        ends=skeleton.ends,
    )
    more = np.tile(np.eye(3), (len(walk), 3, 1, 1))
    animal = Animation(
        skeleton=longer,
        rotations=np.concatenate([rig.rotations, more], axis=1),
        positions=np.concatenate([rig.positions, np.tile(longer.offsets[-3:], (len(walk), 1, 1))], axis=1),
        time_s=rig.time_s,
    )
    motion, table = retarget(animal, place=False)
    assert {"Tail1", "Tail2", "Tail3"} <= set(table.unused)
    assert turn_deg(motion.rotvec[:, 1:22], walk.rotvec[:, 1:22]).max() < 0.1


def test_biped_hangs_its_legs_on_the_spine(walk, foreign):
    rig = foreign(walk)
    names = {
        "Bip01": None, "Bip01 Pelvis": 0, "Bip01 Spine": 1, "Bip01 L Thigh": 2, "Bip01 L Calf": 3, "Bip01 L Foot": 4,
        "Bip01 L Toe0": 5, "Bip01 R Thigh": 2, "Bip01 R Calf": 7, "Bip01 R Foot": 8, "Bip01 R Toe0": 9,
        "Bip01 Spine1": 2,
        "Bip01 Neck": 11, "Bip01 Head": 12, "Bip01 L Clavicle": 12, "Bip01 L UpperArm": 14, "Bip01 L Forearm": 15,
        "Bip01 L Hand": 16, "Bip01 R Clavicle": 12, "Bip01 R UpperArm": 18, "Bip01 R Forearm": 19, "Bip01 R Hand": 20,
    }  # fmt: skip
    offsets = [
        [0, 0, 0], [0, 90, 0], [0, 10, 0], [9, -12, 0], [0, -42, 0], [0, -40, -3],
        [0, -6, 12], [-9, -12, 0], [0, -42, 0], [0, -40, -3], [0, -6, 12], [0, 20, 0],
        [0, 30, 0], [0, 12, 0], [4, 0, 0], [14, 0, 0], [28, 0, 0], [25, 0, 0],
        [-4, 0, 0], [-14, 0, 0], [-28, 0, 0], [-25, 0, 0],
    ]  # fmt: skip
    skeleton = replace(
        rig.skeleton,
        names=tuple(names),
        parents=tuple(-1 if p is None else p for p in names.values()),
        offsets=np.array(offsets, float),
        ends=(),
    )
    found = {ours: skeleton.names[k][6:] for ours, k in find_mapping(skeleton).items()}
    assert found["pelvis"] == "Pelvis" and found["left_hip"] == "L Thigh" and found["right_ankle"] == "R Foot"
    assert found["left_collar"] == "L Clavicle" and found["right_wrist"] == "R Hand" and found["head"] == "Head"


def test_refuses_a_crowd_of_joints_at_once(walk, foreign):
    num = 5000
    skeleton = replace(
        foreign(walk).skeleton,
        names=tuple(f"j{k}" for k in range(num)),
        parents=tuple(range(-1, num - 1)),
        offsets=np.ones((num, 3)),
        ends=(),
    )
    with pytest.raises(InputError, match="5000 joints"):
        find_mapping(skeleton)
    with pytest.raises(InputError, match="no humanoid"):
        find_mapping(
            replace(skeleton, names=skeleton.names[:999], parents=skeleton.parents[:999], offsets=np.ones((999, 3)))
        )


def test_overruling_by_a_file(walk, foreign, tmp_path):
    path = tmp_path / "map.toml"
    path.write_text('metres_per_unit = 0.02\nup = "y"\n[joints]\nspine2 = ""\nhead = "neck"\nneck = ""\n')
    motion, table = retarget(foreign(walk), read_mapping(path))
    assert table.metres_per_unit == 0.02 and table.unit == "given"
    assert "spine2" not in table.joints and table.joints["head"] == "neck"
    assert not motion.rotvec[:, AT["spine2"]].any()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("scale = 1", "scale is not known"),
        ("[joints]\nleft_elbo = 'a'", "left_elbo is no joint"),
        ("up = 'w'", 'up is "w"'),
        ("metres_per_unit = -1", "metres_per_unit is -1"),
        ("up = 3", "wrong kind"),
        ("[joints]\nhead = 3", "names in quotes"),
        ("up = ", "no TOML"),
        ("metres_per_unit = true", "wrong kind"),
    ],
)
def test_refuses_a_mapping_file_that_makes_no_sense(tmp_path, text, reason):
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_mapping(path)
    assert reason in caught.value.what


def test_refuses_a_mapping_to_joints_that_are_not_there(walk, foreign):
    with pytest.raises(InputError, match="Bogus"):
        retarget(foreign(walk), Mapping(joints={"head": "Bogus"}))
    with pytest.raises(InputError, match="nothing is mapped to left_wrist"):
        retarget(foreign(walk), Mapping(joints={"left_wrist": ""}))


def test_our_own_t_pose_is_our_zero(walk, foreign):
    still = walk.__class__(
        rotvec=np.zeros((3, len(JOINTS), 3), np.float32),
        root_m=np.tile(load_body().joints[0], (3, 1)),
        time_s=np.arange(3) / 30,
        rest_m=load_body().joints,
    )
    motion, _ = retarget(foreign(still))
    assert np.abs(motion.rotvec).max() < 1e-5
    assert_allclose(motion.root_m, still.root_m, atol=1e-5)
    assert motion.contact.all()
