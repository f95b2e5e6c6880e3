import pytest
import torch

from engine.diffusion.attention import round_bank
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.unet import DenoisingUNet
from engine.diffusion.windows import context_windows

TINY = {"block_out_channels": (32, 32, 64, 64), "cross_attention_dim": 32}


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return DenoisingUNet(**TINY).eval(), ReferenceNet(**TINY).eval()


def forward(unet, reference_net, *, videos=1, project=True):
    noise = torch.Generator().manual_seed(1)
    tokens = torch.randn(videos, 1, 32, generator=noise)
    _, bank = reference_net(torch.randn(videos, 4, 8, 8, generator=noise), tokens)
    features = round_bank(bank, torch.float32)
    if project:
        features = unet.project_reference(features)
    sample = torch.randn(videos, 8, 3, 8, 8, generator=noise)
    return unet(sample, 499, tokens, reference=features)


def test_videos_of_a_batch_do_not_mix(networks):
    """A batch is for training: each video reads its own reference, as if it were alone (float32, other summation)."""
    with torch.no_grad():
        both = forward(*networks, videos=2)
        noise = torch.Generator().manual_seed(1)
        tokens = torch.randn(2, 1, 32, generator=noise)
        latents = torch.randn(2, 4, 8, 8, generator=noise)
        sample = torch.randn(2, 8, 3, 8, 8, generator=noise)
        unet, reference_net = networks
        for video in range(2):
            one = slice(video, video + 1)
            features = round_bank(reference_net(latents[one], tokens[one])[1], torch.float32)
            alone = unet(sample[one], 499, tokens[one], reference=features)
            # a group norm over 2 values at the lowest level enlarges float32's rounding
            assert torch.allclose(alone, both[one], atol=1e-3)
        assert (both[0] - both[1]).abs().max() > 0.1


def test_gradients_reach_the_reference_net(networks):
    """Training goes through both networks, with and without gradient checkpointing alike."""
    unet, reference_net = networks
    gradients = []
    for checkpointed in (False, True):
        for network in networks:
            network.zero_grad()
        if checkpointed:
            unet.enable_gradient_checkpointing()
        try:
            forward(*networks, project=False).square().mean().backward()
        finally:
            unet.disable_gradient_checkpointing()
        key = reference_net.down_blocks[0].attentions[0].transformer_blocks[0].norm1.weight
        gradients.append(key.grad.clone())
    assert gradients[0].abs().max() > 0
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-2, atol=1e-6)  # recomputed in float32


def test_windows_cover_every_frame():
    for num_frames in range(1, 200):
        windows = context_windows(num_frames)
        assert {frame for window in windows for frame in window} == set(range(num_frames))
        assert all(len(set(window)) == len(window) == min(num_frames, 24) for window in windows)
