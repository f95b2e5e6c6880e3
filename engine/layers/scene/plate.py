"""The place without the person, as a few mosaics that serve some dozens of frames each.

A clip is cut into windows (at most `WINDOW` frames, shorter where the camera travels far). Each window has one picture,
the plate, in the pixels of its anchor frame, built once from a fixed number of frames around it: so it does not
flicker, and memory does not grow with the clip. What a window never saw is borrowed from windows that did, and what no
window saw is inpainted once and handed on.
"""

import itertools
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.background_motion import find_shots
from engine.layers.caption import Caption, as_line, find_captions
from engine.layers.membrane import above, apply_exposure, enlarge, fit_exposure, shrink
from engine.layers.scene.borrow import borrow, borrow_lightest, goes_on
from engine.layers.scene.bystander import PERSON, STEP, feet_during
from engine.layers.scene.crowd import draw_crowd
from engine.layers.scene.inpaint import inpaint
from engine.layers.scene.mosaic import HARDLY, Gathered, Stack
from engine.layers.scene.plate_window import (
    ASIDE,
    BORROWED,
    INPAINTED,
    SEEN,
    UNKNOWN,
    PlateWindow,
    read_head,
    read_window,
    sharpen,
    surroundings,
    warp_restless,
    warp_window,
    write_window,
)
from engine.layers.scene.shadow import find_shadow
from engine.layers.scene.sun import Bystanders
from engine.layers.scene.warp import Box
from engine.threads import map_in_order
from engine.types import BackgroundMotion, Chunks, FrameSource, Landmarks, Progress, Size, quiet

WINDOW = 64
"""Frames a window serves at most."""
REACH = 32
"""Frames before and after a window from which it takes samples too."""
MAX_SAMPLES = 24
SAMPLE_BYTES = 300_000_000
"""Sampled frames held in memory at once."""
MAX_AREA = 2.5
"""A plate covers at most this many frame areas."""
FADE = 8
"""Frames over which one window's plate turns into the next one's."""

_MAX_CLEAR = 8
"""Other windows that are asked whether ground is in shadow."""


