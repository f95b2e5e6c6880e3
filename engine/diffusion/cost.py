"""What a network costs on this machine: a small piece is made and measured, a whole window is counted.

Time follows the floating-point operations, which are counted on empty networks; memory of activations follows frames
times area, since attention is computed without its matrices.
"""

# Shapes: B batch (always 1), C channels, T frames, H W latent size, V videos, L positions.

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from engine.diffusion.attention import ReferenceFeatures
from engine.diffusion.loaded import LoadedNetwork
from engine.diffusion.sampler import Conditions
from engine.diffusion.unet import DenoisingUNet
from engine.types import Size

TRIAL_FRAMES = 4
TRIAL_SIDE = 32
"""Of the latents."""


@dataclass(frozen=True)
class Cost:
    """Measured costs, at the size of the network's pictures."""

    step_s: float
    """A denoising step of one window."""
    frame_s: float
    """Encoding the scene of a frame, and decoding it."""
    memory_bytes: float
    """At the peak of a window, weights included; of the GPU where there is one."""
    tera_flop: float
    """Of one step, 10^12."""


def measure_cost(network: LoadedNetwork, *, window: int, guidance_scale: float) -> Cost:
    """Measure a network.

    Args:
        network: loaded, on its device.
        window: frames of a window.
        guidance_scale: above 1, a step runs the denoiser twice.
    """
    frames, side = min(TRIAL_FRAMES, window), min(TRIAL_SIDE, *network.latent_size)
    before = _memory(network.device)
    step_s = _best_of(2, partial(_step, network, frames, (side, side), guidance_scale), network.device)
    grown = max(0.0, _memory(network.device) - before)
    pixels = network.size[0] // network.latent_size[0] * side
    frame_s = _best_of(2, partial(_there_and_back, network, pixels), network.device)
    h, w = network.latent_size
    trial = count_flops(network.config, frames, (side, side))
    whole = count_flops(network.config, window, (h, w))
    area = h * w / side**2
    halves = 2 if guidance_scale > 1 else 1
    return Cost(step_s * whole / trial, frame_s * area, before + grown * area * window / frames, halves * whole / 1e12)


def count_flops(config: Any, num_frames: int, size: Size) -> float:
    """Count the operations of one forward of the conditional half, on a network without weights.

    Args:
        config: of the `DenoisingUNet`.
        num_frames: of the window.
        size: (h, w) of the latents.
    """
    with torch.device("meta"):
        unet = DenoisingUNet(**{key: value for key, value in dict(config).items() if not key.startswith("_")})
        sample_BCTHW = torch.empty(1, config["in_channels"], num_frames, *size)
        tokens_BSC = torch.empty(1, 1, config["cross_attention_dim"])
        bank: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_pre_hook(partial(_keep_shape, bank, name.removesuffix(".attn1")))
            for name, module in unet.named_modules()
            if name.endswith(".attn1") and ".motion_modules." not in name
        ]
        with torch.no_grad():
            unet(sample_BCTHW, 1, tokens_BSC)
            for hook in hooks:
                hook.remove()
            features = unet.project_reference(ReferenceFeatures(bank))
            with FlopCounterMode(display=False) as counter:
                unet(sample_BCTHW, 1, tokens_BSC, reference=features)
    return float(counter.get_total_flops())


def _keep_shape(bank: dict[str, Tensor], block: str, module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
    bank[block] = inputs[0][:1]


def _step(network: LoadedNetwork, frames: int, size: Size, guidance_scale: float) -> None:
    def zeros(channels: int) -> Tensor:
        return torch.zeros(1, channels, frames, *size, device=network.device, dtype=network.dtype)

    keys_values = {
        block: tuple(x_VALD[:, :, : max(1, x_VALD.shape[2] * size[0] * size[1] // _area(network))] for x_VALD in pair)
        for block, pair in (network.reference.keys_values or {}).items()
    }
    conditions = Conditions(
        ReferenceFeatures({}, keys_values),  # type: ignore[arg-type]
        network.tokens_BSC,
        lambda chosen: zeros(network.config["block_out_channels"][0]),
        zeros(network.num_channels * network.num_layers) if network.num_layers else None,
    )
    with torch.no_grad():
        network.predict(zeros(network.num_channels), 499, conditions, list(range(frames)), guidance_scale)


def _there_and_back(network: LoadedNetwork, side: int) -> None:
    latents = network.encode([np.zeros((3, side, side), np.float32)])
    list(network.decode(latents))


def _area(network: LoadedNetwork) -> int:
    return network.latent_size[0] * network.latent_size[1]


def _best_of(times: int, work: Callable[[], None], device: torch.device) -> float:
    took_s = []
    for _ in range(times):
        begun_s = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        took_s.append(time.perf_counter() - begun_s)
    return min(took_s)


def _memory(device: torch.device) -> float:
    """Bytes at the peak so far."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
