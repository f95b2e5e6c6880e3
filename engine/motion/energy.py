"""What a posed body costs: how far it is from the evidence, from smooth, and from what joints can do.

All terms are squared residuals in units of their own standard deviation, so that weights are the deviations below.
Shapes: T frames, J 22 body joints, L 33 landmarks, B bones, S 4 points of soles, C 69 unknowns of a frame
(see `posing`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.motion.normal import NormalEquations
from engine.motion.outline import Outline
from engine.motion.posing import NUM_JOINTS, NUM_UNKNOWNS, Points, Pose, Posed
from engine.motion.prior import PosePrior, add_prior
from engine.motion.silhouette import Surface, find_rim, rim_rows
from engine.types import BODY_JOINTS, LANDMARKS

_J = {name: idx for idx, name in enumerate(BODY_JOINTS)}
_L = {name: idx for idx, name in enumerate(LANDMARKS)}
NUM_LANDMARKS = len(LANDMARKS)

OUTLIER_M = 0.10
"""A landmark further off than this says ever less (Geman-McClure)."""
DIRECTION_OUTLIER = 0.90
"""A bone turned further than this says ever less."""
ACCELERATION = 30.0
"""Usual acceleration of a joint, m/s^2; a kick reaches 100."""
DEPTH_ACCELERATION = 10.0
"""The same along the line of sight, where the evidence is weak."""
TURN_RAD_S = 8.0
"""Usual speed of a joint's turning, which holds what no joint below shows: twists of arms and neck."""
PLANTED_M = 0.004
"""How far a planted foot may move between frames, metres."""
PLANTED_OUTLIER_M = 0.06
"""One that moves more does not stand after all."""
GROUND_M = 0.02
"""How far a planted sole may be off the ground, metres."""
GROUND_OUTLIER_M = 0.10
"""One further off stands on something else."""
BACKWARDS_RAD = 0.05
"""How far knees and elbows may bend backwards."""
CORRELATED = 1.5
"""Errors of the networks last over frames: what is measured in one frame counts less than if each were a new draw."""

BONES = (*(
    (_L[a], _L[b])
    for side in ("left", "right")
    for a, b in (
        (f"{side}_shoulder", f"{side}_elbow"), (f"{side}_elbow", f"{side}_wrist"), (f"{side}_wrist", f"{side}_index"),
        (f"{side}_hip", f"{side}_knee"), (f"{side}_knee", f"{side}_ankle"), (f"{side}_heel", f"{side}_foot_index"),
        (f"{side}_hip", f"{side}_shoulder"), (f"{side}_ear", "nose"),
    )
), *((_L[f"right_{part}"], _L[f"left_{part}"]) for part in ("hip", "shoulder", "ear")))  # fmt: skip
"""Pairs of landmarks between which a direction is evidence."""
_WRISTS, _EARS = ([_L[f"{side}_{part}"] for side in ("left", "right")] for part in ("wrist", "ear"))
_HEAD_M = 0.12, 0.22
"""A wrist this near the middle of the head, across the line of sight, is before it or behind it; beyond the second, it
is beside it."""
BEHIND_HEAD_M, HIDDEN_M = 0.12, 0.05
"""How far behind the middle of the head a hidden wrist is at least, and how sure that is."""
_STARTS, _ENDS = (list(ends) for ends in zip(*BONES))

_USUAL_RAD = {
    "pelvis": ((0, 0, 0), (9, 9, 9)),
    "spine": ((0.05, 0, 0), (0.20, 0.18, 0.12)),
    "neck": ((-0.08, 0, 0), (0.22, 0.22, 0.15)),
    "head": ((0, 0, 0), (0.28, 0.28, 0.18)),
    "collar": ((0, 0, 0), (0.14, 0.2, 0.18)),
    "shoulder": ((0.1, -0.25, -0.9), (0.6, 0.7, 0.7)),
    "elbow": ((0, -0.8, 0), (0.22, 2.0, 0.22)),
    "wrist": ((0, 0, 0.1), (0.3, 0.25, 0.3)),
    "hip": ((-0.25, 0.05, 0), (0.7, 0.35, 0.3)),
    "knee": ((0.5, 0, 0), (0.9, 0.1, 0.15)),
    "ankle": ((0, -0.1, 0), (0.4, 0.25, 0.22)),
    "foot": ((0, 0, 0), (0.2, 0.06, 0.06)),
}  # fmt: skip
"""How joints (left ones; right ones are their mirror image) are usually turned about the body's x, y, z axes, and how
far from that they go: mean and deviation. Arms hang, elbows and knees are a little bent; 9 is free. Elbows stay as bent
as they are for seconds: what was seen before and after says more of a frame than what is usual."""


