"""The occlusion layer: what is in front of the person.

Four kinds of things are looked for, a compact one that moves (`moving_object`), a slim one that stands still
(`still_object`), somebody else who is nearer (`passer_by`), and words laid over the picture (`caption`), and little is
believed, because a piece of the old person
pasted over the new character is worse than a thing that is missed. Bushes, and trunks that move strongly against the
background as the camera travels, are not found: paint them into `layers/occlusion.mask` by hand.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.background_motion import find_shots
from engine.layers.caption import caption_scale, draw_line
from engine.layers.membrane import largest_channel
from engine.layers.occlusion import moving_object as mo
from engine.layers.occlusion.bars import find_bars
from engine.layers.occlusion.in_front import find_passers
from engine.layers.occlusion.passer_by import is_somebody
from engine.layers.occlusion.still_object import draw_still, find_still
from engine.layers.occlusion.views import View, body_height, find_threshold, read_views, save_views, view_step
from engine.layers.scene.plate import Plate, build_plate
from engine.people.rough import Seen
from engine.threads import NUM_THREADS, map_in_order
from engine.types import BackgroundMotion, Chunks, FrameSource, Glimpse, Landmarks, Progress, Tracks, glimpse, quiet

_MAX_CIRCLE_FRAMES = 120
"""Frames of a clip in which circles are looked for."""


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
    others: Mapping[int, Seen] | None = None,
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
        others: everybody else, who may walk in front.

    Yields:
        (H, W) uint8 per frame: 0 ... 255, soft at the edges.
    """
    if plate is None:
        plate = build_plate(clip, human_mask, motion, chunks=chunks, landmarks=landmarks)
    total = 2 * clip.num_frames
    step = view_step(tracks)
    folders = save_views(clip, human_mask, plate, tracks, chunks=chunks, progress=lambda done, _: progress(done, total))
    hips, body_px, shots = landmarks.image_px[:, 23:25].mean(1) / step, body_height(tracks) / step, find_shots(motion)
    scale = caption_scale(clip.size)
    with ThreadPoolExecutor(NUM_THREADS) as pool:  # none of these looks needs what another finds
        things = pool.submit(_track_things, folders, plate, hips, body_px)
        standing = [pool.submit(find_still, folders, plate, motion, landmarks, tracks, shot) for shot in shots]
    found, words = things.result(), plate.captions
    still, starts = [one.result() for one in standing], [shot[0] for shot in shots]
    passers = find_passers(clip, (tracks, landmarks), others or {}, plate, motion, chunks)
    bars = find_bars(clip)

    def draw(frame: tuple[int, Glimpse, View, tuple[NDArray, ...]]) -> NDArray:
        idx, rgb, view, bodies = frame
        mask = np.zeros(clip.size, np.uint8)
        for thing, path in found:
            _draw_thing(mask, rgb, plate, idx, thing, path, 1 / step)
        post = still[int(np.searchsorted(starts, idx, side="right")) - 1]
        if post is not None:
            limit, is_seen = find_threshold(plate, idx), bool(tracks.score[idx] > 0)
            mask = draw_still(mask, post, motion.to_first[idx], step, view, limit, is_seen=is_seen)
        for one, body in zip(passers, bodies):
            points = one.landmarks.image_px[idx] / step
            if one.nearer[idx] and view.away.shape[0] > 2 and is_somebody(view, points, find_threshold(plate, idx)):
                mask = cv2.max(mask, body)
        for line in (line for first, last, line in words if first <= idx < last):
            draw_line(mask, rgb, line, scale)
        return mask if bars is None else cv2.max(mask, bars)

    # Frames are decoded a second time only where there is something to draw from them.
    frames = glimpse(clip) if found or words else itertools.repeat(np.zeros((1, 1, 3), np.uint8), clip.num_frames)
    bodies = zip(*(one.masks for one in passers)) if passers else itertools.repeat(())
    for idx, mask in enumerate(map_in_order(draw, zip(itertools.count(), frames, read_views(folders), bodies))):
        yield mask
        progress(clip.num_frames + idx + 1, total)


