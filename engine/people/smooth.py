"""Gaussian smoothing over time; scipy has it too, and takes as long to import as ten seconds of video to smooth."""

import cv2
import numpy as np
from numpy.typing import NDArray


def smooth_in_time(values: NDArray, sigma: float, border: int = cv2.BORDER_REFLECT) -> NDArray:
    """Smooth along the first axis.

    Args:
        values: (T, ...) float64.
        sigma: standard deviation, frames; the kernel ends at four of them.
        border: OpenCV's, what stands before the first and behind the last frame.

    Returns:
        Like `values`.
    """
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    flat = np.ascontiguousarray(values.reshape(len(values), -1))
    smooth = cv2.sepFilter2D(flat, cv2.CV_64F, np.ones(1), kernel / kernel.sum(), borderType=border)
    return smooth.reshape(values.shape)
