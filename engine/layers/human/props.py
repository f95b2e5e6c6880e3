"""What the person holds or rides (a bicycle, a board, a suitcase): it touches the body, and moves with it.

A pixel that is not the place belongs to a prop if it is joined to the body and if, seen from the body, it was no place
either a moment before and after. What is small (a racket, a phone), what flows on to the edge of sight (the spray of a
board), and what is broader than half the body is left alone, and a clip without anything large is left alone wholly:
paint `layers/props.mask` where that is wrong.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.background_motion import find_shots
from engine.layers.membrane import largest_channel
from engine.layers.occlusion.expected import body_path, with_neighbours
from engine.layers.occlusion.passer_by import near_somebody
from engine.layers.occlusion.views import View, body_height, find_threshold, read_views, save_views, view_step
from engine.layers.scene.plate import Plate
from engine.layers.scene.plate_window import BORROWED
from engine.types import BackgroundMotion, Chunks, FrameSource, Glimpse, Landmarks, Progress, Tracks, glimpse, quiet

BODY_PX = 130
"""Here the person is about this tall; at most twice as much."""
LEAST = 0.12
"""Areas of the body: what is smaller in half of the frames is not believed."""
_EVERY = 8
"""Frames between those that are asked whether the clip has a prop at all."""
_OFFSETS = (-6, -4, -2, 2, 4, 6)
"""Frames whose difference from the plate is laid over a frame's, body on body."""
_VOTERS = (-9, -7, -5, -3, 3, 5, 7, 9)
"""Frames that must have found the same, body on body."""
_AGREE = 0.6
"""Share of them."""
_HIDDEN = 0.7
"""A body that shows less than this share of what it shows in the frames around stands behind something."""
_ASTRAY = 0.08
"""How far bones may be off where half of the body is hidden, heights of the body."""
_AGREE_ALONE = 0.75
"""Share of those before it, or of those after it."""
_CEILING = 120
"""Levels: a larger difference from the plate is no better evidence."""
_RESTLESS = 1.7, 1.8
"""How far the difference, over time and now, must stand out of that of the surroundings (grass, water)."""
_ROOM = 0.6
"""Side of these surroundings, heights of the body."""
_JOIN = 0.02
"""Gaps of this many heights of the body are bridged."""
_RIM = 0.05
"""What is nowhere farther from the mask than this is the mask's own edge, heights of the body."""
_BROAD = 0.04
"""Half the width, heights of the body, from which on a thing is broad: not spokes, a frame or a line."""
_PARTS = 0.3
"""How far from what is sure of a thing its other parts may be, heights of the body."""
_THIN = 0.022
"""Half the width of a thin part, heights of the body."""
_SHADE = 0.02
"""Half the width of the narrowest shadow, heights of the body."""
_MANY = 64


@dataclass(frozen=True)
class _Finding:
    """What one frame shows, in pixels of a shrunk view."""

    idx: int
    x0: float
    y0: float
    human: NDArray
    """(h, w) uint8, 0 or 1."""
    mask: NDArray
    """(h, w) uint8, 0 or 1: may be a prop."""
    loose: NDArray
    """(h, w) uint8, 0 or 1: would be one if it touched the body; a trunk in front may part them."""
    unlike: NDArray
    """(h, w) uint8, 0 or 1: is no place just now."""


