"""The occlusion layer: what is in front of the person.

Two kinds of things are looked for, a compact one that moves (`moving_object`) and a slim one that stands still
(`still_object`), and little is believed, because a piece of the old person pasted over the new character is worse than
a thing that is missed. Captions, bushes and trunks that move against the background as the camera travels are not
found: paint them into `layers/occlusion.mask` by hand.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path as FilePath

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers import moving_object as mo
from engine.layers.background_motion import find_shots
from engine.layers.membrane import apply_exposure, fit_exposure, shrink
from engine.layers.mosaic import grow_mask
from engine.layers.plate import Plate, build_plate, surroundings
from engine.layers.still_object import StillThing, Watch, draw_still, sure_landmarks
from engine.types import BackgroundMotion, Chunks, FrameSource, Landmarks, Progress, Tracks, quiet

CHUNK = 64
_MAX_CIRCLE_FRAMES = 120
"""Frames of a clip in which circles are looked for."""
_MAX_STILL_FRAMES = 150
"""Frames of a shot that are asked for still things."""
_BODY_PX = 240
"""Things are looked for in pictures in which the person is about this tall."""


def find_occlusion(
    clip: FrameSource,
    human_mask: FrameSource,
    motion: BackgroundMotion,
    landmarks: Landmarks,
    tracks: Tracks,
    *,
    chunks: Chunks,
    progress: Progress = quiet,
    plate: Plate | None = None,
) -> Iterator[NDArray]:
    """Find what is in front of the person, also while it is beside the body if it is the same moving thing.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        human_mask: (H, W) uint8, 0 ... 255; may hold the thing or not.
        motion: of the background.
        landmarks: of the person; a ball wanders against its hips, a head does not.
        tracks: the person's box; its typical height is the unit of all sizes here.
        chunks: where small views of the frames, and the plate, are kept.
        progress: called with frames done and frames in all, over two passes.
        plate: the plate, where the caller has built it already.

    Yields:
        (H, W) uint8 per frame: 0 ... 255, soft at the edges.
    """
    if plate is None:
        plate = build_plate(clip, human_mask, motion, chunks=chunks)
    total = 2 * clip.num_frames
    step = _step(tracks)
    folders = _save_views(clip, human_mask, plate, step, chunks, lambda done: progress(done, total))
    found = _track_things(folders, plate, landmarks.image_px[:, 23:25].mean(1) / step, _body_px(tracks) / step)
    shots = find_shots(motion)
    still = [_find_still(folders, plate, motion, landmarks, tracks, step, shot) for shot in shots]
    starts = [shot[0] for shot in shots]
    # Frames are decoded a second time only where there is something to draw from them.
    frames = clip.read() if found else itertools.repeat(np.zeros((1, 1, 3), np.uint8), clip.num_frames)
    for idx, rgb in enumerate(frames):
        mask = np.zeros(clip.size, np.uint8)
        for thing, path in found:
            _draw_thing(mask, rgb, plate, idx, thing, path, 1 / step)
        standing = still[int(np.searchsorted(starts, idx, side="right")) - 1]
        if standing is not None:
            mask = draw_still(mask, standing, motion.to_first[idx], step)
        yield mask
        progress(clip.num_frames + idx + 1, total)


def _step(tracks: Tracks) -> int:
    """Pixels per small pixel; a whole number, by which pictures are shrunk fast."""
    return max(1, round(_body_px(tracks) / _BODY_PX))


def _body_px(tracks: Tracks) -> float:
    """Typical height of the person's box, pixels."""
    seen = tracks.box_px[tracks.score > 0]
    boxes = seen if len(seen) else tracks.box_px
    return float(np.median(boxes[:, 3] - boxes[:, 1])) if len(boxes) else float(_BODY_PX)


# --- small views -----------------------------------------------------------------------------------------------------


