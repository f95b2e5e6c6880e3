"""Words laid over the picture: a line of strokes of one flat colour that the body does not cover.

A line is a band of rows in which thin strokes of one colour stand, spread over the width, and hardly any above and
below. It lies over the picture, and is not a sign on the wall behind, if its strokes are seen where the body must be.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import above, largest_channel
from engine.threads import map_in_order
from engine.types import FrameSource, Glimpse, Landmarks, pick

EVERY = 12
"""Frames from one look to the next."""
LONG_SIDE = 640
"""Longer side of the pictures looked at, pixels."""
_CONTRAST = 60
"""Levels by which a stroke stands out."""
_NEAR = 48
"""Levels in any channel from the colour of the strokes."""
_HEIGHTS = (0.015, 0.14)
"""Of a line, shares of the picture's height."""
_DENSITY = (0.06, 0.5)
"""Share of a line's pixels that are strokes."""
_THIN = 0.3
"""Width of a stroke, shares of the line's height, at most."""
_BEYOND = 0.5
"""How far single strokes (b, p) may stick out of a line, heights of it."""
_LEAST_LOOKS = 3
"""Looks in which a line must be seen before the body."""
_MIN_FILL = 0.03
"""Share of the body's inside, where a line crosses it, that shows strokes; a sign behind has none."""
_BONES = ((23, 25), (24, 26), (25, 27), (26, 28), (27, 31), (28, 32), (27, 29), (28, 30), (29, 31), (30, 32), (11, 23),
          (12, 24))  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of words, as it was seen in one picture."""

    top: int
    bottom: int
    """First row, and the row after the last; small pixels."""
    rgb: tuple[int, int, int]
    stroke: float
    """Width of a stroke, small pixels."""
    outline: tuple[int, int, int] | None
    """Colour of the rim around the strokes, if they have one."""
    rim: int
    """Its width, small pixels."""
    crossed: int
    """Pixels of the body's inside in the line."""
    shown: int
    """How many of them show strokes."""

    def is_like(self, other: "Line") -> bool:
        """Whether two are the same place and colour."""
        common = min(self.bottom, other.bottom) - max(self.top, other.top)
        span = max(self.bottom, other.bottom) - min(self.top, other.top)
        return common > 0.6 * span and max(abs(a - b) for a, b in zip(self.rgb, other.rgb)) < 32


Caption = tuple[int, int, Line]
"""First frame, the frame after the last, and the line as it looks in between."""


def as_line(values: Mapping[str, Any]) -> Line:
    """Make a line of what `dataclasses.asdict` made of it, by way of JSON."""
    own: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Line(**own)


def caption_scale(size: tuple[int, int]) -> float:
    """How much smaller than the frame (height, width) the pictures are that `find_lines` looks at."""
    return min(1.0, LONG_SIDE / max(size))


def find_captions(clip: FrameSource, landmarks: Landmarks) -> list[Caption]:
    """Find the lines of words over a clip.

    Args:
        clip: (H, W, 3) uint8 RGB frames; every `EVERY`-th is looked at.
        landmarks: of the person.

    Returns:
        (first frame, frame after the last, line) of those that lie over the picture, seen so in three looks at least.
    """
    scale, looks = caption_scale(clip.size), range(0, clip.num_frames, EVERY)

    def look(frame: tuple[int, NDArray]) -> list[Line]:
        idx, rgb = frame
        picture = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return find_lines(picture, draw_inside(landmarks, idx, scale, picture.shape[:2]))

    return _link(dict(zip(looks, map_in_order(look, zip(looks, pick(clip, looks))))), clip.num_frames)


def uncovered(idx: int, rgb: NDArray, captions: list[Caption]) -> NDArray:
    """(H, W) uint8: 0 where words cover a frame (H, W, 3) uint8, their soft edge included, else 255."""
    mask, scale = np.zeros(rgb.shape[:2], np.uint8), caption_scale((rgb.shape[0], rgb.shape[1]))
    for first, last, line in captions:
        if first <= idx < last:
            tall = round(_BEYOND * (line.bottom - line.top))
            draw_line(mask, rgb, replace(line, top=max(0, line.top - tall), bottom=line.bottom + tall), scale)
    return cv2.bitwise_not(cv2.dilate(above(mask, 8), np.ones((5, 5), np.uint8)))


