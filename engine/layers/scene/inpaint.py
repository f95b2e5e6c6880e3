"""Fill what no frame ever showed, with patches of what is around it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import extrapolate, largest_channel

_PATCH = 7
_COARSE_PX = 9_000
"""Hole pixels of the finest level that is searched; finer levels keep the coarse answer and copy finer pixels."""
_MARGIN = 1.0
"""Source pixels are taken from within this many hole sizes around the hole."""
_ROW_COST, _FAR_COST = 800.0, 100.0
"""Squared levels that a source costs which is a tenth of the box's height higher or lower, and a tenth of its width
aside: places look alike along the horizon, and the nearer the more so."""


def inpaint(rgb: NDArray, hole: NDArray, known: NDArray) -> NDArray:
    """Fill a hole so that it continues its surroundings, texture and all.

    Args:
        rgb: (H, W, 3) uint8.
        hole: (H, W) uint8, above 0 where pixels are wanted.
        known: (H, W) uint8, above 0 where pixels may be copied from; 0 in the hole.

    Returns:
        (H, W, 3) uint8: `rgb` with the hole filled; other pixels are the same. Deterministic.

    Source: patch-based completion of Wexler et al. 2007 with the search of Barnes et al. 2009 (PatchMatch), coarse to
        fine; the offsets found at the coarse level copy full-size pixels, and a membrane levels their seams.
    """
    result = rgb.copy()
    known = np.where(_bars(rgb, hole), 0, known).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats((hole > 0).astype(np.uint8), connectivity=8)
    merged = _merge_boxes(stats[1:], rgb.shape[:2]) if count > 1 else []
    for x0, y0, x1, y1 in merged:
        part = slice(y0, y1), slice(x0, x1)
        result[part] = _fill_box(result[part], hole[part], known[part])
    return result


def _bars(rgb: NDArray, hole: NDArray) -> NDArray:
    """(H, W) bool: black rows and columns at the picture's rim (letter box, pillar box), never a source."""
    dark = (rgb.max(2) < 24) | (hole > 0)
    bars = np.zeros(dark.shape, bool)
    for flags, view in ((dark.all(0), bars.T), (dark.all(1), bars)):
        first, last = int(np.argmin(flags)), int(np.argmin(flags[::-1]))
        if not flags.all():
            view[:first] = True
            view[len(flags) - last :] = True
    return bars


