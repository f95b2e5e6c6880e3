"""Pictures to latents and back, and pose pictures to features: what surrounds the denoising."""

# Shapes: B batch (always 1), C channels, T frames, N frames of a batch, H W latent size.

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from engine.diffusion.pose_guider import PoseGuider

LATENT_SCALE = 0.18215  # SD 1.5's VAE
PIXELS_PER_LATENT = 8


@torch.no_grad()
def encode_pictures(
    vae: AutoencoderKL, pixels: Iterable[NDArray], *, device: torch.device, dtype: torch.dtype, batch: int = 1
) -> Tensor:
    """Encode pictures.

    Args:
        vae: lies on `device`.
        pixels: T pictures (3, 8H, 8W) float32, -1 ... 1.
        device: where the latents go.
        dtype: their precision.
        batch: pictures at a time.

    Returns:
        (1, 4, T, H, W) means of the latents, scaled.
    """
    latents_NCHW = [
        vae.encode(_stacked(part, device, vae.dtype)).latent_dist.mean  # type: ignore[union-attr]
        for part in _batches(pixels, batch)
    ]
    return (torch.cat(latents_NCHW).transpose(0, 1)[None] * LATENT_SCALE).to(dtype)


@torch.no_grad()
def decode_latents(vae: AutoencoderKL, latents_BCTHW: Tensor, *, batch: int = 1) -> Iterator[NDArray]:
    """Decode latents.

    Args:
        vae: lies where the latents are.
        latents_BCTHW: (1, 4, T, H, W), scaled.
        batch: pictures at a time.

    Yields:
        T pictures (8H, 8W, 3) float32, 0 ... 1.
    """
    for latents_NCHW in latents_BCTHW[0].transpose(0, 1).split(batch):
        rgb_NCHW = vae.decode((latents_NCHW / LATENT_SCALE).to(vae.dtype)).sample  # type: ignore[union-attr]
        yield from (rgb_NCHW / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()


@torch.no_grad()
def guide_poses(pose_guider: PoseGuider, pixels: Iterable[NDArray], *, device: torch.device, batch: int = 1) -> Tensor:
    """Turn pose pictures into features.

    Args:
        pose_guider: lies on `device`.
        pixels: T pictures (3, 8H, 8W) float32, 0 ... 1.
        device: where the features go.
        batch: pictures at a time.

    Returns:
        (1, C, T, H, W).
    """
    features = [
        pose_guider(_stacked(part, device, pose_guider.dtype).transpose(0, 1)[None]) for part in _batches(pixels, batch)
    ]
    return torch.cat(features, dim=2)


def _batches(pictures: Iterable[NDArray], size: int) -> Iterator[tuple[NDArray, ...]]:
    walk = iter(pictures)
    while part := tuple(islice(walk, size)):
        yield part


def _stacked(pictures: tuple[NDArray, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).to(device, dtype)
