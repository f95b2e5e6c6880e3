from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.animator.drive import drive_rotations, read_source
from engine.animator.ground import clearance, two_bones
from engine.animator.pose import pose_puppet
from engine.animator.skinning import dual_quaternions, make_skin, pose_skin
from engine.animator.soles import SINK_SHARE
from engine.synth.motions import make_act
from engine.types import JOINTS

from .conftest import pose


@pytest.fixture(scope="module")
def walk():
    return make_act("walk", pose().rest_m, np.arange(60) / 30.0).motion


def at(posed, name, frame=0):
    return posed.joints_m[frame, posed.puppet.joint_names.index(name)]


def test_the_drawn_pose_is_kept_in_the_t_pose(doll):
    # The doll is drawn in the T-pose: nothing of it turns, but for what drawn and embodied bones differ by.
    rotations = drive_rotations(doll, read_source(pose()))[0]
    for name in ("pelvis", "spine3", "head", "left_ankle"):
        assert_allclose(rotations[doll.joint_names.index(name)], np.eye(3), atol=1e-6)


@pytest.mark.parametrize(("angle", "direction"), [(-np.pi / 2, (0, -1, 0)), (np.pi / 3, (0.5, 3**0.5 / 2, 0))])
def test_a_raised_arm_ends_where_forward_kinematics_says(doll, angle, direction):
    motion = pose(left_shoulder=(0, 0, angle))
    posed = pose_puppet(doll, motion)
    arm = at(posed, "left_wrist") - at(posed, "left_shoulder")
    drawn = doll.joints[[doll.joint_names.index(f"left_{n}") for n in ("shoulder", "wrist")]]
    assert_allclose(np.linalg.norm(arm), np.linalg.norm(drawn[1] - drawn[0]) * posed.height_m, rtol=0.02)
    # The body's own arm is not quite level, and hands are kept out of the trunk: 12 degrees.
    assert arm @ direction / np.linalg.norm(arm) > np.cos(np.radians(12))


def test_an_arm_that_points_at_the_viewer_is_foreshortened(doll):
    posed = pose_puppet(doll, pose(left_shoulder=(0, -np.pi / 2, 0)))
    arm = at(posed, "left_wrist") - at(posed, "left_shoulder")
    assert arm[2] > 0.9 * np.linalg.norm(arm)


def test_left_stays_left(doll):
    posed = pose_puppet(doll, pose())
    assert at(posed, "left_wrist")[0] > 0.3 > -0.3 > at(posed, "right_wrist")[0]


def test_a_character_is_as_tall_as_the_person(doll):
    posed = pose_puppet(doll, pose())
    assert_allclose(posed.standing_m, 1.709, rtol=0.02)  # the embedded body; its height is read from one joint
    assert_allclose(pose_puppet(doll, pose(), scale=0.5).standing_m, posed.standing_m / 2, rtol=1e-6)


def test_wide_characters_are_made_smaller(doll):
    wide = replace(doll, vertices=doll.vertices * (4, 1, 1), joints=doll.joints * (4, 1, 1))
    assert pose_puppet(wide, pose()).standing_m < 0.9 * pose_puppet(doll, pose()).standing_m


def test_soles_touch_the_ground_and_jumps_fly(doll):
    motion = pose(3)
    motion.root_m[1, 1] += 0.4
    posed = pose_puppet(doll, motion)
    lowest = [posed.vertices_m(frame)[0][1].min() for frame in range(3)]
    assert_allclose(lowest, [0, 0.4, 0], atol=0.006)  # found on a few hundred vertices of all


