"""Find what stands still in front of the person: a pole or a trunk that the body passes behind.

Where the body must be (see `expected`) and the frame shows the place instead, again and again, something stands in
front. It is believed only as a band: slim, long, with two edges along which it is then followed up and down. What the
body passes behind for a frame or two, and bushes, are missed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.grow import grow_mask
from engine.layers.membrane import above
from engine.layers.occlusion.band import Band, find_band
from engine.layers.occlusion.expected import body_path, draw_core, expected_trunk, sure_landmarks, with_neighbours
from engine.layers.occlusion.moving_object import colour_bins
from engine.layers.occlusion.slot import find_slots
from engine.layers.occlusion.views import BODY_PX, View, body_height, find_threshold, read_views, view_step
from engine.layers.scene.plate import Plate
from engine.types import BackgroundMotion, Landmarks, Size, Tracks

_MAX_FRAMES = 150
"""Frames of a shot that are asked."""
_MIN_FRAMES = 3
"""Frames in which the body must have been behind a pixel."""
_MIN_PART = 0.15
"""The same as a share of the frames at the pixel where the body is most often: a limb that strays is no witness."""
_MIN_SHARE = 0.7
"""Share of these frames in which the pixel shows the place all the same."""
_MAX_FRONT = 0.35
"""More of the body's way than this in front of it is a plate that went wrong."""
_SLIM, _LONG, _VERY_LONG = 0.45, 0.25, 0.7
"""A band is at most this wide and at least this high, heights of the body; very high, where a piece is short."""
_POLE, _OFTEN = 0.12, 6
"""A band known by a short piece is at most this wide, heights of the body, and seen in so many frames."""
_SLIM_ALONE = 0.25
"""So is one that is known by a slot alone."""
_TAPERS = 0.0, 0.03, 0.06
"""Columns per row that each side of such a one may lean outwards: trunks are thinner above."""
_LEAST = 0.03
"""Side of the smallest piece that is looked at, heights of the body."""
_NEAR = 6
"""Frames around those in which something was seen in front that show what it looks like."""
_FRAY = 0.2
"""Heights of the body up and down to which a band is as narrow as where the body takes the most off its side."""
_LEAST_LEFT = 0.3
"""Of a band's width; where the body leaves less, it is in front."""
_LIKELIER, _ENOUGH = 2.0, 200
"""A colour is a band's if it is so many times as frequent there as on the body, of which so many pixels are seen."""
_RARE = 4e-4
"""Share of the body's pixels below which a colour is not the body's."""


@dataclass(frozen=True)
class StillThing:
    """What stands in front, in one shot."""

    x0: int
    y0: int
    """Top-left corner of the mask in the pixels of the shot's first frame, shrunk."""
    mask: NDArray
    """(h, w) uint8, 0 or 255."""


