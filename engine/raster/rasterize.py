"""Find, for every pixel, the nearest face of a posed mesh."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.raster import reference, spans, torch_spans
from engine.raster.fragments import Fragments
from engine.raster.triangles import NEAR_M, Triangles, set_up
from engine.types import Size

BACKENDS: tuple[str, ...] = ("numpy", "torch", "nvdiffrast", "reference")
"""Ways to rasterize: numpy runs (default), torch (any device), nvdiffrast (CUDA), and the slow, plain reference."""

_BLOCK = 4096


def rasterize(
    vertices_m: Any, faces: Any, K: Any, size: Size, *, backend: str = "numpy", cull_back: bool = False
) -> Fragments:
    """Find, for every pixel, the nearest face of a posed body.

    Args:
        vertices_m: (T, V, 3) float, metres, camera frame: x right, y down, z forward.
        faces: (F, 3) int, counter-clockwise seen from outside.
        K: (3, 3) or (T, 3, 3) float, pixels; the centre of the top-left pixel is (0.5, 0.5).
        size: (height, width), pixels.
        backend: one of `BACKENDS`; "reference" is the slow, plain one.
        cull_back: leave out faces seen from their inside; for a closed mesh the same picture in half the time.

    Returns:
        Fragments; torch tensors on the vertices' device where the vertices are a tensor, else numpy arrays.
        Faces with a corner nearer than 1 mm (or behind the camera) are left out whole.

    Raises:
        InputError: a face points past the last vertex, or the backend is not known.
        MissingError: backend "nvdiffrast" without the package or without CUDA.

    Source: scan conversion on corners snapped to 1/256 pixel; a shared edge belongs to one face (top-left rule);
    perspective-correct interpolation after Blinn 1992.
    """
    if backend not in BACKENDS:
        raise InputError(f"there is no raster backend '{backend}'.", fix=f"use one of {', '.join(BACKENDS)}.")
    is_tensor = not isinstance(vertices_m, np.ndarray)
    points, corners, K_all = (_to_numpy(a) for a in (vertices_m, faces, K))
    if corners.size and (corners.max() >= points.shape[1] or corners.min() < 0):
        raise InputError(
            f"a face points to vertex {corners.max()}; the mesh has {points.shape[1]}.",
            fix="make the mesh again: its faces and vertices do not belong together.",
        )
    if backend == "nvdiffrast":
        from engine.raster.nvdiffrast_backend import rasterize_cuda

        return rasterize_cuda(vertices_m, faces, K, size, cull_back=cull_back)
    device = vertices_m.device if is_tensor else "cpu"
    K_all = np.broadcast_to(K_all.astype(np.float64), (len(points), 3, 3))
    cover = {"numpy": spans.cover, "reference": reference.cover, "torch": partial(torch_spans.cover, device=device)}[
        backend
    ]
    found = Fragments(
        face_idx=np.full((len(points), *size), -1, np.int32),
        bary=np.zeros((len(points), *size, 3), np.float32),
        depth=np.full((len(points), *size), np.inf, np.float32),
    )
    for frame in range(len(points)):
        one = Fragments(found.face_idx[frame], found.bary[frame], found.depth[frame])
        _fill(one, points[frame], corners, K_all[frame], size, cover=cover, cull_back=cull_back)
    if is_tensor:
        import torch

        return Fragments(*(torch.as_tensor(a, device=device) for a in (found.face_idx, found.bary, found.depth)))
    return found


def _to_numpy(array: Any) -> NDArray:
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()


def _fill(
    out: Fragments, points_m: NDArray, faces: NDArray, K: NDArray, size: Size, *, cover: Callable, cull_back: bool
) -> None:
    """Rasterize one frame into (H, W, ...) arrays that say "empty" everywhere."""
    z = points_m[:, 2].astype(np.float64)
    points_px = (points_m @ K.T)[:, :2] / np.maximum(z, NEAR_M)[:, None]
    x0, y0, box = _box(points_px, size)
    triangles = set_up(points_px - (x0, y0), z, faces, box, cull_back=cull_back)
    winner = _to_numpy(cover(triangles, box)).ravel()
    pixel = np.flatnonzero(winner >= 0)
    seen = winner[pixel]
    rows, columns = np.divmod(pixel, max(box[1], 1))
    target = (rows + y0) * size[1] + columns + x0
    out.face_idx.reshape(-1)[target] = triangles.face_idx[seen]
    out.bary.reshape(-1, 3)[target], out.depth.reshape(-1)[target] = attributes_at(triangles, seen, columns, rows)


def _box(points_px: NDArray, size: Size) -> tuple[int, int, Size]:
    """The part of the image that the points can touch: x0, y0, (height, width)."""
    low = np.clip(np.floor(points_px.min(0)), 0, (size[1], size[0])).astype(int)
    high = np.clip(np.ceil(points_px.max(0)) + 1, 0, (size[1], size[0])).astype(int)
    width, height = np.maximum(high - low, 0).tolist()
    return int(low[0]), int(low[1]), (height, width)


def attributes_at(triangles: Triangles, idx: NDArray, columns: NDArray, rows: NDArray) -> tuple[NDArray, NDArray]:
    """Barycentric coordinates and depth where pixel centres meet triangles.

    Args:
        triangles: N of them.
        idx: (P,) int, index into the triangles.
        columns: (P,) int.
        rows: (P,) int.

    Returns:
        (P, 3) float32 that sum to 1, and (P,) float32, metres.
    """
    bary, depth = np.empty((len(idx), 3), np.float32), np.empty(len(idx), np.float32)
    table = triangles.planes.reshape(-1, 9)
    for start in range(0, len(idx), _BLOCK):  # fresh megabytes cost more than the arithmetic
        block = slice(start, start + _BLOCK)
        planes = np.take(table, idx[block], axis=0)
        x, y = columns[block] + 0.5, rows[block] + 0.5
        inverse_depth, first, second = (planes[:, k] * x + planes[:, k + 1] * y + planes[:, k + 2] for k in (0, 3, 6))
        z = 1.0 / inverse_depth
        bary[block, 1], bary[block, 2], depth[block] = first * z, second * z, z
    bary[:, 0] = 1.0 - bary[:, 1] - bary[:, 2]
    return bary, depth
