"""The embedded body standing in the plane of a picture, and how it moves there with each thing that can change.

Each joint turns about the line of sight, bones and flesh change with the body's shape, clothes and hair stand off by
one thickness a part.

Shapes: V vertices, J = 52 joints, S = 10 shape components, A turning joints, P parts of clothing,
N = 3 + A + S + P parameters: log of the scale, shift, turns, shape, clothes.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.types import JOINT_PARENTS, JOINTS

EYE_HEIGHTS = 4.0
"""How far away the camera is taken to be, in heights of a person, level with the middle of the figure: about where
somebody stands who takes in a whole person."""

PERSON_M = 1.72
EYE_M = EYE_HEIGHTS * PERSON_M

TURNS: tuple[str, ...] = (
    "pelvis", "spine1", "spine2", "spine3", "neck", "head",
    *(f"{side}_{joint}" for side in ("left", "right")
      for joint in ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
)  # fmt: skip
"""Joints that turn."""

LOOSE_RAD = {"pelvis": 0.3, "spine": 0.1, "neck": 0.2, "head": 0.2, "collar": 0.15, "wrist": 0.3, "ankle": 0.25}
"""How far joints usually turn from the T-pose; limbs turn freely."""
FREE_RAD = 2.0

PARTS: tuple[tuple[str, ...], ...] = (
    ("head", "neck"), ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar"),
    ("left_shoulder", "right_shoulder"), ("left_elbow", "right_elbow"), ("left_wrist", "right_wrist"),
    ("left_hip", "right_hip"), ("left_knee", "right_knee"), ("left_ankle", "right_ankle", "left_foot", "right_foot"),
)  # fmt: skip
"""What wears one thickness of hair or clothes, by the joints that carry it."""

CLOTH_M, CLOTH_SPREAD_M = 0.008, 0.012
"""Thickness of clothes, usual and by how much it differs."""

_FLIP = np.array([1.0, -1.0])


@dataclass(frozen=True)
class Tables:
    """The body, or some of its vertices."""

    vertices: NDArray
    normals: NDArray
    weights: NDArray
    """(V, J) float64."""
    subtree: NDArray
    """(V, A): share of each vertex that moves with a turning joint."""
    parts: NDArray
    """(V, P): share of each vertex in a part of clothing."""
    shape_vertices: NDArray
    """(S, V, 3)."""


@dataclass(frozen=True)
class Stance:
    """Where the body stands in the picture, and how."""

    log_scale: float
    """Logarithm of pixels per metre at the distance of the body."""
    shift_m: NDArray
    """(2,) pelvis from the axis of the eye: right, up."""
    turns_rad: NDArray
    """(A,) of `TURNS` against their parents."""
    shape: NDArray
    """(S,) standard deviations."""
    cloth_m: NDArray
    """(P,)."""
    centre_px: NDArray
    """(2,) where the axis of the eye meets the picture."""

    @property
    def scale_px(self) -> float:
        """Pixels per metre at the distance of the body."""
        return float(np.exp(self.log_scale))

    def project(self, points_m: NDArray) -> NDArray:
        """(..., 2) pixels of points (..., 3): x right, y up, z towards the eye, metres from its axis."""
        near = self.scale_px * EYE_M / (EYE_M - points_m[..., 2:])
        return self.centre_px + points_m[..., :2] * _FLIP * near

    def moved(self, step: NDArray) -> "Stance":
        """The stance after a step (N,) of all parameters."""
        turns, shape = 3 + len(TURNS), 3 + len(TURNS) + len(self.shape)
        return replace(
            self,
            log_scale=self.log_scale + float(step[0]),
            shift_m=self.shift_m + step[1:3],
            turns_rad=self.turns_rad + step[3:turns],
            shape=self.shape + step[turns:shape],
            cloth_m=np.maximum(self.cloth_m + step[shape:], 0),
        )

    def from_usual(self) -> tuple[NDArray, NDArray]:
        """(N,) how far parameters are from how people usually stand, and (N,) how far they spread; infinite where
        nothing is usual."""
        loose = [LOOSE_RAD.get(name.rsplit("_", maxsplit=1)[-1].rstrip("123"), FREE_RAD) for name in TURNS]
        away = np.concatenate([np.zeros(3), self.turns_rad, self.shape, self.cloth_m - CLOTH_M])
        cloth = np.full(len(PARTS), CLOTH_SPREAD_M)
        return away, np.concatenate([np.full(3, np.inf), loose, np.ones(len(self.shape)), cloth])


@dataclass(frozen=True)
class Posed:
    """A stance carried out: x right, y up, z towards the eye, metres from its axis."""

    vertices: NDArray
    normals: NDArray
    joints: NDArray
    """(J, 3)."""
    turns: NDArray
    """(J, 2, 2) each joint's turn, and (V, 2, 2) each vertex's."""
    blend: NDArray


@lru_cache(maxsize=2)
def body_tables(stride: int = 1) -> Tables:
    """The body's tables, of every `stride`-th vertex."""
    body, chosen = load_body(), slice(None, None, stride)
    weights = np.zeros((len(body.vertices), len(JOINTS)))
    np.add.at(weights, (np.arange(len(weights))[:, None], body.weight_joints), body.weights)
    whole = fold_hands(weights)
    parts = np.stack([whole[:, [JOINTS.index(name) for name in part]].sum(1) for part in PARTS], 1)
    return Tables(
        vertices=body.vertices[chosen].astype(np.float64),
        normals=_normals(body.vertices.astype(np.float64), body.faces)[chosen],
        weights=weights[chosen],
        subtree=(weights @ _moved_by())[chosen],
        parts=parts[chosen],
        shape_vertices=body.shape_vertices[:, chosen].astype(np.float64),
    )


