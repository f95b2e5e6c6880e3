"""Motions made by rule, each a small score of steps and gestures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import eased
from engine.synth.stance import Stance, motion_from_stance
from engine.types import JOINTS, Motion

GRAVITY_MS2 = 9.81
BALL_RADIUS_M = 0.11


@dataclass(frozen=True)
class Act:
    """A motion and, where there is one, the ball it plays with."""

    motion: Motion
    ball_m: NDArray | None = None
    """(T, 3) float64: centre of the ball, world, metres."""
    touch_s: tuple[float, ...] = ()
    """Seconds at which the ball is touched."""


@dataclass(frozen=True)
class Step:
    """One foot leaves the ground and lands elsewhere."""

    lift_s: float
    land_s: float
    x: float
    z: float
    """Where it lands, metres."""
    yaw: float = 0.0
    height_m: float = 0.07
    heel: float = 0.35
    """Radians by which the heel is up when the toes leave."""
    strike: float = 0.0
    """Radians by which the toes are up when the heel lands."""


def make_act(name: str, rest_m: NDArray, times_s: NDArray) -> Act:
    """Act out a motion.

    Args:
        name: a key of `MOTIONS`.
        rest_m: (52, 3) joints of the actor's rest pose, metres, soles on y = 0.
        times_s: (T,) float64, seconds, increasing; the score starts at 0.

    Returns:
        Act; the actor starts near the world's origin and faces +z where the motion does not turn.

    Raises:
        KeyError: no motion of that name.
    """
    times = np.asarray(times_s, np.float64)
    return MOTIONS[name](Stance(times, rest_m.astype(np.float64)))


def keyed(time_s: NDArray, *keys: tuple) -> NDArray:
    """Values between keys (second, value or values) without overshoot, (T,) or (T, D); held at both ends."""
    from scipy.interpolate import PchipInterpolator

    at = np.array([key[0] for key in keys], float)
    values = np.array([key[1] for key in keys], float)
    return PchipInterpolator(at, values, axis=0)(np.clip(time_s, at[0], at[-1]))


def bump(time_s: NDArray, start: float, stop: float) -> NDArray:
    """(T,) 0 outside start ... stop and a smooth hill up to 1 between."""
    share = np.clip((time_s - start) / (stop - start), 0, 1)
    return np.sin(np.pi * share) ** 2


def ease(time_s: NDArray, start: float, stop: float) -> NDArray:
    """(T,) 0 before start, 1 after stop, smooth between."""
    return eased((time_s - start) / (stop - start))


def follow_steps(stance: Stance, side: int, steps: list[Step]) -> None:
    """Write a foot's steps into the stance: where it is, how it rolls off and lands, when it stands."""
    t, foot, turn = stance.time_s, stance.foot_m[:, side], stance.foot_turn[:, side]
    out = turn[0, 0]
    for step in steps:
        share = ease(t, step.lift_s, step.land_s)[:, None]
        target = np.array([step.x, 0.0, step.z])
        foot[:] = foot + (target - foot * [1, 0, 1]) * share * [1, 0, 1]
        foot[:, 1] += step.height_m * bump(t, step.lift_s, step.land_s)
        turn[:, 0] += (step.yaw + out - turn[:, 0]) * share[:, 0]
        span = step.land_s - step.lift_s
        turn[:, 1] += keyed(
            t, (step.lift_s - 0.45 * span, 0), (step.lift_s, step.heel), (step.lift_s + 0.35 * span, step.heel * 1.1),
            (step.lift_s + 0.8 * span, -step.strike), (step.land_s, -step.strike), (step.land_s + 0.2 * span, 0),
        )  # fmt: skip
        stance.down[(t > step.lift_s) & (t < step.land_s), side] = False


def _home(stance: Stance) -> tuple[float, float]:
    """x of the left and right foot at rest."""
    left, right = stance.rest_m[[JOINTS.index("left_ankle"), JOINTS.index("right_ankle")], 0]
    return float(left), float(right)


def _idle(stance: Stance) -> None:
    """Breathing and a soft knee: nobody stands like a post."""
    t = stance.time_s
    stance.pelvis_m[:, 1] -= 0.02 * stance.leg_m
    stance.pelvis_m[:, 0] += 0.008 * np.sin(2 * np.pi * t / 3.1)
    stance.chest[:, 1] += 0.03 + 0.02 * np.sin(2 * np.pi * t / 3.6)
    stance.head[:, 0] += 0.08 * np.sin(2 * np.pi * t / 4.3)
    stance.hand[:, :, 2] += 0.02 * np.sin(2 * np.pi * t / 3.3)[:, None]