def _merge_boxes(stats: NDArray, size: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Boxes around holes with room for sources; holes whose rooms touch are filled together."""
    height, width = size[:2]
    boxes = [
        [x, y, x + w, y + h] for x, y, w, h, _ in sorted(stats.tolist(), key=lambda row: (-row[4], row[0], row[1]))
    ]
    merged: list[list[int]] = []
    for box in boxes:
        home = next((m for m in merged if box[0] < m[2] and m[0] < box[2] and box[1] < m[3] and m[1] < box[3]), None)
        if home is None:
            side = max(box[2] - box[0], box[3] - box[1])
            reach = int(24 + _MARGIN * min(side, 2 * min(box[2] - box[0], box[3] - box[1]) + 40))
            merged.append([box[0] - reach, box[1] - reach, box[2] + reach, box[3] + reach])
        else:
            home[:] = (
                min(home[0], box[0] - 12),
                min(home[1], box[1] - 12),
                max(home[2], box[2] + 12),
                max(home[3], box[3] + 12),
            )
    return [(max(0, a), max(0, b), min(width, c), min(height, d)) for a, b, c, d in merged]


def _fill_box(rgb: NDArray, hole: NDArray, known: NDArray) -> NDArray:
    mask = (hole > 0).astype(np.uint8)
    if mask.sum() < 200 or (known > 0).sum() < 400:
        return _fill_plainly(rgb, mask, known)
    scale = min(1.0, float(np.sqrt(_COARSE_PX / mask.sum())))
    size = (max(2 * _PATCH, round(rgb.shape[1] * scale)), max(2 * _PATCH, round(rgb.shape[0] * scale)))
    small, small_hole, small_known = _shrink(rgb, mask, known, size)
    offsets = _search(small, small_hole, small_known)
    return _fill_plainly(rgb, mask, known) if offsets is None else _copy_fine(rgb, mask, known, offsets)


def _fill_plainly(rgb: NDArray, mask: NDArray, known: NDArray) -> NDArray:
    """Fill a hole that is small, or has too little around it to copy from."""
    if rgb.size < 3_000_000:
        filled = cv2.inpaint(rgb, (known == 0).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    else:
        filled = _rough(rgb, known)
    return np.where(mask[..., None] > 0, filled, rgb)


def _shrink(rgb: NDArray, hole: NDArray, known: NDArray, size: tuple[int, int]) -> tuple[NDArray, NDArray, NDArray]:
    """Shrink so that colours of the unknown do not leak into the known."""
    weight = (known > 0).astype(np.float32)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(rgb.astype(np.float32) * weight[..., None], size, interpolation=cv2.INTER_AREA)
    colour /= np.maximum(share, 1e-6)[..., None]
    small_known = share > 0.9
    small_hole = (cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0) | ~small_known
    return colour, small_hole, small_known


def _rough(rgb: NDArray, known: NDArray) -> NDArray:
    return np.clip(extrapolate(rgb.astype(np.float32), (known > 0).astype(np.float32)) + 0.5, 0, 255).astype(np.uint8)


# --- the coarse search -----------------------------------------------------------------------------------------------


def _search(rgb: NDArray, hole: NDArray, known: NDArray) -> NDArray | None:
    """Find, for each pixel of the hole, where to copy from.

    Returns:
        (h, w, 2) int32: x, y offset from each hole pixel to its source; 0 elsewhere. None without a whole source patch.
    """
    levels = [(rgb, hole, known)]
    while min(levels[-1][0].shape[:2]) > 4 * _PATCH and _depth(levels[-1][1]) > 1.2 * _PATCH:
        previous = levels[-1]
        size = (previous[0].shape[1] // 2, previous[0].shape[0] // 2)
        levels.append(_shrink(previous[0], previous[1].astype(np.uint8), previous[2].astype(np.uint8), size))
    offsets, picture = None, None
    rng = np.random.default_rng(0)
    for depth in range(len(levels) - 1, -1, -1):
        colour, gap, usable = levels[depth]
        source = cv2.erode(usable.astype(np.uint8), np.ones((_PATCH, _PATCH), np.uint8), borderValue=0) > 0
        if source.sum() < 30:
            continue
        if picture is None or offsets is None:
            picture = extrapolate(colour.astype(np.float32), usable.astype(np.float32))
            start = _beside(source, gap)
        else:
            picture = cv2.resize(picture, colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            start = 2 * cv2.resize(offsets.astype(np.float32), gap.shape[::-1], interpolation=cv2.INTER_NEAREST)
        picture = np.where(gap[..., None], picture, colour).astype(np.float32)
        first = offsets is None
        offsets, picture = _solve_level(picture, gap, source, start.astype(np.int32), rng, 4 if depth else 2, first)
    return offsets


def _depth(hole: NDArray) -> float:
    """How far the hole's innermost pixel is from its rim, pixels."""
    padded = np.pad(hole.astype(np.uint8), 1, mode="edge")
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())


def _beside(source: NDArray, gap: NDArray) -> NDArray:
    """First guess of the offsets, (h, w, 2) int32: what lies one gap's width to the nearer side in the same row."""
    height, width = gap.shape
    x = np.broadcast_to(np.arange(width), gap.shape)
    left = np.maximum.accumulate(np.where(source, x, -1), axis=1)
    right = np.minimum.accumulate(np.where(source, x, width)[:, ::-1], axis=1)[:, ::-1]
    span = right - left
    to_left, to_right = x - span, x + span
    rows = np.broadcast_to(np.arange(height)[:, None], gap.shape)
    ok_left = (left >= 0) & (to_left >= 0) & source[rows, np.clip(to_left, 0, width - 1)]
    ok_right = (right < width) & (to_right < width) & source[rows, np.clip(to_right, 0, width - 1)]
    nearer_left = (x - left) <= (right - x)
    # Where the far shift leaves the picture, mirror at the rim.
    mirror_left, mirror_right = np.clip(2 * left - x, 0, width - 1), np.clip(2 * right - x, 0, width - 1)
    use_left = np.where(ok_left & ok_right, nearer_left, ok_left | (~ok_right & (left >= 0)))
    target = np.where(use_left, np.where(ok_left, to_left, mirror_left), np.where(ok_right, to_right, mirror_right))
    offsets = np.zeros((height, width, 2), np.int32)
    offsets[..., 0] = target - x
    return offsets