def test_standing_soles_are_on_the_ground_and_steps_stay_steps():
    motion = pose(4)
    motion.root_m[:, 1] += (0.04, 0.06, 0.02, 0.18)  # soles a little off; the last frame stands on a stair
    planted = np.array([[1, 1], [0, 0], [1, 0], [1, 1]], bool)
    above = clearance(read_source(motion), planted, motion.time_s)
    lowest = clearance(read_source(motion), np.zeros((4, 2), bool), motion.time_s)
    assert_allclose(above[[0, 2]], 0, atol=1e-9)
    assert_allclose(above[1], lowest[1] - (lowest[0] + lowest[2]) / 2, atol=1e-9)
    assert above[3] > 0.14


def test_planted_feet_do_not_slide(doll, walk):
    posed = pose_puppet(doll, walk, travel="stride")
    assert walk.contact is not None
    for foot, side in enumerate(("left", "right")):
        place = posed.joints_m[:, doll.joint_names.index(f"{side}_foot")][:, [0, 2]]  # the heel comes off first
        step = np.linalg.norm(np.diff(place, axis=0), axis=1)
        standing = walk.contact[1:, foot] & walk.contact[:-1, foot]
        assert standing.sum() > 10
        # Heights per second, as AnimatedDrawings and PUPPET experiments count: free root .06, locked .02.
        assert step[standing].mean() * 30 / posed.standing_m < 0.04
        assert step[~standing].mean() > 5 * step[standing].mean()


def test_in_a_clip_the_pelvis_stays_over_the_person(doll, walk):
    posed = pose_puppet(doll, walk)
    assert_allclose(posed.joints_m[:, 0, [0, 2]], walk.root_m[:, [0, 2]], atol=1e-5)


def test_two_bones_reach_their_target():
    points = np.array([[[0, 1, 0], [0, 0.5, 0.1], [0, 0, 0]]], float)
    knee, end = two_bones(points, np.array([[0.2, 0.2, 0.1]]))
    assert_allclose(end, [[0.2, 0.2, 0.1]], atol=1e-9)
    upper, lower = np.linalg.norm(points[0, 1] - points[0, 0]), np.linalg.norm(points[0, 2] - points[0, 1])
    assert_allclose([np.linalg.norm(knee - points[:, 0]), np.linalg.norm(knee - end)], [upper, lower], atol=1e-9)
    assert knee[0, 2] > 0.1  # bends forward as it did
    _, far = two_bones(points, np.array([[0, -5.0, 0]]))
    assert_allclose(far, [[0, 1 - 0.999 * (upper + lower), 0]], atol=1e-6)


def test_hands_stay_out_of_the_trunk(doll):
    # Both arms swung to the middle of the chest, and the forearms bent inwards: the wrists would meet inside it.
    motion = pose(left_shoulder=(0, -0.2, -1.3), left_elbow=(0, -2.4, 0))
    posed = pose_puppet(doll, motion)
    chest = doll.vertices[doll.weights[:, doll.joint_names.index("spine2")] > 0.5]
    belly_m = np.abs(chest[:, 2]).max() * posed.height_m
    wrist = at(posed, "left_wrist")
    inside = abs(wrist[0]) < np.abs(chest[:, 0]).max() * posed.height_m * 0.7
    assert not inside or abs(wrist[2]) > 0.7 * belly_m


def test_skin_follows_rigid_motion_exactly(doll):
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    rotations = np.tile(turn, (1, len(doll.joint_names), 1, 1))
    joints = (doll.joints @ turn.T)[None] * 2.0 + (1, 2, 3)
    vertices, normals = pose_skin(make_skin(doll, 2.0), dual_quaternions(doll, rotations, joints, 2.0)[0])
    assert_allclose(vertices.T, doll.vertices @ turn.T * 2 + (1, 2, 3), atol=1e-5)  # float32
    assert_allclose(normals.T, make_skin(doll, 2.0).normals.T @ turn.T, atol=1e-5)


