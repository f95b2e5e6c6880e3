"""The example's soundtrack."""

import numpy as np
from numpy.testing import assert_array_equal

from engine.synth.sound import RATE_HZ, make_sound


def test_thuds_are_heard_where_the_ball_is_kicked():
    plain, kicked = make_sound(1.5, ()), make_sound(1.5, (0.7,))
    assert kicked.shape == (1.5 * RATE_HZ, 2) and kicked.dtype == np.float32
    assert np.abs(kicked).max() < 1
    # the birds differ too, as a thud takes random numbers, so compare the energy near the kick
    window = slice(int(0.70 * RATE_HZ), int(0.76 * RATE_HZ))
    assert (kicked[window] ** 2).mean() > 2 * (plain[window] ** 2).mean()


def test_sound_is_the_same_every_time():
    assert_array_equal(make_sound(0.5, (0.2,)), make_sound(0.5, (0.2,)))
