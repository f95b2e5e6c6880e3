"""A whole pipeline at tiny size with random weights: real classes, no stand-ins."""

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from engine.diffusion.pipeline import MimoPipeline
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.schedule import make_scheduler
from engine.diffusion.unet import DenoisingUNet

TINY = {"block_out_channels": (32, 32, 64, 64), "cross_attention_dim": 32}


@pytest.fixture(scope="session")
def pipeline() -> MimoPipeline:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )
    image_encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, patch_size=32,
            projection_dim=32,
        )
    )  # fmt: skip
    pose_guider = PoseGuider(32, channels=(4, 8, 8, 8))
    torch.nn.init.normal_(pose_guider.conv_out.weight, std=0.1)  # untrained guiders add nothing
    networks = (vae, image_encoder, ReferenceNet(**TINY), DenoisingUNet(**TINY), pose_guider)
    pipeline = MimoPipeline(*(network.eval() for network in networks), make_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