def _save_views(
    clip: FrameSource, mask: FrameSource, plate: Plate, step: int, chunks: Chunks, progress
) -> list[FilePath]:
    folders = []
    for start in range(0, clip.num_frames, CHUNK):
        stop = min(start + CHUNK, clip.num_frames)
        name = f"views-{start:06d}-{stop - 1:06d}"
        if chunks.get(name) is None:
            views = [
                _view(plate, idx, rgb, human, step)
                for idx, (rgb, human) in enumerate(zip(clip.read(start, stop), mask.read(start, stop)), start)
            ]
            with chunks.make(name) as part:
                _write_views(part, views)
        folder = chunks.get(name)
        assert folder is not None
        folders.append(folder)
        progress(stop)
    return folders


def _view(plate: Plate, idx: int, rgb: NDArray, human: NDArray, step: int) -> mo.View:
    """Shrink the surroundings of the person and compare them with the plate."""
    x, y, width, height = cv2.boundingRect(human[::2, ::2])
    if width == 0:
        empty = np.zeros((2, 2), np.uint8)
        return mo.View(0, 0, np.zeros((2, 2, 3), np.uint8), empty, empty, empty)
    x0, y0, x1, y1 = (value // step for value in surroundings(2 * np.array([x, y, x + width, y + height]), human.shape))
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
            cv2.compare(state, 0, cv2.CMP_GT),
            cv2.compare(state, 127, cv2.CMP_GT),
        )
    )
    hidden = grow_mask(human)
    seen = shrink(((hidden == 0) & (known == 255)).astype(np.uint8) * 255, 2) == 255
    gain, lift = fit_exposure(shrink(scene, 2), shrink(frame, 2), seen)
    fitted = cv2.add(apply_exposure(scene, gain, cv2.resize(lift, size)), 0, dtype=cv2.CV_8U)
    away = cv2.absdiff(frame, fitted)
    away = np.minimum(cv2.max(cv2.max(away[..., 0], away[..., 1]), away[..., 2]), 254)
    away[known < 255] = 255
    return mo.View(x0, y0, frame, away, human, cv2.compare(sure, 254, cv2.CMP_GT))


def _write_views(folder: FilePath, views: list[mo.View]) -> None:
    table = np.array([[view.x0, view.y0, *view.away.shape] for view in views], np.int32)
    layers = [np.dstack([view.rgb, view.away, view.human, view.sure]).ravel() for view in views]
    np.save(folder / "table.npy", table)
    np.save(folder / "pixels.npy", np.concatenate(layers))


def _read_views(folder: FilePath) -> Iterator[mo.View]:
    table, pixels = np.load(folder / "table.npy"), np.load(folder / "pixels.npy", mmap_mode="r")
    at = 0
    for x0, y0, height, width in table.tolist():
        block = np.array(pixels[at : at + 6 * height * width]).reshape(height, width, 6)
        at += block.size
        rgb = np.ascontiguousarray(block[..., :3])
        yield mo.View(x0, y0, rgb, *(np.ascontiguousarray(block[..., channel]) for channel in (3, 4, 5)))


def _threshold(plate: Plate, idx: int) -> float:
    return 18 + 4 * plate.noise(idx)


