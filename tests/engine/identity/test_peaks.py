import numpy as np
import pytest

from engine.identity.outline import _peaks


@pytest.mark.parametrize("seed", range(40))
def test_peaks_are_those_of_scipy(seed):
    from scipy.signal import find_peaks

    rng = np.random.default_rng(seed)
    for _ in range(20):
        values = rng.integers(0, rng.integers(2, 20), rng.integers(1, 60)).astype(float)  # plateaus and equal heights
        prominence = rng.choice([0.5, 1.0, 2.0, 3.7])
        rim = [values.min() - 10 * prominence]
        want, _ = find_peaks(np.concatenate([rim, values, rim]), prominence=prominence, plateau_size=1)
        assert _peaks(values, prominence) == [int(k) - 1 for k in want]
