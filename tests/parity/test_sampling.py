"""Whole sampling runs of the tiny networks, latents to latents.

A run of 4 steps differs by 5.7e-6 between one thread and two in the release itself and by 8.7e-6 (MIMO) or 1.2e-5
(Moore) for a second implementation; 5e-5 is what the reference's README suggests. Banks that were not rounded to
float16 would be 6.7e-5 away.
"""

import pytest
import torch
from parity.release import Release, distance

from engine.diffusion.sampler import Conditions, denoise, look_at_reference
from engine.diffusion.schedule import make_scheduler
from engine.diffusion.windows import SamplingConfig
from engine.types import TempChunks

RUN = 5e-5


@pytest.fixture(scope="module")
def inputs(mimo):
    return mimo.tensors("tiny_pipeline")


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


@pytest.mark.parametrize("release", ["mimo", "moore"])
def test_two_windows_with_guidance(request, inputs, release):
    model = request.getfixturevalue(release)
    check_run(model, inputs, "cfg3.5_30f_4steps", num_frames=30, num_steps=4, guidance_scale=3.5)


@pytest.mark.parametrize("release", ["mimo", "moore"])
def test_steps_that_do_not_divide_1000(request, inputs, release):
    model = request.getfixturevalue(release)
    check_run(model, inputs, "cfg3.5_16f_3steps", num_frames=16, num_steps=3, guidance_scale=3.5)


@pytest.mark.parametrize("release", ["mimo", "moore"])
def test_no_guidance(request, inputs, release):
    model = request.getfixturevalue(release)
    check_run(model, inputs, "cfg1.0_24f_3steps", num_frames=24, num_steps=3, guidance_scale=1.0)


def test_a_killed_run_goes_on(mimo, inputs):
    """Killed in its second step: the same bits as an unbroken run, and finished windows are not computed again."""

    class Killed(Exception):
        pass

    class Kills(TempChunks):
        made = 0

        def make(self, name):
            if self.made == 3:
                raise Killed
            self.made += 1
            return super().make(name)

    conditions = conditions_of(mimo, inputs, 30)
    config = SamplingConfig(num_steps=2, guidance_scale=1.0)  # two windows each
    unet = mimo.networks.denoising_unet
    whole = denoise(unet, make_scheduler(), inputs["in.noise"], conditions, config)
    chunks = Kills()
    try:
        with pytest.raises(Killed):
            denoise(unet, make_scheduler(), inputs["in.noise"], conditions, config, chunks=chunks)
        chunks.made = 2  # one window is left to make; a second one would be killed again
        again = denoise(unet, make_scheduler(), inputs["in.noise"], conditions, config, chunks=chunks)
        assert chunks.made == 3
    finally:
        chunks.close()
    assert torch.equal(again, whole)
