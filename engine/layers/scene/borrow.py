"""What one window of a plate takes from the others of its shot."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import apply_exposure, enlarge, fit_exposure, largest_channel, shrink
from engine.layers.scene.plate_window import BORROWED, INPAINTED, SEEN, PlateWindow, warp_window
from engine.types import BackgroundMotion

_SPOT, _AROUND = 9, 41
"""Pixels across: of what may have passed, and of the place beside it."""
_STRANGE, _UNUSUAL = 45.0, 4.0
"""What passed differs from the place beside it by so many levels (a white ball on grass: 120), and by so many times
as much as spots of the place do."""


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


def goes_on(rgb: NDArray, state: NDArray, hardly: NDArray) -> NDArray:
    """Tell the place from things that passed, where a few frames alone show either.

    Args:
        rgb: (h, w, 3) uint8 of a window.
        state: (h, w) uint8: 1 where a pixel is needed, above where it is known.
        hardly: (h, w) uint8, above 0 where a few frames show it.

    Returns:
        (h, w) bool: needed pixels that look like what is known beside them, or have nothing known beside them.
    """
    wanted, known = (state == 1) & (hardly > 0), state > 1
    if not wanted.any():
        return wanted
    beside, share = _mean_near(rgb, known, _AROUND)
    usual = largest_channel(cv2.absdiff(_mean_near(rgb, known, _SPOT)[0], beside))
    usual = _mean_near(cv2.merge([usual] * 3), known, _AROUND)[0][..., 0]
    off = largest_channel(cv2.absdiff(_mean_near(rgb, wanted, _SPOT)[0], beside))
    strange = wanted & (share > 0.05) & (off > np.maximum(_STRANGE, _UNUSUAL * usual))
    return wanted & (cv2.dilate(strange.view(np.uint8), np.ones((_SPOT, _SPOT), np.uint8)) == 0)


def _mean_near(picture: NDArray, where: NDArray, across: int) -> tuple[NDArray, NDArray]:
    """(h, w, 3) float32: mean over those pixels in a square that are in (h, w) bool, and their share (h, w) float32."""
    share = cv2.blur(where.astype(np.float32), (across, across))
    total = cv2.blur(picture * where[..., None].astype(np.float32), (across, across))
    return total / np.maximum(share, 1e-3)[..., None], share


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
