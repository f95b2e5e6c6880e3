"""The two networks that nobody trains here: SD 1.5's VAE and the CLIP image encoder, read strictly from a folder."""

from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

from engine.errors import InputError

_HARMLESS = ("position_ids",)
"""Buffers of older files that hold nothing but 0, 1, 2 ..."""


def load_vae(folder: Path, *, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """Load the VAE.

    Args:
        folder: holds `config.json` and `diffusion_pytorch_model.safetensors` (or `.bin`).
        dtype: precision of the loaded network.

    Raises:
        InputError: a file is missing or damaged, or does not hold exactly the network's tensors.
    """
    return _load(AutoencoderKL, folder, dtype)


def load_image_encoder(folder: Path, *, dtype: torch.dtype = torch.float32) -> CLIPVisionModelWithProjection:
    """Load the CLIP image encoder: `config.json` and `model.safetensors` or `pytorch_model.bin`; see `load_vae`."""
    return _load(CLIPVisionModelWithProjection, folder, dtype)


def _load(network, folder: Path, dtype: torch.dtype):
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        loaded, told = network.from_pretrained(
            str(folder), torch_dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, EOFError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{folder} cannot be read as {network.__name__}: {first}",
            fix="check it: mimo weights verify; and get it again: mimo weights pull diffusion",
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()
    wrong = {kind: sorted(map(str, told.get(f"{kind}_keys") or ())) for kind in ("missing", "unexpected", "mismatched")}
    wrong = {kind: [key for key in keys if not key.endswith(_HARMLESS)] for kind, keys in wrong.items()}
    if any(wrong.values()):
        lists = [f"{len(keys)} {kind}: {', '.join(keys[:8])}" for kind, keys in wrong.items() if keys]
        raise InputError(
            f"{folder} does not fit {network.__name__}. {'; '.join(lists)}.",
            fix="get it again: mimo weights pull diffusion",
        )
    return loaded.eval().requires_grad_(False)
