"""The VAE in bands gives the pictures and latents of the whole VAE."""

import copy

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from tiny_networks import tiny_vae

from engine.diffusion.banded import BandedConv, norm_factors, work_banded


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    vae = tiny_vae().eval().double()
    for module in vae.modules():  # norms are made as 1 and 0, which would hide a mistake
        if isinstance(module, torch.nn.GroupNorm):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    return vae


@pytest.mark.parametrize("size", [(136, 72), (40, 200), (8, 8)])
@pytest.mark.parametrize("num_bytes", [1, 30_000])
@torch.no_grad()
def test_bands_give_the_numbers_of_the_whole(vae, size, num_bytes):
    """Sizes that are no multiple of a band; in float64, where another order of sums is 1e-16 of each number."""
    banded = copy.deepcopy(vae)
    work_banded(banded, num_bytes)
    assert not any(isinstance(module, ResnetBlock2D) for module in banded.modules())
    latents, pixels = torch.randn(2, 4, size[0] // 8, size[1] // 8).double(), torch.randn(2, 3, *size).double()
    assert torch.allclose(banded.decode(latents).sample, vae.decode(latents).sample, rtol=1e-8, atol=1e-8)
    got, want = (each.encode(pixels).latent_dist.mean for each in (banded, vae))
    assert torch.allclose(got, want, rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_no_band_is_larger_than_told(vae):
    conv = BandedConv(torch.nn.Conv2d(8, 4, 3, padding=1), num_bytes=4 * 8 * 10 * 16)  # four rows of 8 x 10, float64
    conv = conv.double()
    rows = [rows for rows, _ in conv.bands(torch.randn(1, 8, 9, 10).double())]
    assert [(one.start, one.stop) for one in rows] == [(0, 8), (8, 9)]


@torch.no_grad()
def test_norms_of_half_precision_sum_in_float32():
    """65,536 numbers around 100: in bfloat16 their sum would stop growing at 32,768, and 100 has steps of a half."""
    torch.manual_seed(0)
    norm, x = torch.nn.GroupNorm(1, 2), (100 + torch.randn(1, 2, 256, 128)).to(torch.bfloat16)
    factor, summand = norm_factors(copy.deepcopy(norm).to(torch.bfloat16), x)
    assert torch.allclose(x.float() * factor + summand, norm(x.float()), atol=1e-3)  # float32 of numbers around 100
