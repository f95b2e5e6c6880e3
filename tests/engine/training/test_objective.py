"""The objective, against its formulas by hand."""

import pytest
import torch

from engine.training.objective import LEAST_WEIGHT, draw_noise, loss_of, mix, training_schedule, weights_of
from engine.training.recipe import ObjectiveRecipe

EPSILON = ObjectiveRecipe(prediction="epsilon", zero_terminal_snr=False)


def test_the_schedule_ends_in_noise_alone():
    alphas = training_schedule(ObjectiveRecipe()).alphas_cumprod
    assert alphas[-1] == 0 and 0.998 < alphas[0] < 1
    assert training_schedule(EPSILON).alphas_cumprod[-1] == pytest.approx(0.0047, abs=1e-4)  # SD 1.5's own


def test_clean_latents_come_back_from_v_and_from_noise():
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 3, 2, 4, 4, generator=generator) for _ in range(2))
    alphas = torch.tensor([0.3, 0.9])
    a, s = alphas.sqrt().view(-1, 1, 1, 1, 1), (1 - alphas).sqrt().view(-1, 1, 1, 1, 1)
    noisy, v = mix(clean, noise, alphas, "v")
    torch.testing.assert_close(a * noisy - s * v, clean)
    torch.testing.assert_close(s * noisy + a * v, noise)
    noisy, said = mix(clean, noise, alphas, "epsilon")
    torch.testing.assert_close((noisy - s * said) / a, clean)
    assert torch.equal(mix(clean, noise, alphas, "x0")[1], clean)


def test_min_snr_weights():
    alphas = torch.tensor([0.0, 0.5, 10 / 11])  # signal-to-noise ratios 0, 1 and 10
    torch.testing.assert_close(weights_of(alphas, ObjectiveRecipe()), torch.tensor([LEAST_WEIGHT, 0.5, 5 / 11]))
    torch.testing.assert_close(weights_of(alphas[1:], EPSILON), torch.tensor([1.0, 0.5]))
    flat = ObjectiveRecipe(min_snr_gamma=0.0)
    torch.testing.assert_close(weights_of(alphas, flat), torch.ones(3))


def test_noise_comes_from_its_seed():
    one, two = draw_noise((3, 2, 8, 8), 5, 0.0), draw_noise((3, 2, 8, 8), 5, 0.0)
    assert torch.equal(one[0], two[0]) and one[1] == two[1]
    offset, _ = draw_noise((3, 2, 32, 32), 5, 0.5)
    assert offset.mean((2, 3)).std() > 0.2  # the offset is the same over a picture; plain noise would give 1/32


def test_the_loss_counts_samples_by_their_weight():
    predicted = torch.zeros(2, 1, 1, 1, 2)
    wanted = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1, 1).expand_as(predicted)
    assert loss_of(predicted, wanted, torch.tensor([1.0, 0.5])) == pytest.approx((1 + 4.5) / 2)
