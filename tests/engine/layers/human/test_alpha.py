"""The share of a person in an edge pixel, out of mixtures whose shares are known."""

import cv2
import numpy as np
import pytest

from engine.layers.human.alpha import mixed_alpha


def scene(blur: float, seed: int = 0):
    """A red figure over a blue-green place, its edge blurred; picture, place, true share."""
    rng = np.random.default_rng(seed)
    place = np.stack([rng.uniform(20, 60, (240, 160)), *rng.uniform(90, 200, (2, 240, 160))], -1)
    place = cv2.GaussianBlur(place, (0, 0), 3).astype(np.uint8)
    share = np.zeros((240, 160), np.float32)
    cv2.rectangle(share, (50, 30), (110, 210), 1.0, -1)
    share = cv2.GaussianBlur(share, (0, 0), blur)
    mixed = share[..., None] * np.array([220.0, 40, 50]) + (1 - share[..., None]) * place
    return (mixed + rng.normal(0, 2, mixed.shape)).clip(0, 255).astype(np.uint8), place, share


def measure(picture, place, share, known, shift=0):
    """The result, from a hard guess that lies `shift` pixels aside."""
    hard = (np.roll(share, shift, 1) > 0.5).astype(np.uint8)
    size = (80, 120)
    small, person = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (picture, hard * 255))
    return mixed_alpha(
        picture, place, known, hard * 255, hard * 255, small, (person > 127).astype(np.uint8)
    ) / 255, hard


@pytest.mark.parametrize("shift", [0, 1])
def test_shares_are_found(shift):
    """Grain of 2 levels, of 150 between the two, and a person's colour that is a mean: not far above half the error."""
    picture, place, share = scene(1.5)
    alpha, hard = measure(picture, place, share, np.ones(share.shape, bool), shift)
    assert np.abs(alpha - share).sum() < 0.6 * np.abs(hard - share).sum()


def test_away_from_the_edge_nothing_is_soft():
    picture, place, share = scene(1.5)
    alpha, hard = measure(picture, place, share, np.ones(share.shape, bool))
    away = (share < 1e-3) | (share > 1 - 1e-3)
    np.testing.assert_allclose(alpha[away], hard[away], atol=0.04)  # where grain alone decides


def test_an_unknown_place_leaves_the_guess():
    picture, place, share = scene(1.5)
    alpha, hard = measure(picture, place, share, np.zeros(share.shape, bool))
    np.testing.assert_array_equal(alpha, hard)


def test_nobody():
    nothing = np.zeros((24, 16), np.uint8)
    picture = np.zeros((24, 16, 3), np.uint8)
    found = mixed_alpha(picture, picture, nothing > 0, nothing, nothing, picture[::2, ::2], nothing[::2, ::2])
    assert not found.any()
