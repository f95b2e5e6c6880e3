"""What somebody looks like whom the person hides for a moment: as they did before, or do again after it.

Who stands there while the person runs past is a part of the place then, and no frame of that moment shows all of
them. Their likeness is cut out of the nearest frames in which they are alone, moved to where what still looks out of
them agrees best, and believed where it does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.background_motion import find_shots
from engine.layers.bones import bone_distance, bone_height
from engine.layers.membrane import above, largest_channel, shrink
from engine.layers.occlusion.passer_by import are_near, is_in_front, seen_beside
from engine.layers.occlusion.views import find_threshold
from engine.layers.scene.plate import Plate
from engine.layers.scene.plate_window import SEEN
from engine.layers.scene.shadow import is_darker
from engine.layers.scene.warp import Box, to_cv, warp_points
from engine.types import BackgroundMotion, FrameSource, Landmarks, Tracks, pick

_WIDE = 0.17
"""Flesh, clothes and hats are at most this far from a bone, heights of the body."""
_BONE, _SOMEBODY = 0.02, 0.6
"""This near a bone it is asked whether anybody is there, heights of the body; and the share of it that must be."""
_FLESH, _LOW = 0.055, 0.3
"""What is darker than the place, farther from a bone than this and as low as this, is a shadow, heights of the body."""
_LONGEST = 48
"""Frames for which somebody hidden still looks the same."""
_MOVED = 0.1, 0.04
"""How far aside and up they may be from where they were, or where their landmarks say, heights of the body."""
_BODY_PX = 160
"""In pictures that are laid over each other somebody is about this tall."""
_MOST = 60
"""Levels: what differs by more is somebody or something else before them, by however much."""
_LEANS = 0.06, 0.02
"""How far a part of somebody may be, aside and up, from where the rest is, heights of the body."""
_BAND, _STIFF = 0.06, 0.5
"""Height of a band that moves as one, and what it costs that two are a small pixel apart, squared: levels."""
_STRAIGHT = 0.02
"""What it costs to be a small pixel from where the rest is, squared: levels."""
_LOOKS_OUT = 0.08
"""Share of them that must look out to say where they are."""
_ALIKE = 0.5
"""Share of what looks out that must be as it was: most of it."""


@dataclass(frozen=True)
class Likeness:
    """Somebody, cut out of a frame in which they are alone."""

    frame: int
    x0: int
    y0: int
    """Top-left corner of the cutout, pixels of that frame."""
    rgb: NDArray
    """(h, w, 3) uint8."""
    alpha: NDArray
    """(h, w) uint8, 0 ... 255."""
    points_px: NDArray
    """(33, 2) float32: landmarks in that frame."""


@dataclass(frozen=True)
class Placed:
    """A likeness as it is seen in another frame."""

    likeness: Likeness
    shift_px: NDArray
    """(2,): how far it is moved from where it would stand still."""
    bend_px: NDArray
    """(h, w, 2) float32: how far from there each pixel of a box is found, beside that; a head is turned."""
    box: Box
    """Over which that is spread, pixels of the frame."""


class Likenesses:
    """Who stands in which frame as they do in another."""

    def __init__(self, motion: BackgroundMotion) -> None:
        self._to_first = motion.to_first
        self._shown: dict[int, dict[int, Placed]] = {}

    def add(self, idx: int, number: int, placed: Placed) -> None:
        """Show in a frame a likeness of somebody, by number."""
        self._shown.setdefault(idx, {})[number] = placed

    def stands_still(self, idx: int, number: int) -> bool:
        """Whether somebody is shown in a frame where they stood before, or will."""
        return number in self._shown.get(idx, ()) and not self._shown[idx][number].shift_px.any()

    def points(self, idx: int, number: int) -> NDArray | None:
        """(33, 2) landmarks of somebody in a frame, pixels, as they were where they were seen; None if not shown."""
        if number not in self._shown.get(idx, ()):
            return None
        placed = self._shown[idx][number]
        moved = np.linalg.inv(self._to_first[idx]) @ self._to_first[placed.likeness.frame]
        points = warp_points(moved, placed.likeness.points_px) + placed.shift_px
        (x0, y0, x1, y1), (height, width) = placed.box, placed.bend_px.shape[:2]
        at = (points - (x0, y0)) * (width / (x1 - x0), height / (y1 - y0))
        x, y = np.clip(at, 0, (width - 1, height - 1)).astype(int).T
        return points - placed.bend_px[y, x]

    def lay(self, idx: int, box: Box, rgb: NDArray, state: NDArray) -> tuple[NDArray, NDArray]:
        """Lay over the place in a box of a frame whoever stands there; arguments and result as of `Plate.render`."""
        for placed in self._shown.get(idx, {}).values():
            colour, alpha = _bend(placed, self._to_first, idx, box)
            if alpha.any():
                share = cv2.merge([alpha] * 3).astype(np.float32) / 255
                rgb = (rgb + share * (colour.astype(np.float32) - rgb) + 0.5).astype(np.uint8)
                state = np.where(alpha > 127, SEEN, state).astype(np.uint8)
        return rgb, state


def _bend(placed: Placed, to_first: NDArray, idx: int, box: Box) -> tuple[NDArray, NDArray]:
    """Show a likeness in a box of a frame: colours (h, w, 3) uint8 and alpha (h, w) uint8."""
    colour, alpha = _warp(placed.likeness, to_first, idx, placed.shift_px, box)
    x0, y0 = max(box[0], placed.box[0]), max(box[1], placed.box[1])
    x1, y1 = min(box[2], placed.box[2]), min(box[3], placed.box[3])
    if x0 < x1 and y0 < y1:
        wide = cv2.resize(placed.bend_px, (placed.box[2] - placed.box[0], placed.box[3] - placed.box[1]))
        grid = np.zeros((*alpha.shape, 2), np.float32)
        inside = np.s_[y0 - placed.box[1] : y1 - placed.box[1], x0 - placed.box[0] : x1 - placed.box[0]]
        grid[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]] = wide[inside]
        colour, alpha = (_remap(each, grid) for each in (colour, alpha))
    return colour, alpha


def _remap(picture: NDArray, bend: NDArray) -> NDArray:
    """Take every pixel of a picture from (h, w, 2) float32 pixels beside it."""
    x = bend[..., 0] + np.arange(bend.shape[1], dtype=np.float32)
    y = bend[..., 1] + np.arange(bend.shape[0], dtype=np.float32)[:, None]
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _warp(likeness: Likeness, to_first: NDArray, idx: int, shift: NDArray, box: Box) -> tuple[NDArray, NDArray]:
    """Like `_bend`, of a likeness that is only moved."""
    matrix = np.linalg.inv(to_first[likeness.frame]) @ to_first[idx]
    matrix = _translation(-likeness.x0, -likeness.y0) @ matrix @ _translation(*(np.array(box[:2]) - shift))
    size = box[2] - box[0], box[3] - box[1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    colour = cv2.warpPerspective(likeness.rgb, to_cv(matrix), size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return colour, cv2.warpPerspective(likeness.alpha, to_cv(matrix), size, flags=flags)


def find_likenesses(
    clip: FrameSource,
    hiders: FrameSource,
    plate: Plate,
    motion: BackgroundMotion,
    person: tuple[Tracks, Landmarks],
    others: Mapping[int, tuple[Tracks, Landmarks]],
) -> Likenesses:
    """Find what those look like whom somebody hides.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        hiders: (H, W) uint8, 0 ... 255: the person, who may hide them.
        plate: the place without the person.
        motion: of the background.
        person: their box and landmarks.
        others: tracks and landmarks of everybody else, by number.
    """
    found = Likenesses(motion)
    for number, (tracks, landmarks) in seen_beside(person[0], others).items():
        behind = are_near(person[0], tracks) & ~is_in_front(person[1], landmarks, person[0], tracks)
        wanted = _find_sources(hiders, tracks, landmarks, motion) if behind.any() else {}
        wanted = {idx: sources for idx, sources in wanted.items() if behind[idx]}
        sources = sorted({source for pair in wanted.values() for source in pair})
        cutouts = {
            idx: _cut_out(idx, rgb, plate, landmarks.image_px[idx]) for idx, rgb in zip(sources, pick(clip, sources))
        }
        masks = pick(hiders, sorted(wanted))
        for idx, rgb, mask in zip(sorted(wanted), pick(clip, sorted(wanted)), masks):
            looks = [cutouts[source] for source in wanted[idx]]
            points = landmarks.image_px[idx] if tracks.score[idx] > 0 else None
            best = _match(idx, rgb, mask, plate, [look for look in looks if look is not None], points, motion)
            if best is not None:
                found.add(idx, number, best)
    return found


def _find_sources(
    hiders: FrameSource, tracks: Tracks, landmarks: Landmarks, motion: BackgroundMotion
) -> dict[int, list[int]]:
    """The frames in which somebody is hidden, each with the nearest before and after in which they are alone."""
    seen = np.flatnonzero(tracks.score > 0)
    alone = np.zeros(len(tracks.score), bool)
    for idx, mask in enumerate(hiders.read(0, int(seen[-1]) + 1)):
        if tracks.score[idx] > 0:
            alone[idx] = not _touch(mask, landmarks.image_px[idx])
    wanted: dict[int, list[int]] = {}
    shots = find_shots(motion)
    for first, last in pairwise(np.flatnonzero(alone).tolist()):
        inside = any(a <= first and last < b for a, b in shots)
        for idx in range(first + 1, last) if inside else ():
            wanted[idx] = [each for each in (first, last) if abs(each - idx) <= _LONGEST]
    return {idx: pair for idx, pair in wanted.items() if pair}


def _touch(mask: NDArray, points: NDArray) -> bool:
    """Whether a mask (H, W) uint8 comes near the bones of landmarks (33, 2)."""
    height = bone_height(points)
    step = max(1, round(height / _BODY_PX))
    small = np.ascontiguousarray(mask[::step, ::step])
    return bool(((bone_distance(points / step, small.shape) < _WIDE * height / step) & (small > 24)).any())


def _cut_out(idx: int, rgb: NDArray, plate: Plate, points: NDArray) -> Likeness | None:
    """Cut somebody out who is alone: what is not the place, around their bones; None who is part of the place."""
    height = bone_height(points)
    room = _WIDE * height
    low, high = np.floor(points.min(0) - 2 * room), np.ceil(points.max(0) + room)
    x0, y0 = (max(0, int(value)) for value in low)
    x1, y1 = (min(most, int(value)) for value, most in zip(high, rgb.shape[1::-1]))
    if x1 - x0 < 8 or y1 - y0 < 8:
        return None
    frame = np.ascontiguousarray(rgb[y0:y1, x0:x1])
    scene, state = plate.render(idx, (x0, y0, x1, y1), cv2.INTER_LINEAR)
    away = largest_channel(cv2.absdiff(*(cv2.GaussianBlur(each, (0, 0), 0.7) for each in (frame, scene))))
    far = bone_distance(points - (x0, y0), away.shape)
    differs = ((away > find_threshold(plate, idx)) & (far < room) & (state > 0)).astype(np.uint8)
    ground = max(0, int(points[:, 1].max() - _LOW * height) - y0)
    dark, lit = (each[ground:].astype(np.float32) for each in (frame, scene))
    shade = is_darker(dark, lit)
    differs[ground:][shade & (far[ground:] > _FLESH * height)] = 0
    gap = 2 * max(1, round(0.01 * height)) + 1
    whole = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8))
    outlines, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    alpha = np.zeros(away.shape, np.uint8)
    cv2.drawContours(alpha, [max(outlines, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    if (alpha[far < _BONE * height] > 0).mean() < _SOMEBODY:
        return None
    return Likeness(idx, x0, y0, frame, cv2.blur(alpha, (3, 3)), points)


def _match(
    idx: int,
    rgb: NDArray,
    mask: NDArray,
    plate: Plate,
    looks: list[Likeness],
    points: NDArray | None,
    motion: BackgroundMotion,
) -> Placed | None:
    """Find which likeness is seen in a frame behind whoever hides it, and where; None if neither."""
    trials = [_Trial(look, idx, motion, points) for look in looks]
    corners = np.concatenate([np.zeros((0, 2)), *(trial.corners for trial in trials)])
    if not len(corners):
        return None
    x0, y0 = (max(0, int(value)) for value in np.floor(corners.min(0)))
    x1, y1 = (min(most, int(value)) for value, most in zip(np.ceil(corners.max(0)), rgb.shape[1::-1]))
    step = max(1, round(trials[0].height / _BODY_PX))
    size = (y1 - y0) // step, (x1 - x0) // step
    if min(size) < 8:
        return None
    box = x0, y0, x0 + size[1] * step, y0 + size[0] * step
    part = slice(box[1], box[3]), slice(box[0], box[2])
    scene = plate.render(idx, box, cv2.INTER_LINEAR)[0]
    hider = cv2.dilate(shrink(above(np.ascontiguousarray(mask[part]), 24), step), np.ones((5, 5), np.uint8))
    view = _View(box, step, shrink(np.ascontiguousarray(rgb[part]), step), shrink(scene, step), hider == 0)
    _, shift, trial = min((trial.search(view) for trial in trials), key=lambda each: each[0])
    placed = trial.bend(view, shift)
    return placed if trial.is_alike(view, placed, find_threshold(plate, idx)) else None


@dataclass(frozen=True)
class _View:
    """A frame and its place, shrunk."""

    box: Box
    step: int
    """Pixels per small pixel."""
    frame: NDArray
    scene: NDArray
    """(h, w, 3) uint8 each."""
    free: NDArray
    """(h, w) bool: nobody stands before it."""


class _Trial:
    """A likeness that may be seen in a frame."""

    def __init__(self, look: Likeness, idx: int, motion: BackgroundMotion, points: NDArray | None) -> None:
        self.look, self._idx, self._to_first = look, idx, motion.to_first
        matrix = np.linalg.inv(motion.to_first[idx]) @ motion.to_first[look.frame]
        self.height = bone_height(look.points_px)
        self._starts = [np.zeros(2)]
        if points is not None:
            self._starts.append(np.median(points[11:] - warp_points(matrix, look.points_px[11:]), axis=0))
        height, width = look.alpha.shape
        corner = np.array([look.x0, look.y0])
        square = np.array([(x, y) for x in (0, width) for y in (0, height)]) + corner
        placed = [warp_points(matrix, square) + start for start in self._starts]
        self.corners = np.concatenate(
            [each + sign * self.height * np.array(_MOVED) for each in placed for sign in (-1, 1)]
        )

    def search(self, view: _View) -> tuple[float, NDArray, "_Trial"]:
        """How well it fits where it fits best, mean levels, and (2,) pixels: how far it is moved there."""
        costs = self._costs(view, np.zeros(2))

        def cost(shift: tuple[int, int]) -> float:
            return float(costs(shift).sum())

        reach = [max(1, int(share * self.height / view.step / 2)) for share in _MOVED]
        at = [(2 * i, 2 * j) for i in range(-reach[0], reach[0] + 1) for j in range(-reach[1], reach[1] + 1)]
        starts = {(round(float(start[0]) / view.step), round(float(start[1]) / view.step)) for start in self._starts}
        x, y = min(sorted({(a + i, b + j) for a, b in starts for i, j in at}), key=cost)
        x, y = min(((x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)), key=cost)
        return cost((x, y)), view.step * np.array([x, y], float), self

    def bend(self, view: _View, shift: NDArray) -> Placed:
        """Follow every height of the body by itself: who leans or turns their head, does not move the feet.

        Source: the shifts of bands, one above the other, by the least sum of what differs and of how far neighbours
        are apart (Viterbi).
        """
        cost = self._costs(view, shift)
        reach = [round(share * self.height / view.step) for share in _LEANS]
        tried = [(x, y) for x in range(-reach[0], reach[0] + 1) for y in range(-reach[1], reach[1] + 1)]
        rows = np.array([cost(each).sum(1) for each in tried])
        size = max(4, round(_BAND * self.height / view.step))
        starts = np.arange(0, rows.shape[1], size)
        steps = np.array(tried, np.float32)
        bands = np.add.reduceat(rows, starts, axis=1) / (size * size) + _STRAIGHT * (steps**2).sum(1)[:, None]
        apart = _STIFF * ((steps[:, None] - steps) ** 2).sum(2)
        total, came = bands[:, 0], []
        for band in bands.T[1:]:
            ways = total[:, None] + apart
            came.append(ways.argmin(0))
            total = ways.min(0) + band
        path = [int(total.argmin())]
        for before in reversed(came):
            path.append(int(before[path[-1]]))
        moved = -steps[path[::-1]] * view.step  # where a pixel comes from
        smooth = cv2.resize(moved[:, None], (1, rows.shape[1]))
        return Placed(self.look, shift, np.ascontiguousarray(np.repeat(smooth.reshape(-1, 1, 2), 2, 1)), view.box)

    def is_alike(self, view: _View, placed: Placed, threshold: float) -> bool:
        """Whether enough of it looks out, and is seen."""
        colour, alpha = (shrink(each, view.step) for each in _bend(placed, self._to_first, self._idx, view.box))
        out = (alpha > 127) & view.free
        if np.count_nonzero(out) < _LOOKS_OUT * np.count_nonzero(alpha > 127):
            return False
        away = largest_channel(cv2.absdiff(view.frame, colour))
        return float((away[out] < threshold).mean()) > _ALIKE

    def _costs(self, view: _View, shift: NDArray) -> Callable[[tuple[int, int]], NDArray]:
        """Levels (h, w) by which place and likeness, moved by so many small pixels from there, differ from a frame."""
        colour, alpha = self._show(view, shift)
        frame, scene = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (view.frame, view.scene))
        empty, shown, inside = _differ(frame, scene), cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), above(alpha, 127)

        def costs(moved: tuple[int, int]) -> NDArray:
            gray, where = (_shifted(each, moved) for each in (shown, inside))
            return np.where(where > 0, _differ(frame, gray), empty) * view.free

        return costs

    def _show(self, view: _View, shift: NDArray) -> tuple[NDArray, NDArray]:
        colour, alpha = _warp(self.look, self._to_first, self._idx, shift, view.box)
        return shrink(colour, view.step), shrink(alpha, view.step)


def _differ(picture: NDArray, other: NDArray) -> NDArray:
    """(h, w) uint8: by how many levels two grey pictures differ, at most `_MOST`."""
    return cv2.min(cv2.absdiff(picture, other), _MOST)  # type: ignore[call-overload]


def _shifted(picture: NDArray, shift: tuple[int, int]) -> NDArray:
    """A picture (h, w) moved by whole pixels x, y; 0 where nothing comes in."""
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    return cv2.warpAffine(picture, matrix, picture.shape[::-1], flags=cv2.INTER_NEAREST)


def _translation(x: float, y: float) -> NDArray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])
