"""How light falls off across a picture: lenses are darker in the corners, and a pan takes the place through that."""

import numpy as np
from numpy.typing import NDArray

_MOST = 0.3
"""Lenses and skies take at most this share of the light within the surroundings of a person."""
_LEAST = 0.01
"""What falls off less is not corrected."""
_SAMPLES = 800
_ENOUGH = 100
"""Fewer pixels than this say nothing."""
_ROUNDS = 3
_LEVELS = 3 * 24.0
"""Sums of three channels below this are too dark to compare."""


def fit_falloff(frame: NDArray, scene: NDArray, seen: NDArray) -> tuple[NDArray | None, float]:
    """Fit a plane to how much brighter a frame is than the place.

    Args:
        frame: (h, w, 3) uint8; shrunk, as all pictures here are.
        scene: (h, w, 3) float32, levels: the plate, matched to the frame by `fit_exposure`.
        seen: (h, w) bool: the frame shows the place there, and the plate knows it.

    Returns:
        (h, w, 1) float32: brightness of the frame over that of the place, less 1; None where the light is even. A
        shadow, and whatever else is not spread over the picture, has no say in it. And how far single pixels typically
        are off that, 0 ... 1.

    Source: least squares, reweighted by Geman-McClure's function.
    """
    height, width = seen.shape
    at = np.flatnonzero(seen)
    at = at[:: max(1, len(at) // _SAMPLES)]
    ones = np.ones(3, np.float32)
    bright, lit = (np.take(picture.reshape(-1, 3), at, axis=0) @ ones for picture in (frame, scene))
    usable = (lit > _LEVELS) & (bright > _LEVELS)
    if usable.sum() < _ENOUGH:
        return None, 0.0
    at, ratio = at[usable], bright[usable] / lit[usable] - 1
    rows, cols = np.divmod(at, width)
    terms = np.stack([np.ones(len(at)), cols / width - 0.5, rows / height - 0.5], 1).astype(np.float32)
    plane = np.array([np.median(ratio), 0, 0], np.float32)
    for _ in range(_ROUNDS):
        off = ratio - terms @ plane
        limit = 1e-3 + 1.5 * float(np.median(np.abs(off)))
        weight = np.square(limit**2 / (off**2 + limit**2))[:, None]
        plane = np.linalg.solve(terms.T @ (weight * terms) + 1e-3 * np.eye(3), (terms * weight).T @ ratio)
    unrest = float(np.median(np.abs(ratio - terms @ plane)))
    if abs(plane[0]) + (abs(plane[1]) + abs(plane[2])) / 2 < _LEAST:  # in no corner as much
        return None, unrest
    cols, rows = np.arange(width) / width - 0.5, np.arange(height)[:, None] / height - 0.5
    across = plane[0] + plane[1] * cols + plane[2] * rows
    return np.clip(across, -_MOST, _MOST).astype(np.float32)[..., None], unrest