def _link(looks: Mapping[int, list[Line]], num_frames: int) -> list[Caption]:
    open_lines: list[tuple[int, int, list[Line]]] = []
    done: list[tuple[int, int, list[Line]]] = []
    for idx, seen in looks.items():
        found, still = list(seen), []
        for first, last, lines in open_lines:
            same = [line for line in found if line.is_like(lines[-1])]
            if same:
                found.remove(same[0])
                still.append((first, idx, [*lines, same[0]]))
            else:
                done.append((first, last, lines))
        open_lines = still + [(idx, idx, [line]) for line in found]
    runs = done + open_lines
    told = [_lies_over(lines) for _, _, lines in runs]
    known = [lines[len(lines) // 2] for (_, _, lines), is_told in zip(runs, told) if is_told]
    captions = []
    for (first, last, lines), is_told in zip(runs, told):
        line = lines[len(lines) // 2]
        # One look that fails parts a caption in two, which meet there; the rest may be short, or clear of the body.
        if is_told or any(line.is_like(other) for other in known):
            captions.append((max(0, first - EVERY + 1), min(num_frames, last + EVERY + 1), line))
    return captions


def _lies_over(lines: list[Line]) -> bool:
    """Whether the looks at a line that cross the body tell that it does not lie behind."""
    height = float(np.median([line.bottom - line.top for line in lines]))
    met = [line for line in lines if line.crossed > 0.05 * height**2]
    told = [line for line in met if line.shown >= _MIN_FILL * line.crossed]
    return len(told) >= _LEAST_LOOKS and len(told) >= 0.6 * len(met)


def draw_inside(landmarks: Landmarks, idx: int, scale: float, size: tuple[int, ...]) -> NDArray:
    """(h, w) uint8: 255 along the bones of trunk, legs and feet; empty where they are not sure."""
    core = np.zeros(size, np.uint8)
    if landmarks.score[idx] <= 0.5:
        return core
    at = np.round(landmarks.image_px[idx] * scale - 0.5).astype(int)
    width = max(1, round(0.015 * float(np.ptp(at[:, 1]))))
    for a, b in _BONES:
        cv2.line(core, at[a].tolist(), at[b].tolist(), 255, width)
    return core


def find_lines(picture: NDArray, core: NDArray) -> list[Line]:
    """List the lines of words in one picture (h, w, 3) uint8; `core` (h, w) uint8 is the inside of the body."""
    height = len(picture)
    strokes = _find_strokes(picture, round(0.025 * height) | 1)
    colours = picture[strokes]
    bins = (colours // 32).astype(int) @ (64, 8, 1)
    lines: list[Line] = []
    for best in np.argsort(-np.bincount(bins, minlength=512), kind="stable")[:6].tolist():
        if (bins == best).sum() < 0.001 * height * picture.shape[1]:
            break
        colour = np.median(colours[bins == best], axis=0)
        near = colour.astype(np.uint8).astype(int)
        low, high = tuple((near - _NEAR + 1).tolist()), tuple((near + _NEAR - 1).tolist())
        mine = strokes & (cv2.inRange(picture, low, high) > 0)
        for top, bottom in _rows_of_words(mine):
            line = _measure(picture, mine, core, top, bottom, colour)
            if line.stroke <= _THIN * (bottom - top):
                lines.append(line)
    # A rim, and what shows between letters, makes lines of its own in the same rows: the thinnest are the letters.
    kept: list[Line] = []
    for line in sorted(lines, key=lambda line: line.stroke):
        if all(line.top >= other.bottom or line.bottom <= other.top for other in kept):
            kept.append(line)
    return kept


def _find_strokes(picture: NDArray, side: int) -> NDArray:
    """(h, w) bool: thin and clearly lighter or darker than what is around, in any channel."""
    kernel = np.ones((side, side), np.uint8)  # a square is two fast lines
    light, dark = (cv2.morphologyEx(picture, way, kernel) for way in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    return largest_channel(cv2.max(light, dark)) > _CONTRAST


def _rows_of_words(mine: NDArray) -> list[tuple[int, int]]:
    """(top, bottom) of the runs of rows in which strokes stand as in a line of words."""
    height, width = mine.shape
    share = cv2.blur(mine.mean(1).astype(np.float32)[:, None], (1, 3))[:, 0]
    dense = np.pad(share > 0.35 * max(float(share.max()), 1e-6), 1)
    dense = cv2.morphologyEx(dense.astype(np.uint8)[:, None], cv2.MORPH_CLOSE, np.ones((5, 1), np.uint8))[:, 0]
    edges = np.flatnonzero(np.diff(dense.astype(int)))
    found = []
    for top, bottom in zip(edges[::2].tolist(), edges[1::2].tolist()):
        tall = bottom - top
        if not _HEIGHTS[0] * height <= tall <= _HEIGHTS[1] * height:
            continue
        inside = mine[top:bottom]
        cells = max(1, width // max(tall, 1))
        filled = [part.mean() > 0.04 for part in np.array_split(inside, cells, axis=1)]
        beside = mine[max(0, top - tall - 2) : max(0, top - 2)].sum() + mine[bottom + 2 : bottom + tall + 2].sum()
        if _DENSITY[0] <= inside.mean() <= _DENSITY[1] and sum(filled) >= 3 and beside < 0.2 * inside.sum():
            found.append((top, bottom))
    return found


def _measure(picture: NDArray, mine: NDArray, core: NDArray, top: int, bottom: int, colour: NDArray) -> Line:
    inside = np.pad(mine[top:bottom].astype(np.uint8), 1)
    far = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    ridge = far[(far > 0) & (far >= cv2.dilate(far, np.ones((3, 3), np.uint8)))]
    stroke = 2 * float(np.quantile(ridge, 0.9))
    outline, rim = _find_rim(picture[top:bottom], mine[top:bottom])
    part = core[top:bottom] > 0
    return Line(
        top=max(0, top - rim - 1),
        bottom=min(len(picture), bottom + rim + 1),
        rgb=(int(colour[0]), int(colour[1]), int(colour[2])),
        stroke=stroke,
        outline=outline,
        rim=rim,
        crossed=int(part.sum()),
        shown=int((part & mine[top:bottom]).sum()),
    )


def _find_rim(picture: NDArray, strokes: NDArray) -> tuple[tuple[int, int, int] | None, int]:
    """Colour and width of an even rim around strokes; None and 0 where they have none."""
    colour, rim = None, 0
    inner = cv2.dilate(strokes.astype(np.uint8), np.ones((3, 3), np.uint8))
    for width in range(1, 7):
        outer = cv2.dilate(inner, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
        ring = picture[(outer > inner)].astype(np.int16)
        inner = outer
        if not len(ring):
            break
        middle = np.median(ring, axis=0) if colour is None else colour
        if (np.abs(ring - middle).max(1) < 40).mean() < 0.75:
            break
        colour, rim = middle, width
    return (None, 0) if colour is None else ((int(colour[0]), int(colour[1]), int(colour[2])), rim + 1)


def draw_line(mask: NDArray, rgb: Glimpse, line: Line, scale: float) -> None:
    """Add a line of words to a frame's mask.

    Args:
        mask: (H, W) uint8 of the frame, changed.
        rgb: (H, W, 3) uint8, the frame.
        line: what to draw.
        scale: small pixels per pixel.
    """
    top, bottom = int(line.top / scale), min(len(mask), int(np.ceil(line.bottom / scale)))
    part = rgb[top:bottom]
    near = _nearness(part, line.rgb)
    body = (near > 0.5).astype(np.uint8)
    thick = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, round(2.2 * line.stroke / scale) | 1),) * 2)
    blobs = cv2.dilate(cv2.morphologyEx(body, cv2.MORPH_OPEN, thick), np.ones((5, 5), np.uint8))
    near[blobs > 0] = 0
    if line.outline is not None:
        wide = 2 * round(line.rim / scale) + 1
        around = cv2.dilate((near > 0.5).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide)))
        rim = np.maximum(_nearness(part, line.outline), cv2.dilate(near, np.ones((5, 5), np.uint8)))
        near = np.maximum(near, np.where(around > 0, rim, 0))
    alpha = np.rint(255 * cv2.blur(near, (3, 3))).astype(np.uint8)
    mask[top:bottom] = np.maximum(mask[top:bottom], alpha)


def _nearness(rgb: NDArray, colour: tuple[int, int, int]) -> NDArray:
    """(h, w) float32, 0 ... 1: how near to a colour, whole within `_NEAR` levels."""
    away = largest_channel(cv2.absdiff(rgb, (*colour, 0)))  # type: ignore[call-overload]
    return np.clip(2.0 - away.astype(np.float32) / _NEAR, 0, 1)
