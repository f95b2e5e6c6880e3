"""What a silhouette is made of: its thick body, the parts that stick out of it, the notch between its legs."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Part:
    """Something that sticks out of the body: an arm, a leg, an ear, a tail."""

    root: NDArray
    """(2,) where it leaves the body, pixels."""
    tip: NDArray
    """(2,) its far end."""
    path: NDArray
    """(M, 2) from root to tip along its middle."""
    width: float
    """Usual width, pixels."""
    pixels: NDArray
    """(H, W) bool."""

    @property
    def length(self) -> float:
        """Length of the path, pixels."""
        return float(np.linalg.norm(np.diff(self.path, axis=0), axis=1).sum()) if len(self.path) > 1 else 0.0


class Outline:
    """A silhouette with its distance transform and shortest ways through its middle.

    Args:
        mask: (H, W) uint8 0/1 with a clear border.
    """

    def __init__(self, mask: NDArray) -> None:
        self.mask = mask
        self.dist = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        self.rows = np.flatnonzero(mask.any(1))
        self.top, self.bottom = int(self.rows[0]), int(self.rows[-1]) + 1
        self.height = self.bottom - self.top
        self._number = np.full(mask.shape, -1)
        self._number[mask > 0] = np.arange(int(mask.sum()))
        self._pixels = np.argwhere(mask > 0)[:, ::-1]
        self._middle = self._links(lambda near: 1 / (0.5 + near) ** 2)
        self._plain = self._links(np.ones_like)
        self._towards: dict[int, NDArray] = {}  # by the pixel where ways end (many end in the same): the next of each

    def _links(self, cost_of):
        """Sparse graph of neighbouring pixels; `cost_of` turns distance to the silhouette into cost per pixel."""
        from scipy.sparse import coo_matrix

        rows, cols, costs = [], [], []
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            a = self._number[: self.mask.shape[0] - dy, max(-dx, 0) : self.mask.shape[1] - max(dx, 0)]
            b = self._number[dy:, max(dx, 0) : self.mask.shape[1] + min(dx, 0)]
            both = (a >= 0) & (b >= 0)
            i, j = a[both], b[both]
            near = (self.dist[self.mask > 0][i] + self.dist[self.mask > 0][j]) / 2
            rows.append(i)
            cols.append(j)
            costs.append(np.hypot(dx, dy) * cost_of(near))
        graph = coo_matrix((np.concatenate(costs), (np.concatenate(rows), np.concatenate(cols))))
        graph.resize(len(self._pixels), len(self._pixels))
        return graph.tocsr()

    def index_near(self, point: NDArray) -> int:
        """Number of the pixel inside that is nearest to a point."""
        return int(np.argmin(((self._pixels + 0.5 - point) ** 2).sum(1)))

    def distances(self, sources: NDArray) -> NDArray:
        """(H, W) length of the shortest way inside from any of the pixels `sources` (H, W) bool; inf outside."""
        from scipy.sparse.csgraph import dijkstra

        start = self._number[sources & (self.mask > 0)]
        field = np.full(self.mask.shape, np.inf)
        if len(start):
            field[self.mask > 0] = dijkstra(self._plain, directed=False, indices=start, min_only=True)
        return field

    def way(self, start: NDArray, end: NDArray) -> NDArray:
        """(M, 2) from start to end through the middle of the silhouette."""
        from scipy.sparse.csgraph import dijkstra

        a, b = self.index_near(start), self.index_near(end)
        if b not in self._towards:
            self._towards[b] = dijkstra(self._middle, directed=False, indices=b, return_predecessors=True)[1]
        chain = [a]
        while chain[-1] != b and self._towards[b][chain[-1]] >= 0:
            chain.append(int(self._towards[b][chain[-1]]))
        path = self._pixels[chain] + 0.5
        if len(path) > 7:
            from scipy.ndimage import uniform_filter1d

            smooth = uniform_filter1d(path.astype(float), 7, axis=0, mode="nearest")
            path = np.concatenate([path[:1], smooth[1:-1], path[-1:]])
        return path

    def runs(self, row: int, mask: NDArray | None = None) -> list[tuple[int, int]]:
        """(start, stop) of the stretches inside along a row."""
        line = (self.mask if mask is None else mask)[row].astype(np.int8)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line, [0]])))
        return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]


def find_parts(outline: Outline, *, shares: tuple[float, ...] = (0.75, 0.6, 0.45, 0.3, 0.2)) -> list[Part]:
    """Find what sticks out of the body: what opening with a disc takes away.

    Args:
        outline: the silhouette.
        shares: radii of the disc as shares of the body's own half width; parts are looked for with each.

    Returns:
        Parts, long and slender ones first; where two overlap the first is kept.
    """
    found: list[Part] = []
    for share in shares:
        radius = share * _body_radius(outline)
        if radius < 1.5:
            continue
        core = _open(outline.mask, radius)
        rest = ((outline.mask > 0) & (core == 0)).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=8)
        away = outline.distances(core > 0)
        for index in range(1, count):
            if stats[index, cv2.CC_STAT_AREA] < 0.0003 * outline.height**2:
                continue
            part = _part(outline, labels == index, core, away)
            if part is not None and part.length > 0.035 * outline.height:
                found.append(part)
    found.sort(key=lambda part: -part.length * min(1.0, part.length / (2.5 * part.width)))
    kept: list[Part] = []
    for part in found:
        shared = [int((part.pixels & other.pixels).sum()) for other in kept]
        if not shared or max(shared) < 0.3 * part.pixels.sum():
            kept.append(part)
    return kept


def _body_radius(outline: Outline) -> float:
    """Half width of the thickest disc inside, not counting the top of the figure twice."""
    return float(outline.dist.max())


def _open(mask: NDArray, radius: float) -> NDArray:
    """(H, W) uint8: union of all discs of a radius that fit inside (exact, by distance transforms)."""
    dist = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    centres = (dist >= radius).astype(np.uint8)
    if not centres.any():
        return centres
    away = cv2.distanceTransform(1 - centres, cv2.DIST_L2, 5)
    return ((away < radius) & (mask > 0)).astype(np.uint8)


def _part(outline: Outline, pixels: NDArray, core: NDArray, away: NDArray) -> Part | None:
    """Describe a piece; None when it does not touch the body, or is a rind, wider than long."""
    ring = cv2.dilate(pixels.astype(np.uint8), np.ones((3, 3))).astype(bool) & (core > 0)
    if not ring.any():
        return None
    ys, xs = np.nonzero(pixels)
    far = away[ys, xs]
    far[~np.isfinite(far)] = -1
    k = int(far.argmax())
    tip = np.array([xs[k] + 0.5, ys[k] + 0.5])
    # the root is where the part holds on to the body nearest to the tip's way: the middle of the seam
    count, seams = cv2.connectedComponents(ring.astype(np.uint8), connectivity=8)
    sizes = np.bincount(seams.ravel(), minlength=count)
    sizes[0] = 0
    seam = np.argwhere(seams == sizes.argmax())[:, ::-1] + 0.5
    root = seam.mean(0)
    path = outline.way(root, tip)
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) if len(path) > 1 else 0.0
    width = float(pixels.sum()) / max(length, 1.0)
    seam_width = float(np.ptp(seam, axis=0).max()) + 1
    if length < 0.45 * seam_width or count - 1 > 3:
        return None
    return Part(root, tip, path, width, pixels)


@dataclass(frozen=True)
class Crotch:
    """Where two legs part."""

    notch: NDArray
    """(2,) top of the gap between the legs."""
    feet: tuple[NDArray, NDArray]
    """Lowest points of the legs, left one in the picture first."""
    depth: float
    """How far the notch is above the higher foot, as share of the figure's height."""


