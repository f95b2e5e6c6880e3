"""The network's start: what the vertex codes say before anything is learned."""

import numpy as np
import pytest

from engine.body.model import load_body
from engine.training.composer import first_codes


@pytest.mark.parametrize("channels", [4, 10, 16])
def test_codes_of_neighbours_are_alike_and_those_of_far_places_are_not(channels):
    body = load_body()
    codes = first_codes(body.vertices, channels).numpy()
    assert codes.shape == (len(body.vertices), channels) and np.abs(codes).max() <= 1
    edges = body.faces[:, :2]
    near = np.linalg.norm(codes[edges[:, 0]] - codes[edges[:, 1]], axis=1)
    rng = np.random.default_rng(0)
    far = np.linalg.norm(codes[rng.permutation(len(codes))] - codes, axis=1)
    # an edge is 1 to 2 cm of a body that is 1.7 m high, and 0.3 m deep: up to a tenth of the way
    assert np.median(near) < 0.1 * np.median(far) and np.quantile(near, 0.95) < 0.33 * np.median(far)
    unlike = np.unique(codes.round(5), axis=0)
    assert len(unlike) > 0.99 * len(codes)  # nearly every place has a code of its own
