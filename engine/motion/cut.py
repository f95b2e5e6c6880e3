"""Bodies that the frame cuts: a network draws what is out of the picture somewhere, and what stands on it askew."""

import numpy as np
from numpy.typing import NDArray

from engine.types import LANDMARKS, Landmarks, Size

_L = {name: idx for idx, name in enumerate(LANDMARKS)}
_KNEES, _ANKLES = ([_L[f"{side}_{part}"] for side in ("left", "right")] for part in ("knee", "ankle"))
_LOWER = slice(_L["left_hip"], len(LANDMARKS))
"""Hips, legs and feet."""
_INSIDE_M = (0.30, 0.15)
"""A landmark this far inside the picture is not cut off; nearer than the second it may be."""
_BLUR = 10.0
"""How many times its noise a landmark that may be cut off errs when it is not seen at all; half of that when half seen.
Measured on rendered people whom the frame cuts: knees and ankles 2 cm when seen, 12 cm at 0.5, 25 cm at 0."""
_ASKEW = 7.0
"""The same of hips and legs whose knees are seen worse than at other times of the clip."""
_AT_BEST = 0.75
"""How well knees are seen at other times: this quantile."""


def find_trust(landmarks: Landmarks, size: Size) -> tuple[NDArray, NDArray]:
    """How far landmarks are to be believed, by how well they are seen and by where the picture ends.

    Hips stand on legs: where the frame cuts those off, a network that wants a whole body in the picture draws the hips
    too high and the trunk leaning, and is sure of it. So hips and legs count less in frames in which legs are cut and
    knees are seen worse than at other times; what those say holds on. Knees that are never seen are no reason.

    Args:
        landmarks: T frames.
        size: (height, width) of the frames, pixels.

    Returns:
        (T, 33) float64 each, 0 ... 1: trust in directions between landmarks, and in where they are in the picture. 0
        where the person was not seen.
    """
    seen, visibility = landmarks.score > 0, landmarks.visibility.astype(np.float64)
    if not seen.any():
        return np.zeros_like(visibility), np.zeros_like(visibility)
    cut = _cut_off(landmarks, size)
    places = (1 - cut) * visibility + cut / (1 + np.square(_BLUR * (1 - visibility)))
    knees = visibility[:, _KNEES].mean(1)
    worse = np.maximum(np.quantile(knees[seen], _AT_BEST) - knees, 0)
    upright = np.ones_like(visibility)
    upright[:, _LOWER] = (1 / (1 + cut[:, _ANKLES].mean(1) * np.square(_ASKEW * worse)))[:, None]
    return seen[:, None] * upright * visibility, seen[:, None] * upright * places


def _cut_off(landmarks: Landmarks, size: Size) -> NDArray:
    """(T, 33) 0 ... 1: whether a landmark may be out of the picture, being out of it or near its edge."""
    pixels, metres = landmarks.image_px.astype(np.float64), landmarks.world_m[..., :2].astype(np.float64)
    px_per_m = pixels.std(1).sum(-1) / np.maximum(metres.std(1).sum(-1), 1e-6)
    inside_px = np.minimum(pixels, np.array(size[::-1]) - pixels).min(-1)
    inside_m = inside_px / np.maximum(px_per_m, 1e-6)[:, None]
    return np.clip((_INSIDE_M[0] - inside_m) / (_INSIDE_M[0] - _INSIDE_M[1]), 0, 1)
