"""Hands laid on the character's own body where the source lays them on its own: hips, belly, thighs, the other arm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.animator.clearance import GAP, Trunk, chest_joint, descendants, limb_radius, outside, swivel, trunk_slices
from engine.animator.drive import Source, place_joints
from engine.animator.ground import limb_turns, two_bones
from engine.animator.places import puppet_places
from engine.animator.reach import ARMS, has_arms, palm_of
from engine.animator.skinning import Skin, dual_quaternions, pose_skin
from engine.animator.touch import Touch, find_touches
from engine.geometry import rotvec_to_matrix
from engine.types import Puppet

_BENT = 0.97
"""Arms that reach for a place farther than this share of their length touch what is on the way there."""
_POKE = 0.1
"""A hand on a surface points into it by no more than this sine; so far it is turned at the wrist."""
_WRIST_LIMIT_RAD = np.radians(55.0)
_FLAT = 0.8
"""A hand that touches is this thick, as share of its thickness."""
_SUNK = 0.5
"""The middle of a wrist is at least this share of the arm's thickness outside the trunk."""
_UPRIGHT = 0.5
"""Hands that stand on a surface more upright than this sine are turned less: they could go either way."""
_SMOOTH_S = 0.1
"""Standard deviation over time by which what is done to an arm is smoothed."""
_PASSES = 3


@dataclass(frozen=True)
class _Arm:
    """An arm and its hand in the pose of the picture."""

    chain: tuple[int, int, int]
    """Shoulder, elbow, wrist."""
    hand: list[int]
    """The wrist and all that hangs on it."""
    palm: NDArray
    """(3,) middle of the hand from its wrist, figure heights."""
    half: float
    """Half its thickness, figure heights."""
    radius: float
    """Half the thickness of the forearm, figure heights."""


@dataclass(frozen=True)
class _Goal:
    """What a hand is laid on, in n frames."""

    at_m: NDArray
    """(n, 3) where the middle of the hand should be."""
    normal: NDArray
    """(n, 3) unit, outwards."""
    share: NDArray
    """(n, 1) 0 not at all ... 1."""


def lay_hands(
    puppet: Puppet,
    rotations: NDArray,
    root_m: NDArray,
    height_m: float,
    source: Source,
    person_m: float,
    time_s: NDArray,
) -> tuple[NDArray, NDArray]:
    """Bend arms so that hands which touch the source's trunk, legs or other arm touch the character's, from outside.

    A place is a part of the body, how far along it and at which angle around it. Arms that are too short touch what
    they reach on the way there. Elbows turn out of the trunk.

    Args:
        puppet: the character.
        rotations: (T, K, 3, 3) from the picture's pose.
        root_m: (T, 3) metres.
        height_m: metres per figure height.
        source: what drives.
        person_m: height of the person of the source, metres.
        time_s: (T,) seconds.

    Returns:
        (T, K, 3, 3) with changed arms and hands; frames in which nothing is touched keep their bits. And (T,) 0 ... 1:
        how much a hand is laid on something.

    Source: two-bone inverse kinematics; places that correspond, as in Jin, Kim, Lee 2018, "Aura mesh".
    """
    trunk = trunk_slices(puppet)
    if trunk is None or not has_arms(puppet):
        return rotations, np.zeros(len(time_s))
    own = puppet_places(puppet)
    touches = find_touches(own.known, source, person_m, time_s)
    laid = np.maximum(touches[0].share, touches[1].share)
    busy = np.flatnonzero(laid)
    if not len(busy):
        return rotations, laid
    vertices, normals = (np.ascontiguousarray(a.T, np.float32) for a in (own.vertices * height_m, own.normals))
    skin = Skin(vertices, normals, own.weights.astype(np.float32))
    arms, base = [_arm(puppet, names) for names in ARMS], rotations[busy]
    out, sigma = base, _SMOOTH_S / max(float(np.median(np.diff(time_s))), 1e-3) if len(time_s) > 1 else 0.0
    for _ in range(_PASSES):  # palms turn with forearms; what lies on the other arm moves with it
        joints = place_joints(puppet, out, root_m[busy], height_m)
        posed = [pose_skin(skin, frame) for frame in dual_quaternions(puppet, out, joints, height_m)]
        places, outwards = (np.stack([pair[k].T for pair in posed]).astype(np.float64) for k in range(2))
        before, out = out, base.copy()
        start = place_joints(puppet, base, root_m[busy], height_m)
        for arm, touch in zip(arms, touches):
            goal = _goal(touch.part(busy), places, outwards, arm, height_m)
            _lay(puppet, trunk, arm, goal, (base, before, out), start, height_m, sigma)
    rotations = rotations.copy()
    rotations[busy] = out
    return rotations, laid


def _arm(puppet: Puppet, names: tuple[str, ...]) -> _Arm:
    shoulder, elbow, wrist = (puppet.joint_names.index(name) for name in names)
    hand = descendants(puppet, wrist)
    own = puppet.vertices[puppet.weights[:, hand].sum(1) > 0.6].astype(np.float64)
    at = puppet.joints[[elbow, wrist]].astype(np.float64)
    palm, half = palm_of(at[0], at[1]) - at[1], 0.015
    if len(own) >= 8:
        palm = own.mean(0) - at[1]
        half = float(np.percentile(np.abs(own[:, 2] - own[:, 2].mean()), 80))
    return _Arm((shoulder, elbow, wrist), hand, palm, half, limb_radius(puppet, elbow))


