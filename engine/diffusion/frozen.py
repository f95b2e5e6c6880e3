"""The two networks that nobody trains here: SD 1.5's VAE and the CLIP image encoder, read strictly from a folder."""

from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

from engine.diffusion.pixel_codec import PixelAutoencoder
from engine.weights.pretrained import load_pretrained

_PULL = "diffusion"
"""The set that both belong to."""


def load_vae(folder: Path, *, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """Load the VAE of a folder with `config.json` and `diffusion_pytorch_model.safetensors` (or `.bin`).

    Where the configuration names a `PixelAutoencoder`, that is what comes: it can do the same.

    Raises:
        InputError: a file is missing or damaged, or does not hold exactly the network's tensors.
    """
    config = folder / "config.json"
    is_pixels = config.is_file() and f'"{PixelAutoencoder.__name__}"' in config.read_text(encoding="utf-8")
    network = PixelAutoencoder if is_pixels else AutoencoderKL
    return load_pretrained(network, folder, dtype=dtype, is_whole=True, pull=_PULL)


def load_image_encoder(folder: Path, *, dtype: torch.dtype = torch.float32) -> CLIPVisionModelWithProjection:
    """Load the CLIP image encoder: `config.json` and `model.safetensors` or `pytorch_model.bin`; see `load_vae`."""
    return load_pretrained(CLIPVisionModelWithProjection, folder, dtype=dtype, is_whole=True, pull=_PULL)
