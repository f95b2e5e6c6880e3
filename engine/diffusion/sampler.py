"""The denoising loop: DDIM over a clip of any length, window by window, with classifier-free guidance."""

# Shapes: B batch (always 1), C channels, T frames of the clip, H W latent size, S image tokens.

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.diffusion.attention import ReferenceFeatures, round_bank
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.unet import DeepFeatures, DenoisingUNet
from engine.diffusion.windows import SamplingConfig, context_windows
from engine.types import Chunks


class Predict(Protocol):
    """Predicts v for some frames of a clip; `partial(predict_v, unet)` is one."""

    def __call__(
        self,
        latents_BCTHW: Tensor,
        timestep: Tensor | int,
        conditions: "Conditions",
        frames: list[int],
        guidance_scale: float,
    ) -> Tensor:
        """See `predict_v`."""
        ...


@dataclass(frozen=True)
class Conditions:
    """What a clip is denoised towards. Made once, before the first step."""

    reference: ReferenceFeatures
    """The reference picture, for one video."""
    image_tokens_BSC: Tensor
    """(1, 1, C) projected CLIP image embedding."""
    pose_of: Callable[[list[int]], Tensor]
    """Frame indices to their pose features, (1, C, len, H, W): of a long clip, too large to be held for all frames."""
    scene_BCTHW: Tensor | None
    """(1, C, T, H, W) latents that are concatenated to the noisy ones; None: the network takes none (Moore)."""


@torch.no_grad()
def look_at_reference(
    reference_net: ReferenceNet, latents_VCHW: Tensor, image_tokens_BSC: Tensor, *, dtype: torch.dtype | None = None
) -> ReferenceFeatures:
    """Run the reference net, once for every step, window and frame of a video; it has done its work then.

    Args:
        reference_net: in the precision of the latents.
        latents_VCHW: (1, 4, H, W) latents of the reference picture, scaled.
        image_tokens_BSC: (1, 1, C).
        dtype: the denoiser's precision; None: the reference net's.

    Returns:
        What it kept. `DenoisingUNet.project_reference` makes keys and values of it, once; without, every step does, as
        it has to where the denoiser's weights are elsewhere between the steps (offload).
    """
    _, bank = reference_net(latents_VCHW, image_tokens_BSC)
    return round_bank(bank, dtype or reference_net.dtype)


@torch.no_grad()
def denoise(
    unet: "DenoisingUNet | Predict",
    scheduler: DDIMScheduler,
    noise_BCTHW: Tensor,
    conditions: Conditions,
    config: SamplingConfig,
    *,
    chunks: Chunks | None = None,
    on_step: Callable[[int, int, Tensor], Tensor | None] | None = None,
) -> Tensor:
    """Turn noise into the latents of a clip.

    Args:
        unet: the denoiser, or what predicts with one; the latents live on its device.
        scheduler: its timesteps are set here.
        noise_BCTHW: (1, 4, T, H, W) unit Gaussian noise for all frames.
        conditions: of all frames.
        config: steps, guidance, windows.
        chunks: keeps every finished window, so that a killed run goes on where it was with the same result.
        on_step: given step index, timestep and the latents after the step; what it returns, if anything, replaces them.

    Returns:
        (1, 4, T, H, W) latents, same precision as the noise.
    """
    predict_window: Any = partial(predict_v, unet) if isinstance(unet, DenoisingUNet) else unet
    latents_BCTHW = noise_BCTHW * scheduler.init_noise_sigma
    windows = context_windows(latents_BCTHW.shape[2], length=config.window, overlap=config.overlap)
    scheduler.set_timesteps(config.num_steps, device=latents_BCTHW.device)
    for step_idx, timestep in enumerate(scheduler.timesteps):
        total_BCTHW = torch.zeros_like(latents_BCTHW)
        count_T = latents_BCTHW.new_zeros(latents_BCTHW.shape[2])
        for window_idx, frames in enumerate(windows):
            name = f"step{step_idx:03d}-window{window_idx:04d}"
            predict = partial(predict_window, latents_BCTHW, timestep, conditions, frames, config.guidance_scale)
            total_BCTHW[:, :, frames] += predict() if chunks is None else _kept(chunks, name, predict).to(total_BCTHW)
            count_T[frames] += 1
        v_BCTHW = total_BCTHW / count_T[:, None, None]  # the release forgets to divide at guidance <= 1
        latents_BCTHW = scheduler.step(v_BCTHW, int(timestep), latents_BCTHW, return_dict=False)[0]
        if on_step is not None and (changed := on_step(step_idx, int(timestep), latents_BCTHW)) is not None:
            latents_BCTHW = changed
    return latents_BCTHW


def predict_v(
    unet: DenoisingUNet,
    latents_BCTHW: Tensor,
    timestep: Tensor | int,
    conditions: Conditions,
    frames: list[int],
    guidance_scale: float,
    *,
    deep: tuple[DeepFeatures, DeepFeatures] | tuple[None, None] = (None, None),
) -> Tensor:
    """Predict v for one window, the two halves of guidance one after the other: the same numbers in half the memory.

    Args:
        unet: the denoiser.
        latents_BCTHW: noisy latents of the whole clip.
        timestep: 0 ... 999.
        conditions: of the whole clip.
        frames: indices of the window's frames.
        guidance_scale: see `SamplingConfig`.
        deep: see `engine.diffusion.fast`, of the conditional and of the unconditional half.

    Returns:
        (1, 4, len(frames), H, W).
    """
    sample_BCTHW = latents_BCTHW[:, :, frames]
    if conditions.scene_BCTHW is not None:
        sample_BCTHW = torch.cat([sample_BCTHW, conditions.scene_BCTHW[:, :, frames]], dim=1)
    pose_BCTHW = conditions.pose_of(frames)
    tokens_BSC = conditions.image_tokens_BSC
    cond = unet(sample_BCTHW, timestep, tokens_BSC, pose_BCTHW, conditions.reference, deep=deep[0])
    if guidance_scale <= 1:
        return cond
    uncond = unet(sample_BCTHW, timestep, torch.zeros_like(tokens_BSC), pose_BCTHW, deep=deep[1])
    return uncond + guidance_scale * (cond - uncond)


def _kept(chunks: Chunks, name: str, compute: Callable[[], Tensor]) -> Tensor:
    """A tensor that is computed once and kept on disk, exactly."""
    folder = chunks.get(name)
    if folder is not None:
        return load_file(folder / "v.safetensors")["v"]
    value = compute()
    with chunks.make(name) as folder:
        save_file({"v": value.contiguous().cpu()}, folder / "v.safetensors")
    return value