def find_props(
    clip: FrameSource,
    human_mask: FrameSource,
    motion: BackgroundMotion,
    landmarks: Landmarks,
    tracks: Tracks,
    *,
    chunks: Chunks,
    plate: Plate,
    others: Mapping[int, tuple[Tracks, Landmarks]] | None = None,
    progress: Progress = quiet,
) -> Iterator[NDArray]:
    """Find what the person holds or rides.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        human_mask: (H, W) uint8, 0 ... 255.
        motion: of the background.
        landmarks: of the person.
        tracks: the person's box; its typical height is the unit of all sizes here.
        chunks: where small views of the frames, and what was found in them, are kept.
        plate: the place without the person.
        others: tracks and landmarks of everybody else: they are nobody's props.
        progress: told about the views, if they are not there yet.

    Yields:
        (H, W) uint8 per frame: 0 ... 255, soft at the edges, outside of the human mask; all 0 in a clip without props.
    """
    folders = save_views(clip, human_mask, plate, tracks, chunks=chunks, progress=progress)
    if chunks.get("props") is None:
        with chunks.make("props") as part:
            scene = _Setting(folders, plate, motion, landmarks, tracks, dict(others or {}))
            _write(part, scene.findings() if scene.is_likely() else iter(()))
    folder = chunks.get("props")
    assert folder is not None
    step = view_step(tracks)
    is_believed = int((np.load(folder / "shares.npy") >= LEAST).sum()) > 0.5 * int((tracks.score > 0).sum())
    if not is_believed:
        yield from itertools.repeat(np.zeros(clip.size, np.uint8), clip.num_frames)
        return
    frames = enumerate(zip(glimpse(clip), read_views(folders), _read(folder, clip.num_frames)))
    for idx, (frame, view, mask) in frames:
        full = np.zeros(clip.size, np.uint8)
        if mask is not None:
            rows, cols = (slice(at * step, (at + num) * step) for at, num in zip((view.y0, view.x0), view.away.shape))
            part = full[rows, cols]
            wide = cv2.resize(mask * 255, view.away.shape[::-1], interpolation=cv2.INTER_LINEAR)
            soft = cv2.GaussianBlur(wide, (0, 0), 0.7)
            part[:] = cv2.resize(soft, part.shape[::-1], interpolation=cv2.INTER_LINEAR)
            _trim(full, frame, plate, idx)
        yield full


def _trim(mask: NDArray, frame: Glimpse, plate: Plate, idx: int) -> None:
    """Take out of a frame's mask, drawn from a small one, the pixels that show the place."""
    x, y, width, height = cv2.boundingRect(mask)
    if width == 0:
        return
    part = slice(y, y + height), slice(x, x + width)
    place, state = plate.render(idx, (x, y, x + width, y + height), cv2.INTER_LINEAR)
    away = cv2.GaussianBlur(largest_channel(cv2.absdiff(frame[part], place)).astype(np.float32), (0, 0), 0.7)
    share = np.clip(away / find_threshold(plate, idx) - 0.5, 0, 1)
    share[state < BORROWED] = 1
    mask[part] = np.rint(mask[part] * share)


