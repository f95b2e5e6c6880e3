"""The turned square around a person that the landmark network looks at, and the way there and back."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import Size

SCALE = 1.25
"""How much wider than the person the square is; the margin the network was trained with."""


@dataclass(frozen=True)
class Roi:
    """A square in the image, turned so that the person in it stands upright."""

    center_x: float
    center_y: float
    side: float
    """Pixels."""
    turn: float
    """Radians; 0 for an upright person, positive where they lean clockwise."""

    def as_array(self) -> NDArray:
        """(4,) float64: center_x, center_y, side, turn."""
        return np.array([self.center_x, self.center_y, self.side, self.turn], np.float64)

    @classmethod
    def from_array(cls, values: NDArray) -> "Roi":
        """The inverse of `as_array`."""
        return cls(*(float(value) for value in values))

    @classmethod
    def from_points(cls, center: NDArray, above: NDArray) -> "Roi":
        """The square from the two alignment points that both networks give.

        Args:
            center: (2,) pixels, the middle of the hips.
            above: (2,) pixels; its distance is the radius of the person, its direction the person's up.
        """
        offset = np.asarray(above, np.float64) - center
        radius = float(np.hypot(*offset))
        turn = np.pi / 2 - np.arctan2(-offset[1], offset[0])
        turn -= 2 * np.pi * np.floor((turn + np.pi) / (2 * np.pi))
        return cls(float(center[0]), float(center[1]), 2 * radius * SCALE, float(turn))

    def to_image(self, num_px: int) -> NDArray:
        """(2, 3) float64: takes a point of the crop (0 ... num_px, pixel centres at +0.5) to the image."""
        cos, sin = np.cos(self.turn) * self.side / num_px, np.sin(self.turn) * self.side / num_px
        half = num_px / 2
        return np.array(
            [
                [cos, -sin, self.center_x - cos * half + sin * half],
                [sin, cos, self.center_y - sin * half - cos * half],
            ]
        )

    def crop(self, image: NDArray, num_px: int) -> NDArray:
        """Cut the square out of an image; outside of it the border goes on (as the network was trained).

        Args:
            image: (H, W, C) uint8.
            num_px: side of the result, pixels.
        """
        return cv2.warpAffine(
            image,
            at_indices(self.to_image(num_px)),
            (num_px, num_px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def paste(self, crop: NDArray, size: Size, *, x0: int = 0, y0: int = 0) -> NDArray:
        """Warp a crop back into (part of) the image; 0 outside of the square.

        Args:
            crop: (num_px, num_px) uint8 or float32.
            size: (height, width) of the result.
            x0: left edge of the result in the image, pixels.
            y0: top edge of the result in the image, pixels.
        """
        to_image = self.to_image(len(crop)) - np.array([[0, 0, x0], [0, 0, y0]])
        return cv2.warpAffine(crop, at_indices(to_image), size[::-1], flags=cv2.INTER_LINEAR)


def at_indices(affine: NDArray) -> NDArray:
    """The same affine map for OpenCV, where the centre of the first pixel is (0, 0) instead of (0.5, 0.5)."""
    shifted = affine.copy()
    shifted[:, 2] += affine[:, :2] @ (0.5, 0.5) - 0.5
    return shifted
