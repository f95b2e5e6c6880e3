"""How deep a figure is: what a picture from the front does not show, guessed from how bodies are built."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.identity.face import neck_ratio
from engine.identity.flesh import Flesh
from engine.identity.mesh import Sheet, inflate, laplacian
from engine.identity.skeleton import SPINE, faces_away, on_all_fours
from engine.identity.skin import project
from engine.identity.views import side_depth
from engine.types import PictureJoints

LIMB_DEPTH = 0.71
"""Depth of a limb relative to `mesh.inflate`: this makes a strip as thick as it is wide."""

HEAD_DEPTH, PERSON_HEAD_DEPTH = 0.85, 1.12
"""The same of a head on a neck: a drawn one is a ball, a person's is deeper than wide."""

TRUNK_DEPTH, PERSON_TRUNK_DEPTH, BLOB_DEPTH = 0.55, 0.48, 0.7
"""The same of a trunk: below a neck, a person's, and that of a body which is its own head."""

DEPTH_BLUR = 0.05
"""Over how much of the figure's height one part's depth becomes the next one's."""

DRAWN_HEAD, PERSON_HEAD = 0.75, 0.55
"""Height of a head over the length of the trunk: drawn figures have the first or more, people the second or less."""

TRUNK_BULGE = ((-0.25, 0.0), (-0.1, 0.007), (0.0, 0.027), (0.1, 0.054), (0.3, 0.06), (0.5, 0.051), (0.7, 0.028),
               (0.9, 0.005), (1.0, 0.024))  # fmt: skip
"""Where a person's trunk has its middle, from pelvis (0) to neck (1): towards the viewer, as share of that length.
Read off the embedded body, as the three below."""

HEAD_BULGE, HEAD_FRONT = 0.03, 0.3
"""The same of a person's head, where it is widest, which is behind its middle; and how much more than half of its depth
is before that."""

LEG_BULGE = ((0.0, 0.012), (0.45, 0.026), (1.0, 0.006), (1.3, -0.022), (1.6, -0.02), (2.0, 0.0))
"""Where a person's leg has its middle before the line of its joints, hip (0), knee (1), ankle (2), as share of the
leg's length."""

LEG_JOINTS = {"knee": -0.01, "ankle": -0.066, "foot": -0.066}
"""Where the joints of a person's leg are before its hip, as share of the leg's length."""

THIGH_ROUND = 1.05
"""A leg is at most this many times as thick as it is wide, where both legs are one in the silhouette."""

TOE_SHARE, PERSON_TOE_SHARE = 0.75, 1.2
"""How far a foot seen from the front goes on towards the viewer, as share of its width."""

MOST_TOE = 0.08
"""The same, at most, as share of the figure's height."""

MOST_ASIDE = 0.3
"""Feet whose middle is farther beside their ankle than this share of their width point to that side, and have their
length there."""

WALL_SHARE = 0.22
"""Half height of the wall that joins front and back, as share of the length of the edges at the rim."""


@dataclass(frozen=True)
class Depths:
    """Pixels before and behind the plane of the picture."""

    front: NDArray
    """(N,) float64: how far the solid goes towards the viewer at each vertex of the sheet."""
    rear: NDArray
    """(N,) float64: how far it goes away from the viewer."""
    joint: NDArray
    """(K,) float64: how far the joints are towards the viewer."""


@dataclass(frozen=True)
class _Build:
    """What a figure's proportions say."""

    neck: float
    """0 head and body are one ... 1 there is a neck."""
    person: float
    """0 drawn ... 1 of a person's proportions."""