def _usual() -> tuple[NDArray, NDArray]:
    """(22, 3) each."""
    mean, spread = np.zeros((NUM_JOINTS, 3)), np.zeros((NUM_JOINTS, 3))
    for joint, name in enumerate(BODY_JOINTS):
        middle, around = next(value for part, value in _USUAL_RAD.items() if part in name)
        mean[joint] = np.array(middle) * ((1, -1, -1) if name.startswith("right") else 1)
        spread[joint] = around
    return mean, spread


_MEAN, _SPREAD = _usual()
_HINGES = np.array([
    (3 * _J["left_knee"], 1), (3 * _J["right_knee"], 1), (3 * _J["left_elbow"] + 1, -1), (3 * _J["right_elbow"] + 1, 1)
])  # fmt: skip
"""Unknown and sign of the joints that bend one way."""
SMOOTH_JOINTS = np.array([
    _J[name] for name in ("pelvis", "spine3", "head", *(
        f"{side}_{part}"
        for side in ("left", "right")
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    ))
])  # fmt: skip
"""Joints whose acceleration is held down; the others go with them."""
_LANDMARK_ROWS = slice(0, NUM_LANDMARKS)
_SOLE_ROWS = slice(NUM_LANDMARKS, NUM_LANDMARKS + 4)
_SMOOTH_ROWS = slice(NUM_LANDMARKS + 4, NUM_LANDMARKS + 4 + len(SMOOTH_JOINTS))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the fit knows about some frames, float64."""

    rays: NDArray
    """(T, L, 2): landmarks as points of the plane z = 1 in front of the camera (inverse intrinsics applied)."""
    trust: NDArray
    """(T, L) 0 ... 1: in directions; 0 where the person was not seen."""
    place_trust: NDArray
    """(T, L) 0 ... 1: in `rays`."""
    noise_m: NDArray
    """(L,) metres at the person's distance: deviation of a landmark in the picture."""
    direction_noise: NDArray
    """(B,) deviation of the directions of the bones (length of the difference of unit vectors)."""
    bones: NDArray
    """(T, B, 3): unit directions of the bones among the 3D landmarks, camera axes."""
    world_to_cam: NDArray
    """(T, 3, 3) rotations."""
    camera_m: NDArray
    """(3,) where the camera is in the world."""
    dt_s: NDArray
    """(T-1,) seconds between frames; empty when the frames are no neighbours and nothing is to be smooth."""
    planted: NDArray
    """(T, 4) 0 ... 1: heel and toe of the left and the right foot on the ground."""
    sole_m: NDArray
    """(4,) metres: how high those points are when they stand."""
    unseen: NDArray
    """(T, 2) 0 ... 1: whether the left and the right wrist cannot be seen."""
    prior: PosePrior | None = None
    """What a network thinks of the pose; where it is trusted, bones say nothing."""
    outline: Outline | None = None
    surface: Surface | None = None
    """The outline in the picture and whose it is; both or none."""


def with_smooth_joints(points: Points) -> Points:
    """The points that `add_costs` asks for: landmarks and soles (37), then the joints that are to move smoothly."""
    return points.with_joints(SMOOTH_JOINTS)


def bone_directions(points_m: NDArray) -> NDArray:
    """(T, 33, 3) points to (T, B, 3) unit vectors along the bones."""
    bones = points_m[:, _ENDS] - points_m[:, _STARTS]
    return bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-6)


