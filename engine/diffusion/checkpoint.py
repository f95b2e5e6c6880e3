"""Checkpoints of the network: the published MIMO and Moore-AnimateAnyone files, SD 1.5 + AnimateDiff, and our own.

The published code loads them leniently: what is missing or misnamed silently stays random. Here every tensor is
accounted for, and a file that does not fit is refused with the list of what does not.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.diffusion.key_names import from_diffusers, from_release, is_motion, to_release
from engine.diffusion.pose_encoder import PoseEncoder, VertexCodes
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.schedule import BetaSchedule
from engine.diffusion.tensor_file import build_network, find_tensors, read_tensors, tensor_shape, write_tensors
from engine.diffusion.unet import DenoisingUNet
from engine.errors import InputError

STEMS = ("denoising_unet", "motion_module", "reference_unet", "pose_guider")
"""The four files of a release."""

PAPER_STEMS = ("denoising_unet", "motion_module", "reference_unet", "pose_encoder", "vertex_codes")
"""The five files of the paper's variant: learned codes on the body's vertices instead of a drawn body."""

OUTPUT_LAYERS = ("conv_norm_out.", "conv_out.")
"""Of SD 1.5's UNet, what the reference net does not have."""

TRAITS = "network.json"
"""Holds the `Traits` of a network that was trained here, if they are not the releases'."""

Variant = Literal["release", "moore", "paper"]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What leaves no trace in the tensors of a network; the defaults are the releases'."""

    num_attention_heads: int = 8
    norm_num_groups: int = 32
    prediction_type: str = "v_prediction"
    """What it says, in diffusers' words."""


@dataclass(frozen=True)
class MotionCodes:
    """The paper's way of showing a motion: codes on vertices, drawn, and encoded over space and time."""

    codes: VertexCodes
    encoder: PoseEncoder


@dataclass(frozen=True)
class Networks:
    """The networks that are trained; the VAE and the CLIP image encoder are others'."""

    denoising_unet: DenoisingUNet
    reference_net: ReferenceNet
    motion: PoseGuider | MotionCodes
    """What shows the motion: the releases' pose guider, or the paper's codes and encoder."""

    @property
    def pose_guider(self) -> PoseGuider:
        """The pose guider of a release."""
        assert isinstance(self.motion, PoseGuider), "the paper's variant has codes and an encoder"
        return self.motion

    @property
    def beta_schedule(self) -> BetaSchedule:
        """Which schedule they were trained with: 4 input channels are Moore's, 8 are MIMO's."""
        return beta_schedule_of(self.denoising_unet)


def beta_schedule_of(unet: DenoisingUNet) -> BetaSchedule:
    """Which schedule a denoiser was trained with: 4 input channels are Moore's, 8 MIMO's, 12 the paper's."""
    return "linear" if unet.config["in_channels"] == 4 else "scaled_linear"


def variant_of(folder: Path) -> Variant:
    """Tell which network a folder holds.

    Raises:
        InputError: files are missing.
    """
    if find_tensors(folder, "pose_encoder") is not None:
        find_release(folder, PAPER_STEMS)
        return "paper"
    width = tensor_shape(find_release(folder)["denoising_unet"], "conv_in.weight")[1]
    return "moore" if width == 4 else "release"


def find_release(folder: Path, stems: tuple[str, ...] = STEMS) -> dict[str, Path]:
    """Find the files of a release; motion modules may also lie in `denoising_unet`.

    Returns:
        Stem to file.

    Raises:
        InputError: a file is missing.
    """
    paths = {stem: path for stem in stems if (path := find_tensors(folder, stem)) is not None}
    if missing := [stem for stem in stems if stem not in paths and stem != "motion_module"]:
        raise InputError(
            f"{folder} has no {', '.join(missing)} (.safetensors or .pth).",
            fix=f"point to the folder that holds all {len(stems)} files of the network.",
        )
    return paths


def load_release(folder: Path, *, dtype: torch.dtype = torch.float32) -> Networks:
    """Load the files of a release, MIMO's or Moore-AnimateAnyone's, or of our own training, either variant.

    Args:
        folder: holds `denoising_unet`, `motion_module`, `reference_unet` and `pose_guider` (the paper's variant:
            `pose_encoder` and `vertex_codes`), each `.safetensors` or `.pth`. Motion modules may also be in
            `denoising_unet`, where they win, as in the release; then `motion_module` may be absent.
        dtype: precision of the loaded networks, whatever that of the files.

    Returns:
        The networks in evaluation mode, sized as the files are.

    Raises:
        InputError: a file is missing or unreadable, or its tensors are not those of the network.
    """
    variant_of(folder)
    return Networks(
        load_denoiser(folder, dtype=dtype), load_reference_net(folder, dtype=dtype), load_motion(folder, dtype=dtype)
    )


