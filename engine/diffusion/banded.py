"""The VAE in less memory: its layers run over bands of a picture, and give what they give over the whole picture.

diffusers' tiling decodes each tile as a picture of its own: group norms then see other means, and colours shift from
tile to tile. Here every layer goes over the whole picture, band by band with a row of its neighbours, and norms take
their means over all of it; what is saved is what a layer holds on the way.
"""

# Shapes: N pictures, C channels, G groups, H W size, R rows of a band.

from collections.abc import Iterator

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad, silu

BAND_BYTES = 32 << 20
"""Of a layer's input at a time."""


class BandedConv(nn.Module):
    """A 3x3 convolution, after a group norm and SiLU if it has them, or after doubling the size."""

    def __init__(self, conv: nn.Conv2d, norm: nn.GroupNorm | None = None, *, num_bytes: int, doubles: bool = False):
        super().__init__()
        assert conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.stride == (1, 1)
        self.conv, self.norm, self._num_bytes, self._doubles = conv, norm, num_bytes, doubles

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W), or twice that size."""
        whole_NCHW = None
        for rows, y_NCRW in self.bands(x_NCHW):
            if whole_NCHW is None:
                n, c, _, w = y_NCRW.shape
                whole_NCHW = y_NCRW.new_empty(n, c, x_NCHW.shape[2] * (2 if self._doubles else 1), w)
            whole_NCHW[:, :, rows] = y_NCRW
        assert whole_NCHW is not None
        return whole_NCHW

    def bands(self, x_NCHW: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Go over a picture; yields rows of the output and (N, C', R, W) what is in them."""
        n, c, h, w = x_NCHW.shape
        factors = None if self.norm is None else norm_factors(self.norm, x_NCHW)
        step = max(1, self._num_bytes // (n * c * w * x_NCHW.element_size()))
        for start in range(0, h, step):
            stop = min(start + step, h)
            first, last = max(0, start - 1), min(h, stop + 1)
            y_NCRW = x_NCHW[:, :, first:last]
            if factors is not None:
                y_NCRW = silu(y_NCRW * factors[0] + factors[1]).to(x_NCHW.dtype)
            scale = 2 if self._doubles else 1
            if self._doubles:
                y_NCRW = interpolate(y_NCRW, scale_factor=2.0, mode="nearest")
            rows = slice(scale * start, scale * stop)
            above, below = rows.start - scale * first, scale * last - rows.stop  # rows of the neighbours
            y_NCRW = y_NCRW[:, :, max(0, above - 1) : y_NCRW.shape[2] - max(0, below - 1)]
            y_NCRW = pad(y_NCRW, (0, 0, int(above == 0), int(below == 0)))  # at the edge of the picture
            yield rows, conv2d(y_NCRW, self.conv.weight, self.conv.bias, padding=(0, 1))


class BandedResnet(nn.Module):
    """A residual block of the VAE."""

    def __init__(self, block: ResnetBlock2D, num_bytes: int) -> None:
        super().__init__()
        assert block.time_emb_proj is None and block.upsample is None and block.downsample is None
        self.conv1 = BandedConv(block.conv1, block.norm1, num_bytes=num_bytes)
        self.conv2 = BandedConv(block.conv2, block.norm2, num_bytes=num_bytes)
        self.conv_shortcut = block.conv_shortcut or nn.Identity()
        self._scale = block.output_scale_factor

    def forward(self, input_tensor: Tensor, temb: None = None) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        x_NCHW = input_tensor
        h_NCHW = self.conv1(x_NCHW)
        out_NCHW = torch.empty_like(h_NCHW)
        for rows, y_NCRW in self.conv2.bands(h_NCHW):
            out_NCHW[:, :, rows] = (self.conv_shortcut(x_NCHW[:, :, rows]) + y_NCRW) / self._scale
        return out_NCHW


def norm_factors(norm: nn.GroupNorm, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """A group norm of this picture as a factor and a summand a channel, (N, C, 1, 1) float32 each, at least."""
    n, c = x_NCHW.shape[:2]
    groups = x_NCHW.unflatten(1, (norm.num_groups, -1)).unbind(1)  # one by one: a copy of all would be as large again
    exact = torch.promote_types(x_NCHW.dtype, torch.float32)
    moments = [torch.var_mean(group.to(exact).flatten(1), dim=1, correction=0) for group in groups]
    var_NG, mean_NG = (torch.stack(one, dim=1) for one in zip(*moments, strict=True))
    scale_NG = (var_NG + norm.eps).rsqrt()
    scale_NC, mean_NC = (one.repeat_interleave(c // norm.num_groups, dim=1) for one in (scale_NG, mean_NG))
    factor_NC = scale_NC * norm.weight
    summand_NC = norm.bias - mean_NC * factor_NC
    return tuple(one.view(n, c, 1, 1) for one in (factor_NC, summand_NC))  # type: ignore[return-value]


def work_banded(vae: AutoencoderKL, num_bytes: int = BAND_BYTES) -> None:
    """Run a VAE in bands from now on, in place; for inference alone.

    Args:
        vae: any `AutoencoderKL` of SD 1.5's kind.
        num_bytes: of a layer's input at a time.
    """
    for network in (vae.encoder, vae.decoder):
        _replace(network, num_bytes)
        network.conv_out = BandedConv(network.conv_out, network.conv_norm_out, num_bytes=num_bytes)  # type: ignore[assignment, arg-type]
        network.conv_norm_out, network.conv_act = nn.Identity(), nn.Identity()  # type: ignore[assignment]


def _replace(network: nn.Module, num_bytes: int) -> None:
    for name, child in network.named_children():
        if isinstance(child, ResnetBlock2D):
            setattr(network, name, BandedResnet(child, num_bytes))
        elif isinstance(child, Upsample2D):
            child.conv = BandedConv(child.conv, num_bytes=num_bytes, doubles=True)  # type: ignore[arg-type]
            child.interpolate = False
        else:
            _replace(child, num_bytes)
