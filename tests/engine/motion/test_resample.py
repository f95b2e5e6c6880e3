import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from engine.geometry import rotvec_to_matrix
from engine.motion.resample import resample
from engine.types import JOINTS, Motion


def test_its_own_times_give_itself(walk):
    again = resample(walk, walk.time_s)
    assert_array_equal(again.rotvec, walk.rotvec)
    assert_array_equal(again.root_m, walk.root_m)
    assert_array_equal(again.contact, walk.contact)


def test_halfway_is_halfway():
    rotvec = np.zeros((2, len(JOINTS), 3), np.float32)
    rotvec[0, 5], rotvec[1, 5] = [0, 0, 3.0], [0, 0, -3.0]  # 6 radians apart the long way, 0.28 the short way
    rotvec[1, 7] = [0.8, 0, 0]
    rest = np.zeros((len(JOINTS), 3), np.float32)
    root = np.array([[0, 0, 0], [2, 4, 6]], np.float32)
    motion = Motion(rotvec=rotvec, root_m=root, time_s=np.array([1.0, 2.0]), rest_m=rest)
    middle = resample(motion, np.array([1.5, 1.25, 0.0, 9.0]))
    assert_allclose(rotvec_to_matrix(middle.rotvec[0, 5].astype(float)), np.diag([-1, -1, 1]), atol=1e-6)
    assert_allclose(middle.rotvec[1, 7], [0.2, 0, 0], atol=1e-6)
    assert_allclose(middle.root_m, [[1, 2, 3], [0.5, 1, 1.5], [0, 0, 0], [2, 4, 6]])  # held at both ends
    assert_array_equal(middle.time_s, [1.5, 1.25, 0, 9])


def test_up_and_down_again(walk):
    fine = resample(walk, np.linspace(walk.time_s[0], walk.time_s[-1], 4 * (len(walk) - 1) + 1))
    back = resample(fine, walk.time_s)
    assert_allclose(back.root_m, walk.root_m, atol=1e-5)
    assert_allclose(rotvec_to_matrix(back.rotvec), rotvec_to_matrix(walk.rotvec), atol=1e-5)  # float32, times rounded


def test_one_frame_is_held(walk):
    one = Motion(rotvec=walk.rotvec[:1], root_m=walk.root_m[:1], time_s=walk.time_s[:1], rest_m=walk.rest_m)
    assert_array_equal(resample(one, np.array([0.0, 5.0])).rotvec, walk.rotvec[[0, 0]])
