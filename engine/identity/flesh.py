"""What the body under a picture says at the points of its sheet: how deep it is, and which joints carry it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.identity.mesh import Sheet, inflate, laplacian
from engine.identity.skeleton import LIMBS
from engine.identity.stance import EYE_M, body_tables, fold_hands
from engine.identity.template import Template
from engine.raster import rasterize
from engine.types import BODY_JOINTS, PictureJoints, Size

READ_PX = 720
"""Longest side at which the body is read."""

SMOOTH_SHARE, MIDDLE_SHARE, HAIR_SHARE = 0.02, 0.002, 0.06
"""Over how much of the figure's height depths, and where the rim lies in depth, are smoothed; the rim of the head more:
bodies have no hair."""

MOST_FACTOR = 3.0
"""The solid is at most this many times as deep as `mesh.inflate` makes it."""

HANDS = ("left_wrist", "right_wrist")
HAND_FACTOR = 1.0
"""The same of hands: one that hangs shows its edge, and what lies behind that, a palm, nobody has drawn."""

AWAY_SHARES = (0.01, 0.04)
"""What is farther from the body than the second share of the figure's height (a bag, a coat) is as deep as if there
were no body; nearer than the first the body decides."""

CUT_LIMBS = {1: "left_arm", 2: "right_arm"}
"""Limbs by the number of their part in `layers.Cuts`."""

OTHER_LIMB = 0.6
"""Share of a vertex in one limb from which it is not carried by another, whatever the body has there."""


@dataclass(frozen=True)
class Flesh:
    """The body at the vertices of a sheet, pixels of its plane."""

    middle: NDArray
    """(N,) towards the viewer: where the solid's rim would be."""
    ahead: NDArray
    behind: NDArray
    """(N,) >= 0: how far it goes from there towards the viewer, and away."""
    away: NDArray
    """(N,) 0 ... 1: how little the body says."""
    weights: NDArray
    """(N, 22) skinning weights over `BODY_JOINTS`, rows sum to 1; the fingers' are the wrists'."""
    joint: dict[str, float]
    """How far joints are towards the viewer."""


def read_flesh(template: Template, sheet: Sheet, size: Size) -> Flesh:
    """Read the body at the vertices of a sheet, from in front and from behind.

    Args:
        template: of `fit_template`, pixels of the sheet.
        sheet: the silhouette.
        size: (height, width) of the picture, pixels.
    """
    (front, off), (back, _) = (_read(template, sheet, size, from_behind) for from_behind in (False, True))
    weights, scale = front[:, 1:] + back[:, 1:], template.stance.scale_px
    head = front[:, 1 + BODY_JOINTS.index("head")]
    hand = weights[:, [BODY_JOINTS.index(name) for name in HANDS]].sum(1) / weights.sum(1)
    middle, ahead, behind = _fitted(sheet, front[:, 0] * scale, back[:, 0] * scale, head, hand)
    near, far = (share * np.ptp(sheet.xy_px[:, 1]) for share in AWAY_SHARES)
    away = np.clip((off - near) / (far - near), 0, 1)
    depth = dict(zip(BODY_JOINTS, (template.joints_m[:, 2] * scale).tolist()))
    return Flesh(middle, ahead, behind, away, weights / weights.sum(1, keepdims=True), depth)


def flesh_weights(flesh: Flesh, joints: PictureJoints, weights: NDArray) -> NDArray:
    """Skinning weights as the body has them.

    Args:
        flesh: of `read_flesh`.
        joints: the skeleton.
        weights: (N, K) of `find_weights`: they stay where the body says little, where it has another limb, and for
            parts that a body does not have.

    Returns:
        (N, K), rows sum to 1.
    """
    body = [joints.names.index(name) for name in BODY_JOINTS]
    limbs = np.array([[float(name in limb) for limb in LIMBS.values()] for name in BODY_JOINTS])
    drawn, there = weights[:, body] @ limbs, flesh.weights @ limbs
    other = (drawn.max(1) > OTHER_LIMB) & (there.max(1) > OTHER_LIMB) & (drawn.argmax(1) != there.argmax(1))
    keep, own = np.maximum(flesh.away, other)[:, None], weights[:, body].sum(1, keepdims=True)
    out = weights.copy()
    out[:, body] = keep * weights[:, body] + (1 - keep) * own * flesh.weights
    return out / out.sum(1, keepdims=True)


