"""The denoiser on a CPU: the same sums through oneDNN, with weights laid out for it once instead of in every step.

PyTorch sends linear layers to another library, which is slow on processors of another maker, and lays the weights of
convolutions out anew in every call. Here both are packed beforehand (as `torch.compile` with freezing does); the two
halves of a gated feed-forward are computed apart, with the gate's GELU and the product done where the sums are.
"""

# Shapes: M rows, K channels in, N channels out, C channels, H W size.

from typing import Any

import torch
from diffusers.models.activations import GEGLU
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """A linear layer whose weight is laid out for oneDNN."""

    def __init__(self, weight_NK: Tensor, bias_N: Tensor | None) -> None:
        super().__init__()
        self.weight_packed = torch.ops.mkldnn._reorder_linear_weight(weight_NK.contiguous())
        self.bias_N = bias_N

    def forward(self, x_MK: Tensor) -> Tensor:
        """(..., K) to (..., N)."""
        return torch.ops.mkldnn._linear_pointwise(x_MK, self.weight_packed, self.bias_N, "none", [], "")

    def gelu(self, x_MK: Tensor) -> Tensor:
        """The same, and the exact GELU of it."""
        return torch.ops.mkldnn._linear_pointwise(x_MK, self.weight_packed, self.bias_N, "gelu", [], "none")

    def times(self, x_MK: Tensor, factor_MN: Tensor) -> Tensor:
        """The same, times something."""
        return torch.ops.mkldnn._linear_pointwise(x_MK, factor_MN, self.weight_packed, self.bias_N, "mul")


class PackedGEGLU(nn.Module):
    """The gated half of a feed-forward: values times the GELU of gates."""

    def __init__(self, geglu: GEGLU) -> None:
        super().__init__()
        weights, biases = geglu.proj.weight.chunk(2), geglu.proj.bias.chunk(2)
        self.values, self.gates = (PackedLinear(w.detach(), b.detach()) for w, b in zip(weights, biases, strict=True))

    def forward(self, x_MK: Tensor) -> Tensor:
        """(..., C) to (..., 4 C)."""
        return self.values.times(x_MK, self.gates.gelu(x_MK))


class PackedConv2d(nn.Module):
    """A convolution whose weight is laid out for oneDNN and channels-last pictures."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self._how: tuple[Any, ...] = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.weight_packed = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach().contiguous(), *self._how)
        self.bias = None if conv.bias is None else conv.bias.detach()

    def forward(self, x_MCHW: Tensor) -> Tensor:
        """(M, C, H, W) both ways."""
        x_MCHW = x_MCHW.contiguous(memory_format=torch.channels_last)
        return torch.ops.mkldnn._convolution_pointwise(
            x_MCHW, self.weight_packed, self.bias, *self._how, "none", [], ""
        )


def can_pack() -> bool:
    """Whether this PyTorch has what packing needs."""
    names = ("_reorder_linear_weight", "_linear_pointwise", "_reorder_convolution_weight", "_convolution_pointwise")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


@torch.no_grad()
def pack(network: nn.Module) -> None:
    """Pack a network for the CPU, in place and one layer at a time: from now on it only infers.

    Args:
        network: in float32 or bfloat16; other precisions and other devices are left as they are.
    """
    first = next(network.parameters())
    if first.device.type != "cpu" or first.dtype not in (torch.float32, torch.bfloat16) or not can_pack():
        return
    for name, child in network.named_children():
        if isinstance(child, GEGLU):
            setattr(network, name, PackedGEGLU(child))
        elif isinstance(child, nn.Linear):
            bias = None if child.bias is None else child.bias.detach()
            setattr(network, name, PackedLinear(child.weight.detach(), bias))
        elif isinstance(child, nn.Conv2d):
            setattr(network, name, PackedConv2d(child))
        elif next(child.parameters(), None) is not None:
            pack(child)
