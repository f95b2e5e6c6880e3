import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from engine.metrics.mask import boundary, boundary_accuracy, region_similarity


def blob(seed, size=(60, 90)):
    from cv2 import GaussianBlur

    return GaussianBlur(np.random.default_rng(seed).normal(size=size), (0, 0), 6) > 0.02


def test_region_by_hand():
    got, want = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert region_similarity(got, want) == 1
    got[:2], want[1:3] = True, True
    assert region_similarity(got, want) == pytest.approx(1 / 3)


def test_boundary_of_a_square():
    square = np.zeros((6, 7), bool)
    square[2:4, 2:5] = True
    drawn = ["".join(".x"[value] for value in row) for row in boundary(square).astype(int)]
    assert drawn == [".......", ".xxxx..", ".x..x..", ".xxxx..", ".......", "......."]


@pytest.mark.parametrize("seed", range(4))
def test_boundary_accuracy_is_distance_to_the_other(seed):
    """The same by distances instead of dilation: 0.8 % of the diagonal of 60x90 is 0.87, rounded up to a pixel."""
    want = blob(seed)
    got = np.roll(want, (1, -2), (0, 1)) ^ (blob(seed + 10) & blob(seed + 20))
    ours, theirs = boundary(got), boundary(want)
    precision = (distance_transform_edt(~theirs)[ours] <= 1).mean()
    recall = (distance_transform_edt(~ours)[theirs] <= 1).mean()
    assert 0 < precision < 1
    assert boundary_accuracy(got, want) == pytest.approx(2 * precision * recall / (precision + recall))


def test_no_boundary():
    nothing, all_of_it = np.zeros((9, 9), bool), np.ones((9, 9), bool)
    assert boundary_accuracy(nothing, all_of_it) == 1  # neither has an outline
    assert boundary_accuracy(nothing, all_of_it & (np.arange(9) < 4)) == 0
    assert boundary_accuracy(blob(1), blob(1)) == 1
