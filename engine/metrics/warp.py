"""Flow-warp error: how much of a picture changes from frame to frame that motion does not explain."""

import cv2
import numpy as np
from numpy.typing import NDArray


class WarpError:
    """Follows a clip frame by frame; holds two pictures of each clip.

    Source: Lai et al. 2018, "Learning blind video temporal consistency": squared difference between a frame and the one
        before it, warped; pixels that come into sight are left out by the consistency check of Ruder et al. 2016. They
        take FlowNet 2.0's flow, we DIS (Kroeger et al. 2016), so values are not those of their tables.
    """

    def __init__(self) -> None:
        self._last: tuple[NDArray, NDArray] | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def add(self, got: NDArray, moves: NDArray, mask: NDArray | None = None) -> float:
        """Compare a frame with the one before.

        Args:
            got: (H, W, 3) uint8, the frame that is measured; both sides at least 16.
            moves: (H, W, 3) uint8, the frame whose motion is right: the true one, or `got`.
            mask: (H, W) bool: the pixels that count; None: all.

        Returns:
            Mean of the squared difference over pixels and channels, levels 0 ... 1; NaN in the first frame, and where
            no pixel counts.
        """
        gray = cv2.cvtColor(moves, cv2.COLOR_RGB2GRAY)
        last, self._last = self._last, (got, gray)
        if last is None:
            return float("nan")
        before, gray_before = last
        back = self._flow.calc(gray, gray_before, np.zeros((*gray.shape, 2), np.float32))
        forth = self._flow.calc(gray_before, gray, np.zeros((*gray.shape, 2), np.float32))
        counted = _explained(back, forth)
        if mask is not None:
            counted &= mask
        if not counted.any():
            return float("nan")
        difference = (got.astype(np.float64) - _warped(before.astype(np.float32), back)) / 255
        return float(np.square(difference)[counted].mean())


def _explained(back: NDArray, forth: NDArray) -> NDArray:
    """(H, W) bool: pixels that come from somewhere in the frame before, and go back there by its own flow."""
    height, width = back.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    from_x, from_y = x + back[..., 0], y + back[..., 1]
    inside = (from_x >= 0) & (from_x <= width - 1) & (from_y >= 0) & (from_y <= height - 1)
    there = _warped(forth, back)
    lengths = np.square(back).sum(-1) + np.square(there).sum(-1)
    return inside & (np.square(back + there).sum(-1) <= 0.01 * lengths + 0.5)


def _warped(values: NDArray, flow: NDArray) -> NDArray:
    height, width = flow.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32) + flow
    return cv2.remap(values, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
