"""Faces made ready for filling: projected, snapped to a fixed-point grid, with their screen-space planes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.types import Size

SUBPIXEL = 256
"""Corners are snapped to 1/256 pixel, so that which pixels a face covers is exact integer arithmetic."""

NEAR_M = 1e-3
"""Faces with a corner nearer than this (or behind the camera) are left out whole: no near-plane clipping."""

FAR_PX = 1 << 20
"""Faces with a corner farther than this from the image's corner are left out, to keep the arithmetic exact."""


@dataclass(frozen=True)
class Triangles:
    """N faces that may be seen."""

    face_idx: NDArray
    """(N,) int32: which face of the mesh."""
    x: NDArray
    y: NDArray
    """(N, 3) int64: corners, in 1/256 pixel."""
    planes: NDArray
    """(N, 3, 3) float64: rows are linear in the image, value = row @ (x px, y px, 1): inverse depth (1/m), and inverse
    depth times the barycentric coordinate of corner 1 and of corner 2."""
    screen: NDArray
    """(N, 2, 3) float64: planes of the barycentric coordinates of corner 1 and 2 in the image, without perspective."""


def set_up(points_px: NDArray, z_m: NDArray, faces: NDArray, size: Size, *, cull_back: bool) -> Triangles:
    """Choose the faces that can be seen and work out their planes.

    Args:
        points_px: (V, 2) float, projected vertices, pixels.
        z_m: (V,) float, depth of the vertices, metres.
        faces: (F, 3) int, counter-clockwise seen from outside.
        size: (height, width), pixels.
        cull_back: leave out the faces seen from their inside.

    Returns:
        The triangles, in the order of the faces.
    """
    height, width = size
    usable = (z_m > NEAR_M) & (np.abs(points_px) < FAR_PX).all(axis=1)
    snapped = np.rint(np.where(usable, points_px.T, 0.0) * float(SUBPIXEL)).astype(np.int64)
    a, b, c = np.ascontiguousarray(faces.T)
    (ax, bx, cx), (ay, by, cy) = ((line[a], line[b], line[c]) for line in snapped)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    # y points down, so a face that turns counter-clockwise for the viewer has a negative area.
    keep = (area < 0) if cull_back else (area != 0)
    if not usable.all():
        keep &= usable[a] & usable[b] & usable[c]
    if snapped.min() <= 0 or (snapped.max(1) >= (width * SUBPIXEL, height * SUBPIXEL)).any():
        keep &= (np.maximum(np.maximum(ax, bx), cx) > 0) & (np.maximum(np.maximum(ay, by), cy) > 0)
        keep &= np.minimum(np.minimum(ax, bx), cx) < width * SUBPIXEL
        keep &= np.minimum(np.minimum(ay, by), cy) < height * SUBPIXEL
    face_idx = np.flatnonzero(keep)
    corners = faces[face_idx]
    x, y = np.stack([ax, bx, cx], 1)[face_idx], np.stack([ay, by, cy], 1)[face_idx]
    screen = _screen_planes(x / float(SUBPIXEL), y / float(SUBPIXEL))
    inverse_depth = 1.0 / z_m[corners].astype(np.float64)
    depth = plane_of(screen, inverse_depth)
    planes = np.stack([depth, screen[:, 0] * inverse_depth[:, 1:2], screen[:, 1] * inverse_depth[:, 2:3]], 1)
    return Triangles(face_idx=face_idx.astype(np.int32), x=x, y=y, planes=planes, screen=screen)


def plane_of(screen: NDArray, values: NDArray) -> NDArray:
    """The plane through values at the corners.

    Args:
        screen: (N, 2, 3), see `Triangles.screen`.
        values: (N, 3) float, at the corners.

    Returns:
        (N, 3): value = row @ (x px, y px, 1).
    """
    plane = screen[:, 0] * (values[:, 1:2] - values[:, 0:1]) + screen[:, 1] * (values[:, 2:3] - values[:, 0:1])
    plane[:, 2] += values[:, 0]
    return plane


def _screen_planes(x: NDArray, y: NDArray) -> NDArray:
    """(N, 2, 3) float64, see `Triangles.screen`; corners in pixels."""
    ux, uy = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]
    vx, vy = x[:, 2] - x[:, 0], y[:, 2] - y[:, 0]
    over_area = 1.0 / (ux * vy - uy * vx)
    first = np.stack([vy, -vx, vx * y[:, 0] - vy * x[:, 0]], 1) * over_area[:, None]
    second = np.stack([-uy, ux, uy * x[:, 0] - ux * y[:, 0]], 1) * over_area[:, None]
    return np.stack([first, second], 1)
