"""Pictures to what is denoised, and back: the latents of SD 1.5's codec, or blocks of pixels."""

# Shapes: N pictures, C channels, H W picture size, h w latent size.

from typing import Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.diffusion.codec import LATENT_SCALE
from engine.diffusion.pixel_codec import from_blocks, to_blocks


class Codec(Protocol):
    """Turns pictures into what the network denoises."""

    channels: int
    factor: int
    """Pixels along one side of a latent."""

    def encode(self, pixels_NCHW: Tensor) -> Tensor:
        """(N, 3, H, W) float, -1 ... 1, to (N, channels, H/factor, W/factor)."""
        ...

    def decode(self, latents_NCHW: Tensor) -> Tensor:
        """Back to (N, 3, H, W), clamped to -1 ... 1."""
        ...


class PixelCodec:
    """Blocks of pixels as channels: exact, nothing to learn, nothing to download."""

    def __init__(self, patch: int) -> None:
        self.factor, self.channels = patch, 3 * patch * patch

    def encode(self, pixels_NCHW: Tensor) -> Tensor:
        """See `Codec`."""
        return to_blocks(pixels_NCHW, self.factor)

    def decode(self, latents_NCHW: Tensor) -> Tensor:
        """See `Codec`."""
        return from_blocks(latents_NCHW, self.factor)


class VaeCodec:
    """SD 1.5's `AutoencoderKL`, frozen: the mean of its distribution, scaled."""

    channels, factor = 4, 8

    def __init__(self, vae: torch.nn.Module) -> None:
        self.vae = vae.requires_grad_(False).eval()

    @torch.no_grad()
    def encode(self, pixels_NCHW: Tensor) -> Tensor:
        """See `Codec`; one picture at a time, where the VAE is."""
        device = next(self.vae.parameters()).device
        means = [self.vae.encode(one[None].to(device)).latent_dist.mean for one in pixels_NCHW]  # type: ignore[operator]
        return (torch.cat(means) * LATENT_SCALE).to(pixels_NCHW.device)

    @torch.no_grad()
    def decode(self, latents_NCHW: Tensor) -> Tensor:
        """See `Codec`; one picture at a time, where the VAE is."""
        device = next(self.vae.parameters()).device
        made = [self.vae.decode(one[None].to(device) / LATENT_SCALE).sample for one in latents_NCHW]  # type: ignore[operator]
        return torch.cat(made).clamp(-1, 1).to(latents_NCHW.device)


def encode_frames(frames: NDArray | Tensor, codec: Codec) -> Tensor:
    """(T, H, W, 3) uint8 to (T, C, h, w) latents."""
    return codec.encode(torch.as_tensor(frames).float().permute(0, 3, 1, 2) / 127.5 - 1)
