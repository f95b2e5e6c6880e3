"""The body under the picture of a person, held to rendered people whose bones and flesh are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial import KDTree

from engine.body.model import forward_kinematics, load_body
from engine.identity.lift import lift
from engine.identity.skeleton import complete_body
from engine.identity.stance import (
    PARTS,
    body_tables,
    first_stance,
    joint_slopes,
    point_slopes,
    pose_stance,
    vertex_slopes,
)
from engine.identity.template import fit_template
from engine.synth.actor import Actor, make_costume
from engine.types import BODY_JOINTS, JOINTS

from .figures import draw_figure, stick_points

SIZE, FOCAL, AWAY_M = (520, 400), 1350.0, 6.5
NOISE = 0.012
"""Share of the height by which the pose network errs on such people."""


@pytest.fixture(scope="module")
def person():
    """A cutout, its true joints (22, 2) pixels and its true vertices (V, 3) metres, soles on y = 0."""
    body, rng = load_body(), np.random.default_rng(5)
    shape = rng.normal(size=10).astype(np.float32)
    actor, rest = Actor(make_costume(1), shape, sunny=False), body.rest(shape)[1].astype(np.float64)
    rotvec = np.zeros((1, len(JOINTS), 3))
    for side, sign in (("left", -1), ("right", 1)):
        rotvec[0, JOINTS.index(f"{side}_shoulder"), 2] = sign * 0.9
        rotvec[0, JOINTS.index(f"{side}_hip"), 2] = sign * -0.05
    vertices = actor._dressed.pose(rotvec[0], rest[0], shape)
    joints = forward_kinematics(rotvec, rest[:1], rest)[0][0]
    world_to_cam = np.diag([1.0, -1.0, -1.0, 1.0])
    world_to_cam[:3, 3] = (0, 0.9, AWAY_M)
    K = np.array([[FOCAL, 0, SIZE[1] / 2], [0, FOCAL, SIZE[0] / 2], [0, 0, 1]])
    rgb, mask, _ = actor.draw(vertices, K, world_to_cam, SIZE)
    seen = joints @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]
    xy = FOCAL * seen[:22, :2] / seen[:22, 2:] + K[:2, 2]
    return np.dstack([rgb, mask * 255]).astype(np.uint8), xy, vertices


def guessed(xy):
    """The joints as a pose network may see them."""
    tall = np.ptp(xy[:, 1]) * 1.1
    return dict(zip(BODY_JOINTS, xy + np.random.default_rng(0).normal(scale=NOISE * tall, size=xy.shape)))


def test_bones_are_found_under_clothes(person):
    cutout, xy, _ = person
    tall = np.ptp(np.nonzero(cutout[..., 3])[0])
    template = fit_template(cutout[..., 3], guessed(xy))
    assert template.fits
    error = np.linalg.norm(np.stack(list(template.joints_px().values())) - xy, axis=1) / tall
    before = np.linalg.norm(np.stack(list(guessed(xy).values())) - xy, axis=1) / tall
    assert error.mean() < 0.6 * before.mean()  # .4 of it found, on people of eight shapes .3


def test_a_lifted_person_has_a_persons_flesh(person):
    cutout, xy, vertices = person
    points = dict(zip(BODY_JOINTS, xy))
    puppet, plain = (
        lift(cutout, complete_body(points, confidence=1.0, source=source)) for source in ("blazepose", "silhouette")
    )
    away = []
    for lifted in (puppet, plain):
        points = lifted.vertices * np.ptp(vertices[:, 1])  # pelvis at x = z = 0 in both
        away.append(KDTree(points).query(vertices)[0].mean())
    assert away[0] < 0.015  # metres; the puppet's vertices are 1.3 cm apart
    assert away[0] < 0.8 * away[1]  # but for the hands, which stay as thin as they are drawn


def test_a_drawing_has_no_body_under_it():
    points = stick_points()
    assert not fit_template(draw_figure(points)[..., 3], points).fits


def test_slopes_are_those_of_the_stance():
    tables, points = body_tables(60), stick_points()
    stance = first_stance(points, np.array([180.0, 200.0]), 330.0)
    posed = pose_stance(stance, tables)
    bones, which = joint_slopes(posed), np.arange(len(tables.vertices))
    wrist = JOINTS.index("left_wrist")
    at_vertices = vertex_slopes(stance, posed, tables, which, bones)
    at_wrist = point_slopes(stance, posed, wrist, posed.joints[wrist], bones)
    for k in range(len(at_vertices)):
        step = np.zeros(len(at_vertices))
        step[k] = 1e-4
        moved = pose_stance(stance.moved(step), tables)
        there = stance.moved(step).project(moved.joints[wrist]) - stance.project(posed.joints[wrist])
        assert_allclose(at_wrist[k], there / 1e-4, atol=0.1)  # pixels, of up to 150
        gone = (stance.moved(step).project(moved.vertices) - stance.project(posed.vertices)) / 1e-4
        # pixels, of up to 180; clothes move vertices in depth as well, and the perspective of that is left out
        assert np.abs(at_vertices[k] - gone).mean() < (0.05 if k < len(at_vertices) - len(PARTS) else 1.5)
