import numpy as np
from figures import figure, paint, track

from engine.layers.scene.hiding import WithPassers
from engine.types import ArraySource


def test_who_stands_in_front_is_no_place_either():
    mine, near, far = figure(70, 160, 120), figure(95, 180, 140), figure(60, 150, 110)
    (tracks, landmarks), mask = track(mine, 4), paint(mine, 120)
    others = {2: track(near, 4), 3: track(far, 4)}
    others[2][0].score[2:], others[2][1].score[2:] = 0, 0  # gone
    seen = list(WithPassers(ArraySource(np.stack([mask] * 4)), tracks, landmarks, others).read(1, 9))
    body = paint(near, 140) > 0
    assert len(seen) == 3 and (seen[0][mask > 0] == 255).all()
    assert (seen[0][body] > 0).mean() > 0.98  # limbs are drawn 8 pixels wide; the crown may stand out
    assert (seen[0] > 0).sum() < 2.5 * (body | (mask > 0)).sum()  # and not the whole picture
    for frame in seen[1:]:
        np.testing.assert_array_equal(frame, mask)
