"""The posed body laid over the clip, half transparent, to see at a glance what a fit got wrong."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.raster import interpolate, rasterize
from engine.types import JOINTS

OPACITY = 0.55
_LIGHT = np.array([-0.35, -0.75, -0.6]) / np.linalg.norm([-0.35, -0.75, -0.6])
"""Direction to the light, camera axes: above the camera's left shoulder."""
_MIDDLE, _LEFT, _RIGHT = (225, 222, 214), (74, 168, 255), (255, 138, 60)
"""Trunk and head; the person's left limbs blue, their right ones orange: a flip shows."""
_PLANTED = (96, 220, 96)
"""A foot that stands."""
_MARGIN_PX = 3


def draw_preview(
    rgb: NDArray, vertices_m: NDArray, K: NDArray, *, planted: tuple[bool, bool] = (False, False)
) -> NDArray:
    """Draw the embedded body over a frame.

    Args:
        rgb: (H, W, 3) uint8.
        vertices_m: (V, 3) float, metres, camera frame: of the embedded body.
        K: (3, 3) float, pixels.
        planted: left and right foot stand; they are drawn green.

    Returns:
        (H, W, 3) uint8, a new picture.
    """
    faces, colors = load_body().faces, _side_colors(planted)
    out = rgb.copy()
    window = _window(vertices_m, K, (rgb.shape[0], rgb.shape[1]))
    if window is None:
        return out
    x0, y0, x1, y1 = window
    moved = K.astype(np.float64) - [[0, 0, x0], [0, 0, y0], [0, 0, 0]]
    found = rasterize(vertices_m[None].astype(np.float32), faces, moved, (y1 - y0, x1 - x0), cull_back=True)
    body = found.face_idx[0] >= 0
    shaded = colors * (0.45 + 0.55 * np.clip(_normals(vertices_m, faces) @ _LIGHT, 0, 1))[:, None]
    drawn = interpolate(shaded.astype(np.float32), found, faces)[0]
    part = out[y0:y1, x0:x1]
    part[body] = (OPACITY * drawn[body] + (1 - OPACITY) * part[body] + 0.5).astype(np.uint8)
    return out


def _window(vertices_m: NDArray, K: NDArray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The part of the picture the body may cover, or None: nothing of it is in front of the camera or inside."""
    front = vertices_m[vertices_m[:, 2] > 0.05]
    if not len(front):
        return None
    flat = front @ K.T
    flat = flat[:, :2] / flat[:, 2:]
    low = np.clip(np.floor(flat.min(0)) - _MARGIN_PX, 0, (size[1], size[0])).astype(int)
    high = np.clip(np.ceil(flat.max(0)) + _MARGIN_PX, 0, (size[1], size[0])).astype(int)
    return None if (high <= low).any() else (int(low[0]), int(low[1]), int(high[0]), int(high[1]))


@lru_cache(maxsize=4)
def _side_colors(planted: tuple[bool, bool]) -> NDArray:
    """(V, 3) float32 RGB: by the joint that moves a vertex most."""
    body = load_body()
    main = body.weight_joints[np.arange(len(body.weights)), body.weights.argmax(1)]
    colors = np.tile(np.array(_MIDDLE, np.float32), (len(main), 1))
    for side, color, stands in zip(("left", "right"), (_LEFT, _RIGHT), planted):
        mine = [j for j, name in enumerate(JOINTS) if name.startswith(side) and not name.endswith("collar")]
        colors[np.isin(main, mine)] = color
        if stands:
            colors[np.isin(main, [JOINTS.index(f"{side}_ankle"), JOINTS.index(f"{side}_foot")])] = _PLANTED
    return colors


def _normals(vertices_m: NDArray, faces: NDArray) -> NDArray:
    """(V, 3) unit normals, weighted by area, outwards."""
    corners = vertices_m[faces].astype(np.float64)
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = faces.ravel()
    normal = np.stack([np.bincount(flat, np.repeat(face[:, k], 3), len(vertices_m)) for k in range(3)], 1)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
