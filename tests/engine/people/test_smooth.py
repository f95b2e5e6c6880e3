import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter1d

from engine.people.smooth import smooth_in_time


@pytest.mark.parametrize(("border", "mode"), [(cv2.BORDER_REFLECT, "reflect"), (cv2.BORDER_REPLICATE, "nearest")])
@pytest.mark.parametrize("num", [1, 3, 40])  # shorter and longer than the kernel
def test_it_smooths_as_scipy_does(num, border, mode):
    values = np.random.default_rng(0).normal(300, 50, (num, 3, 2))
    want = gaussian_filter1d(values, 2.2, axis=0, mode=mode)
    assert_allclose(smooth_in_time(values, 2.2, border), want, rtol=1e-13)  # the order of 19 float64 products differs