def find_depths(
    sheet: Sheet,
    joints: PictureJoints,
    weights: NDArray,
    xy: NDArray,
    dist_px: NDArray,
    side: NDArray | None = None,
    flesh: Flesh | None = None,
) -> Depths:
    """Guess how deep a figure is.

    Args:
        sheet: the silhouette.
        joints: the skeleton.
        weights: (N, K) skinning weights.
        xy: (K, 2) joints, pixels of the sheet.
        dist_px: (H, W) float32, distance to the silhouette, pixels.
        side: (h, w, 4) uint8 straight: the figure from its side, facing the left; then depths follow its outline.
        flesh: the body under the picture, where it fits.

    Returns:
        Depths. Whoever has the proportions of a person gets a person's profile: chest and toes forward, calves back.
    """
    build = _build(sheet, joints, weights, xy, dist_px)
    half = _half_depth(sheet, joints, weights, xy, dist_px, build)
    if flesh is not None and side is None:
        ahead, behind = (
            np.maximum(own + flesh.away * (half - own), _wall(sheet)) for own in (flesh.ahead, flesh.behind)
        )
        joint = np.array([flesh.joint.get(name, 0.0) for name in joints.names])
        return Depths(ahead + flesh.middle, behind - flesh.middle, joint)
    if side is not None:
        front, rear = side_depth(sheet, joints, weights, half, side)
        bulge, joint = np.zeros(len(half)), np.zeros(len(xy))
    else:
        bulge, joint = _bulge(sheet, joints, weights, xy, build.person), _joint_depth(joints, xy, build.person)
        skull = build.person * HEAD_FRONT * weights[:, joints.names.index("head")] if build.person else 0.0
        front, rear = (1 + skull) * half + _find_toes(sheet, joints, weights, xy, build.person), (1 - skull) * half
    if faces_away(joints):
        return Depths(rear - bulge, front + bulge, -joint)
    return Depths(front + bulge, rear - bulge, joint)


def _build(sheet: Sheet, joints: PictureJoints, weights: NDArray, xy: NDArray, dist_px: NDArray) -> _Build:
    neck = float(np.clip((0.95 - neck_ratio(joints, xy, dist_px)) / 0.3, 0, 1))
    if joints.source == "blazepose":  # the pose network knows people; a hood hides a neck
        return _Build(1.0, 1.0)
    if "head" not in joints.names or "neck" not in joints.names:
        return _Build(neck, 0.0)
    k = joints.names.index("head")
    up = xy[k] - xy[joints.parents[k]]
    own = sheet.xy_px[weights[:, k] > 0.5]
    trunk = np.linalg.norm(xy[joints.names.index("neck")] - xy[0])
    if len(own) < 3 or trunk < 1 or np.linalg.norm(up) < 1e-6:
        return _Build(neck, 0.0)
    head = float(((own - xy[k]) @ up).max() / np.linalg.norm(up))
    return _Build(neck, neck * float(np.clip((DRAWN_HEAD - head / trunk) / (DRAWN_HEAD - PERSON_HEAD), 0, 1)))


