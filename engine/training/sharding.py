"""Weights shared out among processes: each keeps a part of every tensor, of its gradient and of its optimizer state.

PyTorch's fully sharded data parallel, second version (Zhao et al. 2023), which accelerate uses too, but on GPUs alone.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import PartialState
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from engine.diffusion.motion_module import TemporalBlock
from engine.training.composer import Composer

_GATHERED = (ResnetBlock2D, BasicTransformerBlock, TemporalBlock)


def wants_shards(asked: bool) -> bool:
    """Whether weights are to be shared out: a recipe asks, or `accelerate launch --use_fsdp`, and there are others."""
    return (asked or os.environ.get("ACCELERATE_USE_FSDP", "") == "true") and PartialState().num_processes > 1


def shard(composer: Composer, device: torch.device) -> Composer:
    """Share out the weights of a network, in place; equal on all processes before.

    The denoiser is gathered layer by layer as it computes. The reference net is gathered whole: what the denoiser reads
    of it has gradients of its own, from which nobody could tell that a layer of it is wanted again.
    """
    mesh = init_device_mesh(device.type, (PartialState().num_processes,))
    composer.to(device)
    for module in composer.denoising_unet.modules():
        if isinstance(module, _GATHERED):
            fully_shard(module, mesh=mesh)
    fully_shard(composer.reference_net, mesh=mesh)
    fully_shard(composer, mesh=mesh)
    return composer


def whole(tensor: Tensor) -> Tensor:
    """A tensor with the parts of all processes, who all must ask; others as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors on the CPU; the main process alone gets them, the others nothing."""
    is_main, found = PartialState().is_main_process, {}
    for name, tensor in tensors.items():
        value = whole(tensor.detach())
        if is_main:
            found[name] = value.cpu()
    return found


def gathered_state(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an optimizer with whole tensors on the CPU; see `gathered`."""
    return {**state, "state": {idx: {**values, **gathered(_tensors(values))} for idx, values in state["state"].items()}}


def parted(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, shared out as another one of its shape is, and where that is."""
    moved = tensor.to(like.device)
    if isinstance(like, DTensor) and tensor.shape == like.shape:
        return distribute_tensor(moved, like.device_mesh, like.placements)
    return moved


def parted_state(state: dict[str, Any], parameters: Sequence[Tensor]) -> dict[str, Any]:
    """The state of an optimizer of whole tensors as that of these parameters; see `parted`."""
    each = {
        idx: {**values, **{name: parted(value, parameters[idx]) for name, value in _tensors(values).items()}}
        for idx, values in state["state"].items()
    }
    return {**state, "state": each}


def _tensors(values: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}
