"""Bands in a picture: a pole or a trunk between two edges, followed up and down from the piece that is known of it."""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_SLOPES = np.linspace(-0.36, 0.36, 37)
"""Columns per row that a band may lean."""
_CLEAR = 40.0
"""Levels: an edge of more than this is not clearer for it."""
_LEAST_EDGE = 6.0
"""Levels: typical change across an edge; grain and bark have less after the blur."""
_WANDER = 12.0
"""Levels that an edge must be clearer elsewhere to move by a column from one row to the next."""


@dataclass(frozen=True)
class Band:
    """One band, row by row."""

    top: int
    """Its first row."""
    left: NDArray
    """(n,) int: first column inside."""
    right: NDArray
    """(n,) int: the column after the last one inside."""

    @property
    def height(self) -> int:
        """How many rows it has."""
        return len(self.left)

    def draw(self, mask: NDArray) -> None:
        """Set the band to 255 in a mask (h, w) uint8 of the picture's size."""
        for row, (left, right) in enumerate(zip(self.left.tolist(), self.right.tolist()), self.top):
            mask[row, max(0, left) : max(0, right)] = 255


@dataclass(frozen=True)
class _Side:
    """Where one edge of a band may be, if it leans in a certain way."""

    strip: NDArray
    """(n, w) float32: how clear an edge each column is, row by row; NaN where that is not known."""
    within: NDArray
    """(w,) float32: pixels to the left of each column known to be of the band."""
    beyond: NDArray
    """(w,) float32: the same of pixels known not to be of it."""


def find_band(
    piece: NDArray, picture: NDArray, against: NDArray, reach: float, *, tapers: tuple[float, ...] = (0.0,)
) -> Band | None:
    """Find the band that a piece belongs to.

    Args:
        piece: (h, w) bool: what is known to be of the band; its middle line is sure, its edges are not.
        picture: (h, w, 3) uint8 of the place; black where it is not known.
        against: (h, w) bool: what is known not to be of it; believed where the place is known, as a mask that lies over
            a spot all the time may be a mask that spills over.
        reach: rows up and down that are asked for the band's direction; gaps up to a third of it are bridged.
        tapers: columns per row that each side may lean outwards, against the band's middle line.

    Returns:
        The band as far as its two edges go on, or None where there are no two edges, or they are much wider or
        narrower apart than the piece is.
    """
    rows = np.flatnonzero(piece.any(1))
    starts, stops = piece[rows].argmax(1), piece.shape[1] - piece[rows][:, ::-1].argmax(1)
    width = float(np.quantile(stops, 0.9) - np.quantile(starts, 0.1))
    middle_row = int(np.median(rows))
    middle = float(np.median((starts + stops) / 2))
    most = max(1.6 * width + 4, 0.1 * reach)  # of a pole, a limb may show but a part
    change, against = _changes(picture, max(0.7, 0.05 * width)), against & (picture.max(2) > 0)
    half = round(0.55 * most) + 2
    low, high = max(0, middle_row - round(reach)), min(len(piece), middle_row + round(reach) + 1)
    around, every = np.arange(low, high) - middle_row, np.arange(len(piece))
    # How many pixels of a row are left of a column: between two edges, whatever way they lean, is a difference.
    counts = [np.cumsum(np.pad(part, ((0, 0), (1, 0))), axis=1, dtype=np.float32) for part in (piece, against)]
    pairs = {(lean, taper): (lean - taper, lean + taper) for lean in _SLOPES.tolist() for taper in tapers}
    sides = {
        lean: _look_along(change, counts, middle + lean * around, low, half)
        for lean in sorted(set(itertools.chain.from_iterable(pairs.values())))
    }
    total, best = max(1.0, float(piece[low:high].sum())), (0.0, 0.0, 0.0, 0, 0)
    for (slope, taper), (lean, other) in pairs.items():
        least = max(0.5 * width, 2.5 * taper * (middle_row - low))  # a fifth of its width is left at its top
        score, left, right = _edge_pair(sides[lean], sides[other], total, least, most)
        best = max(best, (score, slope, taper, left, right))
    typical, slope, taper, left, right = best
    if typical < _LEAST_EDGE:
        return None
    strips, cols = [], []
    for lean, start in ((slope - taper, left), (slope + taper, right)):
        line = np.round(middle + lean * (every - middle_row)).astype(int)
        strip = np.minimum(_straighten(change, line, 0, half), _CLEAR)
        at = _follow(strip, start, middle_row)
        strips.append(strip[every, at])
        cols.append(line + at - half + 1)
    top, bottom = _extent(np.minimum(*strips), 0.4 * typical, rows, reach)
    return Band(top, cols[0][top:bottom], cols[1][top:bottom])


