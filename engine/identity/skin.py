"""Skinning weights: which joints carry each point of the silhouette, and how much."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.identity.mesh import Sheet, laplacian
from engine.identity.skeleton import LIMBS, SPINE
from engine.types import PictureJoints

CORE_SHARE = 0.85
"""Radius of the trunk's core discs as share of the distance to the silhouette (found by experiment: .035 mean limb
weight inside a cone-shaped body, against .32 ... .50 without a core)."""

SKIRT_CORE_SHARE = 0.6
"""The same at the pelvis, where a bigger core makes a skirt a knot."""

LIMB_SHARE = 0.6
"""Radius of the discs along a limb that belong to the limb alone."""

SOFTEN = 0.015
"""Width of the curves between trunk and limbs beyond the harmonic ones, as share of the figure's height."""

BEND_SHARE = 0.45
"""Most of the shorter bone at a joint that may bend, from each side; a fat knee needs it all."""

EMERGE_RATIO = 1.6
"""A limb begins where the silhouette around its bone is at most this many times as wide as its outer half."""


@dataclass(frozen=True)
class Chain:
    """One piece of the skeleton that moves on its own: trunk, head, a limb, a tail, an ear."""

    joints: tuple[int, ...]
    """Indices into the skeleton, from the body outwards."""
    parent: int
    """Index of the chain it hangs on; -1 for the trunk."""


def find_chains(joints: PictureJoints) -> list[Chain]:
    """Cut a skeleton into the trunk (always first), the head and everything that hangs on them."""
    trunk = tuple(k for k, name in enumerate(joints.names) if name in SPINE or name.endswith("_collar"))
    chains, owner = [Chain(trunk, -1)], dict.fromkeys(trunk, 0)
    for k in range(len(joints.names)):
        if k in owner:
            continue
        siblings = [j for j, parent in enumerate(joints.parents) if parent == joints.parents[k]]
        home = owner[joints.parents[k]]
        starts = home == 0 or chains[home].joints[0] in _heads(joints) or siblings[0] != k
        if starts:
            owner[k] = len(chains)
            chains.append(Chain((k,), home))
        else:
            owner[k] = home
            chains[home] = Chain((*chains[home].joints, k), chains[home].parent)
    return chains


def find_weights(sheet: Sheet, joints: PictureJoints, dist_px: NDArray, xy_px: NDArray | None = None) -> NDArray:
    """Weigh every vertex of a silhouette over the joints.

    Args:
        sheet: the triangulated silhouette.
        joints: the skeleton in the same pixels.
        dist_px: (H, W) float32, distance of each pixel inside to the silhouette, pixels.
        xy_px: (K, 2) joints to use instead of `joints.xy_px`.

    Returns:
        (N, K) float64 >= 0, rows sum to 1. No vertex is carried by two limbs.

    Source: harmonic weights on two levels: trunk, head or limb first, then along the chain; discs along the trunk's
    bones are trunk (see `CORE_SHARE`).
    """
    xy = np.asarray(joints.xy_px if xy_px is None else xy_px, np.float64)
    chains = find_chains(joints)
    pins = _pin_chains(sheet, joints, chains, xy, dist_px)
    matrix, area = laplacian(sheet.xy_px, sheet.faces)
    shares = _soften(matrix, area, _harmonic(matrix, pins, len(chains)), SOFTEN * np.ptp(sheet.xy_px[:, 1]))
    shares = _part_limbs(shares, joints, chains)
    weights = np.zeros((len(sheet.xy_px), len(joints.names)))
    for index, chain in enumerate(chains):
        if index == 0:
            along = _along_trunk(sheet.xy_px, joints, xy)
        else:
            along = _along_chain(sheet, matrix, joints, chain, xy, dist_px)
        weights += shares[:, index, None] * along
    weights[weights < 1e-4] = 0
    return weights / weights.sum(1, keepdims=True)


def _heads(joints: PictureJoints) -> tuple[int, ...]:
    return tuple(k for k, name in enumerate(joints.names) if name == "head")


