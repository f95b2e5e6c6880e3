"""Memory: layers in pieces give the same numbers, and what need not be held is not."""

import sys
from pathlib import Path

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from safetensors.torch import save_file
from tiny_networks import TINY

from engine.diffusion import heap
from engine.diffusion.motion_module import TemporalBlock
from engine.diffusion.piecewise import Piecewise, work_piecewise
from engine.diffusion.tensor_file import read_tensors
from engine.diffusion.unet import DenoisingUNet


@pytest.mark.parametrize("num_bytes", [1, 40_000, 1 << 30])
def test_pieces_give_the_numbers_of_the_whole(num_bytes):
    """In float64: kernels add in another order for another number of rows, which is 1e-16 of each number."""
    torch.manual_seed(0)
    unet = DenoisingUNet(**TINY).eval().double()
    sample, tokens = torch.randn(1, 8, 3, 9, 7).double(), torch.randn(1, 1, 32).double()
    with torch.no_grad():
        want = unet(sample, 479, tokens)
        work_piecewise(unet, num_bytes)
        got = unet(sample, 479, tokens)
    assert torch.allclose(got, want, rtol=1e-9, atol=1e-9)


def test_no_piece_is_larger_than_told():
    torch.manual_seed(0)
    rows, block = [], TemporalBlock(32, num_heads=8, max_frames=32)
    block.register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    pieces = Piecewise(block, 10 * 4 * 32 * 4 + 1)  # ten rows of four frames, 32 channels, float32
    with torch.no_grad():
        assert pieces(torch.randn(34, 4, 32)).shape == (34, 4, 32)
    assert rows == [9, 9, 9, 7]  # four pieces are needed; they are as alike as can be


def test_pictures_stay_as_they_are_laid_out():
    """A copy into another layout for every layer would cost the time that packing saves."""
    block = ResnetBlock2D(in_channels=32, temb_channels=8).eval()
    x = torch.randn(4, 32, 6, 6).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.nn.Module.to(block, memory_format=torch.channels_last)
        got = Piecewise(block, 1)(input_tensor=x, temb=torch.randn(4, 8))
    assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory maps of Linux")
def test_files_that_were_read_leave_memory(tmp_path):
    weights = torch.arange(4 << 20, dtype=torch.float32)
    save_file({"weights": weights}, tmp_path / "net.safetensors")
    mapped = read_tensors(tmp_path / "net.safetensors")["weights"]
    assert torch.equal(mapped, weights)
    before = in_memory(tmp_path)
    heap.release_files(tmp_path)
    assert before - in_memory(tmp_path) > 15_000  # kB, of 16 MB
    assert torch.equal(mapped, weights)


def in_memory(folder: Path) -> int:
    """Kilobytes of the mapped files of a folder that lie in memory."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split()[0]:
            ours = str(folder) in line
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total
