"""The denoiser in less memory: layers whose rows do not see each other run on some rows at a time.

Spatial layers see one frame, temporal ones one position; what they hold on the way, up to ten times their input, is
held for a few frames or positions alone. The numbers are those of all rows at once, but for the order of sums.
"""

# Shapes: N rows (frames, or positions), the rest of a layer's own.

from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from engine.diffusion import channels_last
from engine.diffusion.motion_module import TemporalBlock

CPU_BYTES = 4 << 20
"""Of a layer's input at a time on a CPU, near the size of its caches."""
GPU_BYTES = 64 << 20
"""The same on a GPU, enough to keep it busy."""

_ROWWISE = (ResnetBlock2D, Transformer2DModel, Upsample2D, TemporalBlock, *channels_last.ROWWISE)


class Piecewise(nn.Module):
    """A layer, run on as many rows of its input as have some number of bytes, and at least on one."""

    def __init__(self, layer: nn.Module, num_bytes: int) -> None:
        super().__init__()
        self.layer, self.num_bytes = layer, num_bytes

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer gives, given its arguments; tensors among them have N rows, the first is its input."""
        first = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        num_rows = len(first)
        most = max(1, self.num_bytes * num_rows // (first.numel() * first.element_size()))
        if most >= num_rows:
            return self.layer(*args, **kwargs)
        step = -(-num_rows // -(-num_rows // most))  # as many pieces as needed, all alike: compiled once
        whole = None
        for start in range(0, num_rows, step):
            rows = slice(start, start + step)
            part = self.layer(*(_cut(value, rows) for value in args), **{k: _cut(v, rows) for k, v in kwargs.items()})
            in_tuple = isinstance(part, tuple)  # as diffusers' models give their output
            part = part[0] if in_tuple else part
            if whole is None:
                whole = _room_for(part, num_rows)
            whole[rows] = part
        return (whole,) if in_tuple else whole


def work_piecewise(network: nn.Module, num_bytes: int) -> None:
    """Run a denoiser in pieces from now on, in place; for inference alone.

    Args:
        network: a `DenoisingUNet`.
        num_bytes: of a layer's input at a time.
    """
    for name, child in network.named_children():
        if isinstance(child, _ROWWISE):
            setattr(network, name, Piecewise(child, num_bytes))
        elif child._compiled_call_impl is None:  # what is compiled plans its own memory
            work_piecewise(child, num_bytes)


def _cut(value: Any, rows: slice) -> Any:
    return value[rows] if isinstance(value, Tensor) else value


def _room_for(part: Tensor, num_rows: int) -> Tensor:
    """Memory for all rows, laid out as those of one part."""
    is_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_last else torch.contiguous_format
    return torch.empty((num_rows, *part.shape[1:]), dtype=part.dtype, device=part.device, memory_format=layout)