def _track_things(
    folders: list[FilePath], plate: Plate, hips: NDArray, body_px: float
) -> list[tuple[mo.Thing, mo.Path]]:
    blobs: list[mo.Blob] = []
    bodies = {}
    for idx, view in enumerate(_all_views(folders)):
        new = mo.find_blobs(view, idx, _threshold(plate, idx))
        if new:
            bodies[idx] = mo.body_histogram(view)
        blobs += new
    found = _follow(mo.learn_things(blobs, bodies, len(hips)), folders, plate)
    if any(mo.is_sure(path) for _, path in found):
        return [(thing, path) for thing, path in found if mo.is_sure(path)]
    # What is only thrown has to cross the body: the ball's shadow is thrown, too.
    found = [(thing, path) for thing, path in found if mo.nearest(path, hips) < 0.25 * body_px]
    circles: list[mo.Blob] = []
    bodies = {}
    every = max(1, len(hips) // _MAX_CIRCLE_FRAMES)
    for idx, view in enumerate(_all_views(folders)):
        if idx % every:
            continue
        rings = mo.find_circles(view, idx, body_px)
        if rings:
            bodies[idx] = mo.body_histogram(view)
        circles += rings
    balls = _follow(mo.learn_ball(circles, bodies, hips, len(hips) // every), folders, plate)
    # One ball, not five: the guess whose track is the surest.
    balls = [ball for ball in balls if mo.is_sure(ball[1])]
    return sorted(balls, key=lambda ball: -float(ball[1].score.sum()))[:1] or found


def _follow(things: list[mo.Thing], folders: list[FilePath], plate: Plate) -> list[tuple[mo.Thing, mo.Path]]:
    """Track things through all frames and keep those whose track is sure."""
    candidates: list[list[NDArray]] = [[] for _ in things]
    for idx, view in enumerate(_all_views(folders) if things else ()):
        for table, thing in zip(candidates, things):
            table.append(mo.find_candidates(thing, view, idx, _threshold(plate, idx)))
    paths = [mo.bridge(mo.follow(thing, table), thing) for thing, table in zip(things, candidates)]
    return [(thing, path) for thing, path in zip(things, paths) if mo.is_sure(path) or mo.is_thrown(path, thing)]


def _all_views(folders: list[FilePath]) -> Iterator[mo.View]:
    return (view for folder in folders for view in _read_views(folder))


def _find_still(
    folders: list[FilePath],
    plate: Plate,
    motion: BackgroundMotion,
    landmarks: Landmarks,
    tracks: Tracks,
    step: int,
    shot: tuple[int, int],
) -> StillThing | None:
    """Look for what stands in front of the person in one shot."""
    frames = [idx for idx in range(*shot) if sure_landmarks(landmarks, idx)]
    frames = frames[:: max(1, len(frames) // _MAX_STILL_FRAMES)]
    if not frames:
        return None
    scale = np.diag([1.0 / step, 1.0 / step, 1.0])
    to_first = {idx: scale @ motion.to_first[idx] @ np.linalg.inv(scale) for idx in frames}
    corners = [tracks.box_px[idx][[[0, 1], [2, 1], [0, 3], [2, 3]]] / step for idx in frames]
    places = np.concatenate(
        [cv2.perspectiveTransform(c[:, None].astype(float), to_first[i])[:, 0] for i, c in zip(frames, corners)]
    )
    room = 0.5 * _body_px(tracks) / step
    low, high = np.floor(places.min(0) - room).astype(int), np.ceil(places.max(0) + room).astype(int)
    if np.prod(high - low) > 40 * _BODY_PX**2:
        return None
    box = int(low[0]), int(low[1]), int(high[0]), int(high[1])
    watch = Watch(box, _body_px(tracks) / step)
    wanted = set(frames)
    for idx, view in enumerate(_all_views(folders)):
        if idx in wanted:
            watch.look(view, landmarks.image_px[idx] / step, _threshold(plate, idx))
    for idx, view in enumerate(_all_views(folders)):
        if idx in wanted:
            watch.count(view, landmarks.image_px[idx] / step, to_first[idx], _threshold(plate, idx))
    return watch.decide(lambda part: _lay_out(folders, to_first, part))


def _lay_out(folders: list[FilePath], to_first: dict[int, NDArray], box: tuple[int, int, int, int]) -> NDArray:
    """(h, w, 3) uint8: a few views laid over each other where they show the place; box in small pixels."""
    size = box[2] - box[0], box[3] - box[1]
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    wanted = list(to_first)[:: max(1, len(to_first) // 12)]
    for idx, view in enumerate(_all_views(folders)):
        if idx in wanted:
            own = np.array([[1, 0, view.x0], [0, 1, view.y0], [0, 0, 1.0]])
            matrix = np.array([[1, 0, -box[0]], [0, 1, -box[1]], [0, 0, 1.0]]) @ to_first[idx] @ own
            shown = ((grow_mask(view.human) == 0) & (view.away < 40)).astype(np.uint8)
            shown = cv2.warpPerspective(shown, matrix, size, flags=cv2.INTER_NEAREST)
            moved = cv2.warpPerspective(view.rgb, matrix, size, flags=cv2.INTER_LINEAR)
            canvas[shown > 0] = moved[shown > 0]
    return canvas


# --- full size -------------------------------------------------------------------------------------------------------


def _draw_thing(
    mask: NDArray, rgb: NDArray, plate: Plate, idx: int, thing: mo.Thing, path: mo.Path, scale: float
) -> None:
    """Add the soft shape of a thing to a frame's mask."""
    if np.isnan(path.xy[idx, 0]):
        return
    x, y = path.xy[idx] / scale
    radius = thing.radius / scale
    blur = _blur_step(path.xy, idx) / scale
    reach = int(np.ceil(1.5 * radius + np.abs(blur).max())) + 4
    x0, y0 = max(0, int(x) - reach), max(0, int(y) - reach)
    x1, y1 = min(mask.shape[1], int(x) + reach + 1), min(mask.shape[0], int(y) + reach + 1)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    frame = rgb[y0:y1, x0:x1]
    scene, state = plate.render(idx, (x0, y0, x1, y1))
    away = cv2.absdiff(frame, scene).max(2)
    away[state < 1] = 255
    like = cv2.GaussianBlur(
        mo.likelihood_map(thing, frame, away, _threshold(plate, idx)), (0, 0), max(0.8, radius / 14)
    )
    dx, dy = _refine(like, x - x0, y - y0, radius)
    shape = _disc(like.shape, dx, dy, radius * 1.05, blur)
    evidence = _solid(like, shape)
    alpha = (255 * np.minimum(shape, evidence) + 0.5).astype(np.uint8)
    mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], alpha)


def _blur_step(xy: NDArray, idx: int) -> NDArray:
    """How far the thing moves while the shutter is open, taken as half the frame's time; (2,) small pixels."""
    near = [xy[j] for j in (idx - 1, idx, idx + 1) if 0 <= j < len(xy) and not np.isnan(xy[j, 0])]
    if len(near) < 2:
        return np.zeros(2)
    return 0.5 * (near[-1] - near[0]) / (len(near) - 1)


def _refine(like: NDArray, x: float, y: float, radius: float) -> tuple[float, float]:
    """Move the centre by a few pixels to where the full-size disc fits best."""
    score = cv2.filter2D(like, cv2.CV_32F, mo.disc_kernel(radius), borderType=cv2.BORDER_CONSTANT)
    ys, xs = np.mgrid[: like.shape[0], : like.shape[1]]
    score = score - 1e-3 * ((xs + 0.5 - x) ** 2 + (ys + 0.5 - y) ** 2)
    j, i = np.unravel_index(int(score.argmax()), score.shape)
    if np.hypot(i + 0.5 - x, j + 0.5 - y) > 0.25 * radius + 2:
        return x, y
    return float(i) + 0.5, float(j) + 0.5


def _disc(size: tuple[int, ...], x: float, y: float, radius: float, blur: NDArray) -> NDArray:
    """(h, w) float32, 0 ... 1: a soft disc smeared along its motion."""
    ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float32)
    length = float(np.hypot(*blur))
    steps = max(1, int(np.ceil(length / 2)))
    total = np.zeros(size, np.float32)
    for at in (np.arange(steps) + 0.5) / steps - 0.5:
        far = np.hypot(xs + 0.5 - x - at * blur[0], ys + 0.5 - y - at * blur[1])
        total = np.maximum(total, np.clip((radius + 0.75 - far) / 1.5, 0, 1))
    return total


def _solid(like: NDArray, shape: NDArray) -> NDArray:
    """(h, w) float32: where the thing is seen, without the holes and dents its pattern leaves: a convex outline."""
    sure = ((like > 0.5) & (shape > 0.5)).astype(np.uint8)
    sure = cv2.morphologyEx(sure, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    points = cv2.findNonZero(sure)
    if points is None:
        return np.zeros(like.shape, np.float32)
    filled = np.zeros(like.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(points), 255)
    return np.minimum(1, 1.4 * cv2.blur(filled, (3, 3)).astype(np.float32) / 255)
