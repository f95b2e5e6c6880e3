"""The slow, plain backend that the fast ones are held to: one face, one pixel at a time."""

import numpy as np
from numpy.typing import NDArray

from engine.raster.triangles import SUBPIXEL, Triangles
from engine.types import Size


def cover(triangles: Triangles, size: Size) -> NDArray:
    """Find the nearest triangle of every pixel; see `engine.raster.spans.cover`.

    Source: Pineda 1988 edge functions on integers; a shared edge belongs to one face by the top-left rule.
    """
    height, width = size
    winner = np.full((height, width), -1, np.int32)
    nearest = np.zeros((height, width))
    for idx, (xs, ys, planes) in enumerate(zip(triangles.x.tolist(), triangles.y.tolist(), triangles.planes)):
        corners = list(zip(xs, ys))
        if _edge(corners[0], corners[1], corners[2]) < 0:
            corners = [corners[0], corners[2], corners[1]]
        rows = range(max(min(ys) // SUBPIXEL, 0), min(max(ys) // SUBPIXEL + 1, height))
        columns = range(max(min(xs) // SUBPIXEL, 0), min(max(xs) // SUBPIXEL + 1, width))
        for row in rows:
            for column in columns:
                if not _covers(corners, (column * SUBPIXEL + SUBPIXEL // 2, row * SUBPIXEL + SUBPIXEL // 2)):
                    continue
                nearness = planes[0, 0] * (column + 0.5) + planes[0, 1] * (row + 0.5) + planes[0, 2]
                if winner[row, column] < 0 or nearness > nearest[row, column]:
                    winner[row, column], nearest[row, column] = idx, nearness
    return winner


def _edge(a: tuple[int, int], b: tuple[int, int], p: tuple[int, int]) -> int:
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])


def _covers(corners: list[tuple[int, int]], point: tuple[int, int]) -> bool:
    """Whether a clockwise (y down) triangle covers a point; points on an edge count for top and left edges only."""
    for a, b in zip(corners, corners[1:] + corners[:1]):
        value = _edge(a, b, point)
        is_top = a[1] == b[1] and b[0] > a[0]
        is_left = b[1] < a[1]
        if value < 0 or (value == 0 and not (is_top or is_left)):
            return False
    return True