def load_denoiser(folder: Path, *, dtype: torch.dtype = torch.float32) -> DenoisingUNet:
    """Load the denoiser of a release with its motion modules; see `load_release`."""
    paths = {stem: path for stem in STEMS[:2] if (path := find_tensors(folder, stem)) is not None}
    tensors = {stem: read_tensors(path) for stem, path in paths.items()}
    denoising = _renamed(tensors.get("motion_module", {})) | _renamed(tensors["denoising_unet"])
    source = " + ".join(str(paths[stem]) for stem in ("motion_module", "denoising_unet") if stem in paths)
    sizes = _sizes(folder)
    return build_network(
        DenoisingUNet, lambda found: denoising_config(found) | sizes, denoising, source=source, dtype=dtype
    )


def load_reference_net(folder: Path, *, dtype: torch.dtype = torch.float32) -> ReferenceNet:
    """Load the reference net of a release; see `load_release`."""
    path = find_release(folder, ("reference_unet",))["reference_unet"]
    sizes = _sizes(folder)
    return build_network(
        ReferenceNet, lambda found: unet_config(found) | sizes, read_tensors(path), source=str(path), dtype=dtype
    )


def traits_of(folder: Path) -> Traits:
    """Read what the tensors of a network do not tell.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / TRAITS
    if not path.is_file():
        return Traits()
    try:
        return Traits(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: {error}.", fix="export the network again: the command that trained it."
        ) from error


def _sizes(folder: Path) -> dict[str, int]:
    traits = traits_of(folder)
    return {"num_attention_heads": traits.num_attention_heads, "norm_num_groups": traits.norm_num_groups}


def load_motion(folder: Path, *, dtype: torch.dtype = torch.float32) -> PoseGuider | MotionCodes:
    """Load what shows the motion to a denoiser: the pose guider of a release, or the paper's codes and encoder."""
    if find_tensors(folder, "pose_encoder") is None:
        path = find_release(folder, ("pose_guider",))["pose_guider"]
        return build_network(PoseGuider, pose_config, read_tensors(path), source=str(path), dtype=dtype)
    encoder, codes = find_release(folder, PAPER_STEMS[3:]).values()
    return MotionCodes(
        build_network(VertexCodes, codes_config, read_tensors(codes), source=str(codes), dtype=dtype),
        build_network(PoseEncoder, encoder_config, read_tensors(encoder), source=str(encoder), dtype=dtype),
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


def save_release(networks: Networks, folder: Path, traits: Traits = Traits()) -> None:
    """Write the files of a network as `.safetensors` in the layout of the releases, which read them too.

    Args:
        networks: any precision, kept.
        folder: made if needed; files there are replaced one by one, each complete or not at all.
        traits: are written down where they are not the releases'.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if traits != Traits():
        (folder / TRAITS).write_text(json.dumps(vars(traits)), encoding="utf-8")
    denoising = {to_release(key): tensor for key, tensor in networks.denoising_unet.state_dict().items()}
    contents = {
        "motion_module": {key: tensor for key, tensor in denoising.items() if is_motion(key)},
        "denoising_unet": {key: tensor for key, tensor in denoising.items() if not is_motion(key)},
        "reference_unet": networks.reference_net.state_dict(),
    }
    if isinstance(networks.motion, PoseGuider):
        contents["pose_guider"] = networks.motion.state_dict()
    else:
        contents["pose_encoder"] = networks.motion.encoder.state_dict()
        contents["vertex_codes"] = networks.motion.codes.state_dict()
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
    """The configuration of the `ReferenceNet` that has these tensors; `Traits` leave no trace in them."""
    levels = _count(tensors, "down_blocks.{}.resnets.0.conv1.weight")
    tokens_to_keys = tensors["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"]
    return {
        "in_channels": tensors["conv_in.weight"].shape[1],
        "block_out_channels": tuple(
            tensors[f"down_blocks.{level}.resnets.0.conv1.weight"].shape[0] for level in range(levels)
        ),
        "layers_per_block": _count(tensors, "down_blocks.0.resnets.{}.conv1.weight"),
        "cross_attention_dim": tokens_to_keys.shape[1],
    }


def _count(tensors: Mapping[str, Tensor], name: str) -> int:
    """How many tensors of that name there are, counted from 0."""
    return next(number for number in itertools.count() if name.format(number) not in tensors)


def pose_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration of the `PoseGuider` that has these tensors."""
    widths = [tensors["conv_in.weight"].shape[0]]
    while f"blocks.{2 * len(widths) - 1}.weight" in tensors:
        widths.append(tensors[f"blocks.{2 * len(widths) - 1}.weight"].shape[0])
    return {"out_channels": tensors["conv_out.weight"].shape[0], "channels": tuple(widths)}


def codes_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration of the `VertexCodes` that have these tensors."""
    return dict(zip(("num_vertices", "code_channels"), tensors["codes"].shape, strict=True))


def encoder_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration of the `PoseEncoder` that has these tensors."""
    widths = [tensors["conv_in.weight"].shape[0]]
    while f"blocks.{len(widths) - 1}.weight" in tensors:
        widths.append(tensors[f"blocks.{len(widths) - 1}.weight"].shape[0])
    return {
        "code_channels": tensors["conv_in.weight"].shape[1],
        "out_channels": tensors["conv_out.weight"].shape[0],
        "channels": tuple(widths),
    }


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {from_release(key): tensor for key, tensor in tensors.items()}
