"""nvdiffrast (NVIDIA, non-commercial licence) behind the interface of `rasterize`; CUDA only."""

from typing import Any

from engine.errors import MissingError
from engine.raster.fragments import Fragments
from engine.raster.torch_backend import planes_torch, project_torch, values_at
from engine.raster.triangles import NEAR_M
from engine.types import Size

_FAR_M = 1000.0
_INSTALL = "pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast.git"


def rasterize_cuda(
    points_m: Any,
    faces: Any,
    K: Any,
    size: Size,
    *,
    cull_back: bool,
    test_px: tuple[float, float],
    value_px: tuple[float, float],
) -> Fragments:
    """Rasterize with nvdiffrast; arguments and result as in `engine.raster.torch_backend.rasterize_torch`.

    nvdiffrast says which face a pixel sees; barycentric coordinates and depth are worked out from the face as the other
    backends do it. It snaps to its own subpixel grid, so single pixels on edges may differ from theirs. Faces that
    `cull_back` leaves out still hide what is behind them: use it for closed meshes.

    Raises:
        MissingError: the package or a CUDA device is missing.
    """
    import torch

    try:
        import nvdiffrast.torch as dr  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingError(
            "nvdiffrast is not installed.",
            fix=f"{_INSTALL} (NVIDIA's licence: research, not commercial), or use backend 'torch'.",
        ) from error
    if not torch.cuda.is_available():
        raise MissingError("nvdiffrast needs a CUDA device; none was found.", fix="use backend 'numpy' or 'torch'.")
    home = points_m.device
    points, corners, K = points_m.cuda().float(), faces.cuda(), K.cuda().clone()
    K[:, 0, 2] += 0.5 - test_px[0]  # its samples are at pixel centres: move the picture instead
    K[:, 1, 2] += 0.5 - test_px[1]
    points_4 = torch.cat([points, torch.ones_like(points[..., :1])], -1)
    clip = points_4 @ clip_matrices(K, size).mT
    found, _ = dr.rasterize(dr.RasterizeCudaContext(), clip.contiguous(), corners.int(), resolution=list(size))
    face_idx = found[..., 3].int() - 1
    offset = value_px[0] - test_px[0] + 0.5, value_px[1] - test_px[1] + 0.5
    fragments = values_of(face_idx, points, corners, K, offset, cull_back=cull_back)
    return Fragments(*(a.to(home) for a in (fragments.face_idx, fragments.bary, fragments.depth)))


def values_of(
    face_idx: Any, points_m: Any, faces: Any, K: Any, at_px: tuple[float, float], *, cull_back: bool
) -> Fragments:
    """Barycentric coordinates and depth where it is known which face every pixel sees.

    Args:
        face_idx: (T, H, W) int32 tensor, -1 where empty.
        points_m: (T, V, 3) float, camera frame; faces: (F, 3) int64; K: (T, 3, 3) float64.
        at_px: where in a pixel they are taken, x right, y down, from its corner.
        cull_back: take away the faces seen from their inside.

    Returns:
        Fragments of tensors.
    """
    import torch

    face_idx = face_idx.clone()
    bary = torch.zeros((*face_idx.shape, 3), device=face_idx.device)
    depth = torch.full(face_idx.shape, torch.inf, device=face_idx.device)
    for frame in range(len(face_idx)):
        xy_px, z_m = project_torch(points_m[frame], K[frame])
        row, column = torch.nonzero(face_idx[frame] >= 0, as_tuple=True)
        corners = faces[face_idx[frame, row, column].long()]
        x, y = xy_px[:, 0][corners], xy_px[:, 1][corners]
        if cull_back:
            ux, uy, vx, vy = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], x[:, 2] - x[:, 0], y[:, 2] - y[:, 0]
            is_front = ux * vy - uy * vx < 0
            face_idx[frame, row[~is_front], column[~is_front]] = -1
            row, column, corners, x, y = (a[is_front] for a in (row, column, corners, x, y))
        planes = planes_torch(x, y, z_m[corners])
        values = values_at(planes, column.double() + at_px[0], row.double() + at_px[1])
        bary[frame, row, column], depth[frame, row, column] = values
    return Fragments(face_idx, bary, depth)


def clip_matrices(K: Any, size: Size) -> Any:
    """(T, 4, 4) float32 from camera points (with a 1) to clip space whose first row is the image's top.

    Args:
        K: (T, 3, 3) float64 tensor, pixels.
        size: (height, width), pixels.
    """
    import torch

    height, width = size
    out = torch.zeros((len(K), 4, 4), dtype=torch.float64, device=K.device)
    out[:, 0, :3] = K[:, 0, :] * 2 / width
    out[:, 0, 2] -= 1
    out[:, 1, :3] = K[:, 1, :] * 2 / height
    out[:, 1, 2] -= 1
    out[:, 2, 2] = (_FAR_M + NEAR_M) / (_FAR_M - NEAR_M)
    out[:, 2, 3] = -2 * _FAR_M * NEAR_M / (_FAR_M - NEAR_M)
    out[:, 3, 2] = 1
    return out.float()