class Plate:
    """All windows of a clip, opened from disk as they are needed; may be shown by several threads."""

    populate: Callable[[int, Box, NDArray, NDArray], tuple[NDArray, NDArray]] | None = None
    """Shows those whom the person hides as if they were of the place: `Likenesses.lay`."""

    def __init__(
        self,
        windows: list[PlateWindow],
        folders: list[Path],
        motion: BackgroundMotion,
        size: Size,
        captions: list[Caption],
    ) -> None:
        self._windows = windows
        self._folders = folders
        self._to_first = motion.to_first
        self._shots = find_shots(motion)
        self.size, self.captions = size, captions
        self._open: dict[int, PlateWindow] = {}
        self._opening = threading.Lock()

    @property
    def folders(self) -> list[Path]:
        """Where the windows are, in order."""
        return self._folders

    def sun(self, frame_idx: int) -> float | None:
        """Which way shadows fall around a frame, see `Bystanders.sun`."""
        return self._windows[self._find(frame_idx)].sun

    def noise(self, frame_idx: int) -> float:
        """Standard deviation of the source's grain around a frame, levels of 0 ... 255."""
        return self._windows[self._find(frame_idx)].noise

    def render(
        self, frame_idx: int, box: Box, kernel: int = cv2.INTER_LANCZOS4, *, fine: bool = False
    ) -> tuple[NDArray, NDArray]:
        """Show the plate as a frame's camera sees it.

        Args:
            frame_idx: the frame.
            box: x0, y0, x1, y1, pixels of the frame.
            kernel: OpenCV's, to resample with; INTER_LINEAR is enough to compare pictures, and ten times faster.
            fine: with the detail that is finer than a mosaic's pixels, where the person hides it, and as near things
                lie before far ones in this frame.

        Returns:
            rgb (h, w, 3) uint8 and state (h, w) uint8 (UNKNOWN ... SEEN) of the box.
        """
        own = self._find(frame_idx)
        rgb, state = self._warp(own, frame_idx, box, kernel, fine)
        other, share = self._neighbour(own, frame_idx)
        if share > 0:
            rgb_2, state_2 = self._warp(other, frame_idx, box, kernel, fine)
            mixed = cv2.addWeighted(rgb, 1 - share, rgb_2, share, 0)
            cv2.copyTo(rgb, cv2.bitwise_not(above(state_2, 0)), mixed)
            cv2.copyTo(rgb_2, cv2.bitwise_not(above(state, 0)), mixed)
            less, more = cv2.min(state, state_2), cv2.max(state, state_2)
            rgb, state = mixed, cv2.copyTo(more, cv2.bitwise_not(above(less, 0)), less)
        return (rgb, state) if self.populate is None else self.populate(frame_idx, box, rgb, state)

    def restless(self, frame_idx: int, box: Box, size: Size) -> NDArray | None:
        """How little other frames tell of a box, a picture of `size`; see `find_restless`. None where all is still."""
        own = self._find(frame_idx)
        other, share = self._neighbour(own, frame_idx)
        maps = [
            weight * warp_restless(window, self._to_anchor(window, frame_idx), box, size)
            for window, weight in [(self._load(k), w) for k, w in ((own, 1 - share), (other, share)) if w > 0]
            if window.restless is not None
        ]
        return np.sum(maps, axis=0).astype(np.uint8) if maps else None

    def _find(self, frame_idx: int) -> int:
        starts = [window.start for window in self._windows]
        return int(np.searchsorted(starts, frame_idx, side="right")) - 1

    def _neighbour(self, own: int, frame_idx: int) -> tuple[int, float]:
        """The window next in time and its share of the picture: one half at the border, nothing FADE/2 from it."""
        window = self._windows[own]
        before, after = frame_idx - window.start + 0.5, window.stop - frame_idx - 0.5
        other = own - 1 if before < after else own + 1
        if not 0 <= other < len(self._windows) or self._windows[other].size == (0, 0):
            return own, 0.0
        if not any(a <= window.start < b and a <= self._windows[other].start < b for a, b in self._shots):
            return own, 0.0
        return other, max(0.0, 0.5 - min(before, after) / FADE)

    def _warp(self, idx: int, frame_idx: int, box: Box, kernel: int, fine: bool) -> tuple[NDArray, NDArray]:
        window = self._load(idx)
        return warp_window(window, self._to_anchor(window, frame_idx), box, kernel, frame_idx if fine else None)

    def _to_anchor(self, window: PlateWindow, frame_idx: int) -> NDArray:
        return np.linalg.inv(self._to_first[window.anchor]) @ self._to_first[frame_idx]

    def _load(self, idx: int) -> PlateWindow:
        with self._opening:
            if idx not in self._open:
                for old in [key for key in self._open if abs(key - idx) > 1]:
                    del self._open[old]
                self._open[idx] = read_window(self._folders[idx])
            return self._open[idx]


