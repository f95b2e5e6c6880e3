"""Checkpoints of the network: the published MIMO and Moore-AnimateAnyone files, SD 1.5 + AnimateDiff, and our own.

The published code loads them leniently: what is missing or misnamed silently stays random. Here every tensor is
accounted for, and a file that does not fit is refused with the list of what does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.diffusion.key_names import from_diffusers, from_release, is_motion, to_release
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.schedule import BetaSchedule
from engine.diffusion.tensor_file import build_network, find_tensors, read_tensors, write_tensors
from engine.diffusion.unet import DenoisingUNet
from engine.errors import InputError

STEMS = ("denoising_unet", "motion_module", "reference_unet", "pose_guider")
"""The four files of a release."""

OUTPUT_LAYERS = ("conv_norm_out.", "conv_out.")
"""Of SD 1.5's UNet, what the reference net does not have."""


@dataclass(frozen=True)
class Networks:
    """The three networks that are trained; the VAE and the CLIP image encoder are others'."""

    denoising_unet: DenoisingUNet
    reference_net: ReferenceNet
    pose_guider: PoseGuider

    @property
    def beta_schedule(self) -> BetaSchedule:
        """Which schedule they were trained with: 4 input channels are Moore's, 8 are MIMO's."""
        return "linear" if self.denoising_unet.config["in_channels"] == 4 else "scaled_linear"


def load_release(folder: Path, *, dtype: torch.dtype = torch.float32) -> Networks:
    """Load the four files of a release, MIMO's or Moore-AnimateAnyone's, or of our own training.

    Args:
        folder: holds `denoising_unet`, `motion_module`, `reference_unet` and `pose_guider`, each `.safetensors` or
            `.pth`. Motion modules may also be in `denoising_unet`, where they win, as in the release; then
            `motion_module` may be absent.
        dtype: precision of the loaded networks, whatever that of the files.

    Returns:
        The networks in evaluation mode, sized as the files are.

    Raises:
        InputError: a file is missing or unreadable, or its tensors are not those of the network.
    """
    paths = {stem: path for stem in STEMS if (path := find_tensors(folder, stem)) is not None}
    if missing := [stem for stem in STEMS if stem not in paths and stem != "motion_module"]:
        raise InputError(
            f"{folder} has no {', '.join(missing)} (.safetensors or .pth).",
            fix="point to the folder that holds all four files of the release.",
        )
    tensors = {stem: read_tensors(path) for stem, path in paths.items()}
    denoising = _renamed(tensors.get("motion_module", {})) | _renamed(tensors["denoising_unet"])
    source = " + ".join(str(paths[stem]) for stem in ("motion_module", "denoising_unet") if stem in paths)
    return Networks(
        build_network(DenoisingUNet, denoising_config, denoising, source=source, dtype=dtype),
        build_network(
            ReferenceNet, unet_config, tensors["reference_unet"], source=str(paths["reference_unet"]), dtype=dtype
        ),
        build_network(PoseGuider, pose_config, tensors["pose_guider"], source=str(paths["pose_guider"]), dtype=dtype),
    )


def load_stable_diffusion(
    unet: Path, motion_module: Path, *, in_channels: int = 8, dtype: torch.dtype = torch.float32
) -> Networks:
    """Start from SD 1.5's image UNet and AnimateDiff's motion modules, as all models of this line were trained from.

    Args:
        unet: SD 1.5's UNet in diffusers' layout (`unet/diffusion_pytorch_model.safetensors`).
        motion_module: AnimateDiff v2, with a mid block (`mm_sd_v15_v2.ckpt`, or diffusers' motion adapter).
        in_channels: of the denoiser; the added ones start at zero, so that they change nothing at first.
        dtype: precision of the networks.

    Returns:
        The networks; the pose guider is new and its output zero.

    Raises:
        InputError: a file is missing or unreadable, or its tensors are not those of the network.
    """
    image = read_tensors(unet)
    motion = {
        ours: tensor for key, tensor in _renamed(read_tensors(motion_module)).items() for ours in from_diffusers(key)
    }
    if "conv_in.weight" not in image:
        raise InputError(f"{unet} has no conv_in.weight.", fix="give the UNet of SD 1.5 in diffusers' layout.")
    narrow = image["conv_in.weight"]
    pad = narrow.new_zeros(narrow.shape[0], in_channels - narrow.shape[1], *narrow.shape[2:])
    denoising = motion | image | {"conv_in.weight": torch.cat([narrow, pad], dim=1)}
    pose_guider = PoseGuider(narrow.shape[0])
    nn.Module.to(pose_guider, dtype)
    looking = {key: tensor for key, tensor in image.items() if not key.startswith(OUTPUT_LAYERS)}
    return Networks(
        build_network(DenoisingUNet, denoising_config, denoising, source=f"{unet} + {motion_module}", dtype=dtype),
        build_network(ReferenceNet, unet_config, looking, source=str(unet), dtype=dtype),
        pose_guider.eval(),
    )


def save_release(networks: Networks, folder: Path) -> None:
    """Write the four files in the layout of the releases, as `.safetensors`; `load_release` and the release read them.

    Args:
        networks: any precision, kept.
        folder: made if needed; files there are replaced one by one, each complete or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    denoising = {to_release(key): tensor for key, tensor in networks.denoising_unet.state_dict().items()}
    contents = {
        "motion_module": {key: tensor for key, tensor in denoising.items() if is_motion(key)},
        "denoising_unet": {key: tensor for key, tensor in denoising.items() if not is_motion(key)},
        "reference_unet": networks.reference_net.state_dict(),
        "pose_guider": networks.pose_guider.state_dict(),
    }
    for stem, tensors in contents.items():
        write_tensors(folder / f"{stem}.safetensors", tensors)


def denoising_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration of the `DenoisingUNet` that has these tensors (our names)."""
    positions = tensors["down_blocks.0.motion_modules.0.transformer_blocks.0.pos_embed1.pe"]
    return unet_config(tensors) | {
        "out_channels": tensors["conv_out.weight"].shape[0],
        "motion_max_seq_length": positions.shape[1],
    }


def unet_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration of the `ReferenceNet` that has these tensors; 8 heads and 32 groups leave no trace in them."""
    tokens_to_keys = tensors["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"]
    return {
        "in_channels": tensors["conv_in.weight"].shape[1],
        "block_out_channels": tuple(tensors[f"down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in range(4)),
        "cross_attention_dim": tokens_to_keys.shape[1],
    }


def pose_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration of the `PoseGuider` that has these tensors."""
    widths = [tensors["conv_in.weight"].shape[0]]
    while f"blocks.{2 * len(widths) - 1}.weight" in tensors:
        widths.append(tensors[f"blocks.{2 * len(widths) - 1}.weight"].shape[0])
    return {"out_channels": tensors["conv_out.weight"].shape[0], "channels": tuple(widths)}


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {from_release(key): tensor for key, tensor in tensors.items()}