def find_crotch(outline: Outline) -> Crotch | None:
    """Find the notch between two legs: the deepest gap, seen from below, between two low points.

    Returns:
        None when the figure has no two legs to be seen (a robe, a sack, half a body).
    """
    columns = np.flatnonzero(outline.mask.any(0))
    low = np.array([np.flatnonzero(outline.mask[:, x])[-1] + 1 for x in columns], float)
    feet = find_feet(outline)
    best, best_score = None, 0.0
    centre = columns[np.argmax([outline.dist[:, x].max() for x in columns])]
    for i, a in enumerate(feet):
        for b in feet[i + 1 :]:
            gap = a + int(np.argmin(low[a : b + 1]))
            higher = min(low[a], low[b])
            depth = (higher - low[gap]) / outline.height
            uneven = abs(low[a] - low[b]) / outline.height
            off = abs((columns[a] + columns[b]) / 2 - centre) / outline.height
            raised = (outline.bottom - higher) / outline.height
            score = depth - 0.5 * uneven - 0.3 * off - 0.5 * raised + 0.05
            if depth > 0.012 and score > best_score:
                best_score = score
                # the gap's top: middle of the columns that are about as high
                flat = np.flatnonzero(low[a : b + 1] <= low[gap] + 0.01 * outline.height) + a
                top = np.array([columns[int(np.median(flat))] + 0.5, low[gap]])
                ends = tuple(np.array([columns[k] + 0.5, low[k] - 0.5]) for k in (a, b))
                best = Crotch(top, (ends[0], ends[1]), depth)
    return best


