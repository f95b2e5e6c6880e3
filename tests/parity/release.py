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
from engine.diffusion.sampler import Conditions, denoise, look_at_reference
from engine.diffusion.schedule import make_scheduler
from engine.diffusion.windows import SamplingConfig

# A run of 4 steps differs by 5.7e-6 between one thread and two in the release itself and by 8.7e-6 (MIMO) or 1.2e-5
# (Moore) for a second implementation; 5e-5 is what the reference's README suggests. Banks that were not rounded to
# float16 would be 6.7e-5 away.
RUN = 5e-5


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
    got, want = got.double().cpu(), want.double().cpu()
    return ((got - want).norm() / want.norm()).item()


def conditions_of(model: Release, inputs, num_frames: int) -> Conditions:
    networks = model.networks
    tokens = inputs["in.clip_embed"][:, None]
    with torch.no_grad():
        pose = networks.pose_guider(inputs["in.pose_u8"][:num_frames].permute(3, 0, 1, 2)[None] / 255)
        seen = look_at_reference(networks.reference_net, inputs["in.ref_latents"], tokens)
    takes_scene = networks.denoising_unet.config["in_channels"] == 8
    return Conditions(
        reference=networks.denoising_unet.project_reference(seen),
        image_tokens_BSC=tokens,
        pose_of=lambda frames: pose[:, :, frames],
        scene_BCTHW=inputs["in.bk_latents"][:, :, :num_frames] if takes_scene else None,
    )


def check_run(model: Release, inputs, name: str, *, num_frames: int, **config):
    """Make one of the reference's runs and compare what it stored."""
    conditions = conditions_of(model, inputs, num_frames)
    steps = []
    final = denoise(
        model.networks.denoising_unet,
        make_scheduler(model.networks.beta_schedule),
        inputs["in.noise"][:, :, :num_frames],
        conditions,
        SamplingConfig(**config),
        on_step=lambda step_idx, timestep, latents: steps.append(latents),
    )
    assert torch.equal(final, steps[-1])
    golden = model.tensors("tiny_pipeline")
    assert distance(final, golden[f"{name}.final_latents"]) < RUN
    if f"{name}.pose_features" in golden:
        assert (
            distance(conditions.pose_of(list(range(num_frames))), golden[f"{name}.pose_features"]) < 1e-5
        )  # one forward of one module
    if f"{name}.step_latents" in golden:
        for got, want in zip(steps, golden[f"{name}.step_latents"], strict=True):
            assert distance(got, want) < RUN


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
    tensor = tensor.double().cpu()
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
