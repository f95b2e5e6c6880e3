"""Where a generated picture shows the figure: where it differs from the scene that it was to be put before.

The network paints the scene again, through a VAE that loses detail. Where it changed nothing the source's own pixels
are better, so only what differs is taken.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.diffusion.clips import Box
from engine.types import Size

NOTHING, FIGURE = 14.0, 40.0
"""Difference of the loudest channel, levels of 255: below, the scene; above, the figure; a ramp between."""
REACH = 0.18
"""How far from the driving body a figure may reach (hair, skirts, what it holds), share of the body's height."""
LEAST = 0.01
"""Share of the largest island below which an island is a speck."""


def figure_matte(generated: NDArray, scene: NDArray, body: NDArray, *, fill: bool = False) -> NDArray:
    """Cut the figure out of a generated picture.

    Args:
        generated: (H, W, 3) uint8.
        scene: (H, W, 3) uint8, what the network was shown as scene.
        body: (H, W) uint8, not 0 where the driving body is drawn.
        fill: close what the figure encloses, where the scene will not be the one that was shown.

    Returns:
        (H, W) uint8 alpha: 0 away from the body, 255 where the figure is.
    """
    ys = np.flatnonzero(body.any(axis=1))
    if len(ys) == 0:
        return np.zeros(body.shape, np.uint8)
    height = int(ys[-1] - ys[0] + 1)
    sigma = max(0.6, height / 400)
    differs = np.abs(_soft(generated, sigma) - _soft(scene, sigma)).max(axis=2)
    alpha = np.clip((differs - NOTHING) / (FIGURE - NOTHING), 0, 1) * _near(body, REACH * height)
    levels = np.rint(255 * alpha).astype(np.uint8)
    gap = max(3, height // 60) | 1
    levels = cv2.morphologyEx(levels, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap)))
    levels = _without_specks(np.asarray(levels))
    return _filled(levels) if fill else levels


def box_matte(box: Box, size: Size, *, fade: float = 1 / 12) -> NDArray:
    """The whole crop, its border faded where it is not the picture's own: what the published code shows.

    Args:
        box: the crop.
        size: (height, width) of the picture.
        fade: width of the border, share of the crop's shorter side.

    Returns:
        (h, w) uint8 alpha of the crop.
    """
    x0, x1, y0, y1 = box
    width_px = max(1.0, fade * min(x1 - x0, y1 - y0))
    across = _ramp(x1 - x0, width_px, x0 > 0, x1 < size[1])
    down = _ramp(y1 - y0, width_px, y0 > 0, y1 < size[0])
    return np.rint(255 * np.minimum(down[:, None], across[None])).astype(np.uint8)


def _ramp(length: int, width_px: float, at_start: bool, at_end: bool) -> NDArray:
    place = np.arange(length) + 0.5
    ramp = np.ones(length)
    if at_start:
        ramp = np.minimum(ramp, place / width_px)
    if at_end:
        ramp = np.minimum(ramp, (length - place) / width_px)
    return ramp


def _filled(alpha: NDArray) -> NDArray:
    """Close what cannot be reached from the border without crossing the figure."""
    outside = np.pad((alpha < 128).astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2)  # type: ignore[call-overload]
    return np.where(outside[1:-1, 1:-1] == 1, 255, alpha).astype(np.uint8)


def _soft(rgb: NDArray, sigma: float) -> NDArray:
    return cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), sigma)


def _near(body: NDArray, reach_px: float) -> NDArray:
    """1 on the body, falling to 0 over the last half of the reach: (H, W) float32."""
    away_px = cv2.distanceTransform((body == 0).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(2 * (1 - away_px / max(reach_px, 1)), 0, 1).astype(np.float32)


def _without_specks(alpha: NDArray) -> NDArray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats((alpha > 0).astype(np.uint8))
    if count <= 2:
        return alpha
    areas = np.asarray(stats)[:, cv2.CC_STAT_AREA].astype(np.int64)
    keep = areas >= max(4, LEAST * areas[1:].max())
    keep[0] = False
    return alpha * keep[np.asarray(labels, np.intp)].astype(np.uint8)
