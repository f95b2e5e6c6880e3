"""Find, for every pixel, the nearest face of a posed mesh."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.raster import reference, spans
from engine.raster.fragments import Fragments
from engine.raster.triangles import NEAR_M, Triangles, set_up
from engine.types import Size

BACKENDS: tuple[str, ...] = ("auto", "numpy", "torch", "nvdiffrast", "reference")
"""Ways to rasterize: numpy (runs of pixels, CPU), torch (the same on any device), nvdiffrast (CUDA, non-commercial
licence), the slow, plain reference; auto takes torch for tensors on another device than the CPU, else numpy."""

CENTRE_PX = (0.5, 0.5)
"""The centre of a pixel: x right, y down, from its corner."""

_BLOCK = 4096


def rasterize(
    vertices_m: Any,
    faces: Any,
    K: Any,
    size: Size,
    *,
    backend: str = "auto",
    cull_back: bool = False,
    test_px: tuple[float, float] = CENTRE_PX,
    value_px: tuple[float, float] | None = None,
) -> Fragments:
    """Find, for every pixel, the nearest face of a posed body.

    Args:
        vertices_m: (T, V, 3) float, metres, camera frame: x right, y down, z forward.
        faces: (F, 3) int, counter-clockwise seen from outside.
        K: (3, 3) or (T, 3, 3) float, pixels; the centre of the top-left pixel is (0.5, 0.5).
        size: (height, width), pixels.
        backend: one of `BACKENDS`; "reference" is the slow, plain one.
        cull_back: leave out faces seen from their inside; for a closed mesh the same picture in half the time.
        test_px: where in a pixel it is tested which face is nearest, (0 ... 1, 0 ... 1), x right, y down.
        value_px: where in a pixel `bary` and `depth` are taken; `test_px` unless given. Elsewhere than `test_px` they
            are extrapolated past the face's edge where it ends between the two.

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
    _check_faces(faces, vertices_m.shape[1])
    value_px = test_px if value_px is None else value_px
    if backend == "auto":
        backend = "torch" if is_tensor and vertices_m.device.type != "cpu" else "numpy"
    if backend in ("torch", "nvdiffrast"):
        return _with_torch(backend, vertices_m, faces, K, size, cull_back, test_px, value_px)
    points, corners, K_all = (_to_numpy(a) for a in (vertices_m, faces, K))
    cover = spans.cover if backend == "numpy" else reference.cover
    K_all = np.broadcast_to(K_all.astype(np.float64), (len(points), 3, 3))
    found = Fragments(
        face_idx=np.empty((len(points), *size), np.int32),
        bary=np.zeros((len(points), *size, 3), np.float32),
        depth=np.empty((len(points), *size), np.float32),
    )
    fill = partial(_fill, cover=cover, cull_back=cull_back, test_px=test_px, value_px=value_px)

    def fill_frame(frame: int) -> None:
        one = Fragments(found.face_idx[frame], found.bary[frame], found.depth[frame])
        fill(one, points[frame], corners, K_all[frame], size)

    side_by_side(fill_frame, len(points))
    if is_tensor:
        import torch

        device = vertices_m.device
        return Fragments(*(torch.as_tensor(a, device=device) for a in (found.face_idx, found.bary, found.depth)))
    return found


def side_by_side(run: Callable[[int], Any], count: int) -> list[Any]:
    """Call `run(0)` ... `run(count - 1)` on all processors; numpy lets go of Python's lock while it works.

    Returns:
        What the calls returned, in order.
    """
    workers = min(count, os.cpu_count() or 1)
    if workers < 2:
        return [run(idx) for idx in range(count)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, range(count)))


def _check_faces(faces: Any, num_vertices: int) -> None:
    if len(faces) and (int(faces.max()) >= num_vertices or int(faces.min()) < 0):
        raise InputError(
            f"a face points to vertex {int(faces.max())}; the mesh has {num_vertices}.",
            fix="make the mesh again: its faces and vertices do not belong together.",
        )