def _goal(touch: Touch, places: NDArray, outwards: NDArray, arm: _Arm, height_m: float) -> _Goal:
    rows = np.arange(len(places))[:, None]
    normal = (outwards[rows, touch.places] * touch.weights[..., None]).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    at = (places[rows, touch.places] * touch.weights[..., None]).sum(1)
    high = (_FLAT * arm.half + touch.above)[:, None] * height_m
    return _Goal(at + normal * high, normal, touch.share[:, None])


def _lay(
    puppet: Puppet,
    trunk: Trunk,
    arm: _Arm,
    goal: _Goal,
    rotations: tuple[NDArray, NDArray, NDArray],
    start: NDArray,
    height_m: float,
    sigma: float,
) -> None:
    """Turn an arm in `rotations[2]`, beginning with `rotations[0]`, whose joints are at `start` (n, K, 3); the forearm
    is taken to be about as in `rotations[1]`."""
    base, before, out = rotations
    shoulder, elbow, wrist = arm.chain
    lower = before[:, elbow] @ np.swapaxes(base[:, elbow], -1, -2)
    hand, points = lower @ base[:, wrist], start[:, [shoulder, elbow, wrist]]
    flat = _flattened(hand @ arm.palm, goal, sigma)
    wanted = goal.at_m - (flat @ hand @ arm.palm[:, None])[..., 0] * height_m
    frame = (base[:, chest_joint(puppet)], start[:, chest_joint(puppet)], puppet.joints[chest_joint(puppet)], height_m)
    wanted = _within_reach(trunk, arm, points, wanted, frame)
    moved = _smooth(goal.share * (wanted - points[:, 2]), sigma)
    new_elbow, new_wrist = two_bones(points, points[:, 2] + moved)
    new_elbow = _swivelled(trunk, arm, np.stack([points[:, 0], new_elbow, new_wrist], 1), frame, goal.share, sigma)
    upper, lower = limb_turns(points, new_elbow, new_wrist)
    out[:, shoulder] = upper @ base[:, shoulder]
    out[:, elbow] = lower @ base[:, elbow]
    out[:, arm.hand] = (flat @ lower)[:, None] @ base[:, arm.hand]


def _flattened(palm: NDArray, goal: _Goal, sigma: float) -> NDArray:
    """(n, 3, 3): the turn that lays a hand, which points along (n, 3), flat on a surface into which it points."""
    along = palm / np.maximum(np.linalg.norm(palm, axis=-1, keepdims=True), 1e-9)
    into = np.arcsin(np.clip(-(along * goal.normal).sum(-1, keepdims=True), -1, 1))
    axis = np.cross(along, goal.normal)
    size = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.clip(into - np.arcsin(_POKE), 0, _WRIST_LIMIT_RAD) * np.minimum(size / _UPRIGHT, 1)
    return rotvec_to_matrix(_smooth(axis / np.maximum(size, 1e-9) * angle * goal.share, sigma))


def _within_reach(trunk: Trunk, arm: _Arm, points: NDArray, wanted: NDArray, frame: tuple) -> NDArray:
    """(n, 3) where a wrist goes that should go to `wanted`: there, or as far as the arm reaches, outside the trunk."""
    longest = _BENT * np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(-1, keepdims=True)
    shoulder = points[:, 0]

    def cut(place: NDArray) -> NDArray:
        away = np.linalg.norm(place - shoulder, axis=-1, keepdims=True)
        return shoulder + (place - shoulder) * np.minimum(longest / np.maximum(away, 1e-9), 1)

    local = _to_trunk(cut(wanted), frame)
    return cut(_from_trunk(outside(trunk, local, np.full(3, 9.0), _SUNK * arm.radius - GAP), frame))


def _swivelled(trunk: Trunk, arm: _Arm, points: NDArray, frame: tuple, share: NDArray, sigma: float) -> NDArray:
    """(n, 3) elbows of arms (n, 3, 3), turned out of the trunk."""
    angle = _smooth(swivel(trunk, _to_trunk(points, frame), arm.radius) * share[:, 0], sigma)
    axis = points[:, 2] - points[:, 0]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-9)
    turn = rotvec_to_matrix(axis * angle[:, None])
    return points[:, 0] + (turn @ (points[:, 1] - points[:, 0])[..., None])[..., 0]


def _smooth(values: NDArray, sigma: float) -> NDArray:
    """Values (n, ...) smoothed over time."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values, sigma, axis=0, mode="nearest") if sigma > 0 else values


def _to_trunk(points: NDArray, frame: tuple) -> NDArray:
    """World points (n, ..., 3) in the frame of the picture, figure heights, as the chest carries it."""
    rotation, origin, joint, height_m = frame
    shape = (len(points),) + (1,) * (points.ndim - 2)
    local = np.swapaxes(rotation, -1, -2).reshape(*shape, 3, 3) @ (points - origin.reshape(*shape, 3))[..., None]
    return local[..., 0] / height_m + joint


def _from_trunk(local: NDArray, frame: tuple) -> NDArray:
    """The way back of (n, 3)."""
    rotation, origin, joint, height_m = frame
    return origin + (rotation @ ((local - joint) * height_m)[..., None])[..., 0]
