from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.grain import Grain
from engine.types import ClipInfo
from engine.video.color import code_values, plane_layout
from engine.video.overlay import to_overlay


def test_grain_is_as_strong_as_asked_and_stays_on_the_figure():
    rgba = np.zeros((300, 280, 4), np.uint8)
    rgba[50:250, 40:240] = (120, 90, 60, 255)
    grain = Grain(4.0)
    noisy = grain.lay_on(rgba, 7)
    assert_array_equal(noisy[..., 3], rgba[..., 3])
    assert not noisy[:50].any()
    added = noisy[50:250, 40:240, :3].astype(float) - (120, 90, 60)
    assert 3.8 < added.std() < 4.2  # 40,000 samples of sigma 4, rounded
    assert abs(added.mean()) < 0.1
    assert_array_equal(noisy, Grain(4.0).lay_on(rgba, 7))
    assert (noisy != grain.lay_on(rgba, 8)).any()
    assert Grain(0).lay_on(rgba, 7) is rgba


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp"])
def test_grain_on_a_scene_is_grey_and_only_where_it_shows(pix_fmt):
    info = ClipInfo(
        height=300, width=280, num_frames=1, time_base=Fraction(1, 25), rate=Fraction(25), pix_fmt=pix_fmt,
        color_space="rgb" if pix_fmt == "gbrp" else "bt709", color_range="tv",
    )  # fmt: skip
    scene = np.zeros((300, 280, 4), np.uint8)
    scene[50:250, 40:240] = (120, 90, 60, 255)
    bare = to_overlay(scene, info)
    noisy = Grain(4.0).lay_on_planes(bare, 7, info)
    assert_array_equal(noisy[-1], bare[-1])
    shown = scene[..., 3] > 0
    for plane, before, row in zip(noisy, bare, code_values(info)[0]):
        gain = abs(round(row.sum(), 6))  # what one level of grey is in this plane: none in chroma
        added = plane.astype(float) - before
        if not gain:
            assert not added.any()
            continue
        assert not added[~shown].any()
        assert abs(added[shown].std() / gain - 4) < 0.2  # 40,000 samples of sigma 4, rounded
    layout = plane_layout(pix_fmt)
    assert layout is not None and max(plane.max() for plane in noisy[:-1]) < 1 << layout.bits
    assert_array_equal(noisy[0], Grain(4.0).lay_on_planes(bare, 7, info)[0])
    assert Grain(0).lay_on_planes(bare, 7, info) is bare
