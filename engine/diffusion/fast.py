"""`--fast`: fewer steps with a better solver, and every other step reuses what the deep layers said in the one before.

Not the same numbers: it is opt-in, and how far a reused prediction is from a whole one is measured in the first window
of every run.

Sources: DPM-Solver++ (Lu et al. 2022) over the same noise schedule; DeepCache (Ma et al. 2023): from one step to the
next the deep features of a UNet change little, so only its outermost blocks are run again.
"""

# Shapes: B batch (always 1), C channels, T frames, H W latent size.

from dataclasses import dataclass, field

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

from engine.diffusion.sampler import Conditions, predict_v
from engine.diffusion.unet import DeepFeatures, DenoisingUNet

SHARE = 0.4
"""Of the steps asked for."""
LEAST_STEPS = 4


def fast_steps(num_steps: int) -> int:
    """How many steps are made where so many were asked for."""
    return min(num_steps, max(LEAST_STEPS, round(SHARE * num_steps)))


def fast_scheduler(scheduler: DDIMScheduler) -> DPMSolverMultistepScheduler:
    """A second-order solver over the schedule of a DDIM scheduler."""
    return DPMSolverMultistepScheduler.from_config(  # type: ignore[return-value]
        scheduler.config, algorithm_type="dpmsolver++", solver_order=2, euler_at_final=True, final_sigmas_type="zero"
    )


@dataclass
class FastPredict:
    """A `sampler.Predict` that runs the whole denoiser in every other step of a window."""

    unet: DenoisingUNet
    difference: float | None = None
    """How far the first reused prediction was from the whole one, relative L2; None before there was one."""
    _last_timestep: float = -1.0
    _is_whole: bool = True
    _kept: tuple[DeepFeatures, DeepFeatures] = field(default_factory=lambda: (DeepFeatures(), DeepFeatures()))

    def __call__(
        self,
        latents_BCTHW: Tensor,
        timestep: Tensor | int,
        conditions: Conditions,
        frames: list[int],
        guidance_scale: float,
    ) -> Tensor:
        """See `sampler.Predict`."""
        is_first = float(timestep) >= self._last_timestep  # time runs backwards: a later one begins another window
        self._is_whole = is_first or not self._is_whole
        self._last_timestep = float(timestep)
        arguments = (self.unet, latents_BCTHW, timestep, conditions, frames, guidance_scale)
        for kept in self._kept:
            kept.reuse = not self._is_whole
        v_BCTHW = predict_v(*arguments, deep=self._kept)
        if not self._is_whole and self.difference is None:
            whole_BCTHW = predict_v(*arguments)
            apart = torch.linalg.vector_norm((v_BCTHW - whole_BCTHW).float())
            self.difference = float(apart / torch.linalg.vector_norm(whole_BCTHW.float()))
        return v_BCTHW
