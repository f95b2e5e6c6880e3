import numpy as np
import pytest
from numpy.testing import assert_allclose
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from engine.metrics.picture import flicker, psnr_db, seam_energy, ssim, ssim_map


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def test_psnr_by_hand(noise):
    dark = np.full((20, 20, 3), 10, np.uint8)
    assert_allclose(psnr_db(dark, dark + 5), 20 * np.log10(255 / 5))
    assert_allclose(psnr_db(dark * 0, dark * 0 + 255), 0)  # 0 - 255 would be 1 in uint8, and 48 dB
    assert psnr_db(noise, noise) == np.inf
    mask = np.zeros((20, 20), bool)
    mask[0, 0] = True
    spot = dark.copy()
    spot[0, 0] += 51
    assert_allclose(psnr_db(spot, dark, mask), 20 * np.log10(255 / 51))
    assert_allclose(psnr_db(spot, dark), 20 * np.log10(255 / 51) + 10 * np.log10(400))
    assert np.isnan(psnr_db(dark, spot, ~mask & mask))


def test_ssim_by_hand(noise):
    assert_allclose(ssim(noise, noise), 1)
    a, b = (np.full((20, 24, 3), level, np.uint8) for level in (100, 150))
    c1 = (0.01 * 255) ** 2
    assert_allclose(ssim(a, b), (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rtol=1e-9)
    assert ssim_map(a, b).shape == (10, 14)
    assert ssim(noise, 255 - noise) < 0


def test_ssim_is_the_windowed_formula(noise):
    """One window worked out directly: weights of a Gaussian of 1.5 pixels over 11x11."""
    other = np.random.default_rng(1).integers(0, 256, noise.shape, np.uint8)
    line = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    weight = np.outer(line, line) / line.sum() ** 2
    values = []
    for channel in range(3):
        a, b = (p[7:18, 9:20, channel].astype(float) for p in (noise, other))
        ma, mb = (weight * a).sum(), (weight * b).sum()
        va, vb, ab = (weight * a * a).sum() - ma**2, (weight * b * b).sum() - mb**2, (weight * a * b).sum() - ma * mb
        c1, c2 = 6.5025, 58.5225
        values.append((2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert_allclose(ssim_map(noise, other)[7, 9], np.mean(values), atol=1e-9)
    mask = np.zeros((40, 50), bool)
    mask[12, 14] = True
    assert_allclose(ssim(noise, other, mask), np.mean(values), atol=1e-9)


def test_flicker_counts_wrong_changes_only():
    want = np.zeros((4, 8, 8, 3), np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None] * 10
    assert flicker(want + 7, want) == 0  # wrong, but steady
    got = want.copy()
    got[1::2] += 6
    assert_allclose(flicker(got, want), 6)
    mask = np.zeros((4, 8, 8), bool)
    mask[:2, 0] = True
    assert_allclose(flicker(got, want, mask), 6)
    assert np.isnan(flicker(got, want, mask & ~mask))


def test_seam_is_an_edge_that_should_not_be():
    want = np.full((40, 40, 3), 100, np.uint8)
    edit = np.zeros((40, 40), bool)
    edit[10:30, 10:30] = True
    got = want.copy()
    got[edit] = 120
    assert seam_energy(want, want, edit) == 0
    assert seam_energy(got, got, edit) == 0  # an edge of the truth is none
    # Across each side two pixels see half of the step of 20; the band is 7 pixels wide there.
    assert 2 < seam_energy(got, want, edit) < 4
    assert np.isnan(seam_energy(got, want, edit & ~edit))


@pytest.mark.parametrize("spread", [3, 40, 255])
def test_scikit_image_says_the_same(noise, spread):
    rng = np.random.default_rng(spread)
    other = np.clip(noise.astype(int) + rng.integers(-spread, spread + 1, noise.shape), 0, 255).astype(np.uint8)
    assert_allclose(psnr_db(other, noise), peak_signal_noise_ratio(noise, other))
    _, theirs = structural_similarity(
        noise, other, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    # scikit-image cuts its Gaussian off at 3.5 deviations, 5 pixels: the same 11x11 window; float64 both.
    assert_allclose(ssim_map(other, noise), theirs.mean(-1)[5:-5, 5:-5], atol=1e-7)


def test_the_wrap_of_uint8_that_others_fall_for(noise):
    """Squares of uint8 differences wrap round at 256: what a toolkit that forgets to convert prints, dB too high."""
    other = np.random.default_rng(7).integers(0, 256, noise.shape, np.uint8)
    wrapped = 10 * np.log10(255**2 / ((noise - other) ** 2).mean())
    # Even squares of all residues: about 105 on average, against 10922 for two independent uniform pictures.
    assert 15 < wrapped - psnr_db(noise, other) < 25
