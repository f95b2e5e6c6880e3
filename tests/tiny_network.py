"""A whole network at tiny size with random weights, in the layout and under the names of the published files."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from engine.diffusion.checkpoint import MotionCodes, Networks, save_release
from engine.diffusion.pose_encoder import PoseEncoder, VertexCodes
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.unet import DenoisingUNet

TINY = {"block_out_channels": (32, 32, 64, 64), "cross_attention_dim": 32}


def tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )


def tiny_image_encoder(width: int = 32) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, patch_size=32,
        projection_dim=width,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def tiny_networks(in_channels: int = 8, *, num_vertices: int = 0) -> Networks:
    """Untrained guiders add nothing, hence theirs is filled too; `num_vertices`: of the paper's variant."""
    if num_vertices:
        encoder = PoseEncoder(4, 32, channels=(4, 8, 8, 8))
        torch.nn.init.normal_(encoder.conv_out.weight, std=0.1)
        motion = MotionCodes(VertexCodes(num_vertices, 4), encoder)
    else:
        motion = PoseGuider(32, channels=(4, 8, 8, 8))
        torch.nn.init.normal_(motion.conv_out.weight, std=0.1)
    return Networks(DenoisingUNet(in_channels=in_channels, **TINY), ReferenceNet(**TINY), motion)


def write_weights(folder: Path, *, name: str = "mimo", suffix: str = ".pth", **network: int) -> Path:
    """Write a network, its VAE and its image encoder as `mimo weights pull` would have left them."""
    torch.manual_seed(0)
    save_release(tiny_networks(**network), folder / name)
    if suffix == ".pth":
        from safetensors.torch import load_file

        for path in (folder / name).glob("*.safetensors"):
            torch.save(load_file(path), path.with_suffix(".pth"))
            path.unlink()
    tiny_vae().save_pretrained(folder / "sd-vae-ft-mse")
    encoder = folder / "image-encoder" / "image_encoder"
    tiny_image_encoder().save_pretrained(encoder)
    return folder
