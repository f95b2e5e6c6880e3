"""Published models with stand-in weights, and the measure they are compared by."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.diffusion.checkpoint import Networks


@dataclass(frozen=True)
class Release:
    """One published model: its folder of facts, and its networks with stand-in weights."""

    facts: Path
    networks: Networks

    def tensors(self, name: str) -> dict[str, Tensor]:
        return load_file(self.facts / f"{name}.safetensors")

    def table(self, name: str) -> dict:
        return json.loads((self.facts / f"{name}.json").read_text(encoding="utf-8"))


def stand_in_weights(reference_data: Path) -> ModuleType:
    """The reference's own generator of weights from names, imported where it lies."""
    spec = importlib.util.spec_from_file_location("stand_in_weights", reference_data / "mimo_release" / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_stand_ins(reference_data: Path, folder: Path, *, keys: str, in_channels: int, suffix: str) -> None:
    """Write the four files of a release, as published but for the numbers."""
    layout = json.loads((reference_data / "mimo_release" / keys).read_text(encoding="utf-8"))
    weights = stand_in_weights(reference_data)
    for name, section in layout["checkpoints"].items():
        if name == "denoising_unet.pth":
            section["keys"]["conv_in.weight"]["shape"][1] = in_channels
        tensors = {key: torch.from_numpy(array) for key, array in weights.deterministic_items(section)}
        path = folder / Path(name).with_suffix(suffix)
        torch.save(tensors, path) if suffix == ".pth" else save_file(tensors, path)


def distance(got: Tensor, want: Tensor) -> float:
    """Relative L2, the measure of the reference's README."""
    assert got.shape == want.shape, f"{tuple(got.shape)} instead of {tuple(want.shape)}"
    return ((got.double() - want.double()).norm() / want.double().norm()).item()


def watch(network, names=None):
    """Keep the output of every sub-module of a network from now on, or of those named, by name."""
    outputs = {}

    def keep(name, module, output):
        outputs[name] = (output[0] if isinstance(output, tuple) else output).detach()

    for name, module in network.named_modules():
        if names is None or name in names:
            module.register_forward_hook(lambda module, _, output, name=name: keep(name, module, output))
    return outputs


# Single values of forwards that differ by up to 2.5e-6 relative (the reference's README) differ by more where large
# numbers cancel; the traces themselves have 9 digits. A ten-thousandth of a tensor's own magnitude is room for that.
OF_MAGNITUDE = 1e-4


def check_statistics(ours: Tensor, want: dict, name: str) -> None:
    """Compare a tensor with what a trace tells of it: shape, mean, deviation, magnitude and first values."""
    got, scale = in_layout(ours, want["shape"]), want["absmax"]
    assert abs(got.mean().item() - want["mean"]) < OF_MAGNITUDE * scale, name
    assert abs(got.std(correction=0).item() - want["std"]) < OF_MAGNITUDE * scale, name
    assert abs(got.abs().max().item() - want["absmax"]) < OF_MAGNITUDE * scale, name
    first = torch.tensor(want["first"], dtype=torch.float64)
    assert torch.allclose(got.flatten()[:6], first, rtol=0, atol=OF_MAGNITUDE * scale), name


def in_layout(tensor: Tensor, shape: list[int]) -> Tensor:
    """Our layout to the release's: rows to frames, positions over time to frames over positions, broadcast tokens."""
    tensor = tensor.double()
    if list(tensor.shape) == shape:
        return tensor
    if len(shape) == 2:
        return tensor[:: len(tensor) // shape[0]]  # the time embedding is the same for all frames
    if len(shape) == 5:
        return tensor.unflatten(0, (shape[0], shape[2])).transpose(1, 2)
    if len(shape) == 3 and tensor.shape[1] == 1:
        return tensor.expand(shape)
    batch, frames = 2, 4
    return tensor.unflatten(0, (batch, -1)).transpose(1, 2).reshape(batch * frames, *shape[1:])