_TOUCHES = (("foot", 1), ("foot", 0), ("knee", 1), ("foot", 0), ("foot", 1), ("knee", 0))
_TOUCH_EVERY_S = 0.62


def juggle(stance: Stance) -> Act:
    """Keep a football up with feet and knees in turn; it rises and falls in front of the body."""
    _idle(stance)
    t, leg = stance.time_s, stance.leg_m
    hip_x = _home(stance)
    events: list[tuple[float, NDArray]] = []
    first = int(np.floor(t[0] / _TOUCH_EVERY_S)) - 3
    last = int(np.ceil(t[-1] / _TOUCH_EVERY_S)) + 2
    stood = {side: float(_drift(0.45 + (first - 1) * _TOUCH_EVERY_S)) for side in (0, 1)}
    stance.pelvis_m[:, 0] += _drift(t)
    stance.foot_m[:, :, 0] += stood[0]
    for count in range(first, last):
        part, side = _TOUCHES[count % len(_TOUCHES)]
        at = 0.45 + count * _TOUCH_EVERY_S
        # a foot that has kicked comes down where the body will be half a double step later
        lands = float(_drift(at + 0.29 + 0.5 * _TOUCH_EVERY_S))
        stance.foot_m[:, side, 0] += (lands - stood[side]) * ease(t, at - 0.33, at + 0.29)
        stood[side] = lands
        sign, is_knee = 1 - 2 * side, part == "knee"
        raised = (
            np.array([-0.02 * sign, 0.47 * leg, 0.42 * leg])
            if is_knee
            else np.array([-0.07 * sign, 0.30 * leg, 0.56 * leg])
        )
        kick = bump(t, at - 0.33, at + 0.29)[:, None]
        stance.foot_m[:, side] += raised * kick
        stance.foot_turn[:, side, 1] += (0.45 if is_knee else 0.12) * kick[:, 0]
        stance.down[kick[:, 0] > 0.02, side] = False
        stance.pelvis_m[:, 0] -= sign * 0.055 * kick[:, 0]  # weight over the other leg
        stance.turn[:, 2] += sign * 0.07 * kick[:, 0]
        stance.turn[:, 0] -= sign * 0.10 * kick[:, 0]
        stance.chest[:, 0] += sign * 0.16 * kick[:, 0]
        stance.chest[:, 1] -= (0.05 if is_knee else -0.06) * kick[:, 0]
        stance.hand[:, 1 - side] += np.array([0.10, 0.14, 0.20]) * kick
        stance.hand[:, side] += np.array([0.14, 0.08, -0.22]) * kick
        here = float(_drift(at))
        thigh_top = np.array([here + hip_x[side] * 0.75, 1.02 * leg + 0.10 + BALL_RADIUS_M, 0.44 * leg])
        instep = np.array([here + hip_x[side] * 0.85, 0.30 * leg + 0.16 + BALL_RADIUS_M, 0.56 * leg + 0.16])
        events.append((at, thigh_top if is_knee else instep))
    stance.hand[:, :] += np.array([0.24, 0.22, 0.14])
    stance.hand[:, :, 1] += 0.05 * np.sin(2 * np.pi * t / (2 * _TOUCH_EVERY_S))[:, None]
    ball = fly(t, events)
    stance.head[:, 1] += 0.30 - 0.30 * (ball[:, 1] - 0.6)
    stance.head[:, 0] += 0.6 * (ball[:, 0] - _drift(t))
    stance.pelvis_m[:, 1] -= 0.02 * leg
    return Act(motion_from_stance(stance), ball, tuple(at for at, _ in events if t[0] <= at <= t[-1]))


def _drift(time_s: NDArray | float) -> NDArray:
    """Metres to the left: a juggler wanders after the ball."""
    return 0.50 * np.sin(2 * np.pi * np.asarray(time_s) / 5.2 + 0.4)