def add_costs(equations: NormalEquations, pose: Pose, posed: Posed, evidence: Evidence) -> None:
    """Put every term into the equations.

    Args:
        equations: of T frames and C unknowns.
        pose: T frames.
        posed: the points of `with_smooth_joints` on that pose, with slopes.
        evidence: of the same frames.
    """
    _add_landmarks(equations, posed, evidence)
    _add_bones(equations, posed, evidence)
    _add_limits(equations, pose)
    _add_hidden(equations, posed, evidence)
    if evidence.prior is not None:
        add_prior(equations, pose, evidence.prior, evidence.world_to_cam, evidence.camera_m)
    if evidence.outline is not None and evidence.surface is not None:
        rim = find_rim(posed, evidence.surface, evidence.outline, evidence.world_to_cam, evidence.camera_m)
        equations.add(*rim_rows(rim, pose, posed, evidence.surface))
    if len(evidence.dt_s):
        _add_smoothness(equations, pose, posed, evidence)
        if evidence.planted.any():
            _add_ground(equations, posed, evidence)


def _in_camera(posed: Posed, evidence: Evidence, rows: slice) -> tuple[NDArray, NDArray]:
    points = (posed.points_m[:, rows] - evidence.camera_m) @ np.swapaxes(evidence.world_to_cam, -1, -2)
    assert posed.slopes is not None
    return points, evidence.world_to_cam[:, None].astype(np.float32) @ posed.slopes[:, rows]


def _add_landmarks(equations: NormalEquations, posed: Posed, evidence: Evidence) -> None:
    points, slopes = _in_camera(posed, evidence, _LANDMARK_ROWS)
    depth = np.maximum(points[..., 2:], 0.1)
    distance = depth.mean(1, keepdims=True)
    flat = points[..., :2] / depth
    off = (flat - evidence.rays) * distance
    weight = np.sqrt(evidence.place_trust * _geman(np.square(off).sum(-1), OUTLIER_M)) / (CORRELATED * evidence.noise_m)
    scale = (weight * distance[..., 0] / depth[..., 0]).astype(np.float32)[..., None, None]
    slope = scale * (slopes[:, :, :2] - flat.astype(np.float32)[..., None] * slopes[:, :, 2:])
    equations.add((off * weight[..., None]).reshape(len(off), -1), slope.reshape(len(off), -1, NUM_UNKNOWNS))


def _add_bones(equations: NormalEquations, posed: Posed, evidence: Evidence) -> None:
    points, slopes = _in_camera(posed, evidence, _LANDMARK_ROWS)
    bone, slope = points[:, _ENDS] - points[:, _STARTS], slopes[:, _ENDS] - slopes[:, _STARTS]
    length = np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-6)
    unit = bone / length
    off = unit - evidence.bones
    trust = np.minimum(evidence.trust[:, _STARTS], evidence.trust[:, _ENDS])
    if evidence.prior is not None:
        trust = trust * (1 - evidence.prior.trust[:, None])
    weight = np.sqrt(trust * _geman(np.square(off).sum(-1), DIRECTION_OUTLIER)) / (
        CORRELATED * evidence.direction_noise
    )
    across = (np.eye(3) - unit[..., None] * unit[..., None, :]) * (weight[..., None] / length)[..., None]
    slope = across.astype(np.float32) @ slope
    equations.add((off * weight[..., None]).reshape(len(off), -1), slope.reshape(len(off), -1, NUM_UNKNOWNS))


def _add_hidden(equations: NormalEquations, posed: Posed, evidence: Evidence) -> None:
    """Hands that would be before the head although they cannot be seen."""
    points, slopes = _in_camera(posed, evidence, _LANDMARK_ROWS)
    off, slope = (each[:, _WRISTS] - each[:, _EARS].mean(1, keepdims=True) for each in (points, slopes))
    beside = np.linalg.norm(off[..., :2], axis=-1)
    share = evidence.unseen * np.clip((_HEAD_M[1] - beside) / (_HEAD_M[1] - _HEAD_M[0]), 0, 1)
    weight = np.sqrt(share) * (off[..., 2] < BEHIND_HEAD_M) / HIDDEN_M
    equations.add((off[..., 2] - BEHIND_HEAD_M) * weight, slope[:, :, 2] * weight.astype(np.float32)[..., None])


