"""One cutout and its joints become a closed, textured, rigged solid."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.identity.bridges import cut_bridges
from engine.identity.face import find_face, find_features, neck_ratio
from engine.identity.layers import find_cuts
from engine.identity.mesh import Sheet, close_solid, inflate, laplacian, triangulate
from engine.identity.skeleton import faces_away
from engine.identity.skin import find_weights
from engine.identity.strain import limit_strain
from engine.identity.texture import bleed, fill_texture, find_strokes
from engine.identity.views import back_texture, side_depth
from engine.types import PictureJoints, Puppet

HEAD_DEPTH, LIMB_DEPTH, TRUNK_DEPTH = 0.85, 0.71, 0.55
"""Depth of each part relative to `mesh.inflate`: .71 makes a strip as thick as it is wide; a head is a ball."""

DEPTH_BLUR = 0.05
"""Over how much of the figure's height one part's depth becomes the next one's."""

MOST_SLITS = 4
"""Times a figure is looked through for places where a limb would tear it."""

TOE_SHARE = 0.75
"""How far a foot seen from the front goes on towards the viewer, as share of its width."""

MOST_TOE = 0.07
"""The same, at most, as share of the figure's height."""

MOST_ASIDE = 0.3
"""Feet whose middle is farther beside their ankle than this share of their width point to that side, and have their
length there."""

WALL_SHARE = 0.22
"""Half height of the wall that joins front and back, as share of the length of the edges at the rim."""


def lift(
    cutout: NDArray,
    joints: PictureJoints,
    *,
    back: NDArray | None = None,
    side: NDArray | None = None,
    num_vertices: int = 6400,
) -> Puppet:
    """Lift a character from its picture.

    Args:
        cutout: (H, W, 4) uint8 straight RGBA, one figure.
        joints: its skeleton, pixels of the cutout.
        back: (h, w, 4) uint8 straight RGBA, the figure from behind in the same pose; None completes the front.
        side: (h, w, 4) uint8 straight RGBA, the figure from the side, facing the left; None guesses its depth.
        num_vertices: about how many vertices the solid gets.

    Returns:
        The puppet in the pose of the picture; see `Puppet` for its frame. A figure seen from behind is turned round, so
        that it faces +z and its picture is on its back.

    Raises:
        InputError: the cutout shows nothing.
    """
    mask = solid_mask(cutout)
    top, bottom, left, right = _bounds(mask)
    margin = 6
    y0, x0 = max(top - margin, 0), max(left - margin, 0)
    window = np.s_[y0 : bottom + margin, x0 : right + margin]
    picture, mask = np.ascontiguousarray(cutout[window]), np.pad(mask[window], 2)
    xy = joints.xy_px.astype(np.float64) - [x0, y0]
    solid = (mask >= 128).astype(np.uint8)
    cuts = find_cuts(mask, _distance(solid), _shown(joints, xy + 2.0))
    sheet = triangulate(mask, cuts, num_vertices=num_vertices // 2)
    sheet = replace(sheet, xy_px=sheet.xy_px - 2.0)
    dist = _distance(np.where(cuts.blocked(), 0, solid).astype(np.uint8))[2:-2, 2:-2]
    sheet, weights = _weigh(sheet, joints, dist, xy)
    front, rear = _depths(sheet, joints, weights, xy, dist, side)
    vertices, faces, is_back, source = close_solid(sheet, front, -rear)
    strokes = find_strokes(picture)
    face = find_face(picture, strokes, joints, xy, _carried_by(sheet, weights, joints, "head", dist.shape))
    behind = fill_texture(picture, strokes, face.area, face.head)
    sides = behind if face.head is None else fill_texture(picture, strokes, find_features(picture, face), face.head)
    scale = 1.0 / max(np.ptp(sheet.xy_px[:, 1]), 1e-6)
    ground = sheet.xy_px[:, 1].max()
    flip = -1.0 if faces_away(joints) else 1.0
    place = np.array([flip * scale, -scale, flip * scale])
    origin = np.array([xy[0, 0], ground, 0.0])
    size = np.array([picture.shape[1], picture.shape[0]], np.float64)
    return Puppet(
        vertices=((vertices - origin) * place).astype(np.float32),
        faces=faces,
        uv=(vertices[:, :2] / size).astype(np.float32),
        is_back=is_back,
        front_rgba=bleed(picture),
        fill_rgba=sides,
        back_rgba=behind if back is None else back_texture(picture, back),
        weights=weights[source].astype(np.float32),
        joints=((np.c_[xy, np.zeros(len(xy))] - origin) * place).astype(np.float32),
        joint_names=joints.names,
        joint_parents=joints.parents,
        joint_drivers=joints.drivers,
        stroke_rgb=strokes.rgb,
        stroke_px=strokes.width_px,
    )


def solid_mask(cutout: NDArray) -> NDArray:
    """The largest connected figure of a cutout's alpha: (H, W) uint8, soft at its edge, pinholes filled.

    Raises:
        InputError: nothing is opaque.
    """
    alpha = cutout[..., 3]
    count, labels, stats, _ = cv2.connectedComponentsWithStats((alpha >= 128).astype(np.uint8), connectivity=4)
    if count < 2 or stats[1:, cv2.CC_STAT_AREA].max() < 64:
        raise InputError("no character found in the cutout.", "check that the picture shows one, or give a mask.")
    largest = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    near = cv2.dilate(largest.astype(np.uint8), np.ones((3, 3))) > 0
    mask = np.where(near, alpha, 0).astype(np.uint8)
    mask[~largest & (mask >= 128)] = 0  # another figure that touches by a corner
    area = int(largest.sum())
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask < 128).astype(np.uint8), connectivity=4)
    for index in range(1, count):
        x, y, w, h, size = stats[index]
        inner = x > 0 and y > 0 and x + w < mask.shape[1] and y + h < mask.shape[0]
        if inner and size < 0.0006 * area:
            mask[labels == index] = 255
    return mask


