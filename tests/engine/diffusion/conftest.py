"""A whole pipeline at tiny size with random weights: real classes, no stand-ins."""

import pytest
import torch
from tiny_networks import tiny_image_encoder, tiny_networks, tiny_vae

from engine.diffusion.pipeline import MimoPipeline
from engine.diffusion.schedule import make_scheduler


@pytest.fixture(scope="session")
def pipeline() -> MimoPipeline:
    torch.manual_seed(0)
    networks = tiny_networks()
    pipeline = MimoPipeline(
        tiny_vae().eval(),
        tiny_image_encoder().eval(),
        networks.reference_net.eval(),
        networks.denoising_unet.eval(),
        networks.pose_guider.eval(),
        make_scheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
