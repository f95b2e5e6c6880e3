"""Places that every body has: points on trunk, legs and arms, by part, height along it and angle around it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import TRUNK
from engine.animator.skinning import vertex_normals
from engine.geometry import rotation_between
from engine.types import JOINTS, Puppet

_LIMBS = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
)
_AROUND_TRUNK, _AROUND_LIMB = 24, 10
_TRUNK_ROWS, _LIMB_ROWS = np.linspace(-0.12, 0.92, 14), np.linspace(0.05, 0.95, 7)
"""Heights along a part: the trunk from the hip joints (0) to the neck (1), a limb from joint to joint."""
_NEIGHBOURS = 5
"""Vertices whose mean a place is."""
_SLICES = 15
_OWNED = 0.4
"""Vertices that belong to a part by more than this are its surface."""


@dataclass(frozen=True)
class Places:
    """P points on the surface of a body, the same ones on every body that has the same parts."""

    vertices: NDArray
    """(P, 3) float64, in the pose the body is stored in."""
    normals: NDArray
    """(P, 3) float64, unit, outwards."""
    weights: NDArray
    """(P, K) float64, rows sum to 1: over the joints of the body."""
    part: NDArray
    """(P,) int: which part, an index of `PARTS`."""
    known: NDArray
    """(P,) bool: the body has that part; the rest is zero where it has not."""


PARTS: tuple[str, ...] = ("trunk", *(a for a, _ in _LIMBS))
"""Names of the parts: a limb's has the name of its upper joint."""


@lru_cache(maxsize=1)
def person_places() -> Places:
    """Those of the embedded body, in the T-pose, metres."""
    from engine.body.model import load_body

    body = load_body()
    weights = np.zeros((len(body.vertices), len(JOINTS)))
    np.add.at(weights, (np.arange(len(weights))[:, None], body.weight_joints), body.weights)
    names = {name: k for k, name in enumerate(JOINTS)}
    return _places(body.vertices.astype(np.float64), body.faces, weights, body.joints.astype(np.float64), names)


def puppet_places(puppet: Puppet) -> Places:
    """Those of a character, in the pose of its picture, figure heights; parts that it lacks have no places."""
    names = {name: k for k, name in enumerate(puppet.joint_names)}
    vertices, weights = puppet.vertices.astype(np.float64), puppet.weights.astype(np.float64)
    return _places(vertices, puppet.faces, weights, puppet.joints.astype(np.float64), names)


def _places(vertices: NDArray, faces: NDArray, weights: NDArray, joints: NDArray, names: dict[str, int]) -> Places:
    normals = vertex_normals(vertices, faces)
    part = np.repeat(np.arange(len(PARTS)), [len(_grid(number)) for number in range(len(PARTS))])
    at, out, over = np.zeros((len(part), 3)), np.zeros((len(part), 3)), np.zeros((len(part), len(joints)))
    over[:, 0] = 1
    known = np.zeros(len(part), bool)
    for number, owners, chart in _charts(vertices, weights, joints, names):
        own, (picked, shares) = part == number, _nearest(chart, number)
        at[own], out[own], over[own] = (
            (table[owners[picked]] * shares[..., None]).sum(1) for table in (vertices, normals, weights)
        )
        known |= own
    return Places(at, out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9), over, part, known)


def _grid(number: int) -> NDArray:
    """(n, 2) height along a part and angle around it of its places."""
    rows, around = _rows(number)
    turn = 2 * np.pi * (np.arange(around) + 0.5) / around
    return np.stack([np.repeat(rows, around), np.tile(turn, len(rows))], 1)


def _rows(number: int) -> tuple[NDArray, int]:
    """Heights of the rows of a part, and how many places each has."""
    return (_LIMB_ROWS, _AROUND_LIMB) if number else (_TRUNK_ROWS, _AROUND_TRUNK)