def _weigh(sheet: Sheet, joints: PictureJoints, dist: NDArray, xy: NDArray) -> tuple[Sheet, NDArray]:
    """The sheet, slit where a limb would tear it, and its skinning weights (N, K)."""
    weights = find_weights(sheet, joints, dist, xy)
    for _ in range(MOST_SLITS):  # behind one bridge there may be another
        slitted = cut_bridges(sheet, joints, weights, xy)
        if slitted is sheet:
            break
        sheet, weights = slitted, find_weights(slitted, joints, dist, xy)
    return sheet, limit_strain(sheet, joints, weights, xy)


def _depths(
    sheet: Sheet, joints: PictureJoints, weights: NDArray, xy: NDArray, dist: NDArray, side: NDArray | None
) -> tuple[NDArray, NDArray]:
    """How far the solid goes towards the viewer and away from it, each (N,) float64 pixels."""
    half = half_depth(sheet, joints, weights, neck_ratio(joints, xy, dist))
    if side is not None:
        front, rear = side_depth(sheet, joints, weights, half, side)
    else:
        front, rear = half + find_toes(sheet, joints, weights, xy), half
    return (rear, front) if faces_away(joints) else (front, rear)


def half_depth(sheet: Sheet, joints: PictureJoints, weights: NDArray, neck_ratio: float) -> NDArray:
    """Half the thickness of the solid at each vertex of the sheet.

    Args:
        sheet: the silhouette.
        joints: the skeleton.
        weights: (N, K) skinning weights.
        neck_ratio: width of the neck over that of the head; a head without a neck is as deep as the trunk.

    Returns:
        (N,) float64 pixels > 0.
    """
    from scipy.sparse import diags
    from scipy.sparse.linalg import spsolve

    roundness = np.clip((0.95 - neck_ratio) / 0.3, 0, 1)
    part = np.full(len(joints.names), LIMB_DEPTH)
    for k, name in enumerate(joints.names):
        if name == "head":
            part[k] = TRUNK_DEPTH + roundness * (HEAD_DEPTH - TRUNK_DEPTH)
        elif name in ("pelvis", "neck") or name.startswith("spine") or name.endswith("_collar"):
            part[k] = TRUNK_DEPTH
    matrix, area = laplacian(sheet.xy_px, sheet.faces)
    blur = (DEPTH_BLUR * np.ptp(sheet.xy_px[:, 1])) ** 2
    factor = spsolve((diags(area) + blur * matrix).tocsc(), area * (weights @ part))
    length = np.zeros(len(sheet.xy_px))
    edge = np.linalg.norm(sheet.xy_px[sheet.rim[:, 0]] - sheet.xy_px[sheet.rim[:, 1]], axis=1)
    np.maximum.at(length, sheet.rim[:, 0], edge)
    np.maximum.at(length, sheet.rim[:, 1], edge)
    wall = np.where(length > 0, WALL_SHARE * length, 0.0)
    return np.maximum(inflate(sheet) * factor, 0) + np.maximum(wall, 0.15)


def find_toes(sheet: Sheet, joints: PictureJoints, weights: NDArray, xy: NDArray) -> NDArray:
    """How far feet go on to the front at each vertex of the sheet, where they are drawn from the front.

    Args:
        sheet: the silhouette.
        joints: the skeleton.
        weights: (N, K) skinning weights.
        xy: (K, 2) joints, pixels of the sheet.

    Returns:
        (N,) float64 pixels >= 0: nothing at the ankle, most at the sole; nothing for feet that point to a side.
    """
    out, tall = np.zeros(len(sheet.xy_px)), np.ptp(sheet.xy_px[:, 1])
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
        out = np.maximum(out, min(TOE_SHARE * width, MOST_TOE * tall) * share * low * (2 - low))
    return out


def _carried_by(sheet: Sheet, weights: NDArray, joints: PictureJoints, name: str, size: tuple[int, int]) -> NDArray:
    """(H, W) bool: faces of the sheet that a joint carries more than half."""
    area = np.zeros(size, np.uint8)
    if name in joints.names:
        share = weights[:, joints.names.index(name)]
        carried = sheet.faces[share[sheet.faces].mean(1) > 0.5]
        cv2.fillPoly(area, list(np.round(sheet.xy_px[carried] - 0.5).astype(np.int32)), 1)
    return area > 0


def _shown(joints: PictureJoints, xy: NDArray) -> dict[str, NDArray]:
    """Pixels of the joints by name; arms read from the silhouette stick out of it, so there is nothing to cut."""
    if joints.source == "silhouette":
        return {}
    return {name: point for name, point in zip(joints.names, xy) if name not in joints.hidden}


def _distance(solid: NDArray) -> NDArray:
    return cv2.distanceTransform(solid, cv2.DIST_L2, 5)


def _bounds(mask: NDArray) -> tuple[int, int, int, int]:
    rows, cols = np.nonzero((mask >= 128).any(1))[0], np.nonzero((mask >= 128).any(0))[0]
    return int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
