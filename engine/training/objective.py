"""What is minimised: noise is added at a random timestep, and the network says which."""

# Shapes: B clips, C channels, T frames, H W latent size.

from typing import Literal

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from engine.training.recipe import ObjectiveRecipe

PREDICTIONS: dict[str, Literal["v_prediction", "epsilon", "sample"]] = {
    "v": "v_prediction", "epsilon": "epsilon", "x0": "sample",
}  # fmt: skip
"""What diffusers calls them."""
LEAST_WEIGHT = 0.1
"""Min-SNR weighting is 0 where nothing of the picture is left; but with a zero terminal SNR sampling begins there."""


def training_schedule(recipe: ObjectiveRecipe) -> DDIMScheduler:
    """The noise schedule to train and to sample with: SD 1.5's, with zero terminal SNR where the recipe says so."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=PREDICTIONS[recipe.prediction],
        rescale_betas_zero_snr=recipe.zero_terminal_snr,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def draw_noise(shape_CTHW: tuple[int, ...], seed: int, noise_offset: float) -> tuple[Tensor, int]:
    """Noise (C, T, H, W) and a timestep for one sample, on the CPU, from its own seed."""
    generator = torch.Generator().manual_seed(seed)
    noise_CTHW = torch.randn(shape_CTHW, generator=generator)
    if noise_offset:
        noise_CTHW += noise_offset * torch.randn((shape_CTHW[0], shape_CTHW[1], 1, 1), generator=generator)
    return noise_CTHW, int(torch.randint(1000, (1,), generator=generator))


def mix(latents_BCTHW: Tensor, noise_BCTHW: Tensor, alphas_B: Tensor, prediction: str) -> tuple[Tensor, Tensor]:
    """Noisy latents, and what the network should say of them.

    Args:
        latents_BCTHW: clean.
        noise_BCTHW: unit Gaussian.
        alphas_B: cumulative alpha of each sample's timestep, 0 ... 1.
        prediction: "v" (Salimans & Ho 2022), "epsilon" or "x0".
    """
    alpha, sigma = (value.view(-1, 1, 1, 1, 1) for value in (alphas_B.sqrt(), (1 - alphas_B).sqrt()))
    noisy_BCTHW = alpha * latents_BCTHW + sigma * noise_BCTHW
    if prediction == "x0":
        return noisy_BCTHW, latents_BCTHW
    return noisy_BCTHW, noise_BCTHW if prediction == "epsilon" else alpha * noise_BCTHW - sigma * latents_BCTHW


def weights_of(alphas_B: Tensor, recipe: ObjectiveRecipe) -> Tensor:
    """(B,) how much each sample counts: min-SNR (Hang et al. 2023), at least `LEAST_WEIGHT`; all 1 without it."""
    if not recipe.min_snr_gamma:
        return torch.ones_like(alphas_B)
    snr_B = alphas_B / (1 - alphas_B).clamp(min=1e-8)
    base_B = {"v": snr_B + 1, "epsilon": snr_B.clamp(min=1e-8), "x0": torch.ones_like(snr_B)}[recipe.prediction]
    return (snr_B.clamp(max=recipe.min_snr_gamma) / base_B).clamp(min=LEAST_WEIGHT)


def loss_of(predicted_BCTHW: Tensor, wanted_BCTHW: Tensor, weights_B: Tensor) -> Tensor:
    """Weighted mean square, a scalar in float32."""
    error_B = (predicted_BCTHW.float() - wanted_BCTHW.float()).square().flatten(1).mean(1)
    return (error_B * weights_B).mean()
