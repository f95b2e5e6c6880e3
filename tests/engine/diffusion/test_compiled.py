"""Compiled layers give the same numbers; what compiles is asked for where it is not there."""

import shutil

import pytest
import torch
from tiny_networks import TINY

from engine.diffusion.inference import compile_layers, make_ready
from engine.diffusion.motion_module import TemporalBlock
from engine.diffusion.unet import DenoisingUNet
from engine.errors import MissingError

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")

# float32: fused loops add in another order; 2e-7 of a number each, over a hundred layers.
FLOAT32 = 1e-5


@needs_compiler
@pytest.mark.timeout(600)
def test_a_compiled_layer():
    torch.manual_seed(0)
    network = torch.nn.Sequential(TemporalBlock(32, num_heads=8, max_frames=32)).eval()
    x = torch.randn(20, 4, 32)
    with torch.no_grad():
        want = network(x)
        compile_layers(network, CPU)
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert torch.allclose(network(x), want, rtol=FLOAT32, atol=FLOAT32)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1


@pytest.mark.slow
@needs_compiler
@pytest.mark.timeout(1800)
def test_a_compiled_denoiser(monkeypatch):
    torch.manual_seed(0)
    unet = DenoisingUNet(**TINY).eval()
    sample, tokens = torch.randn(1, 8, 3, 8, 8), torch.randn(1, 1, 32)
    monkeypatch.setenv("MIMO_COMPILE", "1")
    with torch.no_grad():
        want = unet(sample, 479, tokens)
        make_ready(unet, CPU)
        got = unet(sample, 479, tokens)
    assert (got - want).norm() < FLOAT32 * want.norm()


def test_no_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match=r"MIMO_COMPILE is set, and a C\+\+ compiler is not there"):
        compile_layers(torch.nn.Sequential(), CPU)
