"""Bars are found where the film ends in a line on both sides, and nowhere else."""

import numpy as np
import pytest

from engine.layers.occlusion.bars import find_bars
from engine.types import ArraySource


def film(left, right, top=0, bottom=0):
    """Ten noisy frames of 60x100 with bars as wide as that."""
    rng = np.random.default_rng(0)
    frames = rng.integers(30, 220, (10, 60, 100, 3), np.uint8)
    for bars in (frames[:, :, :left], frames[:, :, 100 - right :], frames[:, :top], frames[:, 60 - bottom :]):
        bars[:] = rng.integers(0, 12, bars.shape, np.uint8)
    return frames


@pytest.mark.parametrize("widths", [(12, 12), (12, 11), (0, 0, 8, 8), (12, 12, 8, 8)])
def test_bars_are_found(widths):
    left, right, top, bottom = (*widths, 0, 0)[:4]
    want = np.full((60, 100), 255, np.uint8)
    want[top : 60 - bottom, left : 100 - right] = 0
    np.testing.assert_array_equal(find_bars(ArraySource(film(*widths))), want)


@pytest.mark.parametrize("widths", [(0, 0), (12, 0), (20, 8), (2, 2)])
def test_one_side_alone_or_a_rim_is_no_bar(widths):
    assert find_bars(ArraySource(film(*widths))) is None


def test_a_dark_stage_is_no_bar():
    """A lit spot in the middle: its edge is no line."""
    frames = np.zeros((10, 60, 100, 3), np.uint8)
    rows, cols = np.ogrid[:60, :100]
    frames[:, (rows - 30) ** 2 + (cols - 50) ** 2 < 25**2] = 180
    assert find_bars(ArraySource(frames)) is None


def test_no_frames():
    assert find_bars(ArraySource(np.zeros((0, 60, 100, 3), np.uint8))) is None