def find_feet(outline: Outline) -> list[int]:
    """Columns, counted from the leftmost that shows something, where the figure comes down to its lowest third."""
    columns = np.flatnonzero(outline.mask.any(0))
    low = np.array([np.flatnonzero(outline.mask[:, x])[-1] + 1 for x in columns], float)
    return [k for k in _peaks(low, 0.012 * outline.height) if low[k] > outline.bottom - 0.3 * outline.height]


def _peaks(values: NDArray, prominence: float) -> list[int]:
    """Middles of the local maxima of a curve that rise at least `prominence` above their surroundings."""
    # scipy.signal.find_peaks gives the same, but importing it takes longer than all the rest of finding joints
    lowest = values.min() - 10 * prominence
    runs = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)  # where stretches of one level begin
    level, last = values[runs], np.append(runs[1:], len(values)) - 1
    around = np.concatenate([[lowest], level, [lowest]])
    found = []
    for k in np.flatnonzero((level > around[:-2]) & (level > around[2:])):
        higher = np.flatnonzero(level > level[k])
        left, right = higher[higher < k], higher[higher > k]
        before = level[left[-1] : k].min(initial=level[k]) if len(left) else lowest
        after = level[k : right[0]].min() if len(right) else lowest
        if level[k] - max(before, after) >= prominence:
            found.append(int(runs[k] + last[k]) // 2)
    return found


def shortest_cut(outline: Outline, notch: NDArray, side: int) -> NDArray:
    """(2,) the far end of the shortest straight cut from a notch through the silhouette to one side.

    Args:
        outline: the silhouette.
        notch: (2,) a point at its edge.
        side: -1 to the left of the picture, 1 to the right; the cut may rise 55 and fall 30 degrees.
    """
    best, best_length = notch + np.array([side * 0.1 * outline.height, 0]), np.inf
    for degrees in range(-55, 31, 5):
        step = np.array([side * np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        points = (
            notch + np.array([0, -0.015 * outline.height - 1]) + np.arange(1, outline.mask.shape[1])[:, None] * step
        )
        cols, rows = points[:, 0].astype(int), points[:, 1].astype(int)
        ok = (cols >= 0) & (rows >= 0) & (cols < outline.mask.shape[1]) & (rows < outline.mask.shape[0])
        inside = np.zeros(len(points), bool)
        inside[ok] = outline.mask[rows[ok], cols[ok]] > 0
        entered = np.flatnonzero(inside)
        if not len(entered) or entered[0] > 4:
            continue
        left = np.flatnonzero(~inside[entered[0] :])
        length = float(left[0] if len(left) else len(points))
        if length < best_length and length > 0.03 * outline.height:  # not the lip of the notch
            best, best_length = points[entered[0]] + length * step, length
    return best