def _pin_chains(sheet: Sheet, joints: PictureJoints, chains: list[Chain], xy: NDArray, dist_px: NDArray) -> NDArray:
    """(N,) int64: the chain a vertex certainly belongs to, -1 where harmonic weights decide."""
    pins = np.full(len(sheet.xy_px), -1)
    depth = np.full(len(sheet.xy_px), np.inf)  # how deep inside the disc that claimed a vertex, relative
    name_at = {name: k for k, name in enumerate(joints.names)}
    for index, chain in enumerate(chains):
        if all(joints.names[k] in joints.hidden for k in chain.joints):
            continue
        if index == 0:
            spine = [name_at[name] for name in SPINE if name in name_at]
            centres = _walk(xy[spine])
            far = np.linalg.norm(centres - xy[spine[0]], axis=1)
            long = max(np.linalg.norm(xy[spine[-1]] - xy[spine[0]]), 1e-6)
            share = SKIRT_CORE_SHARE + (CORE_SHARE - SKIRT_CORE_SHARE) * np.clip(3 * far / long, 0, 1)
        elif chain.joints[0] in _heads(joints):
            centres = _head_centres(xy, joints, chain, dist_px)
            share = np.full(len(centres), CORE_SHARE)
        else:
            centres = _emerged(xy, chain, joints, dist_px)
            share = np.full(len(centres), LIMB_SHARE)
        radius = share * _at(dist_px, centres)
        _claim(sheet, centres, radius, index, pins, depth, allowed=sheet.part == _cut_number(sheet, joints, chain))
    if not (pins == 0).any():
        pins[np.argmin(np.linalg.norm(sheet.xy_px - xy[0], axis=1))] = 0
    return pins


def _cut_number(sheet: Sheet, joints: PictureJoints, chain: Chain) -> int:
    """The cut part a chain moves; 0 for the body."""
    for number, limb in enumerate(("left_arm", "right_arm"), start=1):
        if joints.names[chain.joints[0]] == LIMBS[limb][0] and (sheet.part == number).any():
            return number
    return 0


def _claim(
    sheet: Sheet,
    centres: NDArray,
    radius: NDArray,
    index: int,
    pins: NDArray,
    depth: NDArray,
    allowed: NDArray | None = None,
) -> None:
    """Give the allowed vertices inside discs to a chain, unless they lie deeper in another chain's disc."""
    from scipy.spatial import KDTree

    good = radius > 0.3
    if not good.any():
        return
    tree = KDTree(sheet.xy_px)
    for centre, r in zip(centres[good], radius[good]):
        near = np.array(tree.query_ball_point(centre, r), np.int64)
        if not len(near):  # thinner than a triangle: the nearest vertex, if it is really there
            gap, nearest = tree.query(centre)
            if gap > 2.5 * r:
                continue
            near = np.array([nearest])
        if allowed is not None:
            near = near[allowed[near]]
        deep = np.linalg.norm(sheet.xy_px[near] - centre, axis=1) / r
        better = deep < depth[near]
        pins[near[better]] = index
        depth[near[better]] = deep[better]


def _walk(points: NDArray, step: float = 2.0) -> NDArray:
    """(M, 2) points every `step` pixels along a polyline."""
    pieces = []
    for a, b in itertools.pairwise(points):
        count = max(int(np.linalg.norm(b - a) / step), 1)
        pieces.append(a + np.arange(count)[:, None] / count * (b - a))
    return np.concatenate([*pieces, points[-1:]])


def _at(dist_px: NDArray, points: NDArray) -> NDArray:
    """(M,) distance to the silhouette at points; 0 outside."""
    height, width = dist_px.shape
    cols, rows = points[:, 0].astype(int), points[:, 1].astype(int)
    inside = (cols >= 0) & (rows >= 0) & (cols < width) & (rows < height)
    values = np.zeros(len(points))
    values[inside] = dist_px[rows[inside], cols[inside]]
    return values


