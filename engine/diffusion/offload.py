"""Where the denoiser's weights lie while it works: on its device, or elsewhere and brought there layer by layer.

For cards that are too small, at the price of moving all weights once in every half step.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from engine.diffusion.piecewise import GPU_BYTES
from engine.errors import InputError
from engine.types import Size

ENVIRONMENT = "MIMO_OFFLOAD"
_FRAMES = 24
_LAYERS = 16
"""Activations of the outermost level that are held at the peak, by count: skips, the ends of a block, pose features."""
_PIECES = 12
"""What a layer holds on the way, in pieces of its input."""


@dataclass(frozen=True)
class Offload:
    """Where weights wait for their turn."""

    place: str = ""
    """"": on the device; "memory": in main memory; else a folder, for a copy of them that goes with the network."""

    def __bool__(self) -> bool:
        return bool(self.place)

    def start(self, network: nn.Module, device: torch.device) -> None:
        """Send the weights of a network away, in place; layers fetch theirs when they run.

        Args:
            network: on the CPU.
            device: where it will run.
        """
        from accelerate import cpu_offload, disk_offload

        if self.place == "memory":
            cpu_offload(network, execution_device=device)
        else:
            copy = tempfile.TemporaryDirectory(prefix="mimo-weights-", dir=self.place)
            disk_offload(network, copy.name, execution_device=device)
            network._weights_copy = copy  # type: ignore[assignment]


def choose_offload(device: torch.device, weight_bytes: int, latent_size: Size, num_channels: int) -> Offload:
    """Decide where weights wait: as the environment says ($MIMO_OFFLOAD), else in main memory if a GPU is too small.

    Args:
        device: where the denoiser will run.
        weight_bytes: of the denoiser.
        latent_size: (h, w) of its pictures.
        num_channels: of its outermost level.

    Raises:
        InputError: the environment names a folder that is not there.
    """
    if given := os.environ.get(ENVIRONMENT, ""):
        if given not in ("memory", "none") and not Path(given).is_dir():
            raise InputError(
                f"{ENVIRONMENT} is {given}, which is no folder.",
                fix="name a folder on a fast disk, or write memory, or none.",
            )
        return Offload("" if given == "none" else given)
    if device.type != "cuda":
        return Offload()
    free_bytes, _ = torch.cuda.mem_get_info(device)
    layer_bytes = 2 * _FRAMES * num_channels * latent_size[0] * latent_size[1]
    needed = weight_bytes + _LAYERS * layer_bytes + _PIECES * GPU_BYTES
    return Offload("memory" if needed > free_bytes else "")
