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
    x, y = (np.stack([line[face_idx] for line in lines]) for lines in ((ax, bx, cx), (ay, by, cy)))
    inverse_depth = [1.0 / z_m[corner[face_idx]].astype(np.float64) for corner in (a, b, c)]
    first, second = _screen_planes(x / float(SUBPIXEL), y / float(SUBPIXEL))
    near_b, near_c = inverse_depth[1] - inverse_depth[0], inverse_depth[2] - inverse_depth[0]
    depth = [along * near_b + across * near_c for along, across in zip(first, second)]
    depth[2] += inverse_depth[0]
    planes = np.stack([*depth, *(k * inverse_depth[1] for k in first), *(k * inverse_depth[2] for k in second)], 1)
    return Triangles(
        face_idx=face_idx.astype(np.int32),
        x=x.T,
        y=y.T,
        planes=planes.reshape(-1, 3, 3),
        screen=np.stack([*first, *second]).T.reshape(-1, 2, 3),
    )


def _screen_planes(x: NDArray, y: NDArray) -> tuple[list[NDArray], list[NDArray]]:
    """The three coefficients, (N,) float64 each, of both planes of `Triangles.screen`; corners (3, N), pixels."""
    ux, uy = x[1] - x[0], y[1] - y[0]
    vx, vy = x[2] - x[0], y[2] - y[0]
    over_area = 1.0 / (ux * vy - uy * vx)
    first = [vy * over_area, -vx * over_area, (vx * y[0] - vy * x[0]) * over_area]
    second = [-uy * over_area, ux * over_area, (uy * x[0] - ux * y[0]) * over_area]
    return first, second
