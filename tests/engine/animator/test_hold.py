"""Hands on hips, belly, thighs and crossed arms, on bodies of other proportions than the source's."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from engine.animator import pose as posing
from engine.animator.clearance import swivel, trunk_slices
from engine.animator.pose import PosedPuppet, pose_puppet, rest_motion
from engine.geometry import rotvec_to_matrix
from engine.synth.motions import make_act
from engine.synth.stance import Stance, motion_from_stance
from engine.types import Motion, Puppet

HANDS = {
    "hips": ((0.079, -0.638, 0.044), (1.0, 0.0, -0.35)),
    "belly": ((-0.163, -0.5, 0.183), (0.8, -0.5, -0.3)),
    "thighs": ((0.0, -0.523, 0.455), (1.0, 0.2, -0.3)),
}
"""Wrists from shoulders in arm lengths, x outwards, and where elbows point: palms touch the ordinary body there."""

BUILDS = {"doll": (1.0, 1.0, 1.0), "wide": (1.7, 1.8, 1.0), "long arms": (1.0, 1.0, 1.3), "stubs": (1.7, 1.8, 0.4)}
"""How much wider and deeper than the doll, and how much longer its arms."""


def touching(name: str, num_frames: int = 1, bones: float = 1.0, off: float = 0.0, restless: float = 0.0) -> Motion:
    """A person who puts both hands somewhere, all the time if it is one frame, else in the middle of three seconds;
    `off` by arm lengths aside, and moved up and down by some."""
    time_s = np.linspace(0, 3, num_frames) if num_frames > 1 else np.zeros(1)
    there = np.clip(2.5 - np.abs(time_s - 1.5) / 0.4, 0, 1) if num_frames > 1 else np.ones(1)
    there = (there * there * (3 - 2 * there))[:, None]
    rest = rest_motion().rest_m.astype(float)
    stance = Stance(time_s, rest * bones)
    hand, elbow = HANDS[name]
    for side in range(2):
        up_and_down = restless * np.sin(12 * time_s)[:, None] * (0, 1, 0)
        stance.hand[:, side] += there * (hand + np.array((off, 0, 0)) + up_and_down - stance.hand[:, side])
        stance.elbow[:, side] += there * (np.array(elbow) - stance.elbow[:, side])
    if name == "thighs":
        stance.pelvis_m += there * (0, -0.25, -0.25)
        stance.turn[:, 1] += 0.55 * there[:, 0]
        stance.chest[:, 1] += 0.25 * there[:, 0]
    return motion_from_stance(stance)


def built(doll: Puppet, build: str) -> Puppet:
    """The doll with other proportions; it stands in the T-pose, so arms begin where its shoulders are."""
    breadth, depth, arm = BUILDS[build]
    shoulder = abs(float(doll.joints[doll.joint_names.index("left_shoulder"), 0]))

    def moved(points: NDArray) -> NDArray:
        out = points.astype(np.float64)
        out[:, 0] = np.sign(out[:, 0]) * np.interp(
            np.abs(out[:, 0]), [0, shoulder, 2], [0, shoulder * breadth, shoulder * breadth + (2 - shoulder) * arm]
        )
        out[:, 2] *= depth
        return out.astype(np.float32)

    return replace(doll, vertices=moved(doll.vertices), joints=moved(doll.joints))


def palms_above(posed: PosedPuppet, frame_idx: int = 0) -> NDArray:
    """(2,) how far above trunk and legs the middles of the hands are, figure heights; negative inside."""
    from scipy.spatial import cKDTree

    names = posed.puppet.joint_names
    points, normals = (a.T.astype(np.float64) for a in posed.vertices_m(frame_idx))
    arms = [k for k, name in enumerate(names) if name.endswith(("shoulder", "elbow", "wrist", "collar"))]
    body = posed.puppet.weights[:, arms].sum(1) < 0.2
    tree, found = cKDTree(points[body]), []
    for side in ("left", "right"):
        hand = posed.puppet.weights[:, names.index(f"{side}_wrist")] > 0.6
        palm = points[hand].mean(0)
        away, nearest = tree.query(palm)
        found.append(np.copysign(away, (palm - points[body][nearest]) @ normals[body][nearest]) / posed.height_m)
    return np.array(found)


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posing, "lay_hands", lambda _, rotations, *__: (rotations, np.zeros(len(rotations))))


@pytest.mark.parametrize("where", HANDS)
@pytest.mark.parametrize("build", ["doll", "wide", "long arms"])
def test_hands_that_touch_the_body_touch_it_from_outside(
    doll: Puppet, build: str, where: str, monkeypatch: pytest.MonkeyPatch
):
    """The middle of a hand lies half its thickness above what it touches: .021 of the doll's height, .039 of the wide
    one's, less what it gives way and more where it slopes."""
    puppet, motion = built(doll, build), touching(where)
    above = palms_above(pose_puppet(puppet, motion, stiff=True))
    assert (above > 0.01).all() and (above < 0.05).all(), above
    without(monkeypatch)
    if where == "hips":
        assert palms_above(pose_puppet(puppet, motion, stiff=True)).min() < -0.01  # left alone, one is inside