def fold_hands(weights: NDArray) -> NDArray:
    """(V, J) weights with the fingers' given to the wrists."""
    out = weights.copy()
    for k in range(len(JOINTS) - 1, 21, -1):
        out[:, JOINT_PARENTS[k]] += out[:, k]
        out[:, k] = 0
    return out


def hangs_on(k: int, above: int) -> bool:
    """Whether joint k is `above` or moves with it."""
    while k > above:
        k = JOINT_PARENTS[k]
    return k == above


def first_stance(points: dict[str, NDArray], centre_px: NDArray, tall_px: float) -> Stance:
    """The stance whose bones are turned as joints in a picture say.

    Args:
        points: (2,) pixels by joint name: pelvis, neck and the limbs.
        centre_px: (2,) where the axis of the eye meets the picture.
        tall_px: height of the figure.
    """
    body = load_body()
    place = {name: np.asarray(xy, np.float64) * _FLIP for name, xy in points.items()}
    rest = dict(zip(JOINTS, body.joints[:, :2].astype(np.float64)))

    def angle(a: str, b: str) -> float:
        drawn, own = place[b] - place[a], rest[b] - rest[a]
        return float(np.arctan2(drawn[1], drawn[0]) - np.arctan2(own[1], own[0]))

    turned = np.full(len(JOINTS), angle("pelvis", "neck"))
    for side in ("left", "right"):
        for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            for a, b in pairwise(chain):
                start = JOINTS.index(f"{side}_{a}")
                turned[[hangs_on(k, start) for k in range(len(JOINTS))]] = angle(f"{side}_{a}", f"{side}_{b}")
        turned[[JOINTS.index(f"{side}_ankle"), JOINTS.index(f"{side}_foot")]] = 0.0
    own = np.array([turned[k] - (turned[JOINT_PARENTS[k]] if k else 0) for k in map(JOINTS.index, TURNS)])
    scale = tall_px / PERSON_M
    return Stance(
        log_scale=float(np.log(scale)),
        shift_m=(np.asarray(points["pelvis"], np.float64) - centre_px) * _FLIP / scale,
        turns_rad=(own + np.pi) % (2 * np.pi) - np.pi,
        shape=np.zeros(len(body.shape_joints)),
        cloth_m=np.full(len(PARTS), CLOTH_M),
        centre_px=np.asarray(centre_px, np.float64),
    )