def fly(time_s: NDArray, events: list[tuple[float, NDArray]]) -> NDArray:
    """(T, 3) metres: a ball that is at each event's place at its second and falls freely between."""
    at = np.array([event[0] for event in events])
    place = np.array([event[1] for event in events])
    idx = np.clip(np.searchsorted(at, time_s, side="right") - 1, 0, len(at) - 2)
    span = at[idx + 1] - at[idx]
    since = np.clip(time_s - at[idx], 0, span)
    path = place[idx] + (place[idx + 1] - place[idx]) * (since / span)[:, None]
    path[:, 1] += 0.5 * GRAVITY_MS2 * since * (span - since)
    return path


def wave(stance: Stance) -> Act:
    """Stand, shift the weight and wave with the left hand."""
    _idle(stance)
    _wave_hand(stance, 0.4, stance.time_s[-1] + 9, 0)
    t = stance.time_s
    sway = np.sin(2 * np.pi * t / 2.6)
    stance.pelvis_m[:, 0] += 0.035 * sway
    stance.turn[:, 2] += 0.03 * sway
    stance.chest[:, 2] -= 0.05 * sway
    stance.hand[:, 1] += np.array([0.12, 0.16, 0.02])  # the other hand rests near the hip
    return Act(motion_from_stance(stance))


def _wave_hand(stance: Stance, start: float, stop: float, side: int) -> None:
    """Raise a hand beside the head and swing the forearm."""
    t = stance.time_s
    up = (ease(t, start, start + 0.6) - ease(t, stop - 0.5, stop))[:, None]
    swing = np.sin(2 * np.pi * (t - start) / 0.62)
    raised = np.stack([0.42 + 0.24 * swing, 0.60 - 0.07 * np.abs(swing), np.full_like(t, 0.16)], -1)
    # the hand goes up in front of the body and to the outside, never through it
    around = bump(t, start, start + 0.6) + bump(t, stop - 0.5, stop)
    stance.hand[:, side] += (raised - stance.hand[:, side]) * up
    stance.hand[:, side] += np.array([0.25, 0.0, 0.28]) * around[:, None]
    stance.elbow[:, side] += (np.array([0.9, -0.9, -0.15]) - stance.elbow[:, side]) * up
    stance.head[:, 2] += (1 - 2 * side) * 0.10 * up[:, 0]


def march(stance: Stance) -> Act:
    """Walk on the spot, knees high, arms in opposition."""
    _idle(stance)
    t, leg, cycle = stance.time_s, stance.leg_m, 1.0
    for count in range(int(t[-1] / cycle * 2) + 2):
        side, start = count % 2, 0.1 + count * cycle / 2
        up = bump(t, start, start + 0.48)
        stance.foot_m[:, side] += np.array([0.0, 0.30 * leg, 0.12 * leg]) * up[:, None]
        stance.foot_turn[:, side, 1] += 0.45 * bump(t, start - 0.08, start + 0.40)
        stance.down[(t > start) & (t < start + 0.48), side] = False
        sign = 1 - 2 * side
        stance.pelvis_m[:, 0] -= sign * 0.035 * up
        stance.pelvis_m[:, 1] += 0.015 * up
        stance.turn[:, 0] -= sign * 0.08 * up
        stance.chest[:, 0] += sign * 0.16 * up
        _swing_arms(stance, -sign * up)
    return Act(motion_from_stance(stance))


def _swing_arms(stance: Stance, swing: NDArray) -> None:
    """swing (T,) > 0 brings the left arm forward and the right arm back."""
    for side, sign in ((0, 1.0), (1, -1.0)):
        forward = np.maximum(sign * swing, 0)
        stance.hand[:, side] += np.stack([-0.02 * forward, 0.20 * forward, 0.46 * sign * swing], -1)
        stance.hand[:, side, 2] += 0.14 * np.maximum(-sign * swing, 0)  # an arm reaches less far back than forward