class _Setting:
    """One clip, and the walk over its views."""

    def __init__(
        self,
        folders: list[Path],
        plate: Plate,
        motion: BackgroundMotion,
        landmarks: Landmarks,
        tracks: Tracks,
        others: dict[int, tuple[Tracks, Landmarks]],
    ) -> None:
        step = view_step(tracks)
        self._fold = max(1, round(body_height(tracks) / step / BODY_PX))
        self._step = step * self._fold
        self._unit = body_height(tracks) / self._step
        self._folders, self._plate, self._others = folders, plate, others
        self._shots = find_shots(motion)
        self._path = np.zeros((len(motion.to_first), 2))
        for start, stop in self._shots:
            within = Landmarks(*(value[start:stop] for value in vars(landmarks).values()))
            self._path[start:stop] = body_path(within, motion.to_first[start:stop]) / self._step

    def is_likely(self) -> bool:
        """Whether some of the frames show enough to look at them all."""
        shares = [_share(found) for found in self._candidates(_EVERY) if found.human.any()]
        return bool(shares) and float(np.median(shares)) >= LEAST

    def findings(self) -> Iterator[_Finding]:
        """Yield what is left of every frame when its neighbours have voted; by index, but for empty ones."""
        reach = max(_VOTERS)
        near: deque[_Finding] = deque()
        last = -1
        for found in self._candidates(1):
            near.append(found)
            for idx in range(last + 1, found.idx - reach + 1):
                yield from self._vote(idx, near)
                last = idx
            while near and near[0].idx < found.idx - 2 * reach:
                near.popleft()
        for idx in range(last + 1, len(self._path)):
            yield from self._vote(idx, near)

    def _candidates(self, every: int) -> Iterator[_Finding]:
        small = (_fold(view, self._fold) for view in read_views(self._folders))
        views = ((idx, view) for idx, view in enumerate(small))
        for start, stop in self._shots:
            part = (next(views)[1] for _ in range(start, stop))
            for idx, view, near in with_neighbours(part, 0, stop - start):
                if idx % every == 0 and view.away.shape[0] > 2:
                    known = {start + other: value for other, value in near.items() if value.away.shape[0] > 2}
                    yield self._look(start + idx, view, known)

    def _look(self, idx: int, view: View, near: dict[int, View]) -> _Finding:
        """What one frame may show."""
        human = (view.human > 127).astype(np.uint8)
        now = cv2.blur(_difference(view), (3, 3))
        often = self._over_time(idx, view, near)
        free = _apart_from(view, 5).astype(np.float32)
        side = (int(_ROOM * self._unit) | 1,) * 2
        around = cv2.blur(np.minimum(now, 40) * free, side) / np.maximum(cv2.blur(free, side), 0.05)
        least = find_threshold(self._plate, idx)
        often_ratio, now_ratio = _RESTLESS
        sure = (often > np.maximum(least, often_ratio * around)) & (now > np.maximum(least, now_ratio * around))
        raw = _difference(view)
        may = (often > 0.7 * np.maximum(least, 1.1 * often_ratio * around)) & (
            raw > 0.75 * np.maximum(least, 0.9 * now_ratio * around)
        )
        shade = _on_ground(view, human, self._unit)
        sure, may = sure & ~shade, may & ~shade
        unlike = (now > np.maximum(least, now_ratio * around)) & ~shade
        for tracks, landmarks in self._others.values():
            if tracks.score[idx] > 0:
                theirs = near_somebody(view, landmarks.image_px[idx] / self._step, least)
                sure, may, unlike = sure & ~theirs, may & ~theirs, unlike & ~theirs
        mask = _joined((sure | may).astype(np.uint8), sure)
        mask = _without_floods(mask, human, self._unit)
        loose = mask & (1 - human)
        mask = _touching(loose, human, self._unit)
        unlike = unlike.astype(np.uint8) & (1 - human)
        return _Finding(idx, view.x0, view.y0, human, _beyond_rim(mask, human, _RIM * self._unit), loose, unlike)

    def _over_time(self, idx: int, view: View, near: dict[int, View]) -> NDArray:
        """(h, w) float32: mean difference from the plate, body on body, where other frames do not have the body."""
        total, count = np.zeros(view.away.shape, np.float32), np.zeros(view.away.shape, np.float32)
        for other in (idx + offset for offset in _OFFSETS if idx + offset in near):
            free = _apart_from(near[other], 7)
            soft = cv2.blur(_difference(near[other]), (5, 5)) * free
            total += self._laid_over(idx, view, other, near[other], soft)
            count += self._laid_over(idx, view, other, near[other], free)
        return np.where(count >= 2, total / np.maximum(count, 1), 0)

    def _laid_over(
        self, idx: int, at: "View | _Finding", other: int, near: "View | _Finding", layer: NDArray
    ) -> NDArray:
        """A layer of another frame, moved so that body lies on body; 0 outside of it."""
        dx, dy = np.round(self._path[other] - self._path[idx] + (at.x0 - near.x0, at.y0 - near.y0)).astype(int)
        out = np.zeros((at.human.shape[0], at.human.shape[1]), layer.dtype)
        (h, w), (height, width) = out.shape, layer.shape
        top, bottom, left, right = max(0, -dy), min(h, height - dy), max(0, -dx), min(w, width - dx)
        if bottom > top and right > left:
            out[top:bottom, left:right] = layer[top + dy : bottom + dy, left + dx : right + dx]
        return out

    def _vote(self, idx: int, near: "deque[_Finding]") -> Iterator[_Finding]:
        known = {found.idx: found for found in near}
        if idx not in known or not known[idx].loose.any():
            return
        found = known[idx]
        shot = next((a, b) for a, b in self._shots if a <= idx < b)
        wide = np.ones((2 * round(0.03 * self._unit) + 1,) * 2, np.uint8)
        shown = {other.idx: float(other.human.sum()) for other in near}
        little = _HIDDEN * float(np.median(list(shown.values())))
        # What touches the body where all of it is seen may look out beside a trunk when the body does not.
        is_hidden = shown[idx] < little
        voters = [idx + offset for offset in _VOTERS if shot[0] <= idx + offset < shot[1] and idx + offset in known]
        sides = [voters]
        if min(shown[other] for other in shown if abs(other - idx) <= max(_VOTERS)) < little:
            # A trunk that hides it before or after has no vote.
            sides += [[other for other in voters if other < idx], [other for other in voters if other > idx]]
        agreed = np.zeros(found.mask.shape, np.uint8)
        for side in sides:
            votes, count = np.zeros(found.mask.shape, np.uint8), np.zeros(found.mask.shape, np.uint8)
            for other in side:
                mask = known[other].loose if is_hidden else known[other].mask
                votes += self._laid_over(idx, found, other, known[other], cv2.dilate(mask, wide))
                count += self._laid_over(idx, found, other, known[other], np.maximum(1 - known[other].human, mask))
            agreed |= votes >= (_AGREE if side is voters else _AGREE_ALONE) * np.maximum(count, 3)
        mask = _touching(found.mask & agreed, found.human, self._unit) | (found.loose & agreed)
        mask = _whole(mask, found.unlike, found.human, self._unit)
        yield replace(found, mask=mask | self._beyond(idx, found, [known[other] for other in voters], little))

    def _beyond(self, idx: int, found: _Finding, near: list[_Finding], little: float) -> NDArray:
        """(h, w) uint8, 0 or 1: what of the body itself looks out on the other side of a trunk."""
        near = [other for other in near if other.human.sum() >= little]
        if found.human.sum() >= little or len(near) < 2:
            return np.zeros_like(found.human)
        votes = np.sum([self._laid_over(idx, found, other.idx, other, other.human) for other in near], axis=0)
        wide = np.ones((2 * round(_ASTRAY * self._unit) + 1,) * 2, np.uint8)
        body = cv2.dilate((votes > len(near) / 2).astype(np.uint8), wide)
        count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents(found.unlike, connectivity=4))
        area = np.bincount(labels.ravel(), minlength=count)
        table = np.bincount(labels.ravel(), body.ravel(), count) > _AGREE * area
        table[0] = False
        return np.take(table, labels).astype(np.uint8)


