"""I3D, the network that FVD looks with: Inception v1 inflated to three dimensions, in the layout of pytorch-i3d."""

# Shapes: B clips, C channels, T frames, H W size.

import math
from pathlib import Path

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

NUM_FRAMES = 16
"""Frames of a clip, as in Unterthiner et al. 2018."""
SIDE_PX = 224
_POOLED_SIDE = 7

Triple = tuple[int, int, int]


def pad_same(x_BCTHW: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Pad with zeros as TensorFlow's "SAME" does: every position that the stride begins gets its output."""
    pads: list[int] = []
    for size, side, step in zip(reversed(x_BCTHW.shape[2:]), reversed(kernel), reversed(stride)):
        missing = max((math.ceil(size / step) - 1) * step + side - size, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x_BCTHW, pads)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, side: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (side, side, side), (stride, stride, stride)
        self.conv3d = nn.Conv3d(in_channels, out_channels, side, stride, bias=False)
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return (B, out_channels, T / stride, H / stride, W / stride)."""
        return F.relu(self.bn(self.conv3d(pad_same(x_BCTHW, self.kernel, self.stride))))


class Pool(nn.Module):
    """Largest value; the padding counts as zero, which is harmless behind a ReLU."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return (B, C, T / stride, H / stride, W / stride)."""
        return F.max_pool3d(pad_same(x_BCTHW, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """The Inception block: four branches side by side."""

    def __init__(self, in_channels: int, out: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = Unit(in_channels, out[0])
        self.b1a, self.b1b = Unit(in_channels, out[1]), Unit(out[1], out[2], 3)
        self.b2a, self.b2b = Unit(in_channels, out[3]), Unit(out[3], out[4], 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(in_channels, out[5])

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return (B, sum of the branches, T, H, W)."""
        branches = (
            self.b0(x_BCTHW),
            self.b1b(self.b1a(x_BCTHW)),
            self.b2b(self.b2a(x_BCTHW)),
            self.b3b(self.b3a(x_BCTHW)),
        )
        return torch.cat(branches, 1)


class Logits(nn.Module):
    """The last layer: a class of Kinetics-400 each."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, num_classes, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return (B, num_classes), the mean over time."""
        pooled = F.avg_pool3d(x_BCTHW, (2, _POOLED_SIDE, _POOLED_SIDE), 1)
        return self.conv3d(pooled)[..., 0, 0].mean(-1)


class I3d(nn.Module):
    """Clips (B, 3, 16, 224, 224), -1 ... 1, to logits (B, 400).

    Source: Carreira and Zisserman 2017, "Quo vadis, action recognition?"; names as in pytorch-i3d's `InceptionI3d`.
    """

    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = Mixed(192, (64, 96, 128, 16, 32, 32))
        self.Mixed_3c = Mixed(256, (128, 128, 192, 32, 96, 64))
        self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = Mixed(480, (192, 96, 208, 16, 48, 64))
        self.Mixed_4c = Mixed(512, (160, 112, 224, 24, 64, 64))
        self.Mixed_4d = Mixed(512, (128, 128, 256, 24, 64, 64))
        self.Mixed_4e = Mixed(512, (112, 144, 288, 32, 64, 64))
        self.Mixed_4f = Mixed(528, (256, 160, 320, 32, 128, 128))
        self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = Mixed(832, (256, 160, 320, 32, 128, 128))
        self.Mixed_5c = Mixed(832, (384, 192, 384, 48, 128, 128))
        self.logits = Logits(1024, num_classes)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the logits, (B, 400)."""
        for layer in self.children():
            x_BCTHW = layer(x_BCTHW)
        return x_BCTHW

    @torch.inference_mode()
    def look(self, frames: NDArray) -> NDArray:
        """Return the features of one clip.

        Args:
            frames: (16, H, W, 3) uint8 RGB; resized to 224x224, bilinear, whatever their aspect.

        Returns:
            (400,) float64.
        """
        pixels = torch.from_numpy(frames).float().permute(0, 3, 1, 2)
        pixels = F.interpolate(pixels, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
        return self((pixels / 127.5 - 1).transpose(0, 1)[None])[0].double().numpy()


def load_i3d(path: Path) -> I3d:
    """Load I3D from pytorch-i3d's `rgb_imagenet.pt`, or any state dict in its layout; only tensors are read.

    Raises:
        InputError: it is damaged, a TorchScript program, or another network.
    """
    from engine.diffusion.tensor_file import build_network, read_tensors

    tensors = read_tensors(path)
    counts = {key.replace("running_mean", "num_batches_tracked") for key in tensors if key.endswith("running_mean")}
    counted = {key: torch.tensor(0) for key in counts}  # PyTorch before 0.4.1 kept no count; only training reads it
    return build_network(I3d, _no_config, counted | tensors, source=str(path), dtype=torch.float32)


def _no_config(tensors: object) -> dict:
    return {}
