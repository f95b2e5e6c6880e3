"""Pictures seen by another camera: resampled by a homography, and by small local shifts before it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.geometry import project
from engine.layers.membrane import above
from engine.types import Size

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1, pixels."""
_GRID = 8
"""Pixels per node of a warp that is interpolated between nodes."""


def warp_picture(
    rgb: NDArray, label: NDArray, matrix: NDArray, size: Size, kernel: int = cv2.INTER_LANCZOS4
) -> tuple[NDArray, NDArray]:
    """Resample a picture and its labels.

    Args:
        rgb: (H, W, 3) uint8.
        label: (H, W) uint8; 0 is "nothing here".
        matrix: (3, 3): from pixels of the result to pixels of `rgb`.
        size: of the result.
        kernel: OpenCV's, for `rgb`.

    Returns:
        rgb (h, w, 3) uint8; label (h, w) uint8, 0 where any pixel that was mixed in is outside or
        0. A matrix that is a whole-pixel shift copies bytes.
    """
    matrix = matrix / matrix[2, 2]
    shift = matrix[:2, 2].round().astype(int)
    apart = np.abs(matrix - [[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
    if (apart <= [[1e-5, 1e-12, 5e-3], [1e-12, 1e-5, 5e-3], [1e-12, 1e-12, 0]]).all():
        return _crop(rgb, shift, size), _crop(label, shift, size)
    flags, inverse = size[::-1], to_cv(matrix)
    # The scene of a moving camera is resampled twice: 38.0 dB, where bicubic gives 36.9 (drawn clip, held by hand).
    moved = cv2.warpPerspective(
        rgb, inverse, flags, flags=kernel | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    nearest = cv2.warpPerspective(label, inverse, flags, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    full = above(label, 0)
    whole = cv2.warpPerspective(full, inverse, flags, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return moved, cv2.bitwise_and(nearest, above(whole, 249))


def warp_flow(
    rgb: NDArray, label: NDArray, matrix: NDArray, flow: NDArray, box: Box, size: Size
) -> tuple[NDArray, NDArray]:
    """Like `warp_picture`, with a local shift added before the matrix.

    Args:
        rgb, label, matrix: as in `warp_picture`.
        flow: (h', w', 2) float32, spread over a result of `size`, pixels of the result.
        box: x0, y0, x1, y1: the part of the result to make.
        size: of the whole result.
    """
    x0, y0, x1, y1 = box
    cols, rows = -(-(x1 - x0) // _GRID) + 2, -(-(y1 - y0) // _GRID) + 2
    x, y = np.meshgrid(x0 + (np.arange(cols) - 0.5) * _GRID, y0 + (np.arange(rows) - 0.5) * _GRID)
    at_x, at_y = x * flow.shape[1] / size[1] - 0.5, y * flow.shape[0] / size[0] - 0.5
    shift = cv2.remap(
        flow, at_x.astype(np.float32), at_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    nodes = np.stack([x, y], 2) + shift
    nodes = cv2.perspectiveTransform(nodes.reshape(-1, 1, 2), matrix).reshape(rows, cols, 2).astype(np.float32) - 0.5
    maps = cv2.resize(nodes, (cols * _GRID, rows * _GRID), interpolation=cv2.INTER_LINEAR)
    maps = maps[_GRID : _GRID + y1 - y0, _GRID : _GRID + x1 - x0]
    return _sample(rgb, label, maps, cv2.INTER_CUBIC)


def warp_back(rgb: NDArray, label: NDArray, matrix: NDArray, shift: NDArray, size: Size) -> tuple[NDArray, NDArray]:
    """Like `warp_picture`, for a picture whose pixels are shifted: the inverse of `warp_flow`.

    Args:
        rgb, label, matrix: as in `warp_picture`.
        shift: (h', w', 2) float32, spread over `rgb`, its pixels: to be added before the inverse of the matrix.
        size: of the result.
    """
    cols, rows = -(-size[1] // _GRID) + 2, -(-size[0] // _GRID) + 2
    x, y = np.meshgrid((np.arange(cols) - 0.5) * _GRID, (np.arange(rows) - 0.5) * _GRID)
    aim = cv2.perspectiveTransform(np.stack([x, y], 2).reshape(-1, 1, 2), matrix).reshape(rows, cols, 2)
    aim = aim.astype(np.float32)
    scale = np.array([shift.shape[1] / rgb.shape[1], shift.shape[0] / rgb.shape[0]], np.float32)
    nodes = aim
    for _ in range(2):  # q = p + shift(p), solved for p
        at = nodes * scale - np.float32(0.5)
        nodes = aim - cv2.remap(shift, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    maps = cv2.resize(nodes - np.float32(0.5), (cols * _GRID, rows * _GRID), interpolation=cv2.INTER_LINEAR)
    return _sample(rgb, label, maps[_GRID : _GRID + size[0], _GRID : _GRID + size[1]], cv2.INTER_LANCZOS4)


def _sample(rgb: NDArray, label: NDArray, maps: NDArray, kernel: int) -> tuple[NDArray, NDArray]:
    moved = cv2.remap(rgb, maps, None, kernel, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    full = above(label, 0)
    whole = cv2.remap(full, maps, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    nearest = cv2.remap(label, maps, None, cv2.INTER_NEAREST)  # type: ignore[call-overload]
    return moved, cv2.bitwise_and(nearest, above(whole, 249))


def _crop(picture: NDArray, shift: NDArray, size: Size) -> NDArray:
    """Cut (size) at x, y = shift; outside the picture everything is 0. Not to be written to."""
    x, y = int(shift[0]), int(shift[1])
    if x >= 0 and y >= 0 and x + size[1] <= picture.shape[1] and y + size[0] <= picture.shape[0]:
        return picture[y : y + size[0], x : x + size[1]]
    result = np.zeros((*size, *picture.shape[2:]), picture.dtype)
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = min(picture.shape[1], x + size[1]), min(picture.shape[0], y + size[0])
    if x1 > x0 and y1 > y0:
        result[y0 - y : y1 - y, x0 - x : x1 - x] = picture[y0:y1, x0:x1]
    return result


def warp_points(matrix: NDArray, points: NDArray) -> NDArray:
    """Move points (N, 2) by a homography (3, 3) to where they lie in the other picture, (N, 2); there may be none."""
    return project(matrix, np.pad(points, ((0, 0), (0, 1)), constant_values=1))


def to_cv(matrix: NDArray) -> NDArray:
    """From pixel centres at + 0.5 to cv2's, which are whole numbers."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    return np.linalg.inv(half) @ matrix @ half