def _read(template: Template, sheet: Sheet, size: Size, from_behind: bool) -> tuple[NDArray, NDArray]:
    """(N, 23) z, metres, and weights of the surface that is seen at the vertices of the sheet, or nearest to them; and
    (N,) how far it is beside them, pixels. Arms that are cut free see arms alone, the rest all but them."""
    weights, faces = fold_hands(body_tables().weights)[:, : len(BODY_JOINTS)], load_body().faces
    part = np.zeros(len(faces), np.int64)
    for number, limb in CUT_LIMBS.items():
        if (sheet.part == number).any():
            own = weights[:, [BODY_JOINTS.index(name) for name in LIMBS[limb]]].sum(1)
            part[own[faces].mean(1) > 0.5] = number
    table = np.c_[template.vertices_m[:, 2], weights].astype(np.float32)
    values, off = np.empty((len(sheet.xy_px), table.shape[1])), np.empty(len(sheet.xy_px))
    for number in np.unique(sheet.part):
        mine = sheet.part == number
        values[mine], off[mine] = _seen(
            template, sheet.xy_px[mine], size, faces[part == number], table, from_behind=from_behind
        )
    return values, off


def _seen(
    template: Template, xy_px: NDArray, size: Size, faces: NDArray, table: NDArray, *, from_behind: bool
) -> tuple[NDArray, NDArray]:
    """(M, A) values of a `table` (V, A) at the surface that is seen at (M, 2) pixels or nearest to them, and (M,) how
    far it is beside them, pixels."""
    ratio = min(1.0, READ_PX / max(size))
    small = max(int(size[0] * ratio), 1), max(int(size[1] * ratio), 1)
    focal, (x0, y0) = template.stance.scale_px * EYE_M * ratio, template.stance.centre_px * ratio
    K = np.array([[focal, 0, x0], [0, focal, y0], [0, 0, 1]])
    points = template.vertices_m * (1, -1, -1) + (0, 0, EYE_M)
    if from_behind:  # far and near change places along each ray
        points = points * (2 * EYE_M - points[:, 2:]) / points[:, 2:]
        faces = faces[:, ::-1]
    fragments = rasterize(points[None], faces, K, small, cull_back=True)
    there = fragments.face_idx[0] >= 0
    off, labels = cv2.distanceTransformWithLabels(
        (~there).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(int(labels.max()) + 1, np.int64)
    nearest[labels[there]] = np.flatnonzero(there)
    rows = np.clip((xy_px[:, 1] * ratio).astype(int), 0, small[0] - 1)
    columns = np.clip((xy_px[:, 0] * ratio).astype(int), 0, small[1] - 1)
    pixel = nearest[labels[rows, columns]]
    corners = table[faces[fragments.face_idx.reshape(-1)[pixel]]].astype(np.float64)
    return np.einsum("mk,mka->ma", fragments.bary.reshape(-1, 3)[pixel], corners), off[rows, columns] / ratio


def _fitted(
    sheet: Sheet, near: NDArray, far: NDArray, head: NDArray, hand: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Where the rim is in depth, and how far the body goes before and behind that: as round as `inflate`, so that it
    closes at the sheet's own rim, but as deep as the body. (N,) `head` and `hand` are shares of these."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    matrix, area = laplacian(sheet.xy_px, sheet.faces)
    tall = np.ptp(sheet.xy_px[:, 1])
    rim = area * np.where(sheet.on_rim, 1.0, 1e-4)
    plain, hair = (
        splu((diags(rim) + (share * tall) ** 2 * matrix).tocsc()).solve(rim * (near + far) / 2)
        for share in (MIDDLE_SHARE, HAIR_SHARE)
    )
    middle = plain + head * (hair - plain)
    smooth, half = splu((diags(area) + (SMOOTH_SHARE * tall) ** 2 * matrix).tocsc()), inflate(sheet)
    base, most = np.maximum(smooth.solve(area * half), 1e-6), MOST_FACTOR + hand * (HAND_FACTOR - MOST_FACTOR)
    ahead, behind = (
        np.clip(smooth.solve(area * depth) / base, 0, most) * half for depth in (near - middle, middle - far)
    )
    return middle, ahead, behind
