"""How far pictures are from the true ones.

Shapes: H W picture, T frames. Everything is computed in float64: differences of uint8 that wrap around make a PSNR of
some toolkits 9 to 15 dB too good.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

SSIM_SIDE, SSIM_SIGMA_PX = 11, 1.5
_K1, _K2 = 0.01, 0.03


def psnr_db(got: NDArray, want: NDArray, mask: NDArray | None = None) -> float:
    """Peak signal-to-noise ratio over all channels, peak 255, decibels; infinite for equal pictures.

    Args:
        got, want: (H, W, C) or (T, H, W, C) uint8; frames are pooled into one mean square error.
        mask: (H, W) or (T, H, W) bool: the pixels that count; None: all.

    Returns:
        NaN where no pixel counts.
    """
    squares = np.square(got.astype(np.float64) - want.astype(np.float64))
    counted = squares if mask is None else squares[mask]
    if not counted.size:
        return float("nan")
    mean = float(counted.mean())
    return float("inf") if mean == 0 else 10 * float(np.log10(255.0**2 / mean))


def ssim_map(got: NDArray, want: NDArray) -> NDArray:
    """Structural similarity around every pixel, mean of the channels, -1 ... 1.

    Args:
        got, want: (H, W, C) uint8, both sides at least 11.

    Returns:
        (H - 10, W - 10) float64: windows that lie wholly in the picture; [i, j] is centred on pixel (i + 5, j + 5).

    Source: Wang et al. 2004: Gaussian window 11x11, sigma 1.5, K1 = 0.01, K2 = 0.03, no downsampling.
    """
    a, b = got.astype(np.float64), want.astype(np.float64)
    c1, c2 = (_K1 * 255) ** 2, (_K2 * 255) ** 2
    mean_a, mean_b = _blurred(a), _blurred(b)
    var_a, var_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    both = _blurred(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return likeness.mean(-1)


def ssim(got: NDArray, want: NDArray, mask: NDArray | None = None) -> float:
    """Mean of `ssim_map`, over the pixels of a mask (H, W) bool if one is given; NaN where none counts."""
    values = ssim_map(got, want)
    if mask is None:
        return float(values.mean())
    edge = SSIM_SIDE // 2
    counted = values[mask[edge:-edge, edge:-edge]]
    return float(counted.mean()) if counted.size else float("nan")


def flicker(got: NDArray, want: NDArray, mask: NDArray | None = None) -> float:
    """How much pictures change over time otherwise than they should, levels.

    Args:
        got, want: (T, H, W, C) uint8, T >= 2.
        mask: (T, H, W) bool: counted where both frames of a pair are in it; None: everywhere.

    Returns:
        Mean absolute difference of the changes from frame to frame; NaN where no pixel counts.
    """
    total, count = 0.0, 0
    for frame in range(1, len(got)):
        change = got[frame].astype(np.int32) - got[frame - 1].astype(np.int32)
        change -= want[frame].astype(np.int32) - want[frame - 1].astype(np.int32)
        counted = np.abs(change) if mask is None else np.abs(change)[mask[frame] & mask[frame - 1]]
        total, count = total + float(counted.sum()), count + counted.size
    return total / count if count else float("nan")


def seam_energy(got: NDArray, want: NDArray, edited: NDArray, width_px: int = 3) -> float:
    """Edges along the outline of an edit that the true picture has not, levels per pixel.

    Args:
        got, want: (H, W, C) uint8.
        edited: (H, W) bool: the region that was changed.
        width_px: how far from its outline pixels count, to either side.

    Returns:
        Mean, over the band, of how much the gradient of `got` exceeds that of `want` (0 where it does not); NaN where
        the region has no outline.
    """
    near = np.ones((2 * width_px + 1, 2 * width_px + 1), np.uint8)
    region = edited.astype(np.uint8)
    band = (cv2.dilate(region, near) > 0) & (cv2.erode(region, near, borderValue=1) == 0)
    if not band.any():
        return float("nan")
    excess = np.maximum(_gradient(got) - _gradient(want), 0)
    return float(excess[band].mean())


def _blurred(values: NDArray) -> NDArray:
    edge = SSIM_SIDE // 2
    full = cv2.GaussianBlur(values, (SSIM_SIDE, SSIM_SIDE), SSIM_SIGMA_PX)
    return full.reshape(values.shape)[edge:-edge, edge:-edge]


def _gradient(rgb: NDArray) -> NDArray:
    """(H, W) float64: length of the gradient by central differences, mean of the channels."""
    down, right = np.gradient(rgb.astype(np.float64), axis=(0, 1))
    return np.hypot(down, right).mean(-1)