def build_plate(
    clip: FrameSource,
    human_mask: FrameSource,
    motion: BackgroundMotion,
    *,
    chunks: Chunks,
    progress: Progress = quiet,
    landmarks: Landmarks | None = None,
    others: Sequence[Landmarks] = (),
) -> Plate:
    """Build the place without the person for a whole clip.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        human_mask: (H, W) uint8, 0 ... 255.
        motion: of the background, one homography per frame.
        chunks: where finished windows are kept; a window that is there is not made again.
        progress: called with windows done and in all, three times over (seen, cleared of shadow, filled).
        landmarks: of the person, who tells words laid over the picture from a sign on the wall; without, no words.
        others: landmarks of everybody else: nobody's legs are the person's shadow.

    Returns:
        Plate: covers the surroundings of the person in every frame.

    Memory: `SAMPLE_BYTES` of sampled frames and one mosaic, whatever the length of the clip.
    """
    windows = _plan(_find_boxes(human_mask), motion, clip.size)
    total = 3 * len(windows)
    seen: list[Path] = []
    captions = [] if landmarks is None else find_captions(clip, landmarks)
    limits = {"max_bytes": SAMPLE_BYTES, "max_samples": MAX_SAMPLES, "reach": REACH}
    stack = Stack(clip, human_mask, motion, **limits, captions=captions, others=others)
    for idx, folder in enumerate(map_in_order(partial(_see, chunks), _gather(windows, stack, chunks), ahead=2)):
        seen.append(folder)
        progress(idx + 1, total)
    stack.close()

    lit: list[Path] = []
    names = [f"plate-lit-{window.start:06d}" for window in windows]
    clear = partial(_clear, windows, seen, motion, others)
    lighter = map_in_order(lambda idx: _keep(chunks, names[idx], partial(clear, idx)), range(len(windows)))
    for idx, folder in enumerate(lighter):
        lit.append(folder)
        progress(len(windows) + idx + 1, total)
    filled: list[Path] = []
    ready = map_in_order(lambda idx: _complete(idx, windows, seen, lit, motion), range(len(windows)))
    for idx, window in enumerate(ready):
        make = partial(_fill, idx, window, windows, filled, motion)
        filled.append(_keep(chunks, f"plate-{window.start:06d}", make))
        progress(2 * len(windows) + idx + 1, total)
    return Plate([read_head(folder) for folder in filled], filled, motion, clip.size, captions)


def _keep(chunks: Chunks, name: str, make: Callable[[], PlateWindow]) -> Path:
    """The folder of a window, made now unless an earlier run finished it."""
    if chunks.get(name) is None:
        with chunks.make(name) as part:
            write_window(part, make())
    folder = chunks.get(name)
    assert folder is not None
    return folder


def save_plate(plate: Plate, folder: Path) -> None:
    """Copy the windows of a plate into a folder, for `open_plate`."""
    for source in plate.folders:
        shutil.copytree(source, folder / source.name)
    captions = [[first, last, asdict(line)] for first, last, line in plate.captions]
    (folder / "captions.json").write_text(json.dumps(captions))


def open_plate(folder: Path, motion: BackgroundMotion, size: Size) -> Plate:
    """Open a saved plate.

    Args:
        folder: of `save_plate`.
        motion: of the background, the one it was built with.
        size: (height, width) of the clip, pixels.
    """
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    found = json.loads((folder / "captions.json").read_text())
    captions = [(first, last, as_line(line)) for first, last, line in found]
    return Plate([read_head(path) for path in folders], folders, motion, size, captions)


# --- where plates are needed -----------------------------------------------------------------------------------------


def _find_boxes(mask: FrameSource) -> NDArray:
    """(T, 4) int: x0, y0, x1, y1 of each frame's mask, all 0 where it is empty."""

    def find(start: int) -> list[list[int]]:
        small = (above(np.ascontiguousarray(human[::2, ::2]), 24) for human in mask.read(start, start + WINDOW))
        return [
            [2 * x, 2 * y, 2 * (x + width), 2 * (y + height)] for x, y, width, height in map(cv2.boundingRect, small)
        ]

    parts = map_in_order(find, range(0, mask.num_frames, WINDOW))
    return np.array([box for part in parts for box in part], int).reshape(-1, 4)


