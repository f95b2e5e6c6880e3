"""Blocks of pixels in the place of a VAE's latents: exact, nothing to learn, for small networks of our own."""

# Shapes: N pictures, C channels, H W picture size, h w latent size.

from types import SimpleNamespace

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from engine.diffusion.codec import LATENT_SCALE, PIXELS_PER_LATENT

__all__ = ["ModelMixin", "PixelAutoencoder"]  # diffusers looks for ModelMixin beside a class that it loads by name

PIXEL_SCALE = 2.0
"""Pixels of -1 ... 1 have half the spread of the noise they are mixed with."""


def to_blocks(pixels_NCHW: Tensor, patch: int) -> Tensor:
    """(N, 3, H, W), -1 ... 1, to what is denoised: (N, 3 patch^2, H/patch, W/patch)."""
    return pixel_unshuffle(pixels_NCHW, patch) * PIXEL_SCALE


def from_blocks(latents_NCHW: Tensor, patch: int) -> Tensor:
    """Back to (N, 3, H, W), clamped to -1 ... 1."""
    return pixel_shuffle(latents_NCHW / PIXEL_SCALE, patch).clamp(-1, 1)


class PixelAutoencoder(ModelMixin, ConfigMixin):
    """`to_blocks` and `from_blocks` with the interface and the scale of diffusers' `AutoencoderKL`."""

    @register_to_config
    def __init__(self, patch: int = 4) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(LATENT_SCALE))  # a file has to hold something

    def encode(self, pixels_NCHW: Tensor) -> SimpleNamespace:
        """See `AutoencoderKL.encode`."""
        mean_NCHW = to_blocks(pixels_NCHW, self.config["patch"]) / LATENT_SCALE
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean_NCHW))

    def decode(self, latents_NCHW: Tensor) -> SimpleNamespace:
        """See `AutoencoderKL.decode`."""
        return SimpleNamespace(sample=from_blocks(latents_NCHW * LATENT_SCALE, self.config["patch"]))


def pixels_per_latent(vae: torch.nn.Module) -> int:
    """Pixels along one side of a latent of a VAE, or of what stands in its place."""
    return vae.config["patch"] if isinstance(vae, PixelAutoencoder) else PIXELS_PER_LATENT
