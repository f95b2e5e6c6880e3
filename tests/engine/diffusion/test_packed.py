"""The packed network computes the plain one's numbers, on the CPU, in less time and not in more memory."""

import pytest
import torch
from diffusers.models.activations import GEGLU
from tiny_networks import TINY

from engine.diffusion.packed import PackedConv2d, PackedGEGLU, PackedLinear, can_pack, pack
from engine.diffusion.unet import DenoisingUNet

# float32 sums of up to 576 products in another order: 2e-7 of their magnitude each, over some hundred layers.
FLOAT32 = 1e-5


def test_every_layer_is_packed_and_the_numbers_stay():
    if not can_pack():
        pytest.skip("this PyTorch has no oneDNN")
    torch.manual_seed(0)
    unet = DenoisingUNet(**TINY).eval()
    sample, tokens = torch.randn(1, 8, 3, 10, 14), torch.randn(1, 1, 32)
    with torch.no_grad():
        want = unet(sample, 479, tokens)
        pack(unet)
        got = unet(sample, 479, tokens)
    kinds = [type(module) for module in unet.modules()]
    assert not {torch.nn.Linear, torch.nn.Conv2d, GEGLU} & set(kinds)
    assert kinds.count(PackedGEGLU) == 16 + 21  # spatial transformers and motion modules
    assert {PackedConv2d, PackedLinear} <= set(kinds)
    assert (got - want).norm() < FLOAT32 * want.norm()


def test_gates_are_exact_gelu():
    torch.manual_seed(0)
    geglu, x = GEGLU(32, 64), torch.randn(5, 7, 32)
    with torch.no_grad():
        assert torch.allclose(PackedGEGLU(geglu)(x), geglu(x), rtol=1e-5, atol=1e-6)
