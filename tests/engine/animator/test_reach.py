from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.animator.pose import pose_puppet, rest_motion
from engine.types import JOINTS, Motion, Puppet


def wrists_apart(puppet: Puppet, motion: Motion) -> np.ndarray:
    """(T,) figure heights."""
    posed = pose_puppet(puppet, motion, stiff=True)
    left, right = (posed.joints_m[:, puppet.joint_names.index(f"{side}_wrist")] for side in ("left", "right"))
    return np.linalg.norm(left - right, axis=1) / posed.height_m


def clapping() -> Motion:
    """Arms apart, then in front of the chest with the hands together."""
    motion = rest_motion(2)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        motion.rotvec[1, JOINTS.index(f"{side}_shoulder"), 1] = -sign * np.radians(95.0)
        motion.rotvec[1, JOINTS.index(f"{side}_elbow"), 1] = -sign * np.radians(31.0)
    return motion


@pytest.mark.parametrize("breadth", [1.0, 1.5])
def test_hands_that_meet_meet_on_other_shoulders(doll: Puppet, breadth: float):
    """The source's wrists are 0.03 of its height apart."""
    wide = doll.joints.copy()
    arms = [k for k, name in enumerate(doll.joint_names) if name.endswith(("shoulder", "elbow", "wrist"))]
    wide[arms, 0] += (breadth - 1) * np.sign(wide[arms, 0]) * 0.1
    apart = wrists_apart(replace(doll, joints=wide), clapping())
    assert apart[1] < 0.06  # a palm's thickness more than the source's, where arms reach only just
    assert apart[0] > 0.5


def test_hands_that_do_not_meet_are_left_alone(doll: Puppet, monkeypatch: pytest.MonkeyPatch):
    motion = clapping()
    motion.rotvec[1] = 0
    with_it = pose_puppet(doll, motion, stiff=True).rotations
    monkeypatch.setattr("engine.animator.pose.join_hands", lambda puppet, rotations, *_: rotations)
    assert_array_equal(with_it, pose_puppet(doll, motion, stiff=True).rotations)


def test_a_hand_at_the_head_is_at_the_head_of_a_big_headed_figure(doll: Puppet, monkeypatch: pytest.MonkeyPatch):
    """The source's right hand is at its temple; the doll's head is three times as wide for its height."""
    motion = rest_motion()
    motion.rotvec[:, JOINTS.index("right_shoulder"), 2] = -np.radians(25)
    motion.rotvec[:, JOINTS.index("right_elbow"), 2] = -np.radians(140)
    head = doll.vertices[doll.weights[:, doll.joint_names.index("head")] > 0.5]

    def off() -> float:
        posed = pose_puppet(doll, motion, stiff=True)
        elbow, wrist = (posed.joints_m[0, doll.joint_names.index(f"right_{name}")] for name in ("elbow", "wrist"))
        palm = (wrist + 0.35 * (wrist - elbow) - posed.joints_m[0, doll.joint_names.index("head")]) / posed.height_m
        middle = (head.min(0) + head.max(0)) / 2 - doll.joints[doll.joint_names.index("head")]
        return float(np.linalg.norm((palm - middle) / (np.ptp(head, axis=0) / 2)))

    reached = off()
    monkeypatch.setattr("engine.animator.pose.touch_head", lambda puppet, rotations, *_: rotations)
    assert 1.1 < reached < 1.6  # halves of the head's size from its middle; the source's hand is at 1.45
    assert off() < 0.8  # left alone it is inside the head
