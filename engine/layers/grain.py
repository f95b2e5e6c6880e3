"""Grain, as film and compressed video have it."""

import threading

import cv2
import numpy as np
from numpy.typing import NDArray

_TILE = 512


class Grain:
    """What makes a filled-in place look like the film around it; may be used by several threads."""

    def __init__(self, seed: int) -> None:
        """Draw one tile, of unit variance, a little soft, as compressed video has it."""
        tile = np.random.default_rng([seed, 0x5CE4E]).standard_normal((_TILE, _TILE)).astype(np.float32)
        tile = cv2.GaussianBlur(tile, (0, 0), 0.6)
        self._tile, self._lock = tile / tile.std(), threading.Lock()
        self._amount, self._colour = 0.0, np.zeros((_TILE, _TILE, 3), np.float32)

    def add(self, picture: NDArray, idx: int, amount: float) -> None:
        """Add grain to a picture of a frame.

        Args:
            picture: (h, w, 3) float32, levels; changed.
            idx: the frame's number: where the first tile begins depends on nothing else.
            amount: standard deviation, levels.
        """
        with self._lock:
            if amount != self._amount:
                tile = cv2.multiply(self._tile, amount)  # type: ignore[call-overload]
                self._amount, self._colour = amount, cv2.cvtColor(tile, cv2.COLOR_GRAY2RGB)
            colour = self._colour
        dy, dx = np.random.default_rng([idx, 0x6247]).integers(0, _TILE, 2).tolist()
        for top in range(-dy, picture.shape[0], _TILE):
            for left in range(-dx, picture.shape[1], _TILE):
                y, x = max(0, top), max(0, left)
                part = picture[y : top + _TILE, x : left + _TILE]
                grain = colour[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]]
                cv2.add(part, grain, dst=part)
