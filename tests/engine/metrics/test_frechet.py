import numpy as np
import pytest
import scipy.linalg

from engine.metrics.frechet import frechet_distance


def test_distance_is_the_textbook_formula():
    rng = np.random.default_rng(0)
    got, want = rng.normal(size=(60, 8)), 1 + rng.normal(size=(50, 8)) @ rng.normal(size=(8, 8))
    a, b = np.cov(got, rowvar=False), np.cov(want, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b).real
    textbook = np.square(got.mean(0) - want.mean(0)).sum() + np.trace(a + b - 2 * root)
    assert frechet_distance(got, want) == pytest.approx(textbook, rel=1e-9)  # float64, a root of a full matrix


def test_few_samples_of_many_features():
    """A singular covariance, whose root by iteration is noise: shifted by 2 along one of 400 axes, nothing else."""
    got = np.random.default_rng(1).normal(size=(5, 400))
    assert frechet_distance(got, got) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(got, got + 2 * np.eye(400)[0]) == pytest.approx(4)


def test_gaussians_on_a_line():
    got, want = np.array([[-1.0], [1]]), np.array([[2.0], [8]])  # means 0 and 5, deviations sqrt(2) and sqrt(18)
    assert frechet_distance(got, want) == pytest.approx(5**2 + (np.sqrt(18) - np.sqrt(2)) ** 2)
