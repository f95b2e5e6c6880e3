"""Find a compact thing that moves (a ball) where it is free, and follow it to where it covers the body.

What it looks like (size, colours) is learned from the frames in which it is clear of the person, or, if it never is,
from circles of one size and look that wander over the body. Then every frame gets a map of "looks like it, not like the
body and not like the plate"; its disc-shaped peaks are candidates, and the cheapest path through the candidates of all
frames is the track. What never leaves the body and is not round is missed.
"""

import itertools
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import above
from engine.layers.occlusion.views import View

_BINS = 16
_MAX_CANDIDATES = 8
_MIN_AREA = 70
"""Small pixels: leaves and glints are smaller."""
_MIN_TRACK_SCORE = 0.7
"""Mean over the frames of a track; the football of a real clip has 0.85, chance finds have 0.1 to 0.6."""
_MIN_THROWN_SCORE = 0.55
"""The same for a track as smooth as a throw."""
_SMOOTH_BEND = 0.1
"""Diameters: typical change of a step from frame to frame; chance finds jump by more."""
_MIN_SMOOTH_FRAMES = 12
_MIN_SCORE = 0.30
"""Disc minus ring of the likelihood map; a clean disc scores about 0.8, half a disc 0.4."""
_CIRCLE_BONUS = 0.25
"""What a whole outline adds to the score; a patterned ball has less of it from its colours."""
_ABSENT_COST = 0.62
"""Per frame without the thing; a candidate costs 1 - score."""
_MOVE_COST = 0.05
"""Per squared diameter moved in one frame."""
_MAX_MOVE = 2.2
"""Diameters per frame."""


@dataclass(frozen=True)
class Blob:
    """Something that is neither plate nor person."""

    frame_idx: int
    x: float
    y: float
    """Centre, small pixels of the frame."""
    area: float
    colour: NDArray
    """(3,) float32, mean RGB."""
    histogram: NDArray
    """(_BINS**3,) float32: counts of its colours."""


@dataclass(frozen=True)
class Thing:
    """What a moving thing looks like."""

    radius: float
    """Small pixels, of a disc of the same area."""
    like: NDArray
    """(_BINS**3,) float32, 0 ... 1: how much a colour is the thing's and not the body's."""
    frames: tuple[int, ...]
    """Where it was seen free, or as a whole circle."""
    circles: dict[int, NDArray] = field(default_factory=dict)
    """Per frame, (K, 2) float: centres of circles of its size and look, small pixels."""


@dataclass(frozen=True)
class Path:
    """Where a thing is in every frame."""

    xy: NDArray
    """(T, 2) float32, small pixels; NaN where it is absent."""
    score: NDArray
    """(T,) float32."""


