"""Figures drawn on paper or shown before a plain background."""

import itertools
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

PLAIN_SHARE = 0.72
"""Share of the picture's border that a smooth background has to explain."""


@dataclass(frozen=True)
class Backdrop:
    """A smooth background."""

    lab: NDArray
    """(H, W, 3) float32: the background everywhere, CIE L*a*b*."""
    noise: float
    """How far pixels of the background scatter about it (robust standard deviation), CIE L*a*b* units."""


def find_backdrop(rgb: NDArray) -> Backdrop | None:
    """Fit a smooth background to the border of a picture; None when the border is too busy for one.

    Args:
        rgb: (H, W, 3) uint8.

    Source: quadratic surface per channel, refitted a few times without the pixels that do not fit, then over all that
    fit in the whole picture.
    """
    lab = _lab(rgb)
    height, width = rgb.shape[:2]
    scale = min(1.0, 200 / max(height, width))
    small = cv2.resize(lab, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else lab
    rows, cols = small.shape[:2]
    band = max(int(0.035 * max(rows, cols)), 2)
    border = np.ones((rows, cols), bool)
    border[band:-band, band:-band] = False
    terms = _terms(rows, cols)
    use = border.copy()
    centre = np.median(small[border], axis=0)
    use &= np.linalg.norm(small - centre, axis=2) < 30
    surface = np.broadcast_to(centre, small.shape)
    for around in (border, border, border, np.ones_like(border), np.ones_like(border)):
        if use.sum() < 30:
            return None
        factors = np.linalg.lstsq(terms[use], small[use], rcond=None)[0]
        surface = terms @ factors
        gap = np.linalg.norm(small - surface, axis=2)
        noise = max(1.48 * float(np.median(gap[use])), 0.7)
        use = around & (gap < max(3.5 * noise, 5.0))
    if float((gap[border] < max(4 * noise, 8.0)).mean()) < PLAIN_SHARE or noise > 6:
        return None
    full = _terms(height, width) @ factors
    return Backdrop(full.astype(np.float32), noise)


def figure_on_backdrop(rgb: NDArray, backdrop: Backdrop) -> NDArray:
    """Find what is drawn on a plain background: everything inside its outlines belongs to it.

    Args:
        rgb: (H, W, 3) uint8.
        backdrop: from `find_backdrop`.

    Returns:
        (H, W) uint8, 0 or 255.
    """
    gap = cv2.GaussianBlur(np.linalg.norm(_lab(rgb) - backdrop.lab, axis=2), (0, 0), 0.8)
    ink = _ink(gap, backdrop.noise)
    longest = max(rgb.shape[:2])
    ink = _close_border(ink, max(int(0.04 * longest), 3))
    exact = _fill(ink)
    reach = max(round(0.008 * longest), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    closed = cv2.erode(_fill(cv2.dilate(ink, disc)), disc)
    # rooms that only closed when gaps of the outline were bridged; thin slits between parts stay open
    room = cv2.morphologyEx(cv2.subtract(closed, exact), cv2.MORPH_OPEN, cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (4 * reach + 1, 4 * reach + 1)))  # fmt: skip
    figure = cv2.morphologyEx(cv2.max(exact, room), cv2.MORPH_CLOSE, np.ones((3, 3)))
    return _with_margin(_fill(figure), longest) * 255


def _lab(rgb: NDArray) -> NDArray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _terms(rows: int, cols: int) -> NDArray:
    """(rows, cols, 6) quadratic polynomials of the place, -1 ... 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2)


def _ink(gap: NDArray, noise: float) -> NDArray:
    """(H, W) uint8 0/1: pixels that differ from the background, weak ones only beside strong ones."""
    strong = gap > max(7 * noise, 16.0)
    weak = (gap > max(4 * noise, 8.0)).astype(np.uint8)
    count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents(weak, connectivity=8))
    hit = np.zeros(count, bool)
    hit[np.unique(labels[strong])] = True
    hit[0] = False
    return hit[labels].astype(np.uint8)


def _close_border(ink: NDArray, gap: int) -> NDArray:
    """Join lines that leave the picture and come back a little further on."""
    ink = ink.copy()
    for line in (ink[0], ink[-1], ink[:, 0], ink[:, -1]):
        at = np.flatnonzero(line)
        for a, b in itertools.pairwise(at):
            if 1 < b - a <= gap:
                line[a:b] = 1
    return ink


def _with_margin(figure: NDArray, longest: int) -> NDArray:
    """Add the soft flank of the outline: a pixel in pictures of usual size, two where the figure is pencil-thin."""
    step = max(round(longest / 600), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * step + 1, 2 * step + 1))
    size = max(int(0.045 * longest) | 1, 3)
    thick = cv2.morphologyEx(figure, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    once = cv2.dilate(figure, disc)
    thin = cv2.subtract(figure, cv2.dilate(thick, disc))
    return cv2.max(once, cv2.dilate(cv2.dilate(thin, disc), disc))


def _fill(ink: NDArray) -> NDArray:
    """(H, W) uint8 0/1: ink and all it encloses."""
    padded = np.pad(ink, 1)
    outside = np.zeros((padded.shape[0] + 2, padded.shape[1] + 2), np.uint8)
    cv2.floodFill(padded, outside, (0, 0), 2, flags=4)
    return (padded[1:-1, 1:-1] != 2).astype(np.uint8)
