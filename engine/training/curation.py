"""Which stretches of a video are worth training on, and why the others are not."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from engine.types import LANDMARKS, FrameSource, Landmarks, Size, Tracks

HEAD, FEET = ("nose",), ("left_ankle", "right_ankle")
BLUR_SIDE = 128
"""Sharpness is measured on the person scaled to this height, pixels: so that it means the same at every size."""


@dataclass(frozen=True, kw_only=True)
class CurationConfig:
    """What a training clip must be."""

    frames: int = 96
    """Frames of a clip, one after the other."""
    min_height_px: float = 160.0
    """Of the person."""
    min_motion: float = 0.08
    """Share of the person's height that the landmarks move in a second, on average."""
    min_visibility: float = 0.5
    """Of head and feet: else it is half a person."""
    margin: float = 0.01
    """Share of the picture that head and feet keep from its edge."""
    min_sharpness: float = 18.0
    """Standard deviation of the Laplacian inside the person; below, it is out of focus, smeared or blocky."""
    max_difference: float = 0.35
    """Share of the colours that change from one frame to the next: above, it is a cut."""


@dataclass(frozen=True)
class Observations:
    """What the filters look at, frame by frame."""

    tracks: Tracks
    landmarks: Landmarks
    sharpness: NDArray
    """(T,) float32: see `sharpness_of`."""
    difference: NDArray
    """(T,) float32, 0 ... 1: how much the colours changed since the frame before; 0 for the first."""
    text: NDArray
    """(T,) bool: words are laid over the person."""
    fps: float
    size: Size


def judge(seen: Observations, config: CurationConfig) -> tuple[list[tuple[int, int]], Counter[str]]:
    """Find stretches of `config.frames` frames that pass.

    Args:
        seen: of a whole video.
        config: what is asked.

    Returns:
        (start, stop) of each clip, and how many frames were dropped for each reason.
    """
    reasons = frame_reasons(seen, config)
    kept, dropped = [], Counter(reason for reason in reasons if reason)
    for start, stop in _runs(reasons, seen.difference > config.max_difference):
        first = start
        while first + config.frames <= stop:
            window = slice(first, first + config.frames)
            if motion_of(seen, window) < config.min_motion:
                dropped["too still"] += config.frames
            else:
                kept.append((first, first + config.frames))
            first += config.frames
        if first < stop:
            dropped["too short a stretch"] += stop - first
    return kept, dropped


def frame_reasons(seen: Observations, config: CurationConfig) -> list[str]:
    """Why each frame is dropped; empty where it is not."""
    height, width = seen.size
    ends = [LANDMARKS.index(name) for name in (*HEAD, *FEET)]
    visible = seen.landmarks.visibility[:, ends].min(1) >= config.min_visibility
    at = seen.landmarks.image_px[:, ends] / (width, height)
    inside = ((at > config.margin) & (at < 1 - config.margin)).all((1, 2))
    tall = seen.tracks.box_px[:, 3] - seen.tracks.box_px[:, 1]
    checks = (
        ("no person", seen.tracks.score > 0),
        ("half a person", visible & inside),
        ("too small", tall >= config.min_height_px),
        ("text over the person", ~seen.text),
        ("low quality", seen.sharpness >= config.min_sharpness),
    )
    reasons = [""] * len(tall)
    for reason, passed in reversed(checks):
        reasons = [was if good else reason for was, good in zip(reasons, passed)]
    return reasons


def motion_of(seen: Observations, window: slice) -> float:
    """How far the landmarks move in a second, as a share of the person's height, relative to the person's middle."""
    points = seen.landmarks.image_px[window]
    points = points - points.mean(1, keepdims=True)
    tall = np.median(seen.tracks.box_px[window, 3] - seen.tracks.box_px[window, 1])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    return float(steps.mean() * seen.fps / max(tall, 1))


def sharpness_of(rgb: NDArray, mask: NDArray) -> float:
    """Standard deviation of the Laplacian of the person's luma, scaled to `BLUR_SIDE` pixels; 0 where nobody is.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) uint8.
    """
    import cv2

    x, y, width, height = cv2.boundingRect((mask > 127).astype(np.uint8))
    if height < 8 or width < 8:
        return 0.0
    scale = BLUR_SIDE / height
    size = (max(round(width * scale), 1), BLUR_SIDE)
    window = np.s_[y : y + height, x : x + width]
    luma = cv2.resize(cv2.cvtColor(rgb[window], cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(mask[window], size, interpolation=cv2.INTER_AREA) > 200
    return float(cv2.Laplacian(luma, cv2.CV_32F)[inside].std()) if inside.any() else 0.0


def colours_of(rgb: NDArray) -> NDArray:
    """(64,) float32: the share of pixels in each of 4x4x4 colours, to see cuts by."""
    import cv2

    small = cast(NDArray, cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA))
    bins = (small >> 6).reshape(-1, 3).astype(np.int64) @ np.array([16, 4, 1])
    return (np.bincount(bins, minlength=64) / len(bins)).astype(np.float32)


def text_over_person(clip: FrameSource, landmarks: Landmarks) -> NDArray:
    """Find the frames in which captions, titles or marks lie over the person; a sign on the wall behind does not count.

    Args:
        clip: the video.
        landmarks: of the person, all frames.

    Returns:
        (T,) bool.
    """
    from engine.layers.caption import find_captions

    found = np.zeros(clip.num_frames, bool)
    for start, stop, _ in find_captions(clip, landmarks):
        found[start:stop] = True
    return found


def _runs(reasons: list[str], cuts: NDArray) -> list[tuple[int, int]]:
    """Stretches of frames without a reason, ended by cuts too."""
    runs, start = [], None
    for idx, reason in enumerate([*reasons, "the end"]):
        ends = bool(reason) or bool(cuts[idx] if idx < len(cuts) else False)
        if start is not None and ends:
            runs.append((start, idx))
            start = None
        if start is None and not reason:
            start = idx
    return runs
