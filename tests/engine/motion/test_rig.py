from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from engine.body.bvh import Bvh, read_bvh, write_bvh
from engine.body.model import forward_kinematics, load_body
from engine.body.skeleton import Skeleton
from engine.errors import InputError
from engine.motion.rig import _euler_zxy, open_motion, read_motion, write_motion
from engine.types import JOINTS, Motion


def joints_of(motion):
    args = (motion.rotvec, motion.root_m, motion.rest_m)
    return forward_kinematics(*(a.astype(np.float64) for a in args))[0]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    rotvec=arrays(np.float32, (2, 52, 3), elements=st.floats(-6, 6, width=32)),
    root_m=arrays(np.float32, (2, 3), elements=st.floats(-50, 50, width=32)),
    scale=st.floats(0.6, 1.5),
)
def test_any_motion_survives_bvh(tmp_path, rotvec, root_m, scale):
    rest = (load_body().joints * scale).astype(np.float32)
    motion = Motion(rotvec=rotvec, root_m=root_m, time_s=np.array([0, 0.04]), rest_m=rest)
    write_motion(motion, tmp_path / "body.bvh")
    again = read_motion(tmp_path / "body.bvh")
    assert_allclose(joints_of(again), joints_of(motion), atol=1e-4)  # the contract: 0.1 mm
    assert_allclose(again.rest_m, rest, atol=1e-6)
    assert_allclose(again.time_s, motion.time_s)


def test_euler_angles_where_they_are_degenerate():
    from engine.geometry import rotvec_to_matrix

    turns = rotvec_to_matrix(
        np.array([[np.pi / 2, 0, 0], [-np.pi / 2, 0, 0], [np.pi, 0, 0], [0, np.pi, 0], [0.0, 0, 0]])
    )
    turns = np.concatenate([turns, turns @ rotvec_to_matrix(np.array([0, 0.7, 0]))])
    from engine.body.bvh import axis_rotation

    z, x, y = np.moveaxis(_euler_zxy(turns), -1, 0)
    assert_allclose(axis_rotation(2, z) @ axis_rotation(0, x) @ axis_rotation(1, y), turns, atol=1e-7)


def test_times_and_shape_come_from_outside(walk, tmp_path):
    write_motion(walk, tmp_path / "body.bvh")
    times = np.cumsum(np.linspace(0.01, 0.05, len(walk)))
    shape = np.arange(10, dtype=np.float32)
    again = read_motion(tmp_path / "body.bvh", time_s=times, shape=shape)
    assert_array_equal(again.time_s, times)
    assert_array_equal(again.shape, shape)
    assert again.contact.shape == (len(walk), 2)
    with pytest.raises(InputError, match="has 40 frames; the clip has 39"):
        read_motion(tmp_path / "body.bvh", time_s=times[1:])


def test_contact_is_found_again(walk, tmp_path):
    write_motion(walk, tmp_path / "body.bvh")
    assert_array_equal(read_motion(tmp_path / "body.bvh").contact, walk.contact)


def test_equal_motions_give_equal_bytes(walk, tmp_path):
    write_motion(walk, tmp_path / "a.bvh")
    write_motion(read_motion(tmp_path / "a.bvh"), tmp_path / "b.bvh")
    write_motion(walk, tmp_path / "c.bvh")
    assert (tmp_path / "a.bvh").read_bytes() == (tmp_path / "c.bvh").read_bytes()
    again = read_bvh(tmp_path / "b.bvh").values
    assert_allclose(again, read_bvh(tmp_path / "a.bvh").values, atol=2e-4)  # degrees: float32 radians in between


def turned(bvh, turn, scale):
    """A BVH in another world, as an editor writes it."""
    animation = bvh.animation()
    rotations = turn @ animation.rotations @ turn.T
    angles = np.degrees(_euler_zxy(rotations)).reshape(len(bvh.values), -1)
    root = scale * animation.positions[:, 0] @ turn.T
    skeleton = Skeleton(
        names=bvh.skeleton.names,
        parents=bvh.skeleton.parents,
        offsets=scale * bvh.skeleton.offsets @ turn.T,
        ends=tuple((k, tuple(scale * turn @ np.array(e))) for k, e in bvh.skeleton.ends),
    )
    return Bvh(
        skeleton=skeleton,
        channels=bvh.channels,
        frame_time_s=bvh.frame_time_s,
        values=np.concatenate([root, angles], axis=1),
    )


def test_a_file_that_came_back_from_blender(walk, tmp_path):
    write_motion(walk, tmp_path / "body.bvh")
    z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    for scale in (1.0, 0.01, 10.0):
        write_bvh(turned(read_bvh(tmp_path / "body.bvh"), z_up, scale), tmp_path / "edited.bvh")
        again, table = open_motion(tmp_path / "edited.bvh", time_s=walk.time_s)
        assert table is None  # known as our own
        # six decimals of metres in offsets and places: a micrometre each, a dozen bones
        assert_allclose(joints_of(again), joints_of(walk), atol=1e-4)


def test_an_edited_pose_is_taken(walk, tmp_path):
    write_motion(walk, tmp_path / "body.bvh")
    bvh = read_bvh(tmp_path / "body.bvh")
    values = bvh.values.copy()
    column = 3 + 3 * bvh.skeleton.names.index("left_elbow")
    values[7, column + 2] -= 30  # bends the elbow by 30 degrees more in frame 7
    write_bvh(replace(bvh, values=values), tmp_path / "body.bvh")
    again = read_motion(tmp_path / "body.bvh")
    changed = np.abs(again.rotvec - walk.rotvec).max(-1) > 1e-3
    assert changed.sum() == 1 and changed[7, JOINTS.index("left_elbow")]


def test_a_bvh_of_another_rig_is_retargeted(sample_data, tmp_path):
    path = sample_data / "motion" / "cmu_jumping_jacks.bvh"
    motion, table = open_motion(path)
    assert table is not None and table.joints["left_elbow"] == "LeftElbow"
    assert len(motion) == 125 and motion.contact.shape == (125, 2)


@pytest.mark.parametrize("name", ["fair1_dab", "pybvh_fingers_crlf", "rokoko_dance_fingers"])
def test_real_motions_survive_bvh(sample_data, tmp_path, name):
    motion = read_motion(sample_data / "motion" / f"{name}.bvh")
    write_motion(motion, tmp_path / "body.bvh")
    again, table = open_motion(tmp_path / "body.bvh", time_s=motion.time_s)
    assert table is None
    assert_allclose(joints_of(again), joints_of(motion), atol=1e-4)
    assert (again.contact == motion.contact).mean() > 0.995  # a speed at the limit may fall to the other side
