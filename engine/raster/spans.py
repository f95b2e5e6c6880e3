"""The default backend: rows of pixels per face, in plain numpy.

A face covers one run of pixels per image row. All runs of all faces are found at once, then written far faces first, so
that where faces overlap the nearer one nearly always stands; the few pixels where it does not are settled by depth.
Frames are done side by side on all processors; `benchmarks/raster.py` measures them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.raster.triangles import SUBPIXEL, Triangles
from engine.types import Size

_HALF = SUBPIXEL // 2
_BLOCK = 2048


def cover(triangles: Triangles, size: Size) -> NDArray:
    """Find the nearest triangle of every pixel.

    Args:
        triangles: of `set_up`.
        size: (height, width), pixels.

    Returns:
        (H, W) int32: index into the triangles, -1 where empty. Of faces equally near the first wins.

    Source: scan conversion with half-open runs, which is the top-left rule; the fixed-point corners make the ends of
    the runs exact: in double precision numerators below 2^53 divide to within half a unit of the last place, and a
    quotient that is not whole is at least 1/(256 x 2^28) away from the next whole number.
    """
    height, width = size
    flat = np.full(height * width, -1, np.int32)
    depth_plane = triangles.planes[:, 0]
    at_corners = [_value(depth_plane, triangles.x[:, k] / SUBPIXEL, triangles.y[:, k] / SUBPIXEL) for k in range(3)]
    low, high = (pick(pick(at_corners[0], at_corners[1]), at_corners[2]) for pick in (np.minimum, np.maximum))
    order = _from_far(low + high)
    margin = 1e-9 * max(abs(low).max(initial=0.0), abs(high).max(initial=0.0))  # far above rounding, below what matters
    span_of_depth = (low - margin, high + margin)
    scan = _scan(triangles, order, height)
    for start in range(0, len(scan.idx), _BLOCK):  # what a block touches stays in cache
        tri, row, x0, x1 = _runs(scan, start, start + _BLOCK, width)
        length = x1 - x0
        offset = row * width + x0 - (np.cumsum(length) - length)
        pixel = np.repeat(offset, length)
        pixel += np.arange(len(pixel))
        owner = np.repeat(tri, length)
        before = flat.take(pixel)
        flat[pixel] = owner  # of repeated indices numpy keeps the last
        hidden, lost = np.flatnonzero(before >= 0), np.flatnonzero(flat.take(pixel) != owner)
        pixel, rival = np.concatenate([pixel[hidden], pixel[lost]]), np.concatenate([before[hidden], owner[lost]])
        _settle(flat, pixel, rival, planes=depth_plane, span_of_depth=span_of_depth, width=width)
    return flat.reshape(height, width)


def _from_far(nearness: NDArray) -> NDArray:
    """(N,) int32: triangles by nearness, roughly: numpy sorts 16-bit numbers by radix, in a twentieth of the time."""
    start = nearness.min(initial=np.inf)
    span = max(nearness.max(initial=start) - start, 1e-30) if len(nearness) else 1.0
    return np.argsort(((nearness - start) * (65535 / span)).astype(np.uint16), kind="stable").astype(np.int32)


class _Scan(NamedTuple):
    """N triangles that reach a row's centre, nearest last."""

    idx: NDArray
    """(N,) int32, into the triangles."""
    first: NDArray
    num_rows: NDArray
    """(N,) int64: the rows they cover."""
    middle: NDArray
    """(N,) float64, 1/256 pixel: where the corner between the highest and the lowest is."""
    edges: NDArray
    """(N, 3, 3) float64: the column where an edge crosses a row, see `_crossing`: top to bottom, top to middle, middle
    to bottom."""


def _scan(triangles: Triangles, order: NDArray, height: int) -> _Scan:
    """Prepare triangles for scanning, in the given order."""
    tops = triangles.y.min(1), triangles.y.max(1)
    first, last = (np.clip(-((_HALF - y) // SUBPIXEL), 0, height)[order] for y in tops)  # the ceiling of y - half
    some = np.flatnonzero(last > first)
    idx = order[some]
    x = [triangles.x[idx, corner].astype(np.float64) for corner in range(3)]
    y = [triangles.y[idx, corner].astype(np.float64) for corner in range(3)]
    for a, b in ((0, 1), (1, 2), (0, 1)):  # by height
        swap = y[a] > y[b]
        y[a], y[b] = np.where(swap, y[b], y[a]), np.where(swap, y[a], y[b])
        x[a], x[b] = np.where(swap, x[b], x[a]), np.where(swap, x[a], x[b])
    edges = np.stack([_crossing(x, y, 0, 2), _crossing(x, y, 0, 1), _crossing(x, y, 1, 2)], 1)
    return _Scan(idx, first[some], last[some] - first[some], y[1], edges)


def _runs(scan: _Scan, start: int, stop: int, width: int) -> tuple[NDArray, ...]:
    """Rows of pixels inside some of the triangles, in order: triangle, row, first column, column past the last."""
    num_rows, first = scan.num_rows[start:stop], scan.first[start:stop]
    idx = np.repeat(np.arange(len(num_rows)), num_rows)
    row = np.arange(len(idx)) + np.repeat(first - (np.cumsum(num_rows) - num_rows), num_rows)
    y_row = (row * SUBPIXEL + _HALF).astype(np.float64)
    is_lower = y_row >= np.repeat(scan.middle[start:stop], num_rows)
    edges = scan.edges[start:stop].reshape(-1, 3)
    ends = []
    for edge_idx in (3 * idx, 3 * idx + 1 + is_lower):
        edge = np.take(edges, edge_idx, axis=0)
        ends.append(np.ceil((edge[:, 0] + edge[:, 1] * y_row) / edge[:, 2]))
    x0 = np.maximum(np.minimum(*ends), 0).astype(np.int64)
    x1 = np.minimum(np.maximum(*ends), width).astype(np.int64)
    some = np.flatnonzero(x1 > x0)
    return scan.idx[start:stop][idx[some]], row[some], x0[some], x1[some]


def _crossing(x: list[NDArray], y: list[NDArray], a: int, b: int) -> NDArray:
    """(N, 3): numerator's constant and slope, and denominator, of the column where edge a-b crosses a row."""
    dx, dy = x[b] - x[a], y[b] - y[a]
    return np.stack([(x[a] - _HALF) * dy - y[a] * dx, dx, np.where(dy == 0, 1.0, SUBPIXEL * dy)], 1)


def _settle(
    flat: NDArray,
    pixel: NDArray,
    rival: NDArray,
    *,
    planes: NDArray,
    span_of_depth: tuple[NDArray, NDArray],
    width: int,
) -> None:
    """Give pixels to triangles that are nearer than the one that was written."""
    winner = flat[pixel]
    low, high = span_of_depth
    close = np.flatnonzero((high[rival] >= low[winner]) & (rival != winner))  # most are farther as a whole
    pixel, rival, winner = pixel[close], rival[close], winner[close]
    x, y = pixel % width + 0.5, pixel // width + 0.5
    mine, theirs = (_value(planes[idx], x, y) for idx in (rival, winner))
    nearer = (mine > theirs) | ((mine == theirs) & (rival < winner))
    pixel, rival, mine = pixel[nearer], rival[nearer], mine[nearer]
    order = np.lexsort((-rival, mine))
    flat[pixel[order]] = rival[order]


def _value(plane: NDArray, x: NDArray, y: NDArray) -> NDArray:
    return plane[..., 0] * x + plane[..., 1] * y + plane[..., 2]
