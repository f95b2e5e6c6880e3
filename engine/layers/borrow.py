"""What one window of a plate takes from the others of its shot."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import apply_exposure, enlarge, fit_exposure, shrink
from engine.layers.plate_window import BORROWED, INPAINTED, SEEN, PlateWindow, warp_window
from engine.types import BackgroundMotion


def borrow(
    rgb: NDArray, state: NDArray, window: PlateWindow, other: PlateWindow, motion: BackgroundMotion, label: int
) -> None:
    """Copy into the window's needed pixels what another window knows, matched in exposure at the rim.

    Args:
        rgb: (h, w, 3) uint8 of the window, changed.
        state: (h, w) uint8, changed: 1 where a pixel is needed.
        window: for whom.
        other: from whom.
        motion: of the background.
        label: BORROWED to take what was seen, INPAINTED to take what was made up, too.
    """
    if other.rgb is None or other.state is None:
        return
    part, found, origin = _fit(rgb, state, window, other, motion, BORROWED if label == BORROWED else 2)
    take = (state[part] == 1) & (origin > 0)
    rgb[part][take] = found[take]
    state[part][take] = np.where(origin[take] == INPAINTED, INPAINTED, label)


def borrow_lightest(
    rgb: NDArray, state: NDArray, window: PlateWindow, others: Iterable[PlateWindow], motion: BackgroundMotion
) -> None:
    """Copy, pixel by pixel, what was seen in the best light.

    For ground that lies in the person's shadow, or near it, in every window: it does so in each of them elsewhere. The
    arguments are as in `borrow`.
    """
    lightest, taken = np.full(state.shape, -1, np.int16), np.zeros(state.shape, bool)
    for other in others:
        part, found, origin = _fit(rgb, state, window, other, motion, SEEN)
        light = found.sum(2, dtype=np.int16)
        take = (state[part] == 1) & (origin > 0) & (light > lightest[part])
        rgb[part][take], lightest[part][take] = found[take], light[take]
        taken[part] |= take
    state[taken] = BORROWED


def _fit(
    rgb: NDArray, state: NDArray, window: PlateWindow, other: PlateWindow, motion: BackgroundMotion, least: int
) -> tuple[tuple[slice, slice], NDArray, NDArray]:
    """Another window around the window's needed pixels, matched in exposure at the rim.

    Returns:
        The part of the window, what the other shows there (h, w, 3) uint8, and where that comes from (h, w) uint8, 0
        where it is known less well than `least`.
    """
    to_other = np.linalg.inv(motion.to_first[other.anchor]) @ motion.to_first[window.anchor]
    x0, y0, width, height = cv2.boundingRect((state == 1).astype(np.uint8))
    pad = 48
    x1, y1 = min(state.shape[1], x0 + width + pad), min(state.shape[0], y0 + height + pad)
    x0, y0 = max(0, x0 - pad), max(0, y0 - pad)
    found, origin = warp_window(other, to_other, (window.x0 + x0, window.y0 + y0, window.x0 + x1, window.y0 + y1))
    usable = cv2.erode((origin >= least).astype(np.uint8), np.ones((3, 3)))
    part = slice(y0, y1), slice(x0, x1)
    mine, here = rgb[part], state[part]
    if not ((here == 1) & (usable > 0)).any():
        return part, found, np.zeros_like(origin)
    both = shrink(((here > 1) & (usable > 0)).astype(np.uint8) * 255, 2) == 255
    gain, lift = fit_exposure(shrink(found, 2), shrink(mine, 2), both)
    fitted = np.clip(apply_exposure(found, gain, enlarge(lift, here.shape)) + 0.5, 0, 255).astype(np.uint8)
    return part, fitted, np.where(usable > 0, origin, 0)
