"""Grain: the source's noise on a character that has none of its own, and on a scene that is the mean of many frames."""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo
from engine.video.color import code_values, plane_layout

_TILE_PX = 256
"""Side of the square of noise that is laid side by side, each frame from another corner of it."""


class Grain:
    """Noise of one strength; the same bytes for the same frame, in whatever order frames are asked for.

    It is laid on when layers are put together: in the layers it would be in the way of whoever paints on them, and cost
    more than what they show (FFV1 of a character at 720p: 29 ms a frame with grain of 1.8 levels, 10 without).
    """

    def __init__(self, sigma: float) -> None:
        """Draw the noise.

        Args:
            sigma: standard deviation, levels of 0 ... 255; 0 changes nothing.
        """
        self.sigma = sigma
        self._noise = np.random.default_rng(0).normal(0, sigma, (_TILE_PX, _TILE_PX))
        self._tile = np.rint(self._noise).astype(np.int16)
        clear = np.zeros_like(self._tile)
        self._more, self._less = (
            np.stack([np.clip(part, 0, 255)] * 3 + [clear], -1).astype(np.uint8) for part in (self._tile, -self._tile)
        )

    def lay_on(self, rgba: NDArray, frame_idx: int) -> NDArray:
        """Add the noise of one frame to a picture.

        Args:
            rgba: (h, w, 4) uint8 premultiplied.
            frame_idx: which frame.

        Returns:
            (h, w, 4) uint8 premultiplied; the same array when there is nothing to do.
        """
        if self.sigma <= 0 or rgba.size == 0:
            return rgba
        x, y, width, height = cv2.boundingRect(cv2.extractChannel(rgba, 3))
        if not width:
            return rgba
        result, window = rgba.copy(), np.s_[y : y + height, x : x + width]
        top, left = np.random.default_rng(frame_idx).integers(0, _TILE_PX, 2).tolist()
        self._lay_on(rgba[window], ((top + y) % _TILE_PX, (left + x) % _TILE_PX), result[window])
        return result

    def lay_on_planes(self, planes: list[NDArray], frame_idx: int, info: ClipInfo) -> list[NDArray]:
        """Add the noise of one frame to a layer as it is stored.

        Args:
            planes: straight planes in `info.pix_fmt`, then alpha (H, W) uint8; not written to.
            frame_idx: which frame.
            info: pixel format, matrix and range.

        Returns:
            The same, with noise where alpha is above 0.
        """
        x, y, width, height = cv2.boundingRect(planes[-1])
        if self.sigma <= 0 or not width:
            return planes
        window, result = np.s_[y : y + height, x : x + width], list(planes)
        top, left = np.random.default_rng([frame_idx, 1]).integers(0, _TILE_PX, 2).tolist()
        rows, columns = (np.arange(start, start + num) % _TILE_PX for start, num in ((top, height), (left, width)))
        noise, (matrix, _) = self._noise[rows[:, None], columns], code_values(info)
        for idx, gain in enumerate(matrix.sum(1).round(9)):
            if gain:  # grey changes no chroma
                own = np.rint(noise * gain).astype(np.int16)
                result[idx] = planes[idx].copy()
                result[idx][window] = _sum(planes[idx][window], own, info)
        return result

    def _lay_on(self, rgba: NDArray, corner: tuple[int, int], result: NDArray) -> None:
        """Write a picture with noise into `result`; its corner is there in the tile."""
        (top, left), alpha = corner, cv2.extractChannel(rgba, 3)
        for rows, tile_rows in _wrap(rgba.shape[0], top):
            for columns, tile_columns in _wrap(rgba.shape[1], left):
                tile, out = (tile_rows, tile_columns), result[rows, columns]
                cv2.subtract(cv2.add(rgba[rows, columns], self._more[tile]), self._less[tile], dst=out)
        cv2.min(result, cv2.merge([alpha] * 4), dst=result)
        row, column = np.divmod(np.flatnonzero(cv2.inRange(alpha, 1, 254)), alpha.shape[1])
        edge = rgba[row, column].astype(np.int32)
        noise = self._tile[(row + top) % _TILE_PX, (column + left) % _TILE_PX] * edge[:, 3] // 255
        result[row, column, :3] = np.clip(edge[:, :3] + noise[:, None], 0, edge[:, 3:])


def _sum(plane: NDArray, noise: NDArray, info: ClipInfo) -> NDArray:
    """A plane (h, w) with int16 noise, within the range of its samples."""
    layout = plane_layout(info.pix_fmt)
    assert layout is not None, info.pix_fmt
    if layout.bits == 8:
        return cv2.add(plane, noise, dtype=cv2.CV_8U)
    return np.minimum(cv2.add(plane, noise, dtype=cv2.CV_16U), np.uint16((1 << layout.bits) - 1))


def _wrap(length: int, offset: int) -> list[tuple[slice, slice]]:
    """Stretches of a line, and what each shows of the tiles along it when the first begins at `offset`."""
    cuts = [0, *range(_TILE_PX - offset, length, _TILE_PX), length]
    return [(slice(a, b), slice((a + offset) % _TILE_PX, (a + offset) % _TILE_PX + b - a)) for a, b in pairwise(cuts)]
