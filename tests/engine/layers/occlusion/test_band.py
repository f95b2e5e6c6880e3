import numpy as np

from engine.layers.occlusion.band import find_band


def test_what_is_known_not_to_be_of_it_outweighs_a_clearer_edge():
    """A grey trunk leans before a wall that has a clearer edge beside it, which the body was seen to cover."""
    rows = np.arange(200)
    left = 60 + rows // 10
    cols = np.arange(160)
    trunk = (cols >= left[:, None]) & (cols < left[:, None] + 20)
    picture = np.where(trunk[..., None], 110, 150) * np.ones(3)
    picture = np.where((~trunk & (cols < 50))[..., None], 20, picture).astype(np.uint8)
    piece, against = np.zeros_like(trunk), np.zeros_like(trunk)
    piece[80:120] = trunk[80:120]
    against[80:120] = ~trunk[80:120]
    band = find_band(piece, picture, against, 90)
    assert band is not None and band.height == 200
    drawn = np.zeros(trunk.shape, np.uint8)
    band.draw(drawn)
    # Blur and rounding move an edge by a column; an edge at column 50 would be wrong by 10 to 29.
    assert ((drawn > 0) ^ trunk).sum() < 2 * 200 * 1.5


def test_a_mask_that_always_lies_over_half_of_a_pole_is_not_believed():
    """A pole of 20 columns before a wall; a mask spills over its left half in some rows, whose place nobody sees."""
    rows, cols = np.arange(200)[:, None], np.arange(120)
    pole = np.broadcast_to((cols >= 50) & (cols < 70), (200, 120))
    shade = 30 + 4 * (cols - 50)  # round: an edge of its own in the middle
    picture = np.where(pole, shade, 200)[..., None] * np.ones(3)
    spilt = (rows >= 80) & (rows < 140) & (cols < 60)
    picture[spilt] = 0
    piece = pole & (rows >= 100) & (rows < 116) & (cols >= 60)
    band = find_band(piece, picture.astype(np.uint8), spilt, 90)
    assert band is not None
    drawn = np.zeros(pole.shape, np.uint8)
    band.draw(drawn)
    # Blur and rounding move an edge by a column or two; half of the pole would be 10 columns wrong.
    assert ((drawn > 0) ^ pole).sum() < 2 * 200 * 2


def test_a_trunk_that_is_thinner_above():
    """A trunk from 12 columns at the top to 30 at the foot, where a body was seen on both sides of its middle."""
    rows, cols = np.arange(200)[:, None], np.arange(120)
    trunk = (cols >= 54 - 0.045 * rows) & (cols < 66 + 0.045 * rows)
    picture = np.where(trunk, 60, 150)[..., None] * np.ones(3)
    piece, against = trunk & (abs(rows - 100) < 20), ~trunk & (abs(rows - 100) < 60)
    band = find_band(piece, picture.astype(np.uint8), against, 90, tapers=(0.0, 0.03, 0.06))
    assert band is not None
    drawn = np.zeros(trunk.shape, np.uint8)
    band.draw(drawn)
    # An edge lies between two pixels, and may move by one more where its lean is between two of those tried; with
    # parallel sides it would be wrong by 4 columns on the mean.
    assert ((drawn > 0) ^ trunk).sum() < 2 * 200 * 2