def _solve_level(
    picture: NDArray,
    gap: NDArray,
    source: NDArray,
    field: NDArray,
    rng: np.random.Generator,
    rounds: int,
    first: bool,
) -> tuple[NDArray, NDArray]:
    """Search and vote in turn on one level of the pyramid."""
    half = _PATCH // 2
    touched = cv2.dilate(gap.astype(np.uint8), np.ones((_PATCH, _PATCH), np.uint8)) > 0
    touched[:half], touched[-half:], touched[:, :half], touched[:, -half:] = False, False, False, False
    ys, xs = np.nonzero(touched)
    search = _Search(source, ys, xs, rng)
    field[ys, xs] = search.repair(field[ys, xs])
    # Patches near the rim have seen something true; they speak louder than those deep inside.
    inside = cv2.distanceTransform(np.pad(gap.astype(np.uint8), 1, mode="edge"), cv2.DIST_L2, 3)[1:-1, 1:-1]
    trust = (1.25 ** -inside[ys, xs]).astype(np.float32)
    for turn in range(rounds):
        cost = search.improve(picture, field, steps=2 if turn == 0 else 1, wide=first)
        picture = _vote(picture, gap, field, cost, trust, ys, xs)
    return field * gap[..., None], picture


class _Search:
    """PatchMatch over all hole pixels at once: neighbours' offsets, then random ones around the best."""

    def __init__(self, source: NDArray, ys: NDArray, xs: NDArray, rng: np.random.Generator) -> None:
        self._source, self._ys, self._xs, self._rng = source, ys, xs, rng
        self._places = np.stack(np.nonzero(source)[::-1], 1)

    def repair(self, offsets: NDArray) -> NDArray:
        """Replace offsets that do not lead to a source patch by the nearest row's."""
        x, y = self._xs + offsets[:, 0], self._ys + offsets[:, 1]
        bad = ~self._is_source(x, y)
        if bad.any():
            pick = self._places[self._rng.integers(0, len(self._places), int(bad.sum()))]
            offsets = offsets.copy()
            offsets[bad] = pick - np.stack([self._xs, self._ys], 1)[bad]
        return offsets

    def improve(self, picture: NDArray, field: NDArray, steps: int, wide: bool) -> NDArray:
        """Lower the cost of `field` in place; returns the cost per hole pixel, (N,) float32."""
        height, width = self._source.shape
        patches = self._gather(picture, self._xs, self._ys)
        best = field[self._ys, self._xs].copy()
        cost = self._cost(picture, patches, best)
        for step in range(steps):
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                jump = 1 if step else 4
                near_y = np.clip(self._ys + dy * jump, 0, height - 1)
                near_x = np.clip(self._xs + dx * jump, 0, width - 1)
                self._try(picture, patches, best, cost, field[near_y, near_x])
                field[self._ys, self._xs] = best
            # Far jumps belong to the coarsest level: finer ones would break its pieces into crumbs.
            radius = max(height, width) / 2 if wide else 3.0
            while radius >= 1:
                jitter = self._rng.uniform(-radius, radius, best.shape)
                jitter[:, 1] *= 0.5
                self._try(picture, patches, best, cost, best + jitter.round().astype(np.int32))
                radius /= 3
            field[self._ys, self._xs] = best
        return cost

    def _try(self, picture: NDArray, patches: NDArray, best: NDArray, cost: NDArray, offsets: NDArray) -> None:
        x, y = self._xs + offsets[:, 0], self._ys + offsets[:, 1]
        todo = np.flatnonzero(self._is_source(x, y) & (offsets != best).any(1))
        if len(todo) == 0:
            return
        new = self._cost(picture, patches[todo], offsets[todo], todo)
        better = new < cost[todo]
        best[todo[better]], cost[todo[better]] = offsets[todo][better], new[better]

    def _is_source(self, x: NDArray, y: NDArray) -> NDArray:
        height, width = self._source.shape
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        return inside & self._source[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]

    def _cost(self, picture: NDArray, patches: NDArray, offsets: NDArray, which: NDArray | None = None) -> NDArray:
        xs, ys = (self._xs, self._ys) if which is None else (self._xs[which], self._ys[which])
        other = self._gather(picture, xs + offsets[:, 0], ys + offsets[:, 1])
        other -= patches
        cost = np.einsum("nk,nk->n", other, other) / other.shape[1]
        rise = offsets[:, 1].astype(np.float32) / (0.1 * self._source.shape[0])
        aside = offsets[:, 0].astype(np.float32) / (0.1 * self._source.shape[1])
        return cost + _ROW_COST * rise * rise + _FAR_COST * aside * aside

    def _gather(self, picture: NDArray, xs: NDArray, ys: NDArray) -> NDArray:
        """(N, 3 * taps) float32: every second pixel of each patch; the taps between are seen by the neighbours."""
        half = _PATCH // 2
        width = picture.shape[1]
        taps = [dy * width + dx for dy in range(-half, half + 1, 2) for dx in range(-half, half + 1, 2)]
        index = (ys * width + xs)[:, None] + np.array([*taps, 0])
        return np.take(picture.reshape(-1, 3), index, axis=0).reshape(len(xs), -1)