@pytest.mark.parametrize("bones", [0.7, 1.2])
def test_skeletons_of_any_size_touch(doll: Puppet, bones: float):
    """Flesh is guessed from the height where a motion file has none."""
    above = palms_above(pose_puppet(doll, touching("hips", bones=bones), stiff=True))
    assert (above > 0.01).all() and (above < 0.05).all(), above


@pytest.mark.parametrize(("restless", "touches"), [(0.0, True), (0.1, False)])
def test_hands_held_still_near_the_hips_are_on_them(
    doll: Puppet, restless: float, touches: bool, monkeypatch: pytest.MonkeyPatch
):
    """A video's joints are wrong by centimetres: here hands are .1 m off. Those that move there are left alone."""
    motion = touching("hips", 90, off=0.2, restless=restless)
    above = palms_above(pose_puppet(doll, motion, stiff=True), 45)
    without(monkeypatch)
    alone = palms_above(pose_puppet(doll, motion, stiff=True), 45)
    assert alone.min() > 0.04
    assert (above.max() < 0.04) if touches else (above == alone).all(), (above, alone)


def test_two_hands_on_two_hips_are_even(doll: Puppet):
    posed = pose_puppet(doll, touching("hips"), stiff=True)
    left, right = (posed.joints_m[0, doll.joint_names.index(f"{side}_wrist")] for side in ("left", "right"))
    apart = (left - posed.joints_m[0, 0]) * (-1, 1, 1) - (right - posed.joints_m[0, 0])
    assert np.abs(apart).max() < 0.015  # metres: the doll's own mesh is as uneven as a pixel of its drawing, 0.005


@pytest.mark.parametrize("act", ["walk", "dance", "turn"])
def test_what_touches_nothing_keeps_its_bits(doll: Puppet, act: str, monkeypatch: pytest.MonkeyPatch):
    motion = make_act(act, rest_motion().rest_m, np.arange(0, 4, 0.1)).motion
    with_it = pose_puppet(doll, motion, stiff=True).rotations
    without(monkeypatch)
    assert_array_equal(with_it, pose_puppet(doll, motion, stiff=True).rotations)


def test_hands_come_and_go_smoothly(doll: Puppet, monkeypatch: pytest.MonkeyPatch):
    puppet, motion = built(doll, "wide"), touching("hips", 90)
    wrist = doll.joint_names.index("left_wrist")
    after = pose_puppet(puppet, motion, stiff=True)
    without(monkeypatch)
    before = pose_puppet(puppet, motion, stiff=True)
    moved = np.linalg.norm(after.joints_m[:, wrist] - before.joints_m[:, wrist], axis=1) / before.height_m
    assert moved.max() > 0.03 and not moved[:10].any() and not moved[-10:].any()
    assert np.abs(np.diff(moved)).max() < 0.25 * moved.max()  # it takes a quarter of a second, 7 frames, either way


def test_arms_that_are_too_short_reach_as_far_as_they_go(doll: Puppet):
    posed = pose_puppet(built(doll, "stubs"), touching("hips"), stiff=True)
    names = doll.joint_names
    for side in ("left", "right"):
        arm = posed.joints_m[0, [names.index(f"{side}_{joint}") for joint in ("shoulder", "elbow", "wrist")]]
        whole = np.linalg.norm(np.diff(arm, axis=0), axis=1).sum()
        assert np.linalg.norm(arm[2] - arm[0]) > 0.9 * whole
    assert palms_above(posed).min() > 0


def test_elbows_turn_out_of_a_trunk(doll: Puppet):
    """An arm before the belly whose elbow is inside; and one at the side, which is left alone."""
    trunk = trunk_slices(doll)
    assert trunk is not None
    arms = np.array(
        [
            [[0.1, 0.62, 0.0], [0.05, 0.5, 0.02], [0.0, 0.45, 0.13]],
            [[0.1, 0.62, 0.0], [0.25, 0.5, 0.0], [0.25, 0.4, 0.1]],
        ]
    )
    angles = swivel(trunk, arms, 0.02)
    axis = (arms[0, 2] - arms[0, 0]) / np.linalg.norm(arms[0, 2] - arms[0, 0])
    turned = arms[0, 0] + rotvec_to_matrix(axis * angles[0]) @ (arms[0, 1] - arms[0, 0])
    before, after = (np.linalg.norm(trunk.around(elbow, 0.02)[0]) for elbow in (arms[0, 1], turned))
    assert angles[1] == 0
    assert before < 0.6 and after > 0.95, (before, after)  # 1 is on the surface