def walk(stance: Stance) -> Act:
    """Walk across, from the right of the picture to the left, 1.1 m/s, seen almost from the side."""
    t, leg = stance.time_s, stance.leg_m
    speed, cycle, heading = 1.25 * leg, 1.12, -1.35
    _idle(stance)
    hip = _home(stance)[0]
    along, across = np.array([np.sin(heading), np.cos(heading)]), np.array([np.cos(heading), -np.sin(heading)])
    middle = 0.5 * (t[0] + t[-1])
    stance.foot_turn[..., 0] += heading
    for side in range(2):
        sign = 1 - 2 * side
        x, z = along * speed * (t[0] - middle) + across * sign * 0.75 * hip
        stance.foot_m[:, side] = np.array([x, 0.0, z])
        steps = []
        for count in range(-1, int((t[-1] - t[0]) / cycle) + 2):
            lift = t[0] + (count + 0.5 * side) * cycle
            land = lift + 0.40 * cycle
            middle_of_stance = land + 0.30 * cycle
            x, z = along * speed * (middle_of_stance - middle) + across * sign * 0.75 * hip
            steps.append(Step(lift, land, x, z, heading, 0.07 * leg, 0.55, 0.25))
        follow_steps(stance, side, steps)
    phase = 2 * np.pi * (t - t[0]) / cycle
    path = along * speed * (t - middle)[:, None] + across * 0.02 * np.sin(phase - 2.6)[:, None]
    stance.pelvis_m[:, 0] += path[:, 0]
    stance.pelvis_m[:, 2] += path[:, 1]
    stance.pelvis_m[:, 1] += -0.02 * leg + 0.018 * np.cos(2 * phase - 2.5)
    stance.turn[:, 0] += heading - 0.10 * np.cos(phase - 2.2)
    stance.chest[:, 0] += 0.20 * np.cos(phase - 2.2)
    stance.chest[:, 1] += 0.05
    stance.head[:, 0] -= 0.10 * np.cos(phase - 2.2)
    _swing_arms(stance, -0.8 * np.cos(phase - 2.2))  # against the legs
    return Act(motion_from_stance(stance))


def jack(stance: Stance) -> Act:
    """Jumping jacks: feet and arms apart in one jump, together in the next."""
    _idle(stance)
    t, leg, hip = stance.time_s, stance.leg_m, _home(stance)
    period, flight = 0.62, 0.30
    steps: list[list[Step]] = [[], []]
    open_share = np.zeros_like(t)
    for count in range(int(t[-1] / period) + 1):
        lift = 0.35 + count * period
        land, apart = lift + flight, count % 2 == 0
        height = 0.125 * GRAVITY_MS2 * flight**2
        for side in range(2):
            x = hip[side] * (3.0 if apart else 1.0)
            steps[side].append(Step(lift, land, x, 0.0, 0.0, 0.8 * height, 0.5, 0.0))
        rise = np.clip((t - lift) / flight, 0, 1)
        stance.pelvis_m[:, 1] += 4 * height * rise * (1 - rise)
        stance.pelvis_m[:, 1] -= 0.07 * leg * (bump(t, lift - 0.24, lift + 0.04) + bump(t, land - 0.04, land + 0.22))
        swing = ease(t, lift - 0.12, land + 0.06)
        open_share += swing if apart else -swing
    for side in range(2):
        follow_steps(stance, side, steps[side])
        angle = 0.22 + 2.55 * open_share
        stance.hand[:, side] = np.stack([0.93 * np.sin(angle), -0.93 * np.cos(angle), np.full_like(t, 0.12)], -1)
        stance.elbow[:, side] = np.stack([0.6 * np.cos(angle) * open_share, 0 * t, np.full_like(t, -1.0)], -1)
    return Act(motion_from_stance(stance))


def turn(stance: Stance) -> Act:
    """Turn once around in eight small steps, arms a little out."""
    _idle(stance)
    t = stance.time_s
    span = max(2.6, 0.8 * (t[-1] - t[0]))
    _turn_around(stance, t[0] + 0.3, span, 1.0)
    stance.hand[:, :] += np.array([0.22, 0.12, 0.05])
    return Act(motion_from_stance(stance))


def _turn_around(stance: Stance, start: float, span: float, rounds: float) -> None:
    """Step around the own axis; the feet follow the pelvis an eighth of a round behind."""
    t, hip = stance.time_s, _home(stance)
    count = max(4, round(8 * rounds))
    final = 2 * np.pi * rounds
    stance.turn[:, 0] += final * ease(t, start, start + span)
    pace = span / count
    for side in range(2):
        steps = []
        for idx in range(side, count, 2):
            lift = start + idx * pace
            land = lift + 0.85 * pace
            yaw = final * float(ease(np.array([land + pace * 0.7]), start, start + span)[0])
            if idx + 2 >= count:
                yaw = final
            steps.append(Step(lift, land, hip[side] * np.cos(yaw), -hip[side] * np.sin(yaw), yaw, 0.05, 0.3))
        follow_steps(stance, side, steps)


