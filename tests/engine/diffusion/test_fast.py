"""`--fast`: another result, near the exact one, in fewer forwards of the deep layers; the exact one is not touched."""

from functools import partial

import pytest
import torch
from tiny_networks import TINY

from engine.diffusion.attention import ReferenceFeatures
from engine.diffusion.fast import FastPredict, fast_scheduler, fast_steps
from engine.diffusion.sampler import Conditions, predict_v
from engine.diffusion.schedule import make_scheduler
from engine.diffusion.stream import denoise_window, levels_after
from engine.diffusion.unet import DeepFeatures, DenoisingUNet
from engine.diffusion.windows import SamplingConfig


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return DenoisingUNet(**TINY).eval()


@pytest.fixture(scope="module")
def conditions():
    torch.manual_seed(1)
    scene = torch.randn(1, 4, 3, 8, 8)
    return Conditions(ReferenceFeatures({}), torch.randn(1, 1, 32), lambda frames: None, scene)


def forward(unet, conditions, deep=None):
    torch.manual_seed(2)
    sample = torch.cat([torch.randn(1, 4, 3, 8, 8), conditions.scene_BCTHW], dim=1)
    with torch.no_grad():
        return unet(sample, 479, conditions.image_tokens_BSC, deep=deep)


def test_reused_features_of_the_same_input_are_the_whole_network(unet, conditions):
    """Nothing changed between the steps, hence nothing may change in what comes out."""
    deep, ran = DeepFeatures(), []
    want = forward(unet, conditions, deep)
    assert torch.equal(want, forward(unet, conditions))
    handles = [block.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, block in
               (("mid", unet.mid_block), ("down", unet.down_blocks[0]), ("up", unet.up_blocks[-1]))]  # fmt: skip
    deep.reuse = True
    assert torch.equal(forward(unet, conditions, deep), want)
    for handle in handles:
        handle.remove()
    assert ran == ["down", "up"]


class Unreferenced:
    """The denoiser without a reference, to be called by `FastPredict` as the real one."""

    def __init__(self, unet):
        self.unet = unet

    def __call__(self, sample, timestep, tokens, pose, reference=None, deep=None):
        return self.unet(sample, timestep, tokens, pose, deep=deep)


def test_every_other_step_is_whole_and_the_difference_is_told(unet, conditions):
    plain = Unreferenced(unet)
    fast, noise = FastPredict(plain), torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    whole, handle = [], unet.mid_block.register_forward_hook(lambda *_: whole.append(1))
    result = denoise_window(fast, make_scheduler(), noise, conditions, SamplingConfig(num_steps=4, guidance_scale=2))
    handle.remove()
    assert len(whole) == 2 * 2 + 2  # two whole steps of two halves, and one to measure the difference
    assert 0 < fast.difference < 1
    exact = denoise_window(
        partial(predict_v, plain), make_scheduler(), noise, conditions, SamplingConfig(num_steps=4, guidance_scale=2)
    )
    assert result.isfinite().all() and not torch.equal(result, exact)


@pytest.mark.parametrize("num_steps", [4, 10])
def test_the_solver_has_the_same_schedule(num_steps):
    """From the true noise, told the true v in every step, both end at the true picture; levels are the solver's."""
    scheduler = fast_scheduler(make_scheduler())
    scheduler.set_timesteps(num_steps)
    clean, noise = torch.full((4, 4), 0.7), torch.full((4, 4), -1.3)
    sample = noise
    for step_idx, timestep in enumerate(scheduler.timesteps):
        alpha = scheduler.alphas_cumprod[timestep]
        sample = scheduler.step(alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean, timestep, sample).prev_sample
        signal, rest = levels_after(scheduler, step_idx)
        assert torch.allclose(sample, signal * clean + rest * noise, atol=5e-3)  # the first level is 2**-24, not 0
    assert torch.allclose(sample, clean, atol=1e-3)


def test_how_many_steps():
    assert [fast_steps(count) for count in (25, 50, 10, 5, 2)] == [10, 20, 4, 4, 2]