def find_still(
    folders: list[Path],
    plate: Plate,
    motion: BackgroundMotion,
    landmarks: Landmarks,
    tracks: Tracks,
    shot: tuple[int, int],
) -> StillThing | None:
    """Look for what stands in front of the person in one shot.

    Args:
        folders: of the views, see `views.save_views`.
        plate: the views were compared with.
        motion: of the background.
        landmarks: of the person.
        tracks: of the person.
        shot: first frame, and the frame after the last.

    Returns:
        The thing (or things), or None.
    """
    start, stop = shot
    seen = np.flatnonzero(tracks.score[start:stop] > 0)
    if not len(seen):
        return None
    step = view_step(tracks)
    body_px = body_height(tracks) / step
    scale = np.diag([1.0 / step, 1.0 / step, 1.0])
    to_first = scale @ motion.to_first[start:stop] @ np.linalg.inv(scale)
    within = Landmarks(*(value[start:stop] for value in vars(landmarks).values()))
    path = body_path(within, motion.to_first[start:stop]) / step
    every = max(1, -(-(stop - start) // _MAX_FRAMES))
    box = _find_place(tracks.box_px[start:stop][seen] / step, to_first[seen], body_px)
    if box is None:
        return None
    watch = Watch(box, body_px)
    for idx, view in enumerate(read_views(folders)):
        if start <= idx < stop and sure_landmarks(landmarks, idx) and (idx - start) % every == 0:
            watch.look(view, find_threshold(plate, idx))
    shifted = dict(zip(range(start, stop), path))
    for idx, view, near in with_neighbours(read_views(folders), start, stop):
        if (idx - start) % every == 0 and view.away.shape[0] > 2:
            body = expected_trunk(idx, near, shifted, body_px)
            core = np.zeros_like(body)
            if sure_landmarks(landmarks, idx):
                core = draw_core(view, landmarks.image_px[idx] / step, landmarks.visibility[idx], body_px)
            watch.count(idx, view, body, core, to_first[idx - start], find_threshold(plate, idx))
    return watch.decide(partial(_lay_out, folders, to_first, start))


def _find_place(boxes: NDArray, to_first: NDArray, body_px: float) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1: the part of the place where the person walks, small pixels; None where it is too large."""
    corners = boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]].astype(float)
    places = np.concatenate([cv2.perspectiveTransform(c[:, None], m)[:, 0] for c, m in zip(corners, to_first)])
    low = np.floor(places.min(0) - 0.5 * body_px).astype(int)
    high = np.ceil(places.max(0) + 0.5 * body_px).astype(int)
    if np.prod(high - low) > 40 * BODY_PX**2:
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _lay_out(folders: list[Path], to_first: NDArray, start: int, box: tuple[int, int, int, int], when: int) -> NDArray:
    """(h, w, 3) uint8: views laid over each other where they show the place, in the box (small pixels of the first).

    The nearer in time to the frame `when` they are, the farther up they lie: what stands far before the place moves
    against it, and many views in turn would show it in strips.
    """
    size, num, when = (box[2] - box[0], box[3] - box[1]), len(to_first), when - start
    chosen = {*range(0, num, max(1, num // 12)), *range(max(0, when - _NEAR), min(num, when + _NEAR + 1))}
    layers = []
    for idx, view in enumerate(read_views(folders), -start):
        if idx not in chosen or view.away.shape[0] <= 2:
            continue
        own = np.array([[1, 0, view.x0], [0, 1, view.y0], [0, 0, 1.0]])
        matrix = np.array([[1, 0, -box[0]], [0, 1, -box[1]], [0, 0, 1.0]]) @ to_first[idx] @ own
        shown = ((grow_mask(view.human) == 0) & (view.away < 40)).astype(np.uint8)
        shown = cv2.warpPerspective(shown, matrix, size, flags=cv2.INTER_NEAREST)
        # Beyond its rim a view goes on: mixed with black it would have an upright edge there.
        moved = cv2.warpPerspective(view.rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        layers.append((abs(idx - when), shown, moved))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    for _, shown, moved in sorted(layers, key=lambda layer: -layer[0]):
        canvas[shown > 0] = moved[shown > 0]
    return canvas


class Watch:
    """Counts, pixel by pixel of a shot's place, how often the body should hide it and how often it does not."""

    def __init__(self, box: tuple[int, int, int, int], body_px: float) -> None:
        self._x0, self._y0 = box[:2]
        size = (max(1, box[3] - box[1]), max(1, box[2] - box[0]))
        self._behind, self._front = np.zeros(size, np.uint16), np.zeros(size, np.uint16)
        self._when = np.zeros(size, np.float32)
        """Sum of the numbers of the frames counted in `_front`."""
        self._plain = np.zeros(size, np.uint16)
        self._plain_when = np.zeros(size, np.float32)
        """In how many frames the body is plainly seen, and the sum of their numbers."""
        self._body_px = body_px
        self._colours = np.zeros(len(colour_bins(np.zeros((1, 3), np.uint8), count=True)), np.float64)

    def look(self, view: View, threshold: float) -> None:
        """First pass: learn the body's colours.

        Args:
            view: the frame.
            threshold: difference from the plate that is no noise.
        """
        inside = view.rgb[(cv2.erode(view.human, np.ones((5, 5), np.uint8)) > 127) & (view.away > threshold)]
        self._colours += colour_bins(inside, count=True)

    def count(self, idx: int, view: View, body: NDArray, core: NDArray, to_first: NDArray, threshold: float) -> None:
        """Second pass: lay one frame over the place.

        Args:
            idx: number of the frame.
            view: the frame.
            body: (h, w) uint8: the expected silhouette.
            core: (h, w) uint8: the inside of trunk and limbs.
            to_first: (3, 3) small pixels of the frame to small pixels of the shot's first frame.
            threshold: difference from the plate that is no noise.
        """
        own = np.array([[1, 0, view.x0], [0, 1, view.y0], [0, 0, 1.0]])
        matrix = np.array([[1, 0, -self._x0], [0, 1, -self._y0], [0, 0, 1.0]]) @ to_first @ own
        plain = ((view.human > 127) & (view.away > threshold)).astype(np.uint8)
        plain = cv2.morphologyEx(plain, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        plain = self._lay(plain, matrix)
        self._plain += plain
        self._plain_when[plain > 0] += idx
        if not body.any() and not core.any():
            return
        rare = self._colours < _RARE * max(self._colours.sum(), 1.0)
        strange = np.take(rare, colour_bins(view.rgb)).reshape(core.shape)
        same = (view.away < 0.6 * threshold) & (view.sure > 0)
        # What is like the place and like the body says nothing, unless the mask, too, says that it is not the body.
        shown = (core > 0) & same & strange | (body > 0) & same & (view.human < 64)
        hidden = (core > 0) & ~same | (body > 0) & (view.human > 127) & (view.away > threshold)
        behind, front = (self._lay(layer.astype(np.uint8), matrix) > 0 for layer in (shown | hidden, shown))
        self._behind += behind
        self._front += front
        self._when[front] += idx

    def decide(self, picture: Callable[[tuple[int, int, int, int], int], NDArray]) -> StillThing | None:
        """Keep what is surely a thing in front.

        Args:
            picture: gives the place in a box of small pixels of the first, (h, w, 3) uint8, as about a frame shows it.
        """
        front = self._find_front()
        if front is None:
            return None
        mask = np.zeros(self._front.shape, np.uint8)
        for piece in self._pieces(front):
            part, place = self._around(piece, picture)
            band = self._believe(piece[part], part, place)
            if band is not None:
                band.draw(mask[part])
        for slot in find_slots(self._plain, self._body_px):
            if (mask[slot] > 0).any():
                continue
            part, place = self._around(slot, picture)
            band = self._slot_band(slot, part, place)
            if band is not None:
                band.draw(mask[part])
        return StillThing(self._x0, self._y0, mask) if mask.any() else None

    def _find_front(self) -> NDArray | None:
        """(h, w) uint8, 0 or 1: where the body was behind and the place is seen all the same; None if too much is."""
        crossed = self._behind >= max(_MIN_FRAMES, _MIN_PART * float(self._behind.max()))
        front = (crossed & (self._front >= _MIN_SHARE * self._behind)).astype(np.uint8)
        # Stripes that look like the body are bridged where nothing speaks against it.
        wide = max(3, round(0.05 * self._body_px)) | 1
        against = (self._behind >= 2) & (self._front < 0.4 * self._behind)
        for shape in ((wide, wide), (1, 5 * wide)):
            closed = cv2.morphologyEx(front, cv2.MORPH_CLOSE, np.ones(shape[::-1], np.uint8))
            front = cv2.bitwise_and(closed, (~against).astype(np.uint8))
        front = cv2.morphologyEx(front, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return front if front.sum() <= _MAX_FRONT * crossed.sum() else None

    def _pieces(self, front: NDArray) -> Iterator[NDArray]:
        """(h, w) bool each: the pieces of what `_find_front` gave that are large enough."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(front, connectivity=8)
        for label in range(1, count):
            height, area = stats[label, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA]].tolist()
            if area >= (_LEAST * self._body_px) ** 2 and height >= _LEAST * self._body_px:
                yield labels == label

    def _slot_band(self, slot: NDArray, part: tuple[slice, slice], place: Callable[[int], NDArray]) -> Band | None:
        """The band of a slot. Its edges alone must show it; then the body seen beside it tells which edges they are."""
        unit, known, shown = self._body_px, slot[part], place(round(self._passed(slot)))
        band = find_band(known, shown, np.zeros_like(known), 0.9 * unit)
        if band is None or not _is_slim(band, _SLIM_ALONE * unit, unit):
            return None
        closer = find_band(known, shown, self._plain[part] >= _MIN_FRAMES, 0.9 * unit, tapers=_TAPERS)
        return closer if closer is not None and _is_slim(closer, _SLIM_ALONE * unit, unit) else band

    def _passed(self, slot: NDArray) -> float:
        """The number of the frame about which the body is seen beside a slot."""
        wide = np.ones((1, 2 * round(_SLIM_ALONE * self._body_px) + 1), np.uint8)
        beside = cv2.dilate(slot.astype(np.uint8), wide) > 0
        return float(self._plain_when[beside].sum()) / max(1.0, float(self._plain[beside].sum()))

    def _lay(self, layer: NDArray, matrix: NDArray) -> NDArray:
        """A layer (h, w) uint8 of a frame, in the place."""
        return cv2.warpPerspective(layer, matrix, self._front.shape[::-1], flags=cv2.INTER_NEAREST)

    def _around(
        self, piece: NDArray, picture: Callable[[tuple[int, int, int, int], int], NDArray]
    ) -> tuple[tuple[slice, slice], Callable[[int], NDArray]]:
        """As far around a piece as a band that leans can lead: the part of the place, and the picture of that."""
        x, y, width, height = cv2.boundingRect(piece.astype(np.uint8))
        reach = round(2 * self._body_px)
        rows = slice(max(0, y - reach), min(len(piece), y + height + reach))
        cols = slice(max(0, x - reach // 2), min(piece.shape[1], x + width + reach // 2))
        box = self._x0 + cols.start, self._y0 + rows.start, self._x0 + cols.stop, self._y0 + rows.stop
        return (rows, cols), partial(picture, box)

    def _believe(self, piece: NDArray, part: tuple[slice, slice], place: Callable[[int], NDArray]) -> Band | None:
        """The band of a piece: of a long piece at once, of a short one if the place shows a long, slim band there."""
        unit, front, behind = self._body_px, self._front[part], self._behind[part]
        when = float(self._when[part][piece].sum()) / max(1.0, float(front[piece].sum()))
        band = find_band(piece, place(round(when)), 2 * (behind - front) > behind, 0.9 * unit)
        if band is None:
            return None
        width = float(np.median(band.right - band.left))
        rows, cols = np.flatnonzero(piece.any(1)), np.flatnonzero(piece.any(0))
        if np.ptp(rows) + 1 >= _LONG * unit:
            return band if width <= _SLIM * unit and band.height >= _LONG * unit else None
        # A wall has many upright edges: a short piece must reach from edge to edge, of something like a pole.
        spans = np.ptp(cols) + 1 >= 0.45 * width
        often = float(np.median(front[piece])) >= _OFTEN
        return band if spans and often and _is_slim(band, _POLE * unit, unit) else None


def _is_slim(band: Band, most_px: float, body_px: float) -> bool:
    """Whether a band is very long, and at most so wide."""
    return float(np.median(band.right - band.left)) <= most_px and band.height >= _VERY_LONG * body_px


def draw_still(
    mask: NDArray, thing: StillThing, to_first: NDArray, step: int, view: View, threshold: float, *, is_seen: bool
) -> NDArray:
    """Add a thing to a frame's mask, but for what is plainly the person.

    Args:
        mask: (H, W) uint8 of the frame.
        thing: what stands in front.
        to_first: (3, 3): pixels of the frame to pixels of the shot's first frame.
        step: pixels per small pixel.
        view: the frame's.
        threshold: difference from the plate that is no noise.
        is_seen: whether the person is; where their mask is but a guess, nothing is plain.
    """
    size: Size = (mask.shape[0], mask.shape[1])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    small = np.array([[1 / step, 0, -thing.x0], [0, 1 / step, -thing.y0], [0, 0, 1.0]])
    matrix = np.linalg.inv(half) @ small @ to_first @ half
    drawn = cv2.warpPerspective(thing.mask, matrix, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    rows, cols = (slice(at * step, (at + num) * step) for at, num in zip((view.y0, view.x0), view.human.shape))
    part = drawn[rows, cols]
    if is_seen and part.any():
        bands = cv2.resize(part, view.human.shape[::-1])
        left = _cut(bands, _plain_body(bands, view, threshold))
        drawn[rows, cols] = cv2.min(part, cv2.resize(left, part.shape[::-1]))
    return np.maximum(mask, drawn)


def _plain_body(bands: NDArray, view: View, threshold: float) -> NDArray:
    """(h, w) uint8, 0 or 255: where the person plainly is: in bands (h, w) uint8, not where the colour is the band's.

    A trunk that has shifted against the place differs from it, too, and a mask closes over thin ones. So each band's
    colours beside the person are compared with the person's beside all bands.
    """
    body = (view.human > 127) & (view.away > threshold)
    count, labels = cv2.connectedComponents(above(bands, 0))
    touched = [label for label in range(1, count) if (body & (labels == label)).any()]
    if touched and (body & (labels == 0)).sum() >= _ENOUGH:
        bins, free = colour_bins(view.rgb).reshape(body.shape), grow_mask(view.human) == 0
        own = _colours(view.rgb[body & (labels == 0)])
        for label in touched:
            band = labels == label
            body &= ~(band & (_colours(view.rgb[band & free]) > _LIKELIER * own)[bins])
    return cv2.morphologyEx(body.astype(np.uint8) * 255, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))


def _colours(rgb: NDArray) -> NDArray:
    """Share of each bin of colour among (N, 3) uint8 pixels."""
    return colour_bins(rgb, count=True) / max(1, len(rgb))


def _cut(bands: NDArray, body: NDArray) -> NDArray:
    """Take the body off bands, so that their sides stay straight: outlines of bodies fray, trunks do not.

    Args:
        bands: (h, w) uint8, small pixels.
        body: (h, w) uint8, 0 or 255: where the person plainly is.

    Returns:
        (h, w) uint8: what may be drawn.
    """
    allowed = cv2.bitwise_not(body)
    count, labels = cv2.connectedComponents(above(bands, 0))
    for label in range(1, count):
        band = labels == label
        if not (band & (body > 0)).any():
            continue
        start, stop = _longest_runs(band)
        first, last = _longest_runs(band & (body == 0))
        partly = last - first >= _LEAST_LEFT * (stop - start)
        left, right = (_eased(np.where(partly, off, 0)) for off in (first - start, stop - last))
        cols = np.arange(band.shape[1])
        kept = np.clip(cols + 1 - (start + left)[:, None], 0, 1) * np.clip((stop - right)[:, None] - cols, 0, 1)
        rows = band & partly[:, None]
        allowed[rows] = (255 * kept[rows]).astype(np.uint8)
    return allowed


def _longest_runs(inside: NDArray) -> tuple[NDArray, NDArray]:
    """(h,) int each: first column of the longest run in every row of (h, w) bool, and the column after its last."""
    cols = np.arange(inside.shape[1])
    length = cols - np.maximum.accumulate(np.where(inside, -1, cols), axis=1)
    stop = length.argmax(1) + 1
    return stop - length.max(1), stop


def _eased(off: NDArray) -> NDArray:
    """(h,) float: the most that is taken off near each of (h,) rows, without steps."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    reach = round(_FRAY * BODY_PX)
    return gaussian_filter1d(maximum_filter1d(off.astype(float), 2 * reach + 1), reach / 2)
