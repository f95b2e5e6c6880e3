import numpy as np

from engine.layers.still_object import StillThing, draw_still
from engine.layers.views import View


def test_a_frayed_body_leaves_the_sides_of_a_trunk_straight():
    """A leaning trunk whose right side the body's mask bites, ten rows at a time, by up to a quarter of its width."""
    rows, cols = np.arange(240), np.arange(160)
    left = 60 + rows // 12
    trunk = ((cols >= left[:, None]) & (cols < left[:, None] + 32)).astype(np.uint8) * 255
    reach = np.repeat(np.random.default_rng(0).integers(24, 33, 24), 10)
    reach[:80], reach[160:] = 99, 99
    human = (cols >= (left + reach)[:, None]).astype(np.uint8) * 255
    blank = np.zeros((240, 160), np.uint8)
    view = View(0, 0, np.zeros((240, 160, 3), np.uint8), np.full_like(blank, 200), human, blank, blank)
    drawn = draw_still(np.zeros_like(blank), StillThing(0, 0, trunk), np.eye(3), 1, view, 20.0, is_seen=True)
    width = (drawn > 127).sum(1)
    assert (np.abs(np.diff(width)) <= 1).all()  # a pixel from row to row; the bites jump by 8
    assert not ((drawn > 127) & (human > 0)).any()
    assert width.min() >= 23 and width.max() == 32  # it keeps three quarters, less the pixel that is cut through