def test_free_joints_swing_and_come_to_rest(doll):
    tail = replace(
        doll,
        joints=np.r_[doll.joints, [[0.1, 0.3, 0.0]]].astype(np.float32),
        joint_names=(*doll.joint_names, "tail1"),
        joint_parents=(*doll.joint_parents, 0),
        joint_drivers=(*doll.joint_drivers, "pelvis"),
        weights=np.c_[doll.weights, np.zeros(len(doll.weights))].astype(np.float32),
    )
    motion = pose(90)
    motion.rotvec[10:, 0, 1] = np.minimum(np.arange(80) / 5, 1)
    swung = pose_puppet(tail, motion).rotations
    stiff = pose_puppet(tail, motion, stiff=True).rotations
    away = np.linalg.norm(swung[:, -1] - stiff[:, -1], axis=(1, 2))
    assert away[:5].max() < 1e-3  # accelerations are smoothed over some frames
    assert away[10:25].max() > 0.1
    assert away[-1] < 0.05  # e^-5 of the swing
    assert_allclose(swung[:, JOINTS.index("head")], stiff[:, JOINTS.index("head")], atol=1e-9)


def test_an_extra_leg_driven_by_an_arm_hangs_where_the_arm_hangs(doll):
    keep = [
        k
        for k, name in enumerate(doll.joint_names)
        if not name.startswith(("left_shoulder", "left_elbow", "left_wrist"))
    ]
    names = (*(doll.joint_names[k] for k in keep), "paw1", "paw2")
    parents = (*(keep.index(doll.joint_parents[k]) if doll.joint_parents[k] >= 0 else -1 for k in keep), 0, len(keep))
    paws = np.array([[0.1, 0.5, 0], [0.1, 0.3, 0]], np.float32)  # drawn hanging
    beast = replace(
        doll,
        joints=np.r_[doll.joints[keep], paws],
        joint_names=names,
        joint_parents=parents,
        joint_drivers=(*(doll.joint_drivers[k] for k in keep), "left_shoulder", "left_elbow"),
        weights=np.eye(len(names), dtype=np.float32)[np.zeros(len(doll.vertices), int)],
    )
    posed = pose_puppet(beast, pose(left_shoulder=(0, 0, -np.pi / 2)), stiff=True)
    paw = at(posed, "paw2") - at(posed, "paw1")
    assert paw[1] / np.linalg.norm(paw) < -0.97  # the body's own upper arm is 5 degrees off


def test_a_trunk_on_four_legs_stays_level(doll):
    lying = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    level = replace(doll, joints=doll.joints @ lying.T, vertices=doll.vertices @ lying.T)
    rotations = drive_rotations(level, read_source(pose()))[0]
    assert_allclose(rotations[level.joint_names.index("spine3")], np.eye(3), atol=1e-6)


def test_legs_spin_bit_by_bit_and_toes_bend_with_the_source(doll):
    posed = pose_puppet(doll, pose(left_hip=(0, 0.8, 0), right_foot=(-0.5, 0, 0)), stiff=True)
    k = doll.joint_names.index
    ahead = [posed.rotations[0, k(name)] @ np.array([0.0, 0, 1]) for name in ("left_hip", "left_knee", "left_ankle")]
    spun = [np.arctan2(x, z) for x, _, z in ahead]
    assert_allclose(spun, [0.4, 0.6, 0.8], atol=0.03)  # legs are not quite upright
    bend = posed.rotations[0, k("right_ankle")].T @ posed.rotations[0, k("right_foot")]
    assert_allclose(np.arccos((np.trace(bend) - 1) / 2), 0.5, atol=1e-6)


def test_bodies_do_not_bob_for_the_length_of_their_shoes(doll):
    flat, rolled = pose_puppet(doll, pose()), pose_puppet(doll, pose(left_ankle=(0.3, 0, 0), right_ankle=(0.3, 0, 0)))
    lowest = [posed.vertices_m(0)[0][1].min() for posed in (flat, rolled)]
    assert_allclose(lowest[0], 0, atol=0.006)  # found on a few hundred vertices of all
    assert -SINK_SHARE * doll.vertices[:, 1].max() * rolled.height_m - 0.006 <= lowest[1] <= 0