def dance(stance: Stance) -> Act:
    """Eight seconds for show: a wave, side steps with claps, a turn and a jump."""
    _idle(stance)
    t, leg, hip = stance.time_s, stance.leg_m, _home(stance)
    beat = 0.5
    _wave_hand(stance, 0.1, 1.75, 0)
    stance.pelvis_m[:, 1] -= 0.05 * leg * np.sin(np.pi * t / beat) ** 2 * (1 - ease(t, 6.4, 6.8))
    steps: list[list[Step]] = [[], []]
    for count in range(4):  # side, together, side, together; two beats each way
        start, sign = 1.8 + count * 2 * beat * 0.75, 1 - 2 * (count % 2)
        first = 0 if sign > 0 else 1
        offset = sign * 0.30 * leg if count % 2 == 0 else 0.0
        width = 0.36 * beat * 1.5
        steps[first].append(Step(start, start + width, hip[first] + offset, 0.0, 0.0, 0.08))
        steps[1 - first].append(
            Step(start + 0.75 * beat, start + 0.75 * beat + width, hip[1 - first] + offset, 0.0, 0.0, 0.08)
        )
        stance.pelvis_m[:, 0] += (0.30 * leg * sign) * ease(t, start - 0.05, start + 0.62)
        groove = bump(t, start, start + 1.5 * beat)
        stance.turn[:, 2] -= sign * 0.08 * groove
        stance.chest[:, 2] += sign * 0.16 * groove
        stance.chest[:, 0] += sign * 0.22 * groove
        stance.hand[:, :] += np.array([0.28, 0.50, 0.20]) * groove[:, None, None]
        stance.hand[:, first] += np.array([0.16, 0.72, 0.05]) * groove[:, None]
        stance.head[:, 2] -= sign * 0.12 * groove
    for side in range(2):
        follow_steps(stance, side, steps[side])
    _turn_around(stance, 4.9, 1.9, 1.0)
    stance.hand[:, :] += np.array([0.35, 0.55, 0.0]) * (ease(t, 4.8, 5.3) - ease(t, 6.4, 6.9))[:, None, None]
    _jump(stance, 7.25, 0.46)
    return Act(motion_from_stance(stance))


def _jump(stance: Stance, lift: float, flight: float) -> None:
    """Crouch, fly for `flight` seconds with the arms up, land softly."""
    t, leg = stance.time_s, stance.leg_m
    land, height = lift + flight, 0.125 * GRAVITY_MS2 * flight**2
    rise = np.clip((t - lift) / flight, 0, 1)
    arc = 4 * height * rise * (1 - rise)
    stance.pelvis_m[:, 1] += arc
    stance.pelvis_m[:, 1] -= 0.24 * leg * (bump(t, lift - 0.5, lift + 0.08) + 0.8 * bump(t, land - 0.06, land + 0.5))
    stance.chest[:, 1] += 0.30 * bump(t, lift - 0.5, lift + 0.1) + 0.2 * bump(t, land - 0.05, land + 0.5)
    for side in range(2):
        stance.foot_m[:, side, 1] += arc + 0.10 * leg * bump(t, lift, land)
        stance.foot_turn[:, side, 1] += 0.6 * (ease(t, lift - 0.1, lift + 0.02) - ease(t, land - 0.1, land))
        stance.down[(t > lift) & (t < land), side] = False
    back = bump(t, lift - 0.55, lift + 0.0)[:, None]
    up = (ease(t, lift - 0.12, lift + 0.16) - ease(t, land + 0.05, land + 0.55))[:, None]
    for side in range(2):
        stance.hand[:, side] += np.array([0.05, 0.15, -0.5]) * back
        stance.hand[:, side] += (np.array([0.50, 0.80, 0.15]) - stance.hand[:, side]) * up
        stance.hand[:, side] += np.array([0.1, 0.0, 0.45]) * bump(t, lift - 0.15, lift + 0.2)[:, None]


MOTIONS: dict[str, Callable[[Stance], Act]] = {
    "juggle": juggle, "wave": wave, "march": march, "walk": walk, "jack": jack, "turn": turn, "dance": dance,
}  # fmt: skip
