import gc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.metrics.meters import PooledPsnr, Sight, lpips_meter, mask_meters, picture_meters
from engine.metrics.picture import flicker, psnr_db, seam_energy, ssim


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    want = rng.integers(0, 256, (4, 40, 50, 3), np.uint8)
    got = np.clip(want.astype(int) + rng.integers(-9, 10, want.shape), 0, 255).astype(np.uint8)
    mask = np.zeros(want.shape[:3], bool)
    mask[:, 8:30, 10:40] = True
    mask[3] = False  # a frame in which nothing counts
    return got, want, mask


def hear(meters, got, want, mask=None):
    for idx in range(len(got)):
        for meter in meters:
            meter.add(Sight(got[idx], want[idx], None if mask is None else mask[idx]))
    return {score.name: score for score in (meter.score() for meter in meters)}


def test_streamed_scores_are_those_of_the_whole(clips):
    got, want, mask = clips
    found = hear(picture_meters(["psnr", "ssim", "flicker", "seam"], masked=True), got, want, mask)
    assert_allclose(found["psnr_pooled"].value, psnr_db(got, want, mask))
    assert_allclose(found["psnr"].value, np.mean([psnr_db(*row) for row in zip(got[:3], want, mask)]))
    assert_allclose(found["ssim"].value, np.mean([ssim(*row) for row in zip(got[:3], want, mask)]))
    assert_allclose(found["seam"].value, np.mean([seam_energy(*row) for row in zip(got[:3], want, mask)]))
    assert_allclose(found["flicker"].value, flicker(got, want, mask))  # pairs of equal size: their mean is the whole
    assert len(found["psnr"].frames) == 4 and np.isnan(found["psnr"].frames[3])
    assert "in the mask" in found["psnr"].protocol and "sigma 1.5" in found["ssim"].protocol


def test_one_equal_frame_makes_the_mean_infinite_but_not_the_pool(clips):
    got, want, _ = clips
    got[0] = want[0]
    found = hear(picture_meters(["psnr"], masked=False), got, want)
    assert np.isinf(found["psnr"].value) and found["psnr_pooled"].value == pytest.approx(psnr_db(got, want))
    assert np.isnan(PooledPsnr().score().value)


def test_masks_and_networks(clips):
    got, want, mask = clips
    found = hear(mask_meters(), mask, np.roll(mask, 3, 2))
    assert found["J"].frames[0] == pytest.approx(27 / 33)
    assert found["J&F"].value == pytest.approx((found["J"].value + found["F"].value) / 2)
    told = hear([lpips_meter("alex", lambda a, b: float(np.abs(a.astype(int) - b).max()))], got, want)["lpips"]
    assert told.value == 9 and "alex" in told.protocol


def test_no_more_than_two_frames_are_held():
    """A long clip takes no more memory than a short one."""
    meters = picture_meters(["psnr", "ssim", "flicker", "warp"], masked=False)
    alive = []
    for idx in range(9):
        got, want = (np.full((40, 40, 3), level + idx, np.uint8) for level in (10, 20))
        alive += [weakref.ref(got), weakref.ref(want)]
        for meter in meters:
            meter.add(Sight(got, want))
    del got, want
    gc.collect()
    assert sum(ref() is not None for ref in alive) <= 2  # the last pair, for the change to the next