def _with_torch(
    backend: str,
    vertices_m: Any,
    faces: Any,
    K: Any,
    size: Size,
    cull_back: bool,
    test_px: tuple[float, float],
    value_px: tuple[float, float],
) -> Fragments:
    """Rasterize with a backend that works on tensors, and give back what the vertices are."""
    import torch

    from engine.raster import nvdiffrast_backend, torch_backend

    run = torch_backend.rasterize_torch if backend == "torch" else nvdiffrast_backend.rasterize_cuda
    is_tensor = isinstance(vertices_m, torch.Tensor)
    with torch.no_grad():
        points = torch.as_tensor(vertices_m)
        corners = torch.as_tensor(faces, device=points.device).long()
        K_all = torch.as_tensor(K, device=points.device).double().expand(len(points), 3, 3)
        found = run(points, corners, K_all, size, cull_back=cull_back, test_px=test_px, value_px=value_px)
    if is_tensor:
        return found
    return Fragments(*(a.cpu().numpy() for a in (found.face_idx, found.bary, found.depth)))


def _to_numpy(array: Any) -> NDArray:
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()


def _fill(
    out: Fragments,
    points_m: NDArray,
    faces: NDArray,
    K: NDArray,
    size: Size,
    *,
    cover: Callable,
    cull_back: bool,
    test_px: tuple[float, float],
    value_px: tuple[float, float],
) -> None:
    """Rasterize one frame into (H, W, ...) arrays, `bary` zero everywhere."""
    out.face_idx.fill(-1)
    out.depth.fill(np.inf)
    points_px, z_m = project(points_m, K)
    x0, y0, box = box_of(points_px, size)
    shift = np.array([0.5 - test_px[0], 0.5 - test_px[1]])
    triangles = set_up(points_px - (x0, y0) + shift, z_m, faces, box, cull_back=cull_back)
    winner = cover(triangles, box).ravel()
    pixel = np.flatnonzero(winner >= 0)
    seen = winner[pixel]
    rows, columns = np.divmod(pixel, max(box[1], 1))
    target = (rows + y0) * size[1] + columns + x0
    out.face_idx.reshape(-1)[target] = triangles.face_idx[seen]
    at = columns + (value_px[0] - test_px[0]), rows + (value_px[1] - test_px[1])
    out.bary.reshape(-1, 3)[target], out.depth.reshape(-1)[target] = attributes_at(triangles, seen, *at)


def project(points_m: NDArray, K: NDArray) -> tuple[NDArray, NDArray]:
    """Where points are in the picture.

    Args:
        points_m: (V, 3) float, metres, camera frame.
        K: (3, 3) float64, pixels.

    Returns:
        (V, 2) float64 pixels, and (V,) float64 depths, metres; points behind the camera land anywhere.
    """
    x, y, z = (points_m[:, k].astype(np.float64) for k in range(3))
    u, v = (K[k, 0] * x + K[k, 1] * y + K[k, 2] * z for k in (0, 1))
    return np.stack([u, v], 1) / np.maximum(z, NEAR_M)[:, None], z


def box_of(points_px: NDArray, size: Size) -> tuple[int, int, Size]:
    """The part of a picture (height, width) that points (V, 2) can touch: x0, y0, (height, width), pixels."""
    lines = np.ascontiguousarray(points_px.T)  # numpy is slow along short axes
    low = np.clip(np.floor(lines.min(1)), 0, (size[1], size[0])).astype(int)
    high = np.clip(np.ceil(lines.max(1)) + 1, 0, (size[1], size[0])).astype(int)
    width, height = np.maximum(high - low, 0).tolist()
    return int(low[0]), int(low[1]), (height, width)


def attributes_at(triangles: Triangles, idx: NDArray, columns: NDArray, rows: NDArray) -> tuple[NDArray, NDArray]:
    """Barycentric coordinates and depth where pixel centres meet triangles.

    Args:
        triangles: N of them.
        idx: (P,) int, index into the triangles.
        columns: (P,) int, or float for another place than the centre.
        rows: (P,) int or float.

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