def find_blobs(view: View, frame_idx: int, threshold: float) -> list[Blob]:
    """List compact blobs that are clear of the person."""
    person = cv2.dilate((view.human > 24).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if not person.any():
        return []
    other = ((view.away > threshold) & (view.away < 255)).astype(np.uint8)
    other = cv2.morphologyEx(other, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    other = cv2.morphologyEx(other, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, centres = cv2.connectedComponentsWithStats(other, connectivity=4)
    touching = np.zeros(count, bool)
    touching[np.unique(labels[person])] = True  # type: ignore[index]
    blobs = []
    for idx in range(1, count):
        x, y, width, height, area = stats[idx]
        at_rim = x == 0 or y == 0 or x + width == other.shape[1] or y + height == other.shape[0]
        round_share = area / (0.7854 * width * height)
        aspect = max(width, height) / min(width, height)
        if touching[idx] or at_rim or area < _MIN_AREA or aspect > 1.8 or not 0.75 < round_share < 1.2:
            continue
        if area > 0.15 * np.count_nonzero(view.human > 127):
            continue
        inside = view.rgb[y : y + height, x : x + width][labels[y : y + height, x : x + width] == idx]
        blobs.append(
            Blob(
                frame_idx,
                view.x0 + float(centres[idx][0]) + 0.5,
                view.y0 + float(centres[idx][1]) + 0.5,
                float(area),
                inside.mean(0).astype(np.float32),
                np.bincount(_bin(inside), minlength=_BINS**3).astype(np.float32),
            )
        )
    return blobs


def find_circles(view: View, frame_idx: int, body_px: float) -> list[Blob]:
    """List circles on the person that may be a ball; heads and printed spots are among them.

    Args:
        view: the frame.
        frame_idx: its index.
        body_px: height of the person, small pixels; a ball has 3 to 9 % of that as its radius.

    Source: Hough circles on gradients; cv2's HOUGH_GRADIENT_ALT, which asks how much of the circle is there.
    """
    x0, y0, width, height = cv2.boundingRect(above(view.human, 127))
    if width == 0:
        return []
    least, most = max(8, int(0.06 * body_px)), int(0.18 * body_px)
    room = 3 * most // 4  # of a circle that is a quarter on the person, all is seen
    rows = slice(max(0, y0 - room), y0 + height + room)
    cols = slice(max(0, x0 - room), x0 + width + room)
    rgb, human = view.rgb[rows, cols], view.human[rows, cols]
    # Twice as large, three times as many circles of a dozen pixels are found.
    wide = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    found = cv2.HoughCircles(wide, cv2.HOUGH_GRADIENT_ALT, 1.5, 0.12 * body_px, None, 200, 0.7, least, most)
    blobs = []
    for x, y, radius in [] if found is None else found.reshape(-1, found.shape[-1])[:, :3] / 2:
        near = tuple(
            slice(max(0, int(at - radius)), min(size, int(at + radius) + 2)) for at, size in zip((y, x), human.shape)
        )
        disc = np.hypot(*(axis - at for axis, at in zip(np.ogrid[near], (y, x)))) < 0.92 * radius
        if not disc.any() or (human[near][disc] > 127).mean() < 0.25:
            continue
        inside = rgb[near][disc]
        counts = np.bincount(_bin(inside), minlength=_BINS**3).astype(np.float32)
        centre = view.x0 + cols.start + float(x) + 0.5, view.y0 + rows.start + float(y) + 0.5
        blobs.append(Blob(frame_idx, *centre, float(np.pi * radius**2), inside.mean(0).astype(np.float32), counts))
    return blobs


def learn_ball(circles: list[Blob], bodies: dict[int, NDArray], hips: NDArray, num_frames: int) -> list[Thing]:
    """Guess which circles seen on the body are a ball.

    Args:
        circles: of all frames, see `find_circles`.
        bodies: per frame with circles, the body's colour histogram (the circle's own colours are taken out).
        hips: (T, 2) float, small pixels: where the body is.
        num_frames: of the clip.

    Returns:
        Up to five guesses: circles of one size and look, in an eighth of the frames, that wander over the body by more
        than twice their diameter. A head keeps its place on the body.
    """
    least = max(8, num_frames // 8)
    if len(circles) < least:
        return []
    circles = circles[:: max(1, len(circles) // 2000)]
    areas = np.log([circle.area for circle in circles])
    looks = np.array([_coarse(circle.histogram) for circle in circles])
    places = np.array([[circle.x, circle.y] for circle in circles]) - hips[[circle.frame_idx for circle in circles]]
    alike = np.abs(areas[:, None] - areas) < 0.3
    for idx, look in enumerate(looks):
        alike[idx] &= np.minimum(look, looks).sum(1) > 0.6
    things: list[Thing] = []
    used = np.zeros(len(circles), bool)
    for best in np.argsort(-alike.sum(1), kind="stable")[:: max(1, len(circles) // 60)]:
        group = np.flatnonzero(alike[best])
        if used[group].mean() > 0.5 or len(things) == 5:
            continue
        frames = sorted({circles[i].frame_idx for i in group})
        radius = float(np.sqrt(np.median([circles[i].area for i in group]) / np.pi))
        spread = np.quantile(places[group], 0.9, axis=0) - np.quantile(places[group], 0.1, axis=0)
        still = np.linalg.norm(places[group] - np.median(places[group], axis=0), axis=1) < 1.5 * radius
        if len(frames) >= least and np.hypot(*spread) > 4 * radius and still.mean() < 0.5:
            own = np.sum([circles[i].histogram for i in group], axis=0)
            body = np.sum([bodies[idx] for idx in frames], axis=0)
            rings = {
                idx: np.array([[circles[i].x, circles[i].y] for i in group if circles[i].frame_idx == idx])
                for idx in frames
            }
            things.append(Thing(radius, _likelihood(own, np.maximum(body - own, 0)), tuple(frames), rings))
            used[group] = True
    return things


def body_histogram(view: View) -> NDArray:
    """(_BINS**3,) float32: counts of the colours inside the person."""
    inside = view.rgb[cv2.erode((view.human > 127).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0]
    return np.bincount(_bin(inside), minlength=_BINS**3).astype(np.float32)


def learn_things(blobs: list[Blob], bodies: dict[int, NDArray], num_frames: int) -> list[Thing]:
    """Group blobs that look alike into things.

    Args:
        blobs: of all frames.
        bodies: per frame with blobs, the body's colour histogram.
        num_frames: of the clip.

    Returns:
        At most three things, the most often seen first. A thing is seen free in at least 5 frames and 1.5 % of them,
        and does not stay in one place.
    """
    things = []
    left = list(blobs)
    least = max(5, round(0.015 * num_frames))
    while left and len(things) < 3:
        areas = np.log([blob.area for blob in left])
        colours = np.array([blob.colour for blob in left])
        alike = (np.abs(areas[:, None] - areas) < 0.35) & (np.abs(colours[:, None] - colours).max(2) < 36)
        best = int(alike.sum(1).argmax())
        group = [left[i] for i in np.flatnonzero(alike[best])]
        left = [left[i] for i in np.flatnonzero(~alike[best])]
        frames = sorted({blob.frame_idx for blob in group})
        if len(frames) < least:
            break
        radius = float(np.sqrt(np.median([blob.area for blob in group]) / np.pi))
        places = np.array([[blob.x, blob.y] for blob in group])
        if np.ptp(places, axis=0).max() < 3 * radius:
            continue
        body = np.sum([bodies[idx] for idx in frames if idx in bodies], axis=0)
        things.append(Thing(radius, _likelihood(np.sum([b.histogram for b in group], axis=0), body), tuple(frames)))
    return things


def likelihood_map(thing: Thing, rgb: NDArray, away: NDArray, threshold: float) -> NDArray:
    """(h, w) float32, 0 ... 1: where a picture looks like the thing and neither like the body nor the plate."""
    like = np.take(thing.like, _bin(rgb)).reshape(rgb.shape[:2])
    gate = np.clip((away.astype(np.float32) - 0.6 * threshold) / (0.8 * threshold), 0, 1)
    return like * gate


def find_candidates(thing: Thing, view: View, frame_idx: int, threshold: float) -> NDArray:
    """(K, 3) float32: x, y (small pixels of the frame) and score of the places where the thing may be."""
    like = likelihood_map(thing, view.rgb, view.away, threshold)
    kernel = disc_kernel(thing.radius)
    score = cv2.filter2D(like, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    peak = cv2.dilate(score, np.ones((2 * max(1, int(thing.radius * 0.6)) + 1,) * 2, np.uint8))
    ys, xs = np.nonzero((score == peak) & (score > _MIN_SCORE))
    order = np.argsort(-score[ys, xs], kind="stable")[:_MAX_CANDIDATES]
    ys, xs = ys[order], xs[order]
    fine = [_peak(score, x, y) for x, y in zip(xs, ys)]
    found = [[view.x0 + x + 0.5, view.y0 + y + 0.5, score[j, i]] for (x, y), i, j in zip(fine, xs, ys)]
    table = np.array(found, np.float32).reshape(-1, 3)
    return _add_circles(table, thing, view, score, frame_idx)


def _add_circles(table: NDArray, thing: Thing, view: View, score: NDArray, frame_idx: int) -> NDArray:
    """Believe candidates more that are whole circles, and add the circles that are no peaks."""
    for x, y in thing.circles.get(frame_idx, ()):
        near = np.hypot(table[:, 0] - x, table[:, 1] - y) < 0.35 * thing.radius
        row = int(np.clip(y - view.y0 - 0.5, 0, score.shape[0] - 1))
        col = int(np.clip(x - view.x0 - 0.5, 0, score.shape[1] - 1))
        value = max([float(score[row, col]), *table[near, 2].tolist()]) + _CIRCLE_BONUS
        table = np.vstack([table[~near], np.array([[x, y, min(value, 1.0)]], np.float32)])
    return table.astype(np.float32)


def follow(thing: Thing, candidates: list[NDArray]) -> Path:
    """Choose one candidate per frame, or none, so that the whole track is the most likely (Viterbi 1967)."""
    diameter = 2 * thing.radius
    costs, links = [], []
    previous, previous_xy = np.zeros(1), np.zeros((0, 2))
    for table in candidates:
        xy = table[:, :2]
        enter = 0.5  # to appear or to vanish costs about a frame of absence
        own = np.append(1 - table[:, 2], _ABSENT_COST)
        step = np.full((len(previous), len(own)), 0.0)
        step[-1, :-1] = enter
        step[:-1, -1] = enter
        if len(xy) and len(previous_xy):
            far = np.linalg.norm(previous_xy[:, None] - xy[None], axis=2) / diameter
            step[:-1, :-1] = np.where(far < _MAX_MOVE, _MOVE_COST * far * far, 1e3)
        total = previous[:, None] + step
        links.append(total.argmin(0))
        previous = total.min(0) + own
        costs.append(previous)
        previous_xy = xy
    num_frames = len(candidates)
    path, score = np.full((num_frames, 2), np.nan, np.float32), np.zeros(num_frames, np.float32)
    state = int(costs[-1].argmin()) if costs else 0
    for idx in range(num_frames - 1, -1, -1):
        if state < len(candidates[idx]):
            path[idx], score[idx] = candidates[idx][state, :2], candidates[idx][state, 2]
        state = int(links[idx][state])
    return Path(path, score)


def bridge(path: Path, thing: Thing, longest: int = 3) -> Path:
    """Fill gaps of a few frames by straight lines; drop scraps that stand alone."""
    xy, score = path.xy.copy(), path.score.copy()
    seen = np.flatnonzero(~np.isnan(xy[:, 0]))
    for a, b in itertools.pairwise(seen):
        gap = b - a - 1
        if 0 < gap <= longest and np.linalg.norm(xy[b] - xy[a]) < 2 * thing.radius * _MAX_MOVE * (gap + 1) / 2:
            for idx in range(a + 1, b):
                share = (idx - a) / (b - a)
                xy[idx] = (1 - share) * xy[a] + share * xy[b]
                score[idx] = min(score[a], score[b])
    runs = np.split(np.arange(len(xy)), np.flatnonzero(np.diff(np.isnan(xy[:, 0]).astype(int))) + 1)
    for run in runs:
        # A track holds on to the thing or to nothing: runs that never meet a free sighting must be long and sure.
        free = len(set(run.tolist()) & set(thing.frames))
        if not np.isnan(xy[run[0], 0]) and free == 0 and (len(run) < 4 or score[run].mean() < 0.5):
            xy[run], score[run] = np.nan, 0
    return Path(xy, score)


def is_sure(path: Path) -> bool:
    """Whether the whole track looks enough like the thing to be shown."""
    seen = ~np.isnan(path.xy[:, 0])
    return bool(seen.any() and path.score[seen].mean() > _MIN_TRACK_SCORE)


def is_thrown(path: Path, thing: Thing) -> bool:
    """Whether a track that looks less sure moves as only a thing does: long, smooth, and often seen free."""
    seen = ~np.isnan(path.xy[:, 0])
    bend = np.linalg.norm(np.diff(path.xy, n=2, axis=0), axis=1)
    bend = bend[~np.isnan(bend)] / (2 * thing.radius)
    free = sum(bool(seen[idx]) for idx in thing.frames)
    if len(bend) < _MIN_SMOOTH_FRAMES or free < _MIN_SMOOTH_FRAMES:
        return False
    return bool(np.median(bend) < _SMOOTH_BEND and path.score[seen].mean() > _MIN_THROWN_SCORE)


def nearest(path: Path, places: NDArray) -> float:
    """How near a track comes to (T, 2) places, small pixels; infinite where it is nowhere."""
    far = np.linalg.norm(path.xy - places, axis=1)
    far = far[~np.isnan(far)]
    return float(far.min()) if len(far) else float("inf")


@lru_cache
def disc_kernel(radius: float) -> NDArray:
    """(n, n) float32: a soft disc that sums to 1 minus a ring around it that sums to 0.8."""
    half = int(np.ceil(radius * 1.7)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    far = np.hypot(x, y)
    disc = np.clip(radius + 0.5 - far, 0, 1)
    ring = np.clip(far - radius * 1.12 + 0.5, 0, 1) * np.clip(radius * 1.5 + 0.5 - far, 0, 1)
    return (disc / disc.sum() - 0.6 * ring / ring.sum()).astype(np.float32)


def _coarse(histogram: NDArray) -> NDArray:
    """(64,) float32 that sum to 1: the same counts in four steps per channel."""
    cube = histogram.reshape((4, _BINS // 4) * 3).sum((1, 3, 5)).ravel()
    return (cube / max(float(cube.sum()), 1.0)).astype(np.float32)


def _likelihood(thing: NDArray, body: NDArray) -> NDArray:
    """Share of the thing in each colour, both counted as equally large; colours never seen are the body's."""
    smooth = [cv2.GaussianBlur(_blur_last(h.reshape(_BINS, _BINS, _BINS)), (0, 0), 0.6).ravel() for h in (thing, body)]
    a, b = smooth[0] / max(smooth[0].sum(), 1), smooth[1] / max(smooth[1].sum(), 1)
    return ((a + 1e-9) / (a + b + 1e-5)).astype(np.float32).clip(0, 1)


def _blur_last(cube: NDArray) -> NDArray:
    """Smooth along the last axis; `GaussianBlur` does the first two."""
    pad = np.pad(cube, ((0, 0), (0, 0), (1, 1)))
    return (0.2 * pad[..., :-2] + 0.6 * cube + 0.2 * pad[..., 2:]).astype(np.float32)


def _bin(rgb: NDArray) -> NDArray:
    if not rgb.size:
        return np.zeros(0, np.uint16)
    red, green, blue = cv2.split(rgb.reshape(-1, 1, 3) // (256 // _BINS))
    bins = red.ravel().astype(np.uint16)
    for plane in (green, blue):
        bins *= _BINS
        bins += plane.ravel()
    return bins


def colour_bins(rgb: NDArray, *, count: bool = False) -> NDArray:
    """(N,) bin of each of (N, 3) uint8 colours; or how many are in each bin, (_BINS**3,)."""
    bins = _bin(rgb)
    return np.bincount(bins, minlength=_BINS**3) if count else bins


def _peak(score: NDArray, x: int, y: int) -> tuple[float, float]:
    """Sub-pixel place of a maximum: parabolas through its neighbours."""
    height, width = score.shape
    dx = dy = 0.0
    if 0 < x < width - 1:
        a, b, c = (float(v) for v in score[y, x - 1 : x + 2])
        dx = 0.5 * (a - c) / min(a - 2 * b + c, -1e-6)
    if 0 < y < height - 1:
        a, b, c = (float(v) for v in score[y - 1 : y + 2, x])
        dy = 0.5 * (a - c) / min(a - 2 * b + c, -1e-6)
    return x + float(np.clip(dx, -0.5, 0.5)), y + float(np.clip(dy, -0.5, 0.5))
