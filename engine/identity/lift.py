"""One cutout and its joints become a closed, textured, rigged solid."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.identity.mesh import Sheet, close_solid, inflate, triangulate
from engine.identity.skeleton import faces_away
from engine.identity.skin import find_weights
from engine.identity.texture import bleed, fill_texture, find_strokes
from engine.types import PictureJoints, Puppet

HEAD_DEPTH, LIMB_DEPTH, TRUNK_DEPTH = 0.85, 0.71, 0.55
"""Depth of each part relative to `mesh.inflate`: .71 makes a strip as thick as it is wide; a head is a ball."""

WALL_SHARE = 0.22
"""Half height of the wall that joins front and back, as share of the length of the edges at the rim."""


def lift(cutout: NDArray, joints: PictureJoints, *, num_vertices: int = 5200) -> Puppet:
    """Lift a character from its picture.

    Args:
        cutout: (H, W, 4) uint8 straight RGBA, one figure.
        joints: its skeleton, pixels of the cutout.
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
    sheet = triangulate(mask, num_vertices=num_vertices // 2)
    sheet = Sheet(sheet.xy_px - 2.0, sheet.faces, sheet.rim, sheet.spacing_px)
    dist = cv2.distanceTransform((mask >= 128).astype(np.uint8), cv2.DIST_L2, 5)[2:-2, 2:-2]
    xy = joints.xy_px.astype(np.float64) - [x0, y0]
    weights = find_weights(sheet, joints, dist, xy)
    half = half_depth(sheet, joints, weights)
    vertices, faces, is_back, source = close_solid(sheet, half, -half)
    strokes = find_strokes(picture)
    fill = fill_texture(picture, strokes, _face_area(mask[2:-2, 2:-2], joints, xy, dist))
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
        fill_rgba=fill,
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


def half_depth(sheet: Sheet, joints: PictureJoints, weights: NDArray) -> NDArray:
    """(N,) float64 pixels > 0: half the thickness of the solid at each vertex of the sheet."""
    part = np.full(len(joints.names), LIMB_DEPTH)
    for k, name in enumerate(joints.names):
        if name == "head":
            part[k] = HEAD_DEPTH
        elif name in ("pelvis", "neck") or name.startswith("spine") or name.endswith("_collar"):
            part[k] = TRUNK_DEPTH
    length = np.zeros(len(sheet.xy_px))
    edge = np.linalg.norm(sheet.xy_px[sheet.rim[:, 0]] - sheet.xy_px[sheet.rim[:, 1]], axis=1)
    np.maximum.at(length, sheet.rim[:, 0], edge)
    np.maximum.at(length, sheet.rim[:, 1], edge)
    wall = np.where(length > 0, WALL_SHARE * length, 0.0)
    return np.maximum(inflate(sheet) * (weights @ part), 0) + np.maximum(wall, 0.15)


def _bounds(mask: NDArray) -> tuple[int, int, int, int]:
    rows, cols = np.nonzero((mask >= 128).any(1))[0], np.nonzero((mask >= 128).any(0))[0]
    return int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1


def _face_area(mask: NDArray, joints: PictureJoints, xy: NDArray, dist: NDArray) -> NDArray | None:
    """(H, W) bool: the middle of the head, where the face is; None without a head or when seen from behind."""
    if "head" not in joints.names or faces_away(joints):
        return None
    head = xy[joints.names.index("head")]
    neck = xy[joints.parents[joints.names.index("head")]] if "head" in joints.names else head
    up = (head - neck) / max(np.linalg.norm(head - neck), 1e-6)
    if np.linalg.norm(head - neck) < 1e-6:
        up = np.array([0.0, -1.0])
    ys, xs = np.mgrid[: mask.shape[0], : mask.shape[1]]
    above = (xs + 0.5 - head[0]) * up[0] + (ys + 0.5 - head[1]) * up[1] > -0.1 * np.linalg.norm(head - neck)
    near_head = above & (mask >= 128)
    if not near_head.any():
        return None
    widest = dist[near_head].max()
    return near_head & (dist > 0.22 * widest)