def _plan(boxes: NDArray, motion: BackgroundMotion, size: Size) -> list[PlateWindow]:
    windows = []
    for start, stop in find_shots(motion):
        num = max(1, -(-(stop - start) // WINDOW))
        edges = [start + (stop - start) * i // num for i in range(num + 1)]
        for first, last in itertools.pairwise(edges):
            windows += _plan_window(first, last, (start, stop), boxes, motion, size)
    return windows


def _plan_window(
    start: int, stop: int, shot: tuple[int, int], boxes: NDArray, motion: BackgroundMotion, size: Size
) -> list[PlateWindow]:
    """One window, or two halves where one mosaic would be too large."""
    anchor = (start + stop) // 2
    near = [idx for idx in range(max(shot[0], start - FADE), min(shot[1], stop + FADE)) if boxes[idx].any()]
    if not near:
        return [PlateWindow(start=start, stop=stop, anchor=anchor, x0=0, y0=0, size=(0, 0))]
    corners = []
    for idx in near:
        x0, y0, x1, y1 = surroundings(boxes[idx], size, ASIDE)
        square = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
        to_anchor = np.linalg.inv(motion.to_first[anchor]) @ motion.to_first[idx]
        corners.append(cv2.perspectiveTransform(square[:, None], to_anchor)[:, 0])
    low, high = np.floor(np.min(corners, axis=(0, 1))), np.ceil(np.max(corners, axis=(0, 1)))
    if (np.prod(high - low) > MAX_AREA * size[0] * size[1]) and stop - start > 8:
        halves = (start, anchor), (anchor, stop)
        return [window for a, b in halves for window in _plan_window(a, b, shot, boxes, motion, size)]
    low, high = np.maximum(low, -np.array(size[::-1])), np.minimum(high, 2 * np.array(size[::-1]))
    x0, y0, x1, y1 = (int(value) for value in (*low, *high))
    return [PlateWindow(start=start, stop=stop, anchor=anchor, x0=x0, y0=y0, size=(y1 - y0, x1 - x0))]


# --- building --------------------------------------------------------------------------------------------------------


def _gather(windows: list[PlateWindow], stack: Stack, chunks: Chunks) -> Iterator[tuple[PlateWindow, Gathered | None]]:
    """Each window with what it is made from; nothing where no person is in it or an earlier run made it."""
    for window in windows:
        if window.size == (0, 0) or chunks.get(_seen_name(window)) is not None:
            yield window, None
        else:
            place = (window.x0, window.y0), window.size
            yield window, stack.gather(window.start, window.stop, window.anchor, *place)


def _seen_name(window: PlateWindow) -> str:
    return f"plate-seen-{window.start:06d}"


def _see(chunks: Chunks, task: tuple[PlateWindow, Gathered | None]) -> Path:
    """Fill a window with what its own samples show, and keep it."""
    window, gathered = task

    def make() -> PlateWindow:
        if gathered is None:
            return window
        rgb, visible, needed, noise, more = gathered.combine()
        state = np.where(visible > HARDLY, SEEN, UNKNOWN).astype(np.uint8)
        # Pixels nobody will ask for stay unknown and are not inpainted: 1 marks what is needed and not seen.
        state[(state == UNKNOWN) & (needed & PERSON > 0)] = 1
        hardly = cv2.morphologyEx(cv2.inRange(visible, HARDLY, HARDLY), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        return replace(window, rgb=rgb, state=state, noise=noise, hardly=hardly, needed=needed, **more)

    return _keep(chunks, _seen_name(window), make)


def _clear(
    windows: list[PlateWindow], seen: list[Path], motion: BackgroundMotion, others: Sequence[Landmarks], idx: int
) -> PlateWindow:
    """Ask again for ground that lies in the person's shadow here and in the light in another window of the shot."""
    window = read_window(seen[idx])
    if window.rgb is None or window.state is None or window.needed is None:
        return window
    state = window.state.copy()
    box = (window.x0, window.y0, window.x0 + window.size[1], window.y0 + window.size[0])
    mine, removed = shrink(window.rgb, 4), shrink(above(window.needed & PERSON, 0), 4)
    feet = feet_during(others, motion, range(window.start, window.stop, 8), window.anchor) - (window.x0, window.y0)
    beside = Bystanders((feet / STEP).astype(np.float32), window.sun)
    usable = (shrink(above(state, 1), 4) == 255) & (shrink(above(window.needed, PERSON), 4) == 0)
    for other in _donors(idx, windows, motion)[:_MAX_CLEAR]:
        donor = read_window(seen[other])
        to_other = np.linalg.inv(motion.to_first[donor.anchor]) @ motion.to_first[window.anchor]
        theirs, origin = warp_window(donor, to_other, box)
        known = usable & (shrink(above(origin, 1), 4) == 255)
        theirs = shrink(theirs, 4)
        gain, _ = fit_exposure(theirs, mine, known)
        shade = find_shadow(
            mine, apply_exposure(theirs, gain, 0.0), removed, known, window.noise, under=True, bystanders=beside
        )
        state[(enlarge(shade, state.shape) > 0) & (state > 1)] = 1
    return replace(window, state=state, doubted=bool((state != window.state).any()))


def _complete(
    idx: int, windows: list[PlateWindow], seen: list[Path], lit: list[Path], motion: BackgroundMotion
) -> PlateWindow:
    """Complete a window from what the others of its shot saw."""
    window = read_window(lit[idx])
    if window.rgb is None or window.state is None:
        return window
    rgb, state = window.rgb.copy(), window.state.copy()
    for other in _donors(idx, windows, motion):
        if not (state == 1).any():
            break
        borrow(rgb, state, window, read_window(lit[other]), motion, BORROWED)
    if (state == 1).any():
        near = [other for other in (idx, *_donors(idx, windows, motion)) if read_head(lit[other]).doubted]
        borrow_lightest(rgb, state, window, (read_window(seen[other]) for other in near), motion)
    if window.hardly is not None:  # better than what anybody makes up
        state[goes_on(rgb, state, window.hardly)] = BORROWED
    heads = (read_head(seen[other]) for other in (idx, *_donors(idx, windows, motion)))
    sun = next((head.sun for head in heads if head.sun is not None), None)  # nobody moves it in one shot
    return replace(window, rgb=rgb, state=state, hardly=None, needed=None, sun=sun)


def _fill(
    idx: int, window: PlateWindow, windows: list[PlateWindow], filled: list[Path], motion: BackgroundMotion
) -> PlateWindow:
    """Complete a window by what was made up for those before it, then by inpainting."""
    rgb, state = window.rgb, window.state
    if rgb is None or state is None:
        return window
    for other in range(idx - 1, max(-1, idx - 4), -1):
        if (state == 1).any() and any(a <= other and idx < b for a, b in _shot_windows(windows, motion)):
            borrow(rgb, state, window, read_window(filled[other]), motion, INPAINTED)
    hole = (state == 1).astype(np.uint8) * 255
    if hole.any():
        known = (state > 1).astype(np.uint8) * 255
        rgb = inpaint(rgb, hole, cv2.bitwise_and(known, cv2.bitwise_not(draw_crowd(rgb, hole, known))))
        state[state == 1] = INPAINTED
    return sharpen(replace(window, rgb=rgb))


def _shot_windows(windows: list[PlateWindow], motion: BackgroundMotion) -> list[tuple[int, int]]:
    """Ranges of window indices, one per shot."""
    starts = np.array([window.start for window in windows])
    return [(int(np.searchsorted(starts, a)), int(np.searchsorted(starts, b))) for a, b in find_shots(motion)]


def _donors(idx: int, windows: list[PlateWindow], motion: BackgroundMotion) -> list[int]:
    """Windows to borrow from: the 12 nearest in time and 12 spread over the rest of the shot, nearest first."""
    first, last = next((a, b) for a, b in _shot_windows(windows, motion) if a <= idx < b)
    others = sorted(
        (other for other in range(first, last) if other != idx), key=lambda other: (abs(other - idx), other)
    )
    rest = others[12:]
    return others[:12] + [rest[i] for i in np.unique(np.linspace(0, len(rest) - 1, 12).astype(int))] if rest else others