def _vote(
    picture: NDArray, gap: NDArray, field: NDArray, cost: NDArray, trust: NDArray, ys: NDArray, xs: NDArray
) -> NDArray:
    """Each patch says what its pixels should be; good matches speak louder."""
    height, width = gap.shape
    half = _PATCH // 2
    sigma = float(np.quantile(cost, 0.6)) + 2.0
    weight = trust * (np.exp(-cost / sigma).astype(np.float32) + 1e-4)
    told = np.concatenate([picture, np.ones((height, width, 1), np.float32)], axis=2).reshape(-1, 4)
    total = np.zeros_like(told)
    to, offsets = ys * width + xs, field[ys, xs]
    source = to + offsets[:, 1] * width + offsets[:, 0]
    for shift in (dy * width + dx for dy in range(-half, half + 1) for dx in range(-half, half + 1)):
        # `to` holds each place once: plain indexed addition is enough.
        total[to + shift] += weight[:, None] * np.take(told, source + shift, axis=0)
    total, norm = total.reshape(height, width, 4)[..., :3], total[:, 3].reshape(height, width)
    voted = total / np.maximum(norm, 1e-6)[..., None]
    return np.where((gap & (norm > 0))[..., None], voted, picture)


# --- full size -------------------------------------------------------------------------------------------------------


def _copy_fine(rgb: NDArray, hole: NDArray, known: NDArray, offsets: NDArray) -> NDArray:
    """Copy full-size pixels by the coarse offsets around each, mixed, and level the seams between pieces."""
    height, width = hole.shape
    factor = np.array([width / offsets.shape[1], height / offsets.shape[0]])
    ys, xs = np.nonzero(hole)
    at = np.stack([xs + 0.5, ys + 0.5], 1) / factor - 0.5
    led = (offsets[..., 0] != 0) | (offsets[..., 1] != 0)
    total, weight = np.zeros((len(xs), 3), np.float32), np.zeros(len(xs), np.float32)
    for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
        cell = np.floor(at).astype(int) + corner
        near = 1 - np.abs(at - cell)
        x, y = np.clip(cell, 0, np.array(led.shape[::-1]) - 1).T
        move = np.round(offsets[y, x] * factor).astype(int)
        from_x, from_y = np.clip(xs + move[:, 0], 0, width - 1), np.clip(ys + move[:, 1], 0, height - 1)
        share = (near[:, 0] * near[:, 1] * (led[y, x] & (known[from_y, from_x] > 0))).astype(np.float32)
        total += share[:, None] * rgb[from_y, from_x]
        weight += share
    usable = weight > 0.01
    result = rgb.copy()
    result[ys[usable], xs[usable]] = (total[usable] / weight[usable, None] + 0.5).astype(np.uint8)
    lost = hole.copy()
    lost[ys[usable], xs[usable]] = 0
    if lost.any():
        have = ((known > 0) | ((hole > 0) & (lost == 0))).astype(np.uint8)
        result = np.where(lost[..., None] > 0, _rough(result, have), result)
    return _level(result, rgb, hole, known)


def _level(filled: NDArray, rgb: NDArray, hole: NDArray, known: NDArray) -> NDArray:
    """Take a small step in colour at the hole's rim out of the fill; it fades inwards, so that no tint is spread."""
    height, width = hole.shape
    small = max(1, width // 2), max(1, height // 2)  # a step is smooth: half the size is plenty

    def soften(picture: NDArray) -> NDArray:
        return cv2.GaussianBlur(cv2.resize(picture, small, interpolation=cv2.INTER_AREA).astype(np.float32), (0, 0), 3)

    mask, have = (hole > 0).astype(np.uint8) * 255, ((known > 0) & (hole == 0)).astype(np.uint8) * 255
    near, outside = soften(mask) / 255, soften(have) / 255
    mine, theirs = (
        soften(cv2.bitwise_and(picture, picture, mask=part)) / np.maximum(share, 1e-3)[..., None]
        for picture, part, share in ((filled, mask, near), (rgb, have, outside))
    )
    # A large step is structure (a window beside a tree), not a seam.
    step = theirs - mine
    step[largest_channel(np.abs(step)) >= 30] = 0
    rim = cv2.resize(mask, small, interpolation=cv2.INTER_NEAREST) > 0
    ring = ((near > 0.3) & (outside > 0.3) & rim).astype(np.float32)
    lift = cv2.resize(extrapolate(step, ring), (width, height), interpolation=cv2.INTER_LINEAR)
    lift *= np.exp(-cv2.distanceTransform(mask, cv2.DIST_L2, 3) / 12)[..., None]
    levelled = np.clip(filled + lift + 0.5, 0, 255).astype(np.uint8)
    return np.where(hole[..., None] > 0, levelled, rgb)