def _track_things(
    folders: list[FilePath], plate: Plate, hips: NDArray, body_px: float
) -> list[tuple[mo.Thing, mo.Path]]:
    def look(frame: tuple[int, View]) -> tuple[list[mo.Blob], NDArray | None]:
        idx, view = frame
        new = mo.find_blobs(view, idx, find_threshold(plate, idx))
        return new, mo.body_histogram(view) if new else None

    blobs, bodies = _gather(map_in_order(look, enumerate(read_views(folders))))
    found = _follow(mo.learn_things(blobs, bodies, len(hips)), folders, plate)
    if any(mo.is_sure(path) for _, path in found):
        return [(thing, path) for thing, path in found if mo.is_sure(path)]
    # What is only thrown has to cross the body: the ball's shadow is thrown, too.
    found = [(thing, path) for thing, path in found if mo.nearest(path, hips) < 0.25 * body_px]

    def look_closer(frame: tuple[int, View]) -> tuple[list[mo.Blob], NDArray | None]:
        idx, view = frame
        rings = mo.find_circles(view, idx, body_px)
        return rings, mo.body_histogram(view) if rings else None

    every = max(1, len(hips) // _MAX_CIRCLE_FRAMES)
    chosen = itertools.islice(enumerate(read_views(folders)), 0, None, every)
    circles, bodies = _gather(map_in_order(look_closer, chosen))
    balls = _follow(mo.learn_ball(circles, bodies, hips, len(hips) // every), folders, plate)
    # One ball, not five: the guess whose track is the surest.
    balls = [ball for ball in balls if mo.is_sure(ball[1])]
    return sorted(balls, key=lambda ball: -float(ball[1].score.sum()))[:1] or found


def _gather(seen: Iterable[tuple[list[mo.Blob], NDArray | None]]) -> tuple[list[mo.Blob], dict[int, NDArray]]:
    """All blobs, and the body's colours by the number of the frames that have some."""
    blobs: list[mo.Blob] = []
    bodies = {}
    for new, body in seen:
        if body is not None:
            bodies[new[0].frame_idx] = body
        blobs += new
    return blobs, bodies


def _follow(things: list[mo.Thing], folders: list[FilePath], plate: Plate) -> list[tuple[mo.Thing, mo.Path]]:
    """Track things through all frames and keep those whose track is sure."""

    def look(frame: tuple[int, View]) -> list[NDArray]:
        idx, view = frame
        return [mo.find_candidates(thing, view, idx, find_threshold(plate, idx)) for thing in things]

    candidates = zip(*map_in_order(look, enumerate(read_views(folders) if things else ())))
    paths = [mo.bridge(mo.follow(thing, list(table)), thing) for thing, table in zip(things, candidates)]
    return [(thing, path) for thing, path in zip(things, paths) if mo.is_sure(path) or mo.is_thrown(path, thing)]


# --- full size -------------------------------------------------------------------------------------------------------


def _draw_thing(
    mask: NDArray, rgb: Glimpse, plate: Plate, idx: int, thing: mo.Thing, path: mo.Path, scale: float
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
    away = largest_channel(cv2.absdiff(frame, scene))
    away[state < 1] = 255
    like = cv2.GaussianBlur(
        mo.likelihood_map(thing, frame, away, find_threshold(plate, idx)), (0, 0), max(0.8, radius / 14)
    )
    dx, dy = _refine(like, x - x0, y - y0, radius)
    shape = _disc(like.shape, dx, dy, radius * 1.05, blur)
    evidence = _solid(like, shape)
    alpha = (255 * np.minimum(shape, evidence) + 0.5).astype(np.uint8)
    mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], alpha)


def _blur_step(xy: NDArray, idx: int) -> NDArray:
    """How far the thing moves while the shutter is open, taken as half the frame's time; (2,) small pixels.

    Of the steps before and after the shorter one counts, and none where it turns back: a ball that is kicked hangs for
    a moment on a shoe, which a long smear would take for the ball.
    """
    steps = [xy[k + 1] - xy[k] for k in (idx - 1, idx) if 0 <= k < len(xy) - 1]
    steps = [step for step in steps if not np.isnan(step[0])]
    if not steps:
        return np.zeros(2)
    least = np.abs(steps).min(0)
    return 0.5 * np.where((np.sign(steps) == np.sign(steps[0])).all(0), least * np.sign(steps[0]), 0.0)


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
    ys, xs = np.ogrid[: size[0], : size[1]]
    dx, dy = (xs + (0.5 - x)).astype(np.float32), (ys + (0.5 - y)).astype(np.float32)
    steps = max(1, int(np.ceil(float(np.hypot(*blur)) / 2)))
    squared = np.full(size, np.inf, np.float32)
    for at in (np.arange(steps, dtype=np.float32) + 0.5) / steps - 0.5:
        np.minimum(squared, (dx - at * blur[0]) ** 2 + (dy - at * blur[1]) ** 2, out=squared)
    return np.clip((radius + 0.75 - np.sqrt(squared)) / 1.5, 0, 1)


def _solid(like: NDArray, shape: NDArray) -> NDArray:
    """(h, w) float32: where the thing is seen, without the holes and dents its pattern leaves: a convex outline."""
    sure = ((like > 0.5) & (shape > 0.5)).astype(np.uint8)
    sure = cv2.morphologyEx(sure, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(sure, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return np.zeros(like.shape, np.float32)
    filled = np.zeros(like.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(np.concatenate(outlines)), 255)
    return np.minimum(1, 1.4 * cv2.blur(filled, (3, 3)).astype(np.float32) / 255)
