"""What a rasterizer finds at every pixel, and how attributes of vertices are read there."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Fragments:
    """The nearest face at every pixel. Numpy arrays, or torch tensors where the vertices were tensors."""

    face_idx: Any
    """(T, H, W) int32, -1 where empty."""
    bary: Any
    """(T, H, W, 3) float32: perspective-correct barycentric coordinates, sum to 1; zeros where empty."""
    depth: Any
    """(T, H, W) float32, metres along the camera's z; infinite where empty."""


def interpolate(attributes: Any, fragments: Fragments, faces: Any) -> Any:
    """Read attributes of the vertices at every pixel.

    Args:
        attributes: (V, C) or (T, V, C) float, numpy or torch; gradients flow into it when it is a tensor.
        fragments: of `rasterize`.
        faces: (F, 3) int, the faces that were rasterized.

    Returns:
        (T, H, W, C) of the attributes' type; zeros where empty.
    """
    if isinstance(attributes, np.ndarray):
        return _interpolate_numpy(attributes, fragments, faces)
    return _interpolate_torch(attributes, fragments, faces)


def _interpolate_numpy(attributes: np.ndarray, fragments: Fragments, faces: Any) -> np.ndarray:
    face_idx, bary = np.asarray(fragments.face_idx), np.asarray(fragments.bary)
    out = np.zeros((*face_idx.shape, attributes.shape[-1]), attributes.dtype)
    corners = np.asarray(faces)
    for frame in range(len(face_idx)):
        values = attributes if attributes.ndim == 2 else attributes[frame]
        pixel = np.flatnonzero(face_idx[frame] >= 0)
        of_pixel = corners[face_idx[frame].reshape(-1)[pixel]]
        weight = bary[frame].reshape(-1, 3)[pixel].astype(attributes.dtype, copy=False)
        mixed = weight[:, :1] * values[of_pixel[:, 0]]
        for corner in (1, 2):
            mixed += weight[:, corner : corner + 1] * values[of_pixel[:, corner]]
        out[frame].reshape(-1, out.shape[-1])[pixel] = mixed
    return out


def _interpolate_torch(attributes: Any, fragments: Fragments, faces: Any) -> Any:
    import torch

    device = attributes.device
    face_idx = torch.as_tensor(fragments.face_idx, device=device).long()
    bary = torch.as_tensor(fragments.bary, device=device).to(attributes.dtype)
    corner_idx = torch.as_tensor(faces, device=device).long()[face_idx.clamp(min=0)]
    if attributes.dim() == 2:
        corners = attributes[corner_idx]
    else:
        frame = torch.arange(len(face_idx), device=device)[:, None, None, None]
        corners = attributes[frame, corner_idx]
    return (corners * bary[..., None]).sum(-2) * (face_idx >= 0)[..., None]
