from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from engine.body.model import forward_kinematics, load_body
from engine.motion.contact import find_contact, leg_length
from engine.motion.ground import floor_drift, placed, sole_height, transfer
from engine.types import JOINTS, Motion

REST = load_body().joints


def still(frames, rate=30.0):
    return Motion(
        rotvec=np.zeros((frames, len(JOINTS), 3), np.float32),
        root_m=np.tile(REST[0], (frames, 1)),
        time_s=np.arange(frames) / rate,
        rest_m=REST,
    )


def test_who_stands_still_stands():
    assert find_contact(still(10)).all() and find_contact(still(1)).all()


def test_who_jumps_or_slides_does_not():
    motion = still(60)
    up = motion.root_m.copy()
    up[20:40, 1] += 0.3
    jump = find_contact(replace(motion, root_m=up))
    assert not jump[21:39].any() and jump[:19].all() and jump[41:].all()
    slide = motion.root_m + np.outer(np.arange(60) / 30, [1.0, 0, 0]).astype(np.float32)  # a metre per second
    assert not find_contact(replace(motion, root_m=slide)).any()


def test_one_foot_lifted():
    motion = still(30)
    rotvec = motion.rotvec.copy()
    rotvec[:, JOINTS.index("left_hip"), 0] = -0.8
    rotvec[:, JOINTS.index("left_knee"), 0] = 0.8
    assert_array_equal(find_contact(replace(motion, rotvec=rotvec)), [[False, True]] * 30)


def test_blips_are_dropped_and_gaps_closed():
    motion = still(60, rate=100)
    up = motion.root_m.copy()
    up[30:33, 1] += 0.2  # three hundredths of a second in the air are noise
    assert find_contact(replace(motion, root_m=up)).all()


def test_small_people_have_small_limits():
    motion = still(10)
    half = replace(motion, rest_m=REST * 0.5, root_m=motion.root_m * 0.5 + np.array([0, 0.04, 0], np.float32))
    assert not find_contact(half).any()  # 4 cm are half of what a whole person may lift
    assert find_contact(replace(motion, root_m=motion.root_m + np.array([0, 0.04, 0], np.float32))).all()


def test_floor_that_drifts_is_found_and_jumps_are_not():
    time_s = np.arange(300) / 60
    joints = np.tile(REST.astype(np.float64), (300, 1, 1))
    drift = 0.06 * (1 - np.cos(time_s))
    jumps = np.maximum(0, 0.4 - 8 * (time_s % 1.5 - 0.5) ** 2) * (np.abs(time_s % 1.5 - 0.5) < 0.23)
    joints[..., 1] += (drift + jumps)[:, None]
    found = floor_drift(joints, REST, time_s)
    assert (found <= drift + jumps + 1e-9).all()  # soles never go below the ground
    assert np.abs(found - drift).max() < 0.06  # it lags behind by a window of 0.9 s; this floor rises 6 cm a second
    assert found.max() < 0.13
    joints[..., 1] -= drift[:, None]
    assert not floor_drift(joints, REST, time_s).any()
    joints[..., 1] += np.linspace(0, 1.5, 300)[:, None]
    assert not floor_drift(joints, REST, time_s).any()  # stairs


def test_carried_to_a_child_the_feet_stay_planted(walk):
    small = load_body().rest(np.array([-2.5, 1.0, 0, 0, 0, 0, 0, 0, 0, 0]))[1]
    child = transfer(walk, small)
    scale = leg_length(small) / leg_length(walk.rest_m)
    before = forward_kinematics(walk.rotvec.astype(float), walk.root_m.astype(float), walk.rest_m)[0]
    after = forward_kinematics(child.rotvec.astype(float), child.root_m.astype(float), child.rest_m)[0]
    assert scale < 0.95
    assert_allclose(sole_height(after, small), scale * sole_height(before, walk.rest_m), atol=1e-6)
    assert_allclose(child.root_m[:, [0, 2]], scale * walk.root_m[:, [0, 2]], atol=1e-6)
    assert (child.contact == walk.contact).mean() > 0.9


def test_placed_turns_without_bending(walk):
    rotvec = walk.rotvec.astype(float).copy()
    rotvec[:, 0] = [0, 2.0, 0]
    turned, root = placed(rotvec, walk.root_m + 3.0)
    assert_allclose(turned[0, 0], 0, atol=1e-9)
    assert_allclose(root[0], [0, walk.root_m[0, 1] + 3, 0], atol=1e-6)
    assert_allclose(turned[:, 1:], rotvec[:, 1:])
