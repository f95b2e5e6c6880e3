"""Textures of a puppet at the size they will have on screen."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import Puppet

_STEPS_PER_OCTAVE = 2


class Textures:
    """Front and fill of a puppet, made smaller as needed, each once.

    Both are uint8 RGB and, in the front, 255 where the drawing has its own outline (0 in the fill). The front is
    (h, w, 4), the fill (h, 2 w, 4): the sides, and on their right the back.

    Args:
        puppet: the character.
        colour_matrix: (3, 3), the light on every colour.
    """

    def __init__(self, puppet: Puppet, colour_matrix: NDArray | None = None) -> None:
        alpha = puppet.front_rgba[..., 3]
        rim = np.zeros_like(alpha)
        if puppet.stroke_rgb is not None:
            inside = cv2.copyMakeBorder((alpha > 127).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
            rim = np.where(distance < 1.6 * puppet.stroke_px + 2, 255, 0).astype(np.uint8)
        light, none = np.eye(3) if colour_matrix is None else colour_matrix, np.zeros_like(rim)
        self._front, self._sides, self._back = (
            np.dstack([cv2.transform(rgba[..., :3], light), rim if rgba is puppet.front_rgba else none])
            for rgba in (puppet.front_rgba, puppet.fill_rgba, puppet.back_rgba)
        )
        self._levels: dict[int, tuple[NDArray, NDArray]] = {}
        span = np.ptp(puppet.uv, axis=0) * (alpha.shape[1], alpha.shape[0])
        self.texels_per_height = float(span[1] / max(np.ptp(puppet.vertices[:, 1]), 1e-6))

    def at(self, pixels_per_height: float) -> tuple[NDArray, NDArray]:
        """Front and fill with at most 1.4 texels per pixel for a figure of this height on screen."""
        ratio = self.texels_per_height / max(pixels_per_height, 1.0)
        level = int(np.clip(np.floor(np.log2(max(ratio, 1.0)) * _STEPS_PER_OCTAVE), 0, 20))
        if level not in self._levels:
            scale = 2.0 ** (-level / _STEPS_PER_OCTAVE)
            front, sides, back = (_smaller(image, scale) for image in (self._front, self._sides, self._back))
            self._levels[level] = front, np.hstack([sides, back])
        return self._levels[level]


def _smaller(image: NDArray, scale: float) -> NDArray:
    if scale >= 1.0:
        return image
    size = (max(round(image.shape[1] * scale), 2), max(round(image.shape[0] * scale), 2))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
