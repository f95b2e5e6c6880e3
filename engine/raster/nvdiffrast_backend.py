"""nvdiffrast (NVIDIA, non-commercial licence) behind the interface of `rasterize`; CUDA only."""

from typing import Any

import numpy as np

from engine.errors import MissingError
from engine.raster.fragments import Fragments
from engine.raster.triangles import NEAR_M
from engine.types import Size

_FAR_M = 1000.0
_INSTALL = "pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast.git"


def rasterize_cuda(vertices_m: Any, faces: Any, K: Any, size: Size, *, cull_back: bool) -> Fragments:
    """Rasterize with nvdiffrast; arguments and result as in `engine.raster.rasterize`.

    nvdiffrast snaps to its own subpixel grid, so single pixels on edges may differ from the other backends.

    Raises:
        MissingError: the package or a CUDA device is missing.
    """
    try:
        import nvdiffrast.torch as dr  # pyright: ignore[reportMissingImports]
        import torch
    except ImportError as error:
        raise MissingError("nvdiffrast is not installed.", fix=f"{_INSTALL}, or use backend 'numpy'.") from error
    if not torch.cuda.is_available():
        raise MissingError("nvdiffrast needs a CUDA device; none was found.", fix="use backend 'numpy' or 'torch'.")
    points = torch.as_tensor(vertices_m, device="cuda").float()
    corners = torch.as_tensor(faces, device="cuda").int()
    points_4 = torch.cat([points, torch.ones_like(points[..., :1])], -1)
    clip = points_4 @ torch.as_tensor(_projection(np.asarray(torch.as_tensor(K).cpu()), size), device="cuda").mT
    found, _ = dr.rasterize(dr.RasterizeCudaContext(), clip.contiguous(), corners, resolution=list(size))
    face_idx = found[..., 3].int() - 1
    if cull_back:
        face_idx = torch.where(_is_front(points, corners, face_idx), face_idx, -1)
    seen = (face_idx >= 0)[..., None]
    bary = torch.stack([found[..., 0], found[..., 1], 1 - found[..., 0] - found[..., 1]], -1) * seen
    frame = torch.arange(len(points), device="cuda")[:, None, None, None]
    z = points[frame, corners[face_idx.clamp(min=0)].long(), 2]
    depth = torch.where(seen[..., 0], (bary * z).sum(-1), torch.inf)
    if isinstance(vertices_m, np.ndarray):
        return Fragments(face_idx.cpu().numpy(), bary.cpu().numpy(), depth.cpu().numpy())
    return Fragments(*(a.to(vertices_m.device) for a in (face_idx, bary, depth)))


def _projection(K: Any, size: Size) -> Any:
    """(..., 4, 4) float32 matrices from camera points (with a 1) to clip space whose first row is the image's top."""
    height, width = size
    out = np.zeros((*K.shape[:-2], 4, 4), np.float32)
    out[..., 0, :3] = K[..., 0, :] * 2 / width
    out[..., 0, 2] -= 1
    out[..., 1, :3] = K[..., 1, :] * 2 / height
    out[..., 1, 2] -= 1
    out[..., 2, 2] = (_FAR_M + NEAR_M) / (_FAR_M - NEAR_M)
    out[..., 2, 3] = -2 * _FAR_M * NEAR_M / (_FAR_M - NEAR_M)
    out[..., 3, 2] = 1
    return out


def _is_front(points: Any, corners: Any, face_idx: Any) -> Any:
    import torch

    a, b, c = (points[:, corners[:, k].long()] for k in range(3))
    outward = (torch.linalg.cross(b - a, c - a) * a).sum(-1) < 0
    frame = torch.arange(len(points), device="cuda")[:, None, None]
    return outward[frame, face_idx.clamp(min=0).long()]
