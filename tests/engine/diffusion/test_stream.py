"""Streaming windows: every frame once, finished frames stay, and a clip of one window is the published one."""

from functools import partial

import pytest
import torch
from tiny_networks import TINY

from engine.diffusion.attention import fix_token, round_bank
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.sampler import Conditions, denoise, predict_v
from engine.diffusion.schedule import make_scheduler
from engine.diffusion.stream import denoise_window, frame_noise, levels_after
from engine.diffusion.unet import DenoisingUNet
from engine.diffusion.windows import SamplingConfig, stream_windows

FRAMES, SIZE = 5, (8, 8)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return DenoisingUNet(**TINY).eval().double()  # float64: what is compared below differs in order of sums alone


@pytest.fixture(scope="module")
def conditions(unet):
    torch.manual_seed(1)
    tokens, pose = torch.randn(1, 1, 32).double(), torch.randn(1, 32, FRAMES, *SIZE).double()
    with torch.no_grad():
        _, bank = ReferenceNet(**TINY).eval().double()(torch.randn(1, 4, *SIZE).double(), tokens)
    scene = torch.randn(1, 4, FRAMES, *SIZE).double()
    features = unet.project_reference(round_bank(bank, torch.float64))
    return Conditions(features, tokens, lambda frames: pose[:, :, frames], scene)


@pytest.fixture(scope="module")
def noise():
    return torch.stack([frame_noise(7, f"0/{idx}", 4, SIZE) for idx in range(FRAMES)], dim=1)[None].double()


@pytest.mark.parametrize("num_frames", [1, 5, 24, 25, 44, 45, 150, 1000])
def test_every_frame_is_new_in_one_window(num_frames):
    windows = stream_windows(num_frames)
    fresh = [idx for window in windows for idx in range(window.start + window.num_known, window.stop)]
    assert fresh == list(range(num_frames))
    assert all(window.stop - window.start == min(24, num_frames) for window in windows)
    assert all(window.num_known >= 4 for window in windows[1:])
    assert windows[0].num_known == 0


def test_one_window_is_the_published_way(unet, conditions, noise):
    config = SamplingConfig(num_steps=3)
    whole = denoise(unet, make_scheduler(), noise, conditions, config)
    alone = denoise_window(partial(predict_v, unet), make_scheduler(), noise, conditions, config)
    assert torch.equal(whole, alone)


def test_finished_frames_stay_and_are_seen(unet, conditions, noise):
    predict, config = partial(predict_v, unet), SamplingConfig(num_steps=3, guidance_scale=1.0)
    known = torch.randn(1, 4, 2, *SIZE, generator=torch.Generator().manual_seed(3)).double()
    results = [
        denoise_window(predict, make_scheduler(), noise, conditions, config, known_BCKHW=one) for one in (known, -known)
    ]
    for result, one in zip(results, (known, -known), strict=True):
        assert torch.equal(result[:, :, :2], one)
    assert (results[0][:, :, 2:] - results[1][:, :, 2:]).norm() > 1e-3 * results[0][:, :, 2:].norm()


@pytest.mark.parametrize("num_steps", [1, 3, 4, 25])
def test_levels_are_the_schedulers(num_steps):
    """A step from the true noise and the true picture ends at the level that is told."""
    scheduler = make_scheduler()
    scheduler.set_timesteps(num_steps)
    clean, noise = torch.tensor(0.7, dtype=torch.float64), torch.tensor(-1.3, dtype=torch.float64)
    for step_idx, timestep in enumerate(scheduler.timesteps):
        alpha = scheduler.alphas_cumprod[timestep].double()
        sample, v = (a * x + b * y for a, b, x, y in (
            (alpha**0.5, (1 - alpha) ** 0.5, clean, noise), (alpha**0.5, -((1 - alpha) ** 0.5), noise, clean),
        ))  # fmt: skip
        signal, rest = levels_after(scheduler, step_idx)
        after = scheduler.step(v, timestep, sample).prev_sample
        assert abs(after - (signal * clean + rest * noise)) < 1e-6  # the table is float32
    assert (signal, rest) == (1, 0)


def test_noise_depends_on_seed_and_frame_alone():
    assert torch.equal(frame_noise(1, "0/5", 4, SIZE), frame_noise(1, "0/5", 4, SIZE))
    others = [frame_noise(*which, 4, SIZE) for which in ((1, "0/5"), (2, "0/5"), (1, "0/6"), (1, "1/5"))]
    assert all(not torch.equal(others[0], other) for other in others[1:])
    drawn = torch.stack([frame_noise(1, str(idx), 4, (16, 16)) for idx in range(64)])
    assert abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.02  # 65,536 numbers: five standard errors


def test_a_fixed_token_changes_no_number(conditions, noise):
    torch.manual_seed(0)
    unet = DenoisingUNet(**TINY).eval().double()
    frames, before = list(range(FRAMES)), sum(p.numel() for p in unet.parameters())
    want = predict_v(unet, noise, 479, conditions, frames, 3.5)
    ones = fix_token(unet, conditions.image_tokens_BSC)
    fixed = Conditions(conditions.reference, ones, conditions.pose_of, conditions.scene_BCTHW)
    got = predict_v(unet, noise, 479, fixed, frames, 3.5)
    assert torch.allclose(got, want, rtol=1e-9, atol=1e-9)
    assert sum(p.numel() for p in unet.parameters()) < before
