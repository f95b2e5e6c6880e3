"""How deep figures are guessed to be."""

from dataclasses import replace

import numpy as np
import pytest

from engine.identity.lift import lift
from engine.types import Puppet

from .figures import draw_figure, stick_joints, stick_points


def middle(puppet: Puppet, name: str) -> tuple[float, float]:
    """Front and back, figure heights, of the figure about a joint."""
    k = puppet.joint_names.index(name)
    near = np.linalg.norm(puppet.vertices[:, :2] - puppet.joints[k, :2], axis=1) < 0.03
    z = puppet.vertices[near, 2]
    return float(z.max()), float(z.min())


@pytest.fixture(scope="module")
def person() -> Puppet:
    joints = replace(stick_joints(stick_points()), source="blazepose")
    return lift(draw_figure(stick_points()), joints)


def test_a_person_has_a_profile(person: Puppet):
    front, back = middle(person, "spine2")
    assert front > 1.2 * -back  # chest and belly before the spine
    knee, ankle = (person.joints[person.joint_names.index(f"left_{name}"), 2] for name in ("knee", "ankle"))
    assert ankle < knee < 0  # shins lean back from the knee
    calf_front, calf_back = middle(person, "left_ankle")
    assert 0.5 * (calf_front + calf_back) < 0.01  # about the ankle, not before the knee; toes alone go forward


def test_what_has_no_neck_is_a_ball():
    points = stick_points()
    blob = draw_figure(points)
    blob[60:290, 110:250, 3] = 255  # one box from head to hips
    thick = [np.ptp(lift(picture, stick_joints(points)).vertices[:, 2]) for picture in (blob, draw_figure(points))]
    assert thick[0] > 1.4 * thick[1]


def test_thighs_are_as_thick_as_they_are_wide(person: Puppet):
    wide = draw_figure(stick_points())
    wide[250:330, 150:210, 3] = 255  # shorts: both thighs are one in the silhouette
    joints = replace(stick_joints(stick_points()), source="blazepose")
    puppet = lift(wide, joints)
    k = puppet.joint_names.index("left_hip")
    own = (puppet.weights[:, k] > 0.9) & (puppet.vertices[:, 1] > 0.25)
    assert np.ptp(puppet.vertices[own, 2]) < 1.3 * 2 * 30 / 320  # at most 30 px to the edge, of 320
