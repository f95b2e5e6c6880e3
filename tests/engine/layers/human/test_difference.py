"""What differs from the place is the person's; a shadow, a change of light and a ball beside them are not."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from engine.layers.human.difference import match_exposure, place_odds, without_strangers

SIZE = 160, 120
PERSON = np.s_[30:140, 45:75]


def place(seed: int = 0) -> np.ndarray:
    """(160, 120, 3) uint8: soft noise with grain of one level."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(60, 200, (20, 15, 3)).astype(np.float32), SIZE[::-1])
    return np.clip(coarse + rng.normal(0, 1, (*SIZE, 3)), 0, 255).astype(np.uint8)


def body() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[PERSON] = 1
    return mask


def odds_of(picture: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    everywhere = np.ones(SIZE, bool)
    return place_odds(picture, place(), everywhere if known is None else known, body(), 110.0)


def test_a_person_differs_and_the_place_does_not():
    picture = place()
    picture[PERSON] = (220, 40, 40)
    odds = odds_of(picture)
    inside = cv2.erode(body(), np.ones((5, 5), np.uint8)) > 0  # the blur that hides misalignment mixes the edge
    outside = cv2.dilate(body(), np.ones((5, 5), np.uint8)) == 0
    assert np.median(odds[inside]) > 3 and (odds[inside] > 0).mean() > 0.95
    assert (odds[outside] < 0).all()


def test_nothing_is_said_of_an_unknown_place():
    known = np.zeros(SIZE, bool)
    known[:, :60] = True
    odds = odds_of(255 - place(), known)
    assert (odds[:, 60:] == 0).all() and (odds[:, :60] > 0).any()


def test_a_shadow_is_hardly_a_difference():
    dark, red = place(), place()
    spot = np.s_[120:150, 80:110]
    dark[spot] = dark[spot] * 0.6
    red[spot] = np.clip(red[spot] * (1.5, 0.4, 0.4), 0, 255)
    assert odds_of(dark)[spot].max() <= 1.0 < np.median(odds_of(red)[spot])


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.6, 1.15))
def test_light_that_changes_is_no_person(gain):
    """Up to the rounding of both pictures, and to what is cut off at white."""
    darker = np.clip(place() * gain, 0, 255).astype(np.uint8)
    seen = np.ones(SIZE, bool)
    assert_allclose(match_exposure(place(), darker, seen).astype(int), darker, atol=2 + 255 * 0.01)
    assert (odds_of(darker) < 0).mean() > 0.99


def test_a_ball_is_a_stranger_and_a_foot_is_not():
    belief, network = np.full(SIZE, -4, np.float32), np.full(SIZE, -4, np.float32)
    network[PERSON] = 4
    belief[PERSON] = 4
    belief[136:144, 75:95] = 3  # a foot that the network did not see: thin
    cv2.circle(belief, (88, 100), 12, 3.0, -1)  # a ball that touches the side
    cv2.circle(belief, (15, 15), 4, 3.0, -1)  # something far away, small
    before = np.full(SIZE, -3, np.float32)
    left = without_strangers(belief, network, before) > 0
    assert left[PERSON].all() and left[136:144, 75:95].all()
    ball = np.zeros(SIZE, np.uint8)
    cv2.circle(ball, (88, 100), 12, 1, -1)
    assert (left & (ball > 0))[:, 77:].mean() < 0.002 and not left[:30, :30].any()
    before[:30, :30] = 2
    assert (without_strangers(belief, network, before) > 0)[15, 15]  # it was a part of them a moment ago
