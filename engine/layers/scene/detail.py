"""Detail finer than one frame's pixels: many frames, each a little shifted, show it together."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import above
from engine.layers.scene.warp import Box, warp_picture

FINER = 2
"""Nodes of the detail per pixel of the mosaic; with 3, most nodes are hit by too few pixels (46 and 44 dB)."""
_GRID = 8
"""Pixels per node of a warp that is interpolated between nodes."""
_TOLERANCE = 24
"""Levels from the mosaic up to which a pixel shows the same thing."""
_BAND_NODES = 1_000_000
"""Nodes worked on at once: 40 MB of sums."""
_AROUND = 17
"""Nodes across a neighbourhood in which it is measured how well frames agree."""


Sample = tuple[NDArray, NDArray, NDArray]
"""A frame (H, W, 3) uint8; what is visible in it, (H, W) uint8, 0 or 255; (3, 3) from pixels of the mosaic to its."""


def find_detail(samples: Sequence[Sample], rgb: NDArray, wanted: NDArray) -> dict[str, Any]:
    """Find what the frames show beyond their mean.

    The mosaic is shown to every frame's camera; what the frame has beside it is laid down where its pixels lie, on a
    grid twice as fine, and kept to the extent that the frames agree on it.

    Args:
        samples: what the mosaic was made from.
        rgb: (h, w, 3) uint8, the mosaic.
        wanted: (h, w) uint8, above 0 where detail is wanted.

    Returns:
        detail: (2 h, 2 w, 3) int8, levels to be added to the enlarged mosaic; corner: x and y of its top-left corner,
        pixels of the mosaic. Empty where none is wanted.

    Source: iterative back-projection, Irani and Peleg 1991, one step of it; the shares kept are James and Stein's.
    """
    x0, y0, width, height = cv2.boundingRect(wanted)
    if width == 0:
        return {}
    rows = max(_AROUND, _BAND_NODES // (FINER * FINER * width))
    bands = [(x0, y, x0 + width, min(y + rows, y0 + height)) for y in range(y0, y0 + height, rows)]
    levels = np.vstack([_find_in_band(samples, rgb, wanted, band) for band in bands])
    return {"detail": levels, "corner": (x0, y0)}


def enlarge_mosaic(rgb: NDArray, detail: NDArray, corner: tuple[int, int]) -> NDArray:
    """A part of a mosaic, twice as large, with its detail; see `find_detail`."""
    height, width = detail.shape[:2]
    to_mosaic = np.array([[1 / FINER, 0, corner[0]], [0, 1 / FINER, corner[1]], [0, 0, 1]])
    large = warp_picture(rgb, rgb[..., 0], to_mosaic, (height, width))[0]
    return cv2.add(large, detail, dtype=cv2.CV_8U)


def _find_in_band(samples: Sequence[Sample], rgb: NDArray, wanted: NDArray, band: Box) -> NDArray:
    x0, y0, x1, y1 = band
    nodes = FINER * (y1 - y0), FINER * (x1 - x0)
    count, square = np.zeros(nodes[0] * nodes[1]), np.zeros(nodes[0] * nodes[1])
    total = np.zeros((3, nodes[0] * nodes[1]))
    for frame, visible, matrix in samples:
        part = _frame_part(matrix, band, frame.shape)
        if part is None:
            continue
        maps = _to_mosaic(part, matrix)
        shown = cv2.remap(rgb, maps, None, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        asked = cv2.remap(wanted, maps, None, cv2.INTER_NEAREST)  # type: ignore[call-overload]
        near = cv2.inRange(cv2.absdiff(frame[part], shown), (0, 0, 0), (_TOLERANCE,) * 3)
        at = np.flatnonzero(cv2.bitwise_and(cv2.bitwise_and(near, visible[part]), above(asked, 0)))
        x, y = np.floor(FINER * (np.take(maps.reshape(-1, 2), at, axis=0) + 0.5 - (x0, y0))).astype(np.int64).T
        inside = (x >= 0) & (x < nodes[1]) & (y >= 0) & (y < nodes[0])
        at, node = at[inside], (y * nodes[1] + x)[inside]
        more = np.take(cv2.subtract(frame[part], shown, dtype=cv2.CV_32F).reshape(-1, 3), at, axis=0)
        count += np.bincount(node, minlength=len(count))
        square += np.bincount(node, more.sum(1) ** 2, minlength=len(count))
        for channel in range(3):
            total[channel] += np.bincount(node, more[:, channel], minlength=len(count))
    share = _share(count.reshape(nodes), total.sum(0).reshape(nodes), square.reshape(nodes))
    levels = np.stack([each.reshape(nodes) * share for each in total], 2)
    return np.clip(levels.round(), -127, 127).astype(np.int8)


def _frame_part(matrix: NDArray, box: Box, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """The part of a frame that shows a box of the mosaic; None where there is none."""
    x0, y0, x1, y1 = box
    square = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
    corners = cv2.perspectiveTransform(square[:, None], matrix)[:, 0]
    left, top = (int(max(0, value)) for value in np.floor(corners.min(0) - 8))
    right, bottom = (int(min(most, value)) for value, most in zip(np.ceil(corners.max(0) + 8), shape[1::-1]))
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _to_mosaic(part: tuple[slice, slice], matrix: NDArray) -> NDArray:
    """(h, w, 2) float32: where the mosaic has the pixels of a part of a frame, as cv2 counts (centres are whole)."""
    rows, cols = part
    height, width = rows.stop - rows.start, cols.stop - cols.start
    across, down = -(-width // _GRID) + 2, -(-height // _GRID) + 2
    x, y = np.meshgrid(cols.start + (np.arange(across) - 0.5) * _GRID, rows.start + (np.arange(down) - 0.5) * _GRID)
    nodes = cv2.perspectiveTransform(np.stack([x, y], 2).reshape(-1, 1, 2), np.linalg.inv(matrix))
    nodes = nodes.reshape(down, across, 2).astype(np.float32)
    maps = cv2.resize(nodes - np.float32(0.5), (across * _GRID, down * _GRID), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(maps[_GRID : _GRID + height, _GRID : _GRID + width])


def _share(count: NDArray, total: NDArray, square: NDArray) -> NDArray:
    """(h, w): what a node's sum is to be multiplied by: one by the number of pixels and of those that noise is worth.

    Pixels of one node differ by noise and by what is not well aligned; nodes differ by that and by detail.
    """
    number = np.maximum(count, 1)
    within, between = square - total**2 / number, total**2 / number
    some, degrees, within, between, pixels = (
        cv2.blur(each.astype(np.float32), (_AROUND, _AROUND))
        for each in (count > 0, np.maximum(count - 1, 0), within, between, count)
    )
    noise = within / np.maximum(degrees, 1e-3)
    detail = np.maximum(between - some * noise, 0) / np.maximum(pixels, 1e-3)
    return 1 / np.maximum(count + np.minimum(noise / np.maximum(detail, 1e-3), 1e6), 1e-3)
