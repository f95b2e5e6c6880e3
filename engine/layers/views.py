"""Small views of the person's surroundings beside the plate: what the search for things in front looks at."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.caption import EVERY, caption_scale
from engine.layers.membrane import above, apply_exposure, fit_exposure, shrink
from engine.layers.mosaic import grow_mask
from engine.layers.moving_object import View
from engine.layers.plate import Plate, surroundings
from engine.types import Chunks, FrameSource, Progress, Reel, Tracks

CHUNK = 64
"""Frames of one finished piece of work."""
BODY_PX = 240
"""In a view the person is about this tall."""
MAX_GAP = 24
"""Frames that the person may be out of sight and still be looked for where they must be."""


def view_step(tracks: Tracks) -> int:
    """Pixels per small pixel; a whole number, by which pictures are shrunk fast."""
    return max(1, round(body_height(tracks) / BODY_PX))


def body_height(tracks: Tracks) -> float:
    """Typical height of the person's box, pixels."""
    seen = tracks.box_px[tracks.score > 0]
    boxes = seen if len(seen) else tracks.box_px
    return float(np.median(boxes[:, 3] - boxes[:, 1])) if len(boxes) else float(BODY_PX)


def find_threshold(plate: Plate, idx: int) -> float:
    """The difference from the plate that is no noise, levels."""
    return 18 + 4 * plate.noise(idx)


def save_views(
    clip: FrameSource, mask: FrameSource, plate: Plate, tracks: Tracks, *, chunks: Chunks, progress: Progress
) -> list[Path]:
    """Make the view of every frame, in chunks of `CHUNK`.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        mask: (H, W) uint8, the human.
        plate: of the clip.
        tracks: the person's box; it says where to look while the person is out of sight for a moment.
        chunks: where the views are kept.
        progress: told after every chunk, frames.

    Returns:
        The folders of the chunks, in order, for `read_views`.
    """
    step, folders = view_step(tracks), []
    hidden = is_short_gap(tracks.score > 0)
    reel = Reel(clip)
    for start in range(0, clip.num_frames, CHUNK):
        stop = min(start + CHUNK, clip.num_frames)
        name = f"views-{start:06d}-{stop - 1:06d}"
        if chunks.get(name) is None:
            views, pictures = [], []
            for idx, (rgb, human) in enumerate(zip(reel.read(start, stop), mask.read(start, stop)), start):
                box = tracks.box_px[idx] if hidden[idx] else None
                views.append(_make_view(plate, idx, rgb, human, step, box))
                if idx % EVERY == 0:
                    scale = caption_scale(clip.size)
                    pictures.append(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
            with chunks.make(name) as part:
                _write_views(part, views)
                np.save(part / "pictures.npy", np.array(pictures))
        folder = chunks.get(name)
        assert folder is not None
        folders.append(folder)
        progress(stop, clip.num_frames)
    return folders


def read_views(folders: list[Path]) -> Iterator[View]:
    """Yield the views of all frames."""
    return (view for folder in folders for view in _read_folder(folder))


def read_pictures(folders: list[Path]) -> Iterator[NDArray]:
    """Yield every `caption.EVERY`-th frame, whole and small, (h, w, 3) uint8."""
    return (picture for folder in folders for picture in np.load(folder / "pictures.npy", mmap_mode="r"))


def is_short_gap(seen: NDArray) -> NDArray:
    """(T,) bool: not seen, but seen within `MAX_GAP` frames before and after."""
    near = np.convolve(seen, np.ones(MAX_GAP), "full")
    before = near[: len(seen)] > 0.5
    after = np.convolve(seen[::-1], np.ones(MAX_GAP), "full")[: len(seen)][::-1] > 0.5
    return ~seen & before & after


def _make_view(plate: Plate, idx: int, rgb: NDArray, human: NDArray, step: int, box_px: NDArray | None) -> View:
    """Shrink the surroundings of the person and compare them with the plate."""
    x, y, width, height = cv2.boundingRect(human[::2, ::2])
    place = 2 * np.array([x, y, x + width, y + height])
    if width == 0:
        if box_px is None:
            empty = np.zeros((2, 2), np.uint8)
            return View(0, 0, np.zeros((2, 2, 3), np.uint8), empty, empty, empty, empty)
        place = np.clip(box_px, 0, (human.shape[1], human.shape[0]) * 2)
    x0, y0, x1, y1 = (value // step for value in surroundings(place, human.shape))
    box = x0 * step, y0 * step, x1 * step, y1 * step
    size = (x1 - x0, y1 - y0)
    part = slice(box[1], box[3]), slice(box[0], box[2])
    scene, state = plate.render(idx, box)
    frame, scene, human, known, sure = (
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        for picture in (
            rgb[part],
            scene,
            human[part],
            above(state, 0),
            above(state, 127),
        )
    )
    hidden = grow_mask(human)
    seen = shrink(((hidden == 0) & (known == 255)).astype(np.uint8) * 255, 2) == 255
    gain, lift = fit_exposure(shrink(scene, 2), shrink(frame, 2), seen)
    fitted = apply_exposure(scene, gain, cv2.resize(lift, size))
    fitted = cv2.add(fitted, 0, dtype=cv2.CV_8U)  # type: ignore[call-overload]
    away = cv2.absdiff(frame, fitted)
    away = np.minimum(cv2.max(cv2.max(away[..., 0], away[..., 1]), away[..., 2]), 254)
    shade = _find_shade(frame, fitted, away, human, find_threshold(plate, idx))
    away[known < 255] = 255
    return View(x0, y0, frame, away, human, above(sure, 254), shade)


def _find_shade(frame: NDArray, scene: NDArray, away: NDArray, human: NDArray, threshold: float) -> NDArray:
    """(h, w) uint8: 255 where the place is seen darker by one factor; rules as in `shadow.find_shadow`."""
    at = np.nonzero((away > threshold) & (human < 24))
    seen, lit = frame[at].astype(np.float32), scene[at].astype(np.float32)
    ratio = (seen.sum(1) + 1) / (lit.sum(1) + 1)
    level = lit.mean(1)
    change = np.abs(seen - lit * ratio[:, None]).max(1)
    shade = np.zeros(away.shape, np.uint8)
    shade[at] = np.where((ratio > 0.25) & (ratio < 0.94) & (level > 24) & (change < 6 + 0.06 * level), 255, 0)
    return shade


def _write_views(folder: Path, views: list[View]) -> None:
    table = np.array([[view.x0, view.y0, *view.away.shape] for view in views], np.int32)
    layers = [np.dstack([view.rgb, view.away, view.human, view.sure, view.shade]).ravel() for view in views]
    np.save(folder / "table.npy", table)
    np.save(folder / "pixels.npy", np.concatenate(layers))


def _read_folder(folder: Path) -> Iterator[View]:
    table, pixels = np.load(folder / "table.npy"), np.load(folder / "pixels.npy", mmap_mode="r")
    at = 0
    for x0, y0, height, width in table.tolist():
        block = np.array(pixels[at : at + 7 * height * width]).reshape(height, width, 7)
        at += block.size
        rgb = np.ascontiguousarray(block[..., :3])
        yield View(x0, y0, rgb, *(np.ascontiguousarray(block[..., channel]) for channel in (3, 4, 5, 6)))
