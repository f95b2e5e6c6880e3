"""Motions made by rule look like a person's: feet stand still, knees bend the right way, nothing jumps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.body.model import forward_kinematics, load_body
from engine.synth.motions import GRAVITY_MS2, MOTIONS, make_act
from engine.types import BODY_JOINTS

FPS = 30
LEFT = {
    name: BODY_JOINTS.index(f"left_{name}") for name in ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")
}


@pytest.fixture(scope="module", params=sorted(MOTIONS))
def act(request):
    seconds = 8.5 if request.param == "dance" else 4.0
    return make_act(request.param, load_body().joints, np.arange(round(seconds * FPS)) / FPS)


@pytest.fixture(scope="module")
def posed(act):
    motion = act.motion
    return forward_kinematics(motion.rotvec.astype(np.float64), motion.root_m.astype(np.float64), motion.rest_m)


def test_standing_toes_do_not_slide(act, posed):
    joints, _ = posed
    for side, toes in enumerate((LEFT["foot"], LEFT["foot"] + 1)):
        flat = act.motion.contact[:, side] & (np.abs(joints[:, toes, 1] - act.motion.rest_m[toes, 1]) < 0.004)
        both = flat[1:] & flat[:-1]
        speed = np.linalg.norm(np.diff(joints[:, toes, [0, 2]], axis=0), axis=1) * FPS
        assert both.any()
        assert speed[both].mean() < 0.05, side  # metres per second; a rolling foot turns a little around its toes
        assert joints[:, toes, 1].min() > 0.0  # never below the ground


def test_knees_bend_backwards_and_elbows_forwards(act, posed):
    joints, rotations = posed
    for right in (0, 1):
        hip, knee, ankle = (joints[:, LEFT[name] + right] for name in ("hip", "knee", "ankle"))
        shin_in_thigh = np.einsum("tji,tj->ti", rotations[:, LEFT["hip"] + right], ankle - knee)
        assert (shin_in_thigh[:, 2] < 0.03).all()  # 3 cm: the rest pose itself has a slightly bent leg
        assert (np.linalg.norm(ankle - hip, axis=1) < 0.92).all()


def test_nothing_jumps(act, posed):
    joints, _ = posed
    step = np.linalg.norm(np.diff(joints[:, :22], axis=0), axis=-1) * FPS
    assert step.max() < 9.0  # metres per second; the hand of a jumping jack does about 6
    change = np.linalg.norm(np.diff(joints[:, :22], 2, axis=0), axis=-1) * FPS**2
    assert change.max() < 110  # metres per second squared: no teleporting between two frames


def test_rotations_are_small_enough_to_be_human(act):
    bend = np.linalg.norm(act.motion.rotvec, axis=-1)
    for name, most in (("spine1", 0.5), ("neck", 0.6), ("left_ankle", 1.3), ("left_collar", 0.7), ("left_knee", 2.5)):
        assert bend[:, BODY_JOINTS.index(name)].max() < most, name


def test_a_flying_ball_falls_freely():
    times = np.arange(200) / 50
    act = make_act("juggle", load_body().joints, times)
    acceleration = np.diff(act.ball_m[:, 1], 2) * 50**2
    flying = np.array([all(abs(t - touch) > 0.045 for touch in act.touch_s) for t in times[1:-1]])
    assert_allclose(acceleration[flying], -GRAVITY_MS2, atol=1e-6)  # a parabola's second difference is exact
    assert len(act.touch_s) >= 6 and act.ball_m[:, 1].min() > 0.2


def test_the_ball_meets_the_leg():
    times = np.arange(400) / 100
    act = make_act("juggle", load_body().joints, times)
    motion = act.motion
    joints, _ = forward_kinematics(motion.rotvec, motion.root_m, motion.rest_m)
    for touch in act.touch_s:
        idx = min(round(touch * 100), len(times) - 1)
        legs = joints[idx, [4, 5, 7, 8, 10, 11]]
        # ball radius 0.11 m + a thigh of 0.08 m or a shoe, to the joint along the limb
        assert np.linalg.norm(legs - act.ball_m[idx], axis=1).min() < 0.30


@pytest.mark.parametrize("name", ["walk", "march"])
def test_arms_swing_against_the_legs(name):
    motion = make_act(name, load_body().joints, np.arange(120) / FPS).motion
    joints, rotations = forward_kinematics(motion.rotvec, motion.root_m, motion.rest_m)
    ahead = rotations[:, 0, :, 2] * [1, 0, 1]
    for right in (0, 1):
        hand, knee = (((joints[:, LEFT[k] + right] - joints[:, 0]) * ahead).sum(-1) for k in ("wrist", "knee"))
        assert np.corrcoef(hand, knee)[0, 1] < -0.3
