"""The equations of the fit against plain, slow ones."""

import numpy as np

from engine.body.model import forward_kinematics, load_body
from engine.motion.normal import NormalEquations
from engine.motion.person import SOLES, make_person
from engine.motion.posing import NUM_JOINTS, NUM_UNKNOWNS, Pose, pose_points
from engine.types import JOINTS, LANDMARKS


def test_banded_solution_is_the_dense_one():
    rng = np.random.default_rng(3)
    num_frames, size, rows = 7, 4, 5
    equations = NormalEquations(num_frames, size)
    dense, right = np.eye(num_frames * size) * 0.1, np.zeros(num_frames * size)

    def add(residual, slope):
        nonlocal dense, right
        dense = dense + slope.T @ slope
        right = right - slope.T @ residual

    single, slopes = rng.normal(size=(num_frames, rows)), rng.normal(size=(num_frames, rows, size))
    equations.add(single, slopes)
    for t in range(num_frames):
        row = np.zeros((rows, num_frames, size))
        row[:, t] = slopes[t]
        add(single[t], row.reshape(rows, -1))
    for span in (2, 3):
        shares = rng.normal(size=(num_frames - span + 1, span))
        residual = rng.normal(size=(len(shares), rows))
        equations.add_over_time(residual, slopes, shares)
        for n in range(len(shares)):
            row = np.zeros((rows, num_frames, size))
            for k in range(span):
                row[:, n + k] = shares[n, k] * slopes[n + k]
            add(residual[n], row.reshape(rows, -1))
    stiffness, steps = rng.uniform(0, 2, (num_frames - 1, size)), rng.normal(size=(num_frames - 1, size))
    equations.add_steps(steps, stiffness)
    for t in range(num_frames - 1):
        row = np.zeros((size, num_frames, size))
        row[:, t + 1], row[:, t] = np.diag(stiffness[t]), -np.diag(stiffness[t])
        add(steps[t], row.reshape(size, -1))
    held, value = rng.uniform(0, 2, (num_frames, size)), rng.normal(size=(num_frames, size))
    equations.add_diagonal(value, held)
    add(value.ravel(), np.diag(held.ravel()))
    want = np.linalg.solve(dense, right).reshape(num_frames, size)
    np.testing.assert_allclose(equations.solve(0.1), want, atol=1e-4)  # float32, well conditioned


def test_slopes_are_differences():
    rng = np.random.default_rng(4)
    pose = Pose(rng.normal(0, 0.5, (2, NUM_JOINTS, 3)), rng.normal(0, 1, (2, 3)))
    points = make_person(load_body(), rng.normal(0, 0.5, 10)).points
    posed = pose_points(pose, points, slopes=True)
    step = 1e-5
    for unknown in range(NUM_UNKNOWNS):
        change = np.zeros((2, NUM_UNKNOWNS))
        change[:, unknown] = step
        ahead = pose_points(pose.moved(change), points).points_m
        behind = pose_points(pose.moved(-change), points).points_m
        # central differences of order 1e-10, float32 slopes of metres per radian
        np.testing.assert_allclose(posed.slopes[..., unknown], (ahead - behind) / (2 * step), atol=2e-6)


def test_points_are_the_bodys():
    """The fit's forward model is the body's: joints, and the soles' points, whatever the pose and shape."""
    rng = np.random.default_rng(5)
    body, shape = load_body(), rng.normal(0, 0.7, 10)
    person = make_person(body, shape)
    rotvec = np.zeros((3, len(JOINTS), 3))
    rotvec[:, :NUM_JOINTS] = rng.normal(0, 0.4, (3, NUM_JOINTS, 3))
    root = rng.normal(0, 1, (3, 3))
    joints, rotations = forward_kinematics(rotvec, root, body.rest(shape)[1].astype(float))
    posed = pose_points(Pose(rotvec[:, :NUM_JOINTS], root), person.points)
    np.testing.assert_allclose(posed.joints_m, joints[:, :NUM_JOINTS], atol=1e-6)  # float32 rest joints
    soles = body.landmarks_of(joints, rotations, shape)[:, SOLES]
    rows = slice(len(LANDMARKS), len(LANDMARKS) + len(SOLES))
    np.testing.assert_allclose(posed.points_m[:, rows], soles, atol=1e-6)