def _geman(square: NDArray, limit: float) -> NDArray:
    """Weight of a residual in Geman-McClure's robust sum: one within the limit, falling with the fourth power."""
    return np.square(limit**2 / (square + limit**2))


def _add_limits(equations: NormalEquations, pose: Pose) -> None:
    """Joints that turn further than joints do; knees and elbows that bend backwards."""
    stiffness = np.zeros((len(pose), NUM_UNKNOWNS))
    stiffness[:, 3 : 3 * NUM_JOINTS] = 1 / _SPREAD[1:].ravel()
    value = np.zeros_like(stiffness)
    value[:, 3 : 3 * NUM_JOINTS] = pose.rotvec[:, 1:].reshape(len(pose), -1)
    mean = np.zeros(NUM_UNKNOWNS)
    mean[3 : 3 * NUM_JOINTS] = _MEAN[1:].ravel()
    equations.add_diagonal((value - mean) * stiffness, stiffness)
    bend = value[:, _HINGES[:, 0]] * _HINGES[:, 1]
    stop = np.zeros_like(stiffness)
    stop[:, _HINGES[:, 0]] = (bend < 0) / BACKWARDS_RAD
    equations.add_diagonal(value * stop, stop)


def _add_smoothness(equations: NormalEquations, pose: Pose, posed: Posed, evidence: Evidence) -> None:
    """Accelerations of joints, those along the line of sight dearer; turning that is faster than usual."""
    dt = evidence.dt_s
    if len(dt) > 1:
        scale = np.eye(3) / ACCELERATION + _sight(posed, evidence) * (1 / DEPTH_ACCELERATION - 1 / ACCELERATION)
        assert posed.slopes is not None
        points = posed.points_m[:, _SMOOTH_ROWS]
        slopes = scale.astype(np.float32)[:, None] @ posed.slopes[:, _SMOOTH_ROWS]
        middle = (dt[1:] + dt[:-1]) / 2
        shares = np.stack([1 / dt[:-1], -1 / dt[:-1] - 1 / dt[1:], 1 / dt[1:]], 1) / middle[:, None]
        bent = sum(shares[:, k, None, None] * points[k : k + len(shares)] for k in range(3))
        residual = np.einsum("tij,tpj->tpi", scale[1:-1], bent)
        equations.add_over_time(
            residual.reshape(len(shares), -1), slopes.reshape(len(points), -1, NUM_UNKNOWNS), shares
        )
    stiffness = np.zeros((len(dt), NUM_UNKNOWNS))
    stiffness[:, 3 : 3 * NUM_JOINTS] = 1 / dt[:, None] / TURN_RAD_S
    turned = np.zeros_like(stiffness)
    turned[:, 3 : 3 * NUM_JOINTS] = np.diff(pose.rotvec[:, 1:].reshape(len(pose), -1), axis=0)
    equations.add_steps(turned * stiffness, stiffness)


def _sight(posed: Posed, evidence: Evidence) -> NDArray:
    """(T, 3, 3) projections onto the line from the camera to the body."""
    sight = posed.joints_m[:, 0] - evidence.camera_m
    sight = sight / np.linalg.norm(sight, axis=-1, keepdims=True)
    return sight[..., None] * sight[..., None, :]


def _add_ground(equations: NormalEquations, posed: Posed, evidence: Evidence) -> None:
    """Planted feet that move, or that are off the ground."""
    assert posed.slopes is not None
    points, slopes = posed.points_m[:, _SOLE_ROWS], posed.slopes[:, _SOLE_ROWS]
    moved = np.diff(points, axis=0)
    both = np.minimum(evidence.planted[1:], evidence.planted[:-1])
    weight = np.sqrt(both * _geman(np.square(moved).sum(-1), PLANTED_OUTLIER_M)) / PLANTED_M
    for point in range(points.shape[1]):
        share = weight[:, point, None] * [-1.0, 1.0]
        equations.add_over_time(share[:, 1:] * moved[:, point], slopes[:, point], share)
    off = points[..., 1] - evidence.sole_m
    weight = np.sqrt(evidence.planted * _geman(np.square(off), GROUND_OUTLIER_M)) / GROUND_M
    equations.add(off * weight, slopes[:, :, 1] * weight.astype(np.float32)[..., None])
