"""The noise schedule of the releases, as a configuration of diffusers' `DDIMScheduler`."""

from typing import Literal

from diffusers.schedulers.scheduling_ddim import DDIMScheduler

BetaSchedule = Literal["scaled_linear", "linear"]


def make_scheduler(
    beta_schedule: BetaSchedule = "scaled_linear", prediction_type: str = "v_prediction"
) -> DDIMScheduler:
    """DDIM with zero terminal signal-to-noise ratio and trailing timesteps.

    Args:
        beta_schedule: "scaled_linear" for MIMO (equal steps of the root of beta), "linear" for Moore-AnimateAnyone; the
            wrong one changes a video by a quarter of its norm.
        prediction_type: what the network says; v in the releases.

    Returns:
        A scheduler over 1000 training steps, betas 0.00085 ... 0.012 rescaled, no clipping, final alpha 1.

    Source: Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed".
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule=beta_schedule,
        prediction_type=prediction_type,  # type: ignore[arg-type]
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,  # the release sets it; trailing spacing does not read it
    )
