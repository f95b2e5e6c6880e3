"""Streaming windows: each is denoised to its end before the next begins, so that memory does not grow with length.

How this differs from the published windows. There, all windows of a clip go through every step together, predictions
of frames in two windows are averaged, and the last window closes the loop to the first frames: the whole clip has to be
held, and its end is tied to its beginning. Here a window knows the finished frames that it shares with the one before:
at every step they are put back to what they are, at that step's level of noise, and the new frames agree with them
through the motion modules (as in inpainting by replacement, Lugmayr et al. 2022). A clip of one window comes out the
same either way.
"""

# Shapes: B batch (always 1), C channels, T frames of the window, K known frames, H W latent size.

import hashlib
from collections.abc import Callable

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from engine.diffusion.sampler import Conditions, Predict
from engine.diffusion.windows import SamplingConfig


def frame_noise(seed: int, place: str, channels: int, size: tuple[int, int]) -> Tensor:
    """Draw the noise of one frame, on the CPU: the same on every machine, whatever was made before.

    Args:
        seed: of the video.
        place: names the frame: "0/000024".
        channels: of the latents.
        size: (h, w) of the latents.

    Returns:
        (channels, h, w) float32, unit Gaussian.
    """
    digest = hashlib.sha256(f"{seed}/{place}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
    return torch.randn(channels, *size, generator=generator)


@torch.no_grad()
def denoise_window(
    predict: Predict,
    scheduler: DDIMScheduler,
    noise_BCTHW: Tensor,
    conditions: Conditions,
    config: SamplingConfig,
    *,
    known_BCKHW: Tensor | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Denoise one window to its end.

    Args:
        predict: of the denoiser; see `sampler.predict_v`.
        scheduler: its timesteps are set here; DDIM, or one of diffusers' with `sigmas`.
        noise_BCTHW: (1, 4, T, H, W) unit Gaussian noise.
        conditions: of the window's frames alone.
        config: steps and guidance; its windows are not read.
        known_BCKHW: finished latents of the first K frames; they come back as they are.
        on_step: hears how many steps are done, of how many.

    Returns:
        (1, 4, T, H, W) latents.
    """
    latents_BCTHW = noise_BCTHW * scheduler.init_noise_sigma
    scheduler.set_timesteps(config.num_steps, device=latents_BCTHW.device)
    frames = list(range(latents_BCTHW.shape[2]))
    num_known = 0 if known_BCKHW is None else known_BCKHW.shape[2]
    for step_idx, timestep in enumerate(scheduler.timesteps):
        v_BCTHW = predict(latents_BCTHW, timestep, conditions, frames, config.guidance_scale)
        latents_BCTHW = scheduler.step(v_BCTHW, timestep, latents_BCTHW, return_dict=False)[0]  # type: ignore[arg-type]
        if known_BCKHW is not None:
            signal, noise = levels_after(scheduler, step_idx)
            latents_BCTHW[:, :, :num_known] = signal * known_BCKHW + noise * noise_BCTHW[:, :, :num_known]
        on_step(step_idx + 1, len(scheduler.timesteps))
    return latents_BCTHW


def levels_after(scheduler: DDIMScheduler, step_idx: int) -> tuple[float, float]:
    """How much signal and how much noise is in latents after a step; 1 and 0 after the last."""
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None:
        sigma = float(sigmas[step_idx + 1])
        return (1 + sigma**2) ** -0.5, sigma * (1 + sigma**2) ** -0.5
    step = scheduler.config["num_train_timesteps"] // len(scheduler.timesteps)
    before = int(scheduler.timesteps[step_idx]) - step
    alpha = float(scheduler.alphas_cumprod[before] if before >= 0 else scheduler.final_alpha_cumprod)
    return alpha**0.5, (1 - alpha) ** 0.5
