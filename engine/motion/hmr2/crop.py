"""From a box around a person to what the network looks at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CROP = 256
"""Side of the square crop, pixels."""
MARGIN = 32
"""Columns of it that the network does not look at, left and right."""
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_STEPS = 32
"""Source coordinates are whole multiples of 1/32 pixel, as the release's OpenCV rounds them."""
_SHARP = 1.1
"""A picture shrunk by more than this, beyond half, is blurred first."""


@dataclass(frozen=True)
class Square:
    """What part of a picture is looked at."""

    center_px: NDArray
    """(2,) float64: x, y; the centre of the top-left pixel is (0, 0) here, as the network was trained."""
    side_px: float
    """Height; the width is as many pixels, or fewer where pixels are wider than high."""


def square_around(box_px: NDArray, *, pixel_aspect: float = 1.0) -> Square:
    """The square around a box: the box widened to 3:4, of which the longer side counts.

    Args:
        box_px: (4,) x0, y0, x1, y1, pixels.
        pixel_aspect: width of a pixel over its height.

    Returns:
        The square, no margin added.
    """
    x0, y0, x1, y1 = np.asarray(box_px, np.float64)
    return Square(np.array([(x0 + x1) / 2, (y0 + y1) / 2]), float(max(y1 - y0, 4 / 3 * (x1 - x0) * pixel_aspect)))


def take_crop(rgb: NDArray, square: Square, *, pixel_aspect: float = 1.0) -> NDArray:
    """Sample the crop, black outside of the picture.

    Args:
        rgb: (H, W, 3) uint8.
        square: where; may lie outside.
        pixel_aspect: width of a pixel over its height.

    Returns:
        (256, 256, 3), 0 ... 255: uint8, or float64 where a large picture was blurred first.
    """
    step = square.side_px / CROP
    xs = _coordinates(square.center_px[0], step / pixel_aspect)
    ys = _coordinates(square.center_px[1], step)
    sigma = (square.side_px / (2 * CROP) - 1) / 2
    if square.side_px / (2 * CROP) <= _SHARP:
        return np.floor(_sample(rgb, xs, ys) + 0.5).astype(np.uint8)
    return _sample(*_blurred(rgb, xs, ys, sigma))


def normalise(crop: NDArray) -> NDArray:
    """Values as the network expects them: (256, 256, 3), 0 ... 255, to (3, 256, 256) float32."""
    return np.ascontiguousarray(((crop - 255 * _MEAN) / (255 * _STD)).astype(np.float32).transpose(2, 0, 1))


def _coordinates(center: float, step: float) -> NDArray:
    """(256,) float64: where along one axis of the picture the pixels of the crop lie."""
    return np.floor(_STEPS * (center + (np.arange(CROP) - CROP / 2) * step) + 0.5) / _STEPS


def _blurred(rgb: NDArray, xs: NDArray, ys: NDArray, sigma: float) -> tuple[NDArray, NDArray, NDArray]:
    """The part of a blurred picture that is sampled, and the coordinates in it."""
    from scipy.ndimage import gaussian_filter

    reach = int(4 * sigma + 0.5) + 1
    bounds = []
    for coordinates, size in ((ys, rgb.shape[0]), (xs, rgb.shape[1])):
        first = int(np.clip(np.floor(coordinates[0]) - reach, 0, size))
        bounds.append((first, int(np.clip(np.floor(coordinates[-1]) + 2 + reach, first, size))))
    (top, bottom), (left, right) = bounds
    if top == bottom or left == right:
        return np.zeros((1, 1, 3)), xs + rgb.shape[1] + CROP, ys + rgb.shape[0] + CROP
    part = rgb[top:bottom, left:right].astype(np.float64)
    return gaussian_filter(part, (sigma, sigma, 0), mode="nearest", truncate=4), xs - left, ys - top


def _sample(picture: NDArray, xs: NDArray, ys: NDArray) -> NDArray:
    """Bilinear on a grid, each tap outside counting as black: (len(ys), len(xs), 3) float64."""
    rows = _taps(picture, ys)
    return _taps(rows.transpose(1, 0, 2), xs).transpose(1, 0, 2)


def _taps(picture: NDArray, coordinates: NDArray) -> NDArray:
    """Linear interpolation along the first axis."""
    first = np.floor(coordinates).astype(np.int64)
    share = coordinates - first
    mixed = np.zeros((len(coordinates), *picture.shape[1:]))
    for tap, weight in ((first, 1 - share), (first + 1, share)):
        inside = (tap >= 0) & (tap < len(picture))
        mixed[inside] += weight[inside, None, None] * picture[tap[inside]]
    return mixed
