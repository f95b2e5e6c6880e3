import numpy as np

from engine.layers.band import find_band


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
