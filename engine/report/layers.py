"""A look at what a video was taken apart into, where no result has been looked at yet."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.report.look import Lane, Look, LookWriter, mask_picture, small_step
from engine.types import FrameSource, Size
from engine.video import Clip

MAX_READ = 3000
"""Masks of longer clips are only read in the pictured frames."""


def look_at_layers(clip: Clip, scene: Iterator[tuple[int, list[NDArray]]], front: FrameSource | None) -> Look:
    """Look at a source and its layers, of which there may be none yet.

    Args:
        clip: the source; it is decoded once.
        scene: pairs of a frame and its overlay (see `engine.video.pick_overlays`), some of the clip's frames in order.
        front: the occlusion, "gray8".
    """
    writer = LookWriter(clip.info)
    overlay = next(scene, None)
    few = None if clip.num_frames <= MAX_READ else writer.without_pictures().frames
    fronts = iter(()) if front is None else _some(front, few)
    for frame in clip.read_frames():
        if not writer.pictures(frame.idx):
            continue
        while overlay is not None and overlay[0] < frame.idx:
            overlay = next(scene, None)
        here = overlay[1] if overlay is not None and overlay[0] == frame.idx else None
        before = next((picture for idx, picture in fronts if idx == frame.idx), None)
        writer.add_layers(frame, scene=here, front=before)
    return writer.finish()


def look_at_mask(mask: FrameSource, frames: Sequence[int], size: Size) -> tuple[Lane, NDArray]:
    """Look at the mask of the person.

    Args:
        mask: "gray8" of T frames.
        frames: those that are pictured.
        size: of the small pictures, pixels.

    Returns:
        The lane, and the area of the mask as a share of the picture: (T,) float32, NaN in frames that were not read.
    """
    lane, area = Lane(), np.full(mask.num_frames, np.nan, np.float32)
    step = small_step(mask.size)
    pictured = set(frames)
    for idx, picture in _some(mask, None if mask.num_frames <= MAX_READ else frames):
        area[idx] = cv2.mean(picture)[0] / 255
        if idx in pictured:
            lane.add(*mask_picture(picture, step, size))
    return lane, area


def _some(source: FrameSource, frames: Sequence[int] | None) -> Iterator[tuple[int, NDArray]]:
    if frames is None:
        yield from enumerate(source.read())
        return
    for idx in frames:
        yield idx, next(iter(source.read(idx, idx + 1)))
