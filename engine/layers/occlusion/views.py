"""Small views of the person's surroundings beside the plate: what the search for things in front looks at."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.grow import grow_mask
from engine.layers.membrane import (
    above,
    amplify,
    enlarge,
    fit_exposure,
    largest_channel,
    shrink,
    shrink_least,
)
from engine.layers.scene.plate import Plate
from engine.layers.scene.plate_window import surroundings
from engine.layers.scene.shadow import is_darker
from engine.threads import map_in_order
from engine.types import Chunks, FrameSource, Glimpse, Progress, Tracks, glimpse

CHUNK = 64
"""Frames of one finished piece of work."""
AHEAD = 24
"""Views that are made while a chunk is written."""
BODY_PX = 240
"""In a view the person is about this tall."""
MAX_GAP = 24
"""Frames that the person may be out of sight and still be looked for where they must be."""


@dataclass
class View:
    """One frame, shrunk, as the search for things sees it."""

    x0: int
    y0: int
    """Top-left corner, small pixels."""
    rgb: NDArray
    """(h, w, 3) uint8."""
    away: NDArray
    """(h, w) uint8: largest difference of a channel from the plate; 255 where the plate knows nothing."""
    human: NDArray
    """(h, w) uint8."""
    sure: NDArray
    """(h, w) uint8: 255 where the plate was seen, not guessed."""
    shade: NDArray
    """(h, w) uint8: 255 where the frame is the plate, only darker."""


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

    def look(frame: tuple[int, Glimpse, NDArray]) -> View:
        idx, rgb, human = frame
        return _make_view(plate, idx, rgb, human, step, tracks.box_px[idx] if hidden[idx] else None)

    with ExitStack() as stack:
        looks: Iterator[View] | None = None  # finished chunks are the first ones
        for start in range(0, clip.num_frames, CHUNK):
            stop = min(start + CHUNK, clip.num_frames)
            name = f"views-{start:06d}-{stop - 1:06d}"
            if chunks.get(name) is None:
                if looks is None:
                    frames = zip(range(start, clip.num_frames), glimpse(clip, start), mask.read(start))
                    looks = stack.enter_context(closing(map_in_order(look, frames, AHEAD)))
                views = list(islice(looks, stop - start))
                with chunks.make(name) as part:
                    _write_views(part, views)
            folder = chunks.get(name)
            assert folder is not None
            folders.append(folder)
            progress(stop, clip.num_frames)
    return folders


def read_views(folders: list[Path]) -> Iterator[View]:
    """Yield the views of all frames, not to be written to."""
    return (view for folder in folders for view in _read_folder(folder))


def is_short_gap(seen: NDArray) -> NDArray:
    """(T,) bool: not seen, but seen within `MAX_GAP` frames before and after."""
    near = np.convolve(seen, np.ones(MAX_GAP), "full")
    before = near[: len(seen)] > 0.5
    after = np.convolve(seen[::-1], np.ones(MAX_GAP), "full")[: len(seen)][::-1] > 0.5
    return ~seen & before & after


def _make_view(plate: Plate, idx: int, rgb: Glimpse, human: NDArray, step: int, box_px: NDArray | None) -> View:
    """Shrink the surroundings of the person and compare them with the plate."""
    x, y, width, height = cv2.boundingRect(human)
    place = np.array([x, y, x + width, y + height])
    if width == 0:
        if box_px is None:
            empty = np.zeros((2, 2), np.uint8)
            return View(0, 0, np.zeros((2, 2, 3), np.uint8), empty, empty, empty, empty)
        place = np.clip(box_px, 0, (human.shape[1], human.shape[0]) * 2)
    elif box_px is not None:  # little of the person looks out, but all of their bicycle may
        place = np.concatenate([np.minimum(place[:2], box_px[:2]), np.maximum(place[2:], box_px[2:])])
        place = np.clip(place, 0, (human.shape[1], human.shape[0]) * 2)
    x0, y0, x1, y1 = (value // (2 * step) * 2 for value in surroundings(place, human.shape))  # even: shrunk again below
    box = x0 * step, y0 * step, x1 * step, y1 * step
    part = slice(box[1], box[3]), slice(box[0], box[2])
    scene, state = plate.render(idx, box)
    frame, scene, human = (shrink(picture, step) for picture in (rgb[part], scene, human[part]))
    state = shrink_least(state, step)
    known, sure = above(state, 0), above(state, 127)
    seen = cv2.bitwise_and(known, cv2.bitwise_not(grow_mask(human)))
    gain, lift = fit_exposure(shrink(scene, 2), shrink(frame, 2), shrink(seen, 2) == 255)
    bright = scene if (gain == 1).all() else amplify(scene, gain, cv2.CV_32F)
    fitted = cv2.add(bright, enlarge(lift, scene.shape[:2]), dtype=cv2.CV_8U)
    away = cv2.min(largest_channel(cv2.absdiff(frame, fitted)), 254)  # type: ignore[call-overload]
    shade = _find_shade(frame, fitted, away, human, find_threshold(plate, idx))
    away = cv2.max(away, cv2.bitwise_not(known))
    return View(x0, y0, frame, away, human, sure, shade)


def _find_shade(frame: NDArray, scene: NDArray, away: NDArray, human: NDArray, threshold: float) -> NDArray:
    """(h, w) uint8: 255 where the place is seen, only darker."""
    at = np.nonzero((away > threshold) & (human < 24))
    shade = np.zeros(away.shape, np.uint8)
    if len(at[0]):
        seen, lit = (picture[at][:, None].astype(np.float32) for picture in (frame, scene))
        shade[at] = np.where(is_darker(seen, lit)[:, 0], 255, 0)
    return shade


def _write_views(folder: Path, views: Sequence[View]) -> None:
    table = np.array([[view.x0, view.y0, *view.away.shape] for view in views], np.int32)
    layers = [layer for view in views for layer in (view.rgb, view.away, view.human, view.sure, view.shade)]
    np.save(folder / "table.npy", table)
    np.save(folder / "pixels.npy", np.concatenate([layer.ravel() for layer in layers]))


def _read_folder(folder: Path) -> Iterator[View]:
    table = np.load(folder / "table.npy")
    pixels = np.asarray(np.load(folder / "pixels.npy", mmap_mode="r"))  # what is not looked at is not read
    at = 0
    for x0, y0, height, width in table.tolist():
        rgb, *layers = np.split(pixels[at : at + 7 * height * width], np.arange(3, 7) * height * width)
        at += 7 * height * width
        yield View(x0, y0, rgb.reshape(height, width, 3), *(layer.reshape(height, width) for layer in layers))
