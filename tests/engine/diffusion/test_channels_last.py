"""Channels last, as on a GPU: the same numbers, and nothing is copied into another layout."""

import pytest
import torch
from tiny_networks import TINY

from engine.diffusion.attention import ReferenceFeatures
from engine.diffusion.channels_last import LastGroupNorm, LastMotionModule, LastTransformer, keep_channels_last
from engine.diffusion.motion_module import MotionModule
from engine.diffusion.piecewise import work_piecewise
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.unet import DenoisingUNet


@pytest.mark.parametrize("num_bytes", [1, 1 << 30])
@torch.no_grad()
def test_numbers_stay(num_bytes):
    """In float64: another order of sums is 1e-16 of each number."""
    torch.manual_seed(0)
    unet = DenoisingUNet(**TINY).eval().double()
    sample, tokens = torch.randn(1, 8, 3, 9, 7).double(), torch.randn(1, 1, 32).double()
    _, bank = ReferenceNet(**TINY).eval().double()(torch.randn(1, 4, 9, 7).double(), tokens)
    reference = unet.project_reference(ReferenceFeatures(bank))
    want = unet(sample, 479, tokens, reference=reference)
    keep_channels_last(unet)
    work_piecewise(unet, num_bytes)
    assert torch.allclose(unet(sample, 479, tokens, reference=reference), want, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_nothing_is_laid_out_anew():
    torch.manual_seed(0)
    unet = DenoisingUNet(**TINY).eval()
    keep_channels_last(unet)
    layouts = []
    for module in unet.modules():
        if isinstance(module, (LastGroupNorm, LastTransformer, LastMotionModule)):
            module.register_forward_hook(lambda module, _, output: layouts.append(output))
    unet(torch.randn(1, 8, 3, 16, 16), 479, torch.randn(1, 1, 32))
    assert sum(isinstance(module, LastMotionModule) for module in unet.modules()) == 21
    pictures = [output[0] if isinstance(output, tuple) else output for output in layouts]
    assert all(picture.is_contiguous(memory_format=torch.channels_last) for picture in pictures)


def test_a_norm_of_large_numbers_in_half_precision():
    """Sums of squares of half precision end at 65504; those of float32 do not. The result keeps 8 bits of bfloat16."""
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(4, 16)
    x = (300 + 500 * torch.randn(2, 16, 20, 20)).contiguous(memory_format=torch.channels_last)
    got = LastGroupNorm(norm.half())(x.half()).float()
    assert torch.allclose(got, norm.float()(x), rtol=0, atol=1e-2)


def test_a_motion_module_that_copies_nothing():
    module = MotionModule(32, num_heads=4, max_frames=8).eval()
    x = torch.randn(5, 32, 6, 6).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(LastMotionModule(module)(x, num_frames=5), module(x, num_frames=5), atol=1e-5)