# --- one frame -------------------------------------------------------------------------------------------------------


def _fold(view: View, fold: int) -> View:
    """A view shrunk by a whole number."""
    if fold == 1 or view.away.shape[0] <= 2:
        return view
    size = (max(1, view.away.shape[1] // fold), max(1, view.away.shape[0] // fold))
    layers = (
        cv2.resize(layer, size, interpolation=cv2.INTER_AREA)
        for layer in (view.away, view.human, view.sure, view.shade)
    )
    x0, y0 = view.x0 / fold, view.y0 / fold  # between pixels, perhaps
    return View(x0, y0, np.zeros((*size[::-1], 3), np.uint8), *layers)  # type: ignore[arg-type]


def _difference(view: View) -> NDArray:
    """(h, w) uint8: from the plate; 0 where the plate knows nothing."""
    return np.where(view.away == 255, 0, np.minimum(view.away, _CEILING)).astype(np.uint8)


def _apart_from(view: View, side: int) -> NDArray:
    """(h, w) uint8: 1 where the person is not, 0 on them and on a rim."""
    return (cv2.dilate(view.human, np.ones((side, side), np.uint8)) < 24).astype(np.uint8)


def _on_ground(view: View, human: NDArray, unit: float) -> NDArray:
    """(h, w) bool: broad shade on the ground; a tyre is narrower."""
    side = 2 * max(1, round(_SHADE * unit)) + 1
    broad = cv2.morphologyEx(view.shade, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    shade = cv2.dilate(broad, np.ones((5, 5), np.uint8)) > 127
    rows = np.flatnonzero(human.any(1))
    if len(rows):
        shade[: int(rows[-1] - 0.3 * (rows[-1] - rows[0]))] = False
    return shade


def _joined(mask: NDArray, seeds: NDArray) -> NDArray:
    """The pieces of a mask that hold a seed."""
    count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents(mask, connectivity=8))
    keep = np.zeros(count, np.uint8)
    keep[np.unique(labels[seeds & (mask > 0)])] = 1
    keep[0] = 0
    return keep[labels]


def _without_floods(mask: NDArray, human: NDArray, unit: float) -> NDArray:
    """Without what is broad and goes on beyond the view, or is larger than half the body."""
    side = 2 * max(1, round(_BROAD * unit)) + 1
    broad = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    count, labels, stats, _ = cast(
        "tuple[int, NDArray, NDArray, NDArray]", cv2.connectedComponentsWithStats(broad, connectivity=8)
    )
    flood = np.zeros(count, np.uint8)
    for label in range(1, count):
        x, y, width, height, area = stats[label]
        ends = x <= 1 or y <= 1 or x + width >= mask.shape[1] - 1 or y + height >= mask.shape[0] - 1
        flood[label] = ends or area > 0.5 * human.sum()
    return mask & (1 - cv2.dilate(flood[labels], np.ones((side // 2 | 1,) * 2, np.uint8)))


def _touching(mask: NDArray, human: NDArray, unit: float) -> NDArray:
    """The pieces that touch the body, small gaps aside."""
    side = 2 * max(1, round(_JOIN * unit)) + 1
    both = mask | cv2.dilate(human, np.ones((5, 5), np.uint8))
    return mask & _joined(cv2.morphologyEx(both, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)), human > 0)


def _whole(mask: NDArray, unlike: NDArray, human: NDArray, unit: float) -> NDArray:
    """A thing with the thin parts that are joined to what is sure of it: a wheel's rim moves against the body."""
    side = 2 * max(1, round(_THIN * unit)) + 1
    broad = cv2.morphologyEx(unlike, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    thin = unlike & (1 - cv2.dilate(broad, np.ones((3, 3), np.uint8)))
    near = (cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3) < _PARTS * unit).astype(np.uint8)
    return _joined(thin & near | mask, mask > 0)


def _beyond_rim(mask: NDArray, human: NDArray, rim: float) -> NDArray:
    """The pieces that reach away from the body."""
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) & (1 - human)
    return _joined(mask, cv2.distanceTransform(1 - human, cv2.DIST_L2, 3) >= rim)


def _share(found: _Finding) -> float:
    return float(found.mask.sum()) / max(1, int(found.human.sum()))


# --- on disk ---------------------------------------------------------------------------------------------------------


def _write(folder: Path, findings: Iterator[_Finding]) -> None:
    """Write packed bits, some dozens of frames a file, and how large everything is."""
    shares: list[float] = []
    for number, together in itertools.groupby(findings, lambda found: found.idx // _MANY):
        table = {}
        for found in together:
            table[f"size_{found.idx}"], table[f"bits_{found.idx}"] = found.mask.shape, np.packbits(found.mask)
            shares.append(_share(found))
        np.savez_compressed(folder / f"{number:06d}.npz", **table)
    np.save(folder / "shares.npy", np.array(shares))


def _read(folder: Path, num_frames: int) -> Iterator[NDArray | None]:
    """Yield the (h, w) uint8 mask of every frame, 0 or 1, or None where there is nothing."""
    for first in range(0, num_frames, _MANY):
        path = folder / f"{first // _MANY:06d}.npz"
        with np.load(path) if path.exists() else nullcontext({}) as table:
            for idx in range(first, min(first + _MANY, num_frames)):
                if f"size_{idx}" not in table:
                    yield None
                    continue
                height, width = table[f"size_{idx}"].tolist()
                yield np.unpackbits(table[f"bits_{idx}"], count=height * width).reshape(height, width)
