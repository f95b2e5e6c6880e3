"""More pictures of the same character: its back as it is, its depth as a picture from the side shows it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.identity.mesh import Sheet
from engine.identity.texture import bleed, find_strokes, membrane
from engine.types import PictureJoints

_RIM_SHARE = 0.008
"""Width of the edge of a back that is filled from inside, at least, as share of the figure's height."""
_NUM_ROWS = 64
"""Rows in which a side view is read."""
_ROW_BLUR = 1.5
_SCALE_RANGE = (0.25, 5.0)
"""Least and most that a side view changes the depth that the front suggests."""


def back_texture(picture: NDArray, back: NDArray) -> NDArray:
    """Lay a picture of the back over the front's silhouette.

    Args:
        picture: (H, W, 4) uint8 straight: the front.
        back: (h, w, 4) uint8 straight: the figure from behind in the same pose, any size.

    Returns:
        (H, W, 4) uint8, alpha 255: the back as seen through the front; its outermost pixels, which the sides would
        stretch, are filled from inside.
    """
    mirrored = np.ascontiguousarray(back[:, ::-1])
    x, y, width, height = _box(picture)
    bx, by, bwidth, bheight = _box(mirrored)
    scale = np.array([width / bwidth, height / bheight])
    matrix = np.array([[scale[0], 0, x - scale[0] * bx], [0, scale[1], y - scale[1] * by]])
    size = picture.shape[1], picture.shape[0]
    spread = cv2.warpAffine(bleed(mirrored)[..., :3], matrix, size, borderMode=cv2.BORDER_REPLICATE)
    laid = np.dstack([spread, picture[..., 3]])
    inside = picture[..., 3] >= 128
    dist = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rim_px = max(_RIM_SHARE * height, 1.4 * find_strokes(laid).width_px + 1)
    keep = inside & (dist >= np.minimum(rim_px, 0.5 * cv2.dilate(dist, np.ones((15, 15)))))
    filled = membrane(spread, keep, inside)
    return bleed(np.dstack([filled, np.where(inside, 255, 0).astype(np.uint8)]))


def side_depth(
    sheet: Sheet, joints: PictureJoints, weights: NDArray, half: NDArray, side: NDArray
) -> tuple[NDArray, NDArray]:
    """Depths of front and back that follow a silhouette from the side.

    Args:
        sheet: the silhouette from the front.
        joints: the skeleton.
        weights: (N, K) skinning weights.
        half: (N,) pixels, the depth that the front suggests.
        side: (h, w, 4) uint8 straight: the figure from the side, facing the left of the picture, any size.

    Returns:
        front (N,), back (N,) float64 pixels > 0. Arms keep the depth they had: from the side they hide the trunk or
        are hidden by it.
    """
    x, y, width, height = _box(side)
    inside = side[y : y + height, x : x + width, 3] >= 128
    scale = np.ptp(sheet.xy_px[:, 1]) / height
    columns = np.arange(width) + 0.5
    rows = np.linspace(0, height - 1, _NUM_ROWS).astype(int)
    low = np.array([columns[inside[row]].min() if inside[row].any() else np.nan for row in rows])
    high = np.array([columns[inside[row]].max() if inside[row].any() else np.nan for row in rows])
    axis = float(np.nanmedian((low + high) / 2))
    arms = [k for k, name in enumerate(joints.names) if name.endswith(("shoulder", "elbow", "wrist"))]
    body = 1 - weights[:, arms].sum(1)
    place = (sheet.xy_px[:, 1] - sheet.xy_px[:, 1].min()) / max(np.ptp(sheet.xy_px[:, 1]), 1e-9) * (_NUM_ROWS - 1)
    deepest = np.zeros(_NUM_ROWS)
    np.maximum.at(deepest, np.rint(place).astype(int), np.where(body > 0.5, half, 0))
    found = []
    for reach in (axis - low, high - axis):
        good = (deepest > 0) & np.isfinite(reach)
        ratio = np.maximum(reach * scale, 0)[good] / deepest[good]
        factor = np.interp(np.arange(_NUM_ROWS), np.flatnonzero(good), ratio)
        factor = np.clip(cv2.GaussianBlur(factor[None].astype(np.float32), (0, 0), _ROW_BLUR)[0], *_SCALE_RANGE)
        found.append(half * (1 + body * (np.interp(place, np.arange(_NUM_ROWS), factor) - 1)))
    return found[0], found[1]


def _box(rgba: NDArray) -> tuple[int, int, int, int]:
    """x, y, width and height of what is opaque."""
    x, y, width, height = cv2.boundingRect((rgba[..., 3] >= 128).astype(np.uint8))
    return x, y, max(width, 1), max(height, 1)
