"""The networks of `mimo eval` with weights that a formula gives, in the layouts of their publishers."""

from pathlib import Path

import torch

from engine.metrics.i3d import I3d
from engine.metrics.lpips import WIDTHS, alexnet_features, vgg16_features

FILES = {
    "alex": ("alexnet/alexnet-owt-7be5be79.pth", alexnet_features),
    "vgg": ("vgg16/vgg16-397923af.pth", vgg16_features),
}


def write_lpips(folder: Path, network: str) -> tuple[Path, Path]:
    """Write torchvision's classifier and the heads of the lpips package as `mimo weights pull` leaves them."""
    path, features = FILES[network]
    state = {f"features.{key}": value for key, value in features().state_dict().items()}
    backbone, heads = folder / path, folder / f"lpips-{network}/{network}.pth"
    for file in (backbone, heads):
        file.parent.mkdir(parents=True)
    filled = {key: _wave(value, number) for number, (key, value) in enumerate(sorted(state.items()))}
    torch.save({**filled, "classifier.1.weight": torch.zeros(2, 2)}, backbone)
    lins = {
        f"lin{idx}.model.1.weight": (torch.sin(torch.arange(width).double() * 1.3 + idx) ** 2)
        .float()
        .reshape(1, -1, 1, 1)
        for idx, width in enumerate(WIDTHS[network])
    }
    torch.save(lins, heads)
    return backbone, heads


def write_i3d(path: Path) -> Path:
    """Write I3D as pytorch-i3d's file has it: the older format, without the counts that batch norm keeps today."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    state = {key: value for key, value in I3d().state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def _wave(value: torch.Tensor, number: int) -> torch.Tensor:
    at = torch.arange(value.numel(), dtype=torch.float64)
    if value.ndim == 1:
        return (0.1 * torch.sin(at + number)).float()
    return (torch.sin(at * 0.7310585 + number) * (2 / value[0].numel()) ** 0.5).reshape(value.shape).float()