def pose_stance(stance: Stance, tables: Tables) -> Posed:
    """Carry a stance out by linear blend skinning."""
    rest = rest_joints(stance)
    turned, own = np.zeros(len(JOINTS)), dict(zip(TURNS, stance.turns_rad))
    for k, parent in enumerate(JOINT_PARENTS):
        turned[k] = (turned[parent] if parent >= 0 else 0) + own.get(JOINTS[k], 0.0)
    cos, sin = np.cos(turned), np.sin(turned)
    turns = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    joints = rest.copy()
    joints[0, :2] = stance.shift_m
    for k, parent in enumerate(JOINT_PARENTS):
        if parent >= 0:
            joints[k, :2] = joints[parent, :2] + turns[parent] @ (rest[k] - rest[parent])[:2]
    offsets = joints[:, :2] - np.einsum("jab,jb->ja", turns, rest[:, :2])
    blend = np.tensordot(tables.weights, turns, 1)
    vertices = tables.vertices + np.tensordot(stance.shape, tables.shape_vertices, 1)
    normals = tables.normals.copy()
    vertices[:, :2] = np.einsum("vab,vb->va", blend, vertices[:, :2]) + tables.weights @ offsets
    normals[:, :2] = np.einsum("vab,vb->va", blend, normals[:, :2])
    return Posed(vertices + (tables.parts @ stance.cloth_m)[:, None] * normals, normals, joints, turns, blend)


def rest_joints(stance: Stance) -> NDArray:
    """(J, 3) float64 metres: joints of the stance's body in the T-pose."""
    body = load_body()
    return body.joints.astype(np.float64) + np.tensordot(stance.shape, body.shape_joints.astype(np.float64), 1)


def joint_slopes(posed: Posed) -> NDArray:
    """(S, J, 2) metres: how joints move with each component of the shape."""
    shape_joints = load_body().shape_joints.astype(np.float64)[..., :2]
    moved = np.zeros_like(shape_joints)
    for k, parent in enumerate(JOINT_PARENTS):
        if parent >= 0:
            moved[:, k] = moved[:, parent] + (shape_joints[:, k] - shape_joints[:, parent]) @ posed.turns[parent].T
    return moved


def vertex_slopes(stance: Stance, posed: Posed, tables: Tables, which: NDArray, of_joints: NDArray) -> NDArray:
    """(N, E, 2) pixels: how the vertices `which` (E,) move in the picture with each parameter; `of_joints` are
    `joint_slopes`."""
    points, weights = posed.vertices[which], tables.weights[which]
    shape_joints = load_body().shape_joints.astype(np.float64)[..., :2]
    slide = of_joints - np.einsum("jab,sjb->sja", posed.turns, shape_joints)
    out = [points[:, :2], *np.broadcast_to(np.eye(2)[:, None], (2, len(which), 2))]
    for column, name in enumerate(TURNS):
        lever = points[:, :2] - posed.joints[JOINTS.index(name), :2]
        out.append(tables.subtree[which, column, None] * np.c_[-lever[:, 1], lever[:, 0]])
    for k in range(len(slide)):
        own = np.einsum("vab,vb->va", posed.blend[which], tables.shape_vertices[k, which, :2])
        out.append(own + weights @ slide[k])
    out += [tables.parts[which, k, None] * posed.normals[which, :2] for k in range(len(PARTS))]
    near = stance.scale_px * EYE_M / (EYE_M - points[:, 2])
    return np.stack(out) * _FLIP * near[:, None]


def point_slopes(stance: Stance, posed: Posed, joint: int, point: NDArray, of_joints: NDArray) -> NDArray:
    """(N, 2) pixels: how a point (3,) that is fixed to a joint moves in the picture with each parameter; `of_joints`
    are `joint_slopes`."""
    lever = point[:2] - posed.joints[[JOINTS.index(name) for name in TURNS], :2]
    turns = _moved_by()[joint][:, None] * np.c_[-lever[:, 1], lever[:, 0]]
    out = np.concatenate([point[None, :2], np.eye(2), turns, of_joints[:, joint], np.zeros((len(PARTS), 2))])
    return out * _FLIP * (stance.scale_px * EYE_M / (EYE_M - point[2]))


@lru_cache(maxsize=1)
def _moved_by() -> NDArray:
    """(J, A) 0 or 1: which of `TURNS` move a joint."""
    return np.array([[hangs_on(k, JOINTS.index(name)) for name in TURNS] for k in range(len(JOINTS))], float)


def _normals(vertices: NDArray, faces: NDArray) -> NDArray:
    """(V, 3) unit normals, weighted by area."""
    corners, flat = vertices[faces], faces.ravel()
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = np.stack([np.bincount(flat, np.repeat(face[:, k], 3), len(vertices)) for k in range(3)], 1)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