def _half_depth(
    sheet: Sheet, joints: PictureJoints, weights: NDArray, xy: NDArray, dist_px: NDArray, build: _Build
) -> NDArray:
    """(N,) float64 pixels > 0: half the thickness of the solid at each vertex of the sheet."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import spsolve

    trunk = TRUNK_DEPTH + build.person * (PERSON_TRUNK_DEPTH - TRUNK_DEPTH)
    trunk = BLOB_DEPTH + build.neck * (trunk - BLOB_DEPTH)
    head = HEAD_DEPTH + build.person * (PERSON_HEAD_DEPTH - HEAD_DEPTH)
    part = np.full(len(joints.names), LIMB_DEPTH)
    for k, name in enumerate(joints.names):
        if name == "head":
            part[k] = BLOB_DEPTH + build.neck * (head - BLOB_DEPTH)
        elif name in SPINE or name.endswith("_collar"):
            part[k] = trunk
    matrix, area = laplacian(sheet.xy_px, sheet.faces)
    blur = (DEPTH_BLUR * np.ptp(sheet.xy_px[:, 1])) ** 2
    factor = spsolve((diags(area) + blur * matrix).tocsc(), area * (weights @ part))
    half = np.maximum(inflate(sheet) * factor, 0)
    for leg, line in _legs(joints, xy):
        share = weights[:, leg].sum(1)
        own = project(sheet.xy_px, line)
        radius = np.interp(own, *_thickness(line, dist_px))
        half = np.where(radius > 0, half + share * (np.minimum(half, THIGH_ROUND * radius) - half), half)
    return half + _wall(sheet)


def _wall(sheet: Sheet) -> NDArray:
    """(N,) pixels > 0: half the height of the wall at the rim, next to nothing elsewhere."""
    length = np.zeros(len(sheet.xy_px))
    edge = np.linalg.norm(sheet.xy_px[sheet.rim[:, 0]] - sheet.xy_px[sheet.rim[:, 1]], axis=1)
    np.maximum.at(length, sheet.rim[:, 0], edge)
    np.maximum.at(length, sheet.rim[:, 1], edge)
    return np.maximum(WALL_SHARE * length, 0.15)


def _legs(joints: PictureJoints, xy: NDArray) -> list[tuple[list[int], NDArray]]:
    """Of each leg that shows: indices of hip, knee and ankle, and (3, 2) where they are."""
    found = []
    for side in ("left", "right"):
        names = [f"{side}_{joint}" for joint in ("hip", "knee", "ankle")]
        if set(names) <= set(joints.names) and not set(names) & set(joints.hidden):
            leg = [joints.names.index(name) for name in names]
            found.append((leg, xy[leg]))
    return found


def _thickness(line: NDArray, dist_px: NDArray) -> tuple[NDArray, NDArray]:
    """Positions along a line of three joints, 0 ... 2, and half the width of the figure there, pixels."""
    at = np.linspace(0, 2, 41)
    points = np.stack([np.interp(at, (0, 1, 2), line[:, axis]) for axis in (0, 1)], 1)
    rows = np.clip(points[:, 1].astype(int), 0, dist_px.shape[0] - 1)
    columns = np.clip(points[:, 0].astype(int), 0, dist_px.shape[1] - 1)
    return at, dist_px[rows, columns].astype(np.float64)


def _bulge(sheet: Sheet, joints: PictureJoints, weights: NDArray, xy: NDArray, person: float) -> NDArray:
    """(N,) pixels towards where the figure faces: where the middle of the solid is at each vertex of the sheet."""
    out = np.zeros(len(sheet.xy_px))
    if person <= 0:
        return out
    pelvis, neck = xy[0], xy[joints.names.index("neck")]
    trunk_px = float(np.linalg.norm(neck - pelvis))
    at = (sheet.xy_px - pelvis) @ (neck - pelvis) / trunk_px**2
    spine = [k for k, name in enumerate(joints.names) if name in SPINE or name.endswith("_collar")]
    out += weights[:, spine].sum(1) * trunk_px * np.interp(at, *np.transpose(TRUNK_BULGE))
    out += weights[:, joints.names.index("head")] * trunk_px * HEAD_BULGE
    depth = _joint_depth(joints, xy, 1.0)
    for leg, line in _legs(joints, xy):
        at = project(sheet.xy_px, line)
        leg_px = np.linalg.norm(np.diff(line, axis=0), axis=1).sum()
        own = np.interp(at, (0, 1, 2), depth[leg]) + leg_px * np.interp(at, *np.transpose(LEG_BULGE))
        out += weights[:, leg].sum(1) * own
    return person * out


def _joint_depth(joints: PictureJoints, xy: NDArray, person: float) -> NDArray:
    """(K,) pixels towards where the figure faces: where its joints are."""
    out = np.zeros(len(xy))
    for leg, line in _legs(joints, xy):
        leg_px = np.linalg.norm(np.diff(line, axis=0), axis=1).sum()
        side = joints.names[leg[0]].partition("_")[0]
        for name, share in LEG_JOINTS.items():
            if f"{side}_{name}" in joints.names:
                out[joints.names.index(f"{side}_{name}")] = person * share * leg_px
    return out


def _find_toes(sheet: Sheet, joints: PictureJoints, weights: NDArray, xy: NDArray, person: float) -> NDArray:
    """(N,) pixels >= 0: how far feet go on to the front where they are drawn from the front: nothing at the ankle, most
    at the sole; nothing for feet that point to a side."""
    out, tall = np.zeros(len(sheet.xy_px)), np.ptp(sheet.xy_px[:, 1])
    longest = TOE_SHARE + person * (PERSON_TOE_SHARE - TOE_SHARE)
    if on_all_fours(dict(zip(joints.names, xy))):
        return out
    for side in ("left", "right"):
        names = [f"{side}_{joint}" for joint in ("knee", "ankle", "foot")]
        if not set(names) <= set(joints.names) or set(names) & set(joints.hidden):
            continue
        knee, ankle, foot = (joints.names.index(name) for name in names)
        share = weights[:, ankle] + weights[:, foot]
        own = sheet.xy_px[share > 0.5]
        leg = xy[ankle] - xy[knee]
        if len(own) < 6 or leg[1] < 0.7 * np.linalg.norm(leg):
            continue
        sole, (left, right) = own[:, 1].max(), np.percentile(own[:, 0], (2, 98))
        width, aside = right - left, abs((left + right) / 2 - xy[ankle, 0])
        if aside > MOST_ASIDE * width:
            continue
        top = min(xy[ankle, 1], sole - 0.3 * width)
        low = np.clip((sheet.xy_px[:, 1] - top) / max(sole - top, 1e-6), 0, 1)
        out = np.maximum(out, min(longest * width, MOST_TOE * tall) * share * low * (2 - low))
    return out
