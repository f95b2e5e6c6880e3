"""A denoiser made ready to infer and do nothing else, for the processor that it runs on."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from engine.diffusion import heap
from engine.diffusion.channels_last import LastMotionModule, LastTransformerLayers, keep_channels_last
from engine.diffusion.motion_module import TemporalBlock
from engine.diffusion.offload import Offload
from engine.diffusion.packed import pack
from engine.diffusion.piecewise import CPU_BYTES, GPU_BYTES, work_piecewise
from engine.diffusion.unet import DenoisingUNet
from engine.errors import MissingError

ENVIRONMENT = "MIMO_COMPILE"
_COMPILED = (ResnetBlock2D, BasicTransformerBlock, TemporalBlock, LastTransformerLayers, LastMotionModule)
_MOST_SHAPES = 64
"""Of one kind of layer, that are compiled; PyTorch stops at eight."""


def make_ready(
    unet: DenoisingUNet, device: torch.device, *, offload: Offload | None = None, files: Path | None = None
) -> None:
    """Lay a denoiser out for its device and let it work in little memory, in place; numbers stay.

    Args:
        unet: with its reference projected and its token fixed; never trained again.
        device: where it will run, and where it is, unless its weights are to wait elsewhere.
        offload: where they wait; then it is on the CPU. None: nowhere.
        files: the folder whose files its weights are mapped from, if they are.
    """
    if offload:
        work_piecewise(unet, CPU_BYTES if device.type == "cpu" else GPU_BYTES)
        offload.start(unet, device)
    elif device.type == "cpu":
        if wants_compiled():  # which lays weights out by itself
            compile_layers(unet, device)
        else:
            pack_mapped(unet, files)
        work_piecewise(unet, CPU_BYTES)
        heap.keep_freed(blocks_of(unet))
    else:
        keep_channels_last(unet)
        if wants_compiled():
            compile_layers(unet, device)
        work_piecewise(unet, GPU_BYTES)


def pack_mapped(unet: DenoisingUNet, files: Path | None) -> None:
    """Pack a denoiser block by block, and let go of the files that its weights came from."""
    for part in (*blocks_of(unet), unet):
        pack(part)
        if files is not None:
            heap.release_files(files)


def wants_compiled() -> bool:
    """Whether the environment asks for compiled layers ($MIMO_COMPILE=1)."""
    return os.environ.get(ENVIRONMENT, "").lower() in ("1", "on", "yes", "true")


def compile_layers(unet: nn.Module, device: torch.device, *, backend: str = "inductor") -> None:
    """Have the layers that occur many times compiled by PyTorch when they first run, in place.

    Args:
        unet: a `DenoisingUNet`.
        device: where it will run.
        backend: of `torch.compile`.

    Raises:
        MissingError: what compiles for this device is not installed.
    """
    _check_compiler(device)
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _MOST_SHAPES)
    for layer in _outermost(unet):
        layer.compile(backend=backend, dynamic=False)  # kernels for these very shapes


def _outermost(network: nn.Module) -> Iterator[nn.Module]:
    """The layers to compile that lie in no other one."""
    for child in network.children():
        if isinstance(child, _COMPILED):
            yield child
        else:
            yield from _outermost(child)


def _check_compiler(device: torch.device) -> None:
    if device.type == "cpu":
        name, found = "a C++ compiler", any(map(shutil.which, ("g++", "c++", "clang++", "cl")))
    else:
        name, found = "triton", importlib.util.find_spec("triton") is not None
    if not found:
        raise MissingError(
            f"{ENVIRONMENT} is set, and {name} is not there.",
            fix=f"install it, or unset {ENVIRONMENT}: it only saves time.",
        )


def blocks_of(unet: DenoisingUNet) -> list[nn.Module]:
    """The large blocks of a denoiser, in the order in which they run."""
    return [*unet.down_blocks, unet.mid_block, *unet.up_blocks]  # type: ignore[list-item]