def _head_centres(xy: NDArray, joints: PictureJoints, chain: Chain, dist_px: NDArray) -> NDArray:
    """Points from the head joint to the top of the head: on, as the neck points, while it is inside."""
    head = xy[chain.joints[0]]
    parent = xy[joints.parents[chain.joints[0]]]
    return _on_while_inside(head, head - parent, dist_px, reach=np.inf)


def _on_while_inside(start: NDArray, direction: NDArray, dist_px: NDArray, reach: float) -> NDArray:
    length = np.linalg.norm(direction)
    if length < 1e-6:
        return start[None]
    count = int(min(reach, sum(dist_px.shape)) / 2) + 1
    points = start + 2.0 * np.arange(count)[:, None] * direction / length
    outside = np.flatnonzero(_at(dist_px, points) <= 0)
    return points[: max(outside[0], 1)] if len(outside) else points


def _limb_points(xy: NDArray, chain: Chain, joints: PictureJoints, dist_px: NDArray) -> NDArray:
    """Points along a limb, from its root to as far as its last bone goes inside the silhouette."""
    line = xy[list(chain.joints)]
    if len(line) == 1:
        direction = line[0] - xy[joints.parents[chain.joints[0]]]
    else:
        direction = line[-1] - line[-2]
    return np.concatenate([_walk(line), _on_while_inside(line[-1], direction, dist_px, reach=np.inf)])


def _emerged(xy: NDArray, chain: Chain, joints: PictureJoints, dist_px: NDArray) -> NDArray:
    """The points along a limb that lie in the limb itself, not in the body it comes out of."""
    points = _limb_points(xy, chain, joints, dist_px)
    radius = _at(dist_px, points)
    first_bone = np.linalg.norm(xy[chain.joints[1]] - xy[chain.joints[0]]) if len(chain.joints) > 1 else 0.0
    outer = np.arange(len(points)) * 2.0 >= max(first_bone, 2.0 * len(points) / 3)
    there = outer & (radius > 0)
    if not there.any():
        there = radius > 0
    if not there.any():
        return points[:0]
    usual = np.percentile(radius[there], 75)
    wide = np.flatnonzero(radius > EMERGE_RATIO * usual)
    begin = wide[-1] + 1 if len(wide) else 0
    begin = max(begin, int(0.25 * radius[0]))  # half a radius at two pixels a step: room to bend at the root
    return points[begin:]


def _harmonic(matrix, pins: NDArray, count: int) -> NDArray:
    """(N, count) weights: 1 where pinned to a column, harmonic between."""
    from scipy.sparse.linalg import splu

    known = pins >= 0
    values = np.zeros((len(pins), count))
    values[known, pins[known]] = 1
    free = np.flatnonzero(~known)
    if len(free):
        solver = splu(matrix[free][:, free].tocsc())
        values[free] = solver.solve(-(matrix[free][:, np.flatnonzero(known)] @ values[known]))
    values = np.clip(values, 0, 1)
    return values / np.maximum(values.sum(1, keepdims=True), 1e-12)


