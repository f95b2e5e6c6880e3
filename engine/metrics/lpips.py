"""LPIPS 0.1: how different two pictures look, by the features of a network for classifying pictures.

The weights are the published ones: torchvision's AlexNet or VGG-16 and the heads of the lpips package.
"""

# Shapes: B pictures, C channels, H W size at a layer.

from itertools import pairwise
from pathlib import Path

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import InputError

MIN_SIDE_PX = 64
"""Smaller pictures leave nothing at the last layer."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPS = 1e-10


def _conv(in_channels: int, out_channels: int, side: int = 3, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, side, stride, padding), nn.ReLU()]


def alexnet_features() -> nn.Sequential:
    """Torchvision's `alexnet().features`, up to its last ReLU."""
    return nn.Sequential(
        *_conv(3, 64, 11, 4, 2), nn.MaxPool2d(3, 2), *_conv(64, 192, 5, 1, 2), nn.MaxPool2d(3, 2),
        *_conv(192, 384), *_conv(384, 256), *_conv(256, 256),
    )  # fmt: skip


def vgg16_features() -> nn.Sequential:
    """Torchvision's `vgg16().features`, up to its last ReLU."""
    layers: list[nn.Module] = []
    channels = 3
    for block, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        layers += [nn.MaxPool2d(2, 2)] if block else []
        for _ in range(count):
            layers += _conv(channels, width)
            channels = width
    return nn.Sequential(*layers)


STOPS = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30)}
"""Where features are taken: the number of layers of the network before each place."""
WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
_FEATURES = {"alex": alexnet_features, "vgg": vgg16_features}


class Lpips(nn.Module):
    """The distance of two pictures: squared differences of unit features, weighted by channel, mean over places.

    Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", version 0.1.
    """

    def __init__(self, network: str) -> None:
        super().__init__()
        self.features = _FEATURES[network]()
        self.heads = nn.ParameterList(nn.Parameter(torch.zeros(1, width, 1, 1)) for width in WIDTHS[network])
        self.stops = STOPS[network]

    def forward(self, got_BCHW: Tensor, want_BCHW: Tensor) -> Tensor:
        """Return the distance of each pair, (B,); pictures are (B, 3, H, W) RGB, -1 ... 1."""
        shift, scale = (got_BCHW.new_tensor(values)[:, None, None] for values in (_SHIFT, _SCALE))
        x_BCHW = (torch.cat([got_BCHW, want_BCHW]) - shift) / scale
        distance_B = got_BCHW.new_zeros(len(got_BCHW))
        for (start, stop), head_1C11 in zip(pairwise((0, *self.stops)), self.heads):
            x_BCHW = self.features[start:stop](x_BCHW)
            unit_BCHW = x_BCHW / (x_BCHW.square().sum(1, keepdim=True).sqrt() + _EPS)
            got_unit_BCHW, want_unit_BCHW = unit_BCHW.chunk(2)
            difference_BCHW = (got_unit_BCHW - want_unit_BCHW).square()
            distance_B = distance_B + (head_1C11 * difference_BCHW).sum(1).mean((1, 2))
        return distance_B

    @torch.inference_mode()
    def distance(self, got: NDArray, want: NDArray) -> float:
        """Return the distance of two pictures, (H, W, 3) uint8 RGB; 0 for equal ones.

        Raises:
            InputError: a side is below `MIN_SIDE_PX`.
        """
        if min(got.shape[:2]) < MIN_SIDE_PX:
            raise InputError(
                f"LPIPS needs pictures of at least {MIN_SIDE_PX} pixels; these are {got.shape[1]}x{got.shape[0]}.",
                fix="leave lpips out: name the measures that you want with --metric.",
            )
        pair = (torch.from_numpy(rgb) for rgb in (got, want))
        pixels = [(rgb.float() / 127.5 - 1).permute(2, 0, 1)[None] for rgb in pair]
        return float(self(*pixels))


def load_lpips(network: str, backbone: Path, heads: Path) -> Lpips:
    """Load LPIPS.

    Args:
        network: "alex" or "vgg".
        backbone: torchvision's file of the whole classifier; what lies behind the features is left alone.
        heads: the lpips package's file, `lin0.model.1.weight` ... `lin4.model.1.weight`.

    Raises:
        InputError: a file is damaged, or of another network.
    """
    from engine.diffusion.tensor_file import build_network, read_tensors

    found = {key: value for key, value in read_tensors(backbone).items() if key.startswith("features.")}
    lins = read_tensors(heads)
    found |= {f"heads.{key.split('.')[0].removeprefix('lin')}": value for key, value in lins.items()}
    return build_network(
        Lpips, lambda _: {"network": network}, found, source=f"{backbone} with {heads.name}", dtype=torch.float32
    )