def _charts(
    vertices: NDArray, weights: NDArray, joints: NDArray, names: dict[str, int]
) -> Iterator[tuple[int, NDArray, NDArray]]:
    """Of each part: its number, its vertices' indices (N,), and where they are on it, (N, 3): height along it and
    direction around it."""
    trunk = [names[name] for name in TRUNK if name in names]
    owners = np.flatnonzero(weights[:, trunk].sum(1) > _OWNED)
    hips = [names[f"{side}_hip"] for side in ("left", "right") if f"{side}_hip" in names] or [names["pelvis"]]
    if "neck" in names and len(owners) >= 50:
        start = joints[hips].mean(0) * (0, 1, 1) + joints[names["pelvis"]] * (1, 0, 0)
        local, length = _local(vertices[owners], start, joints[names["neck"]], np.array([0.0, 1.0, 0.0]))
        yield 0, owners, np.c_[local[:, 1] / length, _around(local, length)]
    person = _rest_joints()
    for number, (upper, lower) in enumerate(_LIMBS, start=1):
        if upper not in names or lower not in names:
            continue
        owners = np.flatnonzero(weights[:, names[upper]] > _OWNED)
        if len(owners) < 12:
            continue
        at_rest = person[lower] - person[upper]
        local, length = _local(vertices[owners], joints[names[upper]], joints[names[lower]], at_rest)
        along = at_rest / np.linalg.norm(at_rest)
        axes = np.stack([np.cross(along, (0, 0, 1)), (0, 0, 1)])
        across = local @ axes.T
        across -= np.median(across, axis=0)
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
        yield number, owners, np.c_[local @ along / length, across]


@lru_cache(maxsize=1)
def _rest_joints() -> dict[str, NDArray]:
    from engine.body.model import load_body

    return dict(zip(JOINTS, load_body().joints.astype(np.float64)))


def _local(points: NDArray, start: NDArray, end: NDArray, at_rest: NDArray) -> tuple[NDArray, float]:
    """Points (N, 3) from where a bone starts, turned until the bone points as it does in the T-pose; its length."""
    bone = end - start
    return (points - start) @ rotation_between(bone, at_rest).T, max(float(np.linalg.norm(bone)), 1e-6)


def _around(local: NDArray, length: float) -> NDArray:
    """(N, 2) unit: directions around an upright trunk, as if every slice of it were round."""
    height = local[:, 1] / length
    edges = np.linspace(height.min(), height.max() + 1e-9, _SLICES + 1)
    middles, sizes, seen = [], [], []
    for low, high in pairwise(edges):
        own = local[(height >= low) & (height < high)][:, [0, 2]]
        if len(own) < 3:
            continue
        seen.append((low + high) / 2)
        middles.append((own.min(0) + own.max(0)) / 2)
        sizes.append(np.ptp(own, axis=0) / 2)
    out = np.empty((len(local), 2))
    for axis, column in enumerate((0, 2)):
        middle = np.interp(height, seen, [m[axis] for m in middles])
        out[:, axis] = (local[:, column] - middle) / np.maximum(np.interp(height, seen, [s[axis] for s in sizes]), 1e-6)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def _nearest(chart: NDArray, number: int) -> tuple[NDArray, NDArray]:
    """(n, 5) indices and shares of the vertices nearest to each place of a part."""
    grid, (rows, around) = _grid(number), _rows(number)
    wanted = np.c_[grid[:, 0], np.cos(grid[:, 1]), np.sin(grid[:, 1])]
    size = np.array([rows[1] - rows[0], 2 * np.pi / around, 2 * np.pi / around])
    away = np.sqrt((((wanted / size)[:, None] - chart / size) ** 2).sum(-1))
    picked = np.argpartition(away, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    away = np.take_along_axis(away, picked, 1)
    shares = 1 / (away - away.min(1, keepdims=True) + 0.2) ** 2
    return picked, shares / shares.sum(1, keepdims=True)
