"""Whole sampling runs of the tiny networks, latents to latents."""

import pytest
import torch
from parity.release import check_run, conditions_of

from engine.diffusion.sampler import denoise
from engine.diffusion.schedule import make_scheduler
from engine.diffusion.windows import SamplingConfig
from engine.types import TempChunks


@pytest.fixture(scope="module")
def inputs(mimo):
    return mimo.tensors("tiny_pipeline")


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
