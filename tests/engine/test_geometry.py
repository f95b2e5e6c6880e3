"""Rotations against scipy, and against what they must do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from engine.geometry import matrix_to_rotvec, project, rotation_between, rotvec_to_matrix, transform

vectors = arrays(np.float64, 3, elements=st.floats(-3, 3, allow_nan=False, width=32))


@given(vectors)
def test_rotvec_to_matrix_equals_scipy(rotvec):
    assert_allclose(rotvec_to_matrix(rotvec), Rotation.from_rotvec(rotvec).as_matrix(), atol=1e-12)  # float64


@given(vectors)
def test_matrix_to_rotvec_undoes(rotvec):
    matrix = rotvec_to_matrix(rotvec)
    # Near pi both signs of the axis are right, so matrices are compared; sqrt(eps) is what a half turn leaves.
    assert_allclose(rotvec_to_matrix(matrix_to_rotvec(matrix)), matrix, atol=1e-7)


@given(vectors.filter(lambda v: np.linalg.norm(v) > 1e-3), vectors.filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_rotation_between_is_smallest(a, b):
    rotation = rotation_between(a, b)
    assert_allclose(rotation @ (a / np.linalg.norm(a)), b / np.linalg.norm(b), atol=1e-5)
    assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    angle = np.linalg.norm(matrix_to_rotvec(rotation))
    cosine = np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)
    assert_allclose(angle, np.arccos(cosine), atol=1e-4)  # arccos near -1 loses half the digits


def test_project_and_transform_by_hand():
    K = np.array([[100.0, 0, 50], [0, 200.0, 40], [0, 0, 1]])
    world_to_cam = np.eye(4)
    world_to_cam[:3, 3] = 0, 0, 2
    points = transform(world_to_cam, np.array([[1.0, 0.5, 2.0]]))
    assert_allclose(project(K, points), [[75.0, 65.0]])
