"""A mesh to draw, the same for all tests of the room."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def blob():
    """A bumpy closed ball of 2,000 faces before a level camera, posed twice: vertices, faces, K, size."""
    rng = np.random.default_rng(0)
    rows, columns = 25, 40
    u, v = np.meshgrid(
        np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, columns, endpoint=False), indexing="ij"
    )
    ball = np.stack([np.sin(u) * np.cos(v), np.cos(u), np.sin(u) * np.sin(v)], -1).reshape(-1, 3)
    ball *= rng.uniform(0.7, 1.3, (len(ball), 1))
    idx = np.arange((rows + 1) * columns).reshape(rows + 1, columns)
    a, b = idx[:-1], np.roll(idx[:-1], -1, 1)
    c, d = idx[1:], np.roll(idx[1:], -1, 1)
    faces = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    vertices = np.stack([ball + np.array([0.1, 0.2, 4]), ball * (1, -1, 0.5) + (2, -0.5, 3)]).astype(np.float32)
    return vertices, faces.astype(np.int32), np.array([[60.0, 0, 32], [0, 66.0, 24], [0, 0, 1]]), (48, 64)