def _changes(picture: NDArray, blur: float) -> NDArray:
    """(h, w) float32: how high a step there is to the right of each column, levels; NaN where that is not known.

    The slope of a picture smoothed by a Gaussian of `blur` pixels, times its height's inverse: a step keeps its height,
    also one that was blurred about as much.
    """
    soft = cv2.GaussianBlur(picture, (0, 0), sigmaX=blur, sigmaY=1.2).astype(np.float32)
    change = np.zeros(picture.shape[:2], np.float32)
    change[:, :-1] = np.abs(np.diff(soft, axis=1)).max(2) * max(1.0, blur * np.sqrt(2 * np.pi))
    unknown = cv2.dilate((picture.max(2) == 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    change[unknown] = np.nan
    return change


def _straighten(change: NDArray, line: NDArray, top: int, half: int) -> NDArray:
    """(n, 2 half + 1): the columns beside a line that begins in row `top`."""
    cols = np.round(line).astype(int)[:, None] + np.arange(-half, half + 1)
    strip = change[top + np.arange(len(line))[:, None], np.clip(cols, 0, change.shape[1] - 1)]
    return np.where((cols < 0) | (cols >= change.shape[1]), np.nan, strip)


def _look_along(change: NDArray, counts: list[NDArray], line: NDArray, top: int, half: int) -> _Side:
    """What the columns beside a line that begins in row `top` would be as one edge of a band."""
    strip = np.minimum(_straighten(change, line, top, half), _CLEAR)
    cols = np.round(line).astype(int)[:, None] + np.arange(-half, half + 1)
    rows = top + np.arange(len(line))[:, None]
    return _Side(strip, *(part[rows, np.clip(cols, 0, change.shape[1])].sum(0) for part in counts))


def _edge_pair(one: _Side, other: _Side, total: float, least: float, most: float) -> tuple[float, int, int]:
    """The two columns that are edges in the same rows: how clear the weaker one is, and where they are.

    It counts as much as what is between them agrees (IoU) with the pixels known to be inside or outside.
    """
    known_left, known_right = ~np.isnan(one.strip), ~np.isnan(other.strip)
    lefts, rights = np.where(known_left, one.strip, 0), np.where(known_right, other.strip, 0)
    half = lefts.shape[1] // 2
    best = 0.0, 0, 0
    for left in range(half):
        stop = min(lefts.shape[1], left + int(most) + 1)
        start = min(stop, max(half, left + int(np.ceil(least))))
        both = known_left[:, left, None] & known_right[:, start:stop]
        score = np.minimum(lefts[:, left, None], rights[:, start:stop]) * both
        number = both.sum(0)
        outside = other.beyond[start:stop] - one.beyond[left]
        agree = (other.within[start:stop] - one.within[left]) / (total + outside)
        mean = np.where(number > 0.2 * len(lefts), agree * score.sum(0) / np.maximum(number, 1), 0.0)
        if mean.size and mean.max() > best[0]:
            best = float(mean.max()), left, start + int(mean.argmax())
    return best


def _known_mean(strip: NDArray) -> NDArray:
    """Mean of every column over the rows in which it is known; 0 where few are."""
    known = ~np.isnan(strip)
    mean = np.where(known, strip, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.where(known.sum(0) > 0.25 * len(strip), mean, 0.0)


def _follow(strip: NDArray, start: int, row: int) -> NDArray:
    """(n,) columns of an edge: up and down from a row, moving by at most one column a row, where it is clearest."""
    cols = np.full(len(strip), start)
    for step in (1, -1):
        at = start
        for other in range(row, len(strip) if step > 0 else -1, step):
            around = np.arange(max(0, at - 1), min(strip.shape[1], at + 2))
            near = strip[max(0, other - 3) : other + 4][:, around]
            value = _known_mean(near) - _WANDER * (around != at)
            at = int(around[value.argmax()])
            cols[other] = at
    return cols


def _extent(support: NDArray, least: float, rows: NDArray, reach: float) -> tuple[int, int]:
    """First row, and the row after the last, to which an edge goes on from `rows`."""
    known = ~np.isnan(support)
    weight = cv2.blur(known[:, None].astype(np.float32), (1, 9))[:, 0]
    mean = cv2.blur(np.where(known, support, 0)[:, None].astype(np.float32), (1, 9))[:, 0] / np.maximum(weight, 1e-3)
    good = ((mean > least) & (weight > 0.2)).astype(np.uint8)
    # A white stripe before a white wall has no edge, and the body hides some: gaps are bridged.
    good[rows[0] : rows[-1] + 1] = 1
    padded = np.pad(good, round(reach))
    good = cv2.morphologyEx(padded[:, None], cv2.MORPH_CLOSE, np.ones((round(reach / 3) | 1, 1), np.uint8))
    good = good[round(reach) : len(padded) - round(reach), 0]
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    while top > 0 and good[top - 1]:
        top -= 1
    while bottom < len(good) and good[bottom]:
        bottom += 1
    return top, bottom
