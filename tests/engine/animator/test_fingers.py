"""Fingers that are named follow; hands without them stay mitts."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.animator.drive import drive_rotations, read_source

from .conftest import pose


def with_fingers(doll, side, up):
    """The doll with an index and a little finger at the end of one arm, one of them above the other by `up`."""
    wrist = doll.joint_names.index(f"{side}_wrist")
    out = 0.05 * np.sign(doll.joints[wrist, 0])
    places = [doll.joints[wrist] + (out, up, 0), doll.joints[wrist] + (out, -up, 0)]
    return replace(
        doll,
        joints=np.concatenate([doll.joints, np.array(places, np.float32)]),
        joint_names=(*doll.joint_names, f"{side}_index1", f"{side}_pinky1"),
        joint_drivers=(*doll.joint_drivers, f"{side}_index1", f"{side}_pinky1"),
        joint_parents=(*doll.joint_parents, wrist, wrist),
        weights=np.pad(doll.weights, ((0, 0), (0, 2))),
    )


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
@pytest.mark.parametrize("up", [0.02, -0.02])
def test_fingers_curl_to_where_the_palm_is(doll, side, sign, up):
    # at rest palms look down and fingers point aside: down is where they curl
    motion = pose(**{f"{side}_index1": (0, 0, -sign * 1.2), f"{side}_elbow": (0, 0, sign * 0.7)})
    puppet = with_fingers(doll, side, up)
    rotations = drive_rotations(puppet, read_source(motion))[0]
    turn = rotations[puppet.joint_names.index(f"{side}_wrist")].T @ rotations[-2]
    finger = turn @ (sign, 0, 0)
    # a thumb's side that is up shows the palm, one that is down the back of the hand
    assert_allclose(finger, (sign * np.cos(1.2), 0, np.sign(up) * np.sin(1.2)), atol=0.02)  # the arm is not quite level
    assert_allclose(rotations[-1], rotations[puppet.joint_names.index(f"{side}_wrist")], atol=1e-6)
