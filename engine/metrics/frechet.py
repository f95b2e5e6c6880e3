"""Frechet distance between two sets of features, the last step of FVD."""

import numpy as np
from numpy.typing import NDArray


def frechet_distance(got: NDArray, want: NDArray) -> float:
    """Squared Frechet (2-Wasserstein) distance of the Gaussians that fit two sets of features.

    Args:
        got: (N, D) float, N >= 2.
        want: (M, D) float, M >= 2.

    Returns:
        |mean difference|^2 + trace(A + B - 2 (A B)^(1/2)) with A, B the unbiased covariances, float64. Small sets read
        too high: the trace grows with D / N.

    Source: Dowson and Landau 1982. With A = X'X and B = Y'Y the trace of the root of A B is the nuclear norm of X Y',
        which needs no root of a singular matrix (the usual source of complex numbers and of noise).
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    x, y = ((values - values.mean(0)) / np.sqrt(len(values) - 1) for values in (got, want))
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    shift = np.square(got.mean(0) - want.mean(0)).sum()
    return float(shift + np.square(x).sum() + np.square(y).sum() - 2 * root)