def _soften(matrix, area: NDArray, values: NDArray, reach: float) -> NDArray:
    """One implicit step of diffusion: corners at the pins become curves about `reach` pixels wide."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    return splu((diags(area) + reach**2 * matrix).tocsc()).solve(area[:, None] * values)


def _part_limbs(shares: NDArray, joints: PictureJoints, chains: list[Chain]) -> NDArray:
    """Let no vertex belong to two limbs: the stronger keeps the difference, the rest goes back to their parents."""
    limbs = [k for k, chain in enumerate(chains) if k and chain.joints[0] not in _heads(joints)]
    if len(limbs) < 2:
        return shares
    shares = shares.copy()
    limb = shares[:, limbs]
    ranked = np.sort(limb, axis=1)
    best = np.argmax(limb, axis=1)
    kept = np.zeros_like(limb)
    kept[np.arange(len(limb)), best] = ranked[:, -1] - ranked[:, -2]
    for column, index in enumerate(limbs):
        shares[:, index] = kept[:, column]
    for column, index in enumerate(limbs):
        shares[:, max(chains[index].parent, 0)] += limb[:, column] - kept[:, column]
    # what fell to a parent that is itself a limb (a thumb's arm) may mix again: rare, and weak by then
    return shares


def _along_trunk(points: NDArray, joints: PictureJoints, xy: NDArray) -> NDArray:
    """(N, K) weights along the spine: linear between the middles of its bones."""
    name_at = {name: k for k, name in enumerate(joints.names)}
    spine = [name_at[name] for name in SPINE if name in name_at]
    end = name_at.get("head", spine[-1])
    line = xy[[*spine, end]] if end != spine[-1] else xy[spine]
    position = project(points, line)
    middles = np.concatenate([[0.0], np.arange(1, len(spine)) + 0.5])
    # bone k runs from k to k + 1; before the middle of the first bone all is pelvis
    weights = np.zeros((len(points), len(joints.names)))
    middles[0] = 0.5
    for k, joint in enumerate(spine):
        weights[:, joint] = np.interp(position, middles, np.eye(len(spine))[k])
    return weights


def project(points: NDArray, line: NDArray) -> NDArray:
    """(N,) position of the nearest point of a polyline: 0 at its start, 1 at its first corner, ..."""
    best = np.full(len(points), np.inf)
    position = np.zeros(len(points))
    for k, (a, b) in enumerate(itertools.pairwise(line)):
        along = np.clip(((points - a) @ (b - a)) / max(((b - a) ** 2).sum(), 1e-9), 0, 1)
        gap = np.linalg.norm(points - a - along[:, None] * (b - a), axis=1)
        closer = gap < best
        best[closer], position[closer] = gap[closer], k + along[closer]
    return position


def _along_chain(sheet: Sheet, matrix, joints: PictureJoints, chain: Chain, xy: NDArray, dist_px: NDArray) -> NDArray:
    """(N, K) weights along a limb: rigid in the middle of each bone, harmonic around its joints."""
    weights = np.zeros((len(sheet.xy_px), len(joints.names)))
    carriers = [k for k in chain.joints if not (joints.names[k].endswith("_foot") and len(chain.joints) > 1)]
    if len(carriers) == 1:
        weights[:, carriers[0]] = 1
        return weights
    pins = np.full(len(sheet.xy_px), -1)
    depth = np.full(len(sheet.xy_px), np.inf)
    bones = [np.linalg.norm(xy[b] - xy[a]) for a, b in itertools.pairwise(carriers)]
    room = [0.0]  # around each joint, pixels: what bends; as long as the limb is thick, where the bones allow it
    for k, joint in enumerate(carriers[1:]):
        room.append(min(_at(dist_px, xy[[joint]])[0], BEND_SHARE * min(bones[k : k + 2])))
    for column, joint in enumerate(carriers):
        if column + 1 < len(carriers):
            points = _walk(xy[[joint, carriers[column + 1]]])
            clear = np.linalg.norm(points - xy[carriers[column + 1]], axis=1) - room[column + 1]
        else:
            outer = Chain(tuple(k for k in chain.joints if k not in carriers[:-1]), 0)
            points = _limb_points(xy, outer, joints, dist_px)
            clear = np.full(len(points), np.inf)
        if column:  # hands and feet are short and stiff: they bend on the inner side of their joint
            near = room[column] if column + 1 < len(carriers) else 0.25 * room[column]
            clear = np.minimum(clear, np.linalg.norm(points - xy[joint], axis=1) - near)
        good = clear >= 0
        # a disc on a bone must not reach into the room of its joints
        radius = np.minimum(0.7 * _at(dist_px, points[good]), clear[good] + 1.5)
        _claim(sheet, points[good], radius, column, pins, depth)
    if (pins < 0).all():
        weights[:, carriers[0]] = 1
        return weights
    weights[:, carriers] = _harmonic(matrix, pins, len(carriers))
    return weights
