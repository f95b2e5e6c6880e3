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
_REACH_M = (0.45, 0.30)
"""An elbow hangs on its shoulder and a wrist on its elbow, by less than the second: nearer to the edge than that, the
next one may be out of the picture wherever the network draws it; farther in than the first it is not."""
_ARMS = tuple(
    (_L[f"{side}_{part}"], [_L[f"{side}_{above}"] for above in hangs_on])
    for side in ("left", "right")
    for part, hangs_on in (
        ("elbow", ["shoulder"]),
        *((end, ["shoulder", "elbow"]) for end in ("wrist", "pinky", "index", "thumb")),
    )
)
"""What may be out of the picture, and what it hangs on."""
_ARM_ROWS = [row for row, _ in _ARMS]
_BLUR = np.full(len(LANDMARKS), 10.0)
_BLUR[_ARM_ROWS] = 20.0
"""How many times its noise a landmark that may be cut off errs when it is not seen at all; half of that when half seen.
Measured on rendered people whom the frame cuts: knees and ankles 2 cm when seen, 12 cm at 0.5, 25 cm at 0; elbows and
wrists 10 cm at 0.5, 25 to 35 cm at 0."""
_ASTRAY = 7.0
"""The same of the directions of such arms: 0.9 at 0.5 and 1.4 at 0, where chance alone would give 1.4."""
_ASKEW = 7.0
"""The same of hips and legs whose knees are seen worse than at other times of the clip."""
_AT_BEST = 0.75
"""How well knees are seen at other times: this quantile."""


def find_trust(landmarks: Landmarks, size: Size) -> tuple[NDArray, NDArray]:
    """How far landmarks are to be believed, by how well they are seen and by where the picture ends.

    Hips stand on legs: where the frame cuts those off, a network that wants a whole body in the picture draws the hips
    too high and the trunk leaning, and is sure of it. So hips and legs count less in frames in which legs are cut and
    knees are seen worse than at other times; what those say holds on. Knees that are never seen are no reason.

    An arm that leaves the picture is drawn bent, inside of it: before the face, or beside the trunk. So an arm whose
    shoulder or elbow is near the edge counts by how well it is seen, wherever it is drawn.

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
    directions = visibility.copy()
    arms, seen_arms = cut[:, _ARM_ROWS], visibility[:, _ARM_ROWS]
    directions[:, _ARM_ROWS] = (1 - arms) * seen_arms + arms / (1 + np.square(_ASTRAY * (1 - seen_arms)))
    knees = visibility[:, _KNEES].mean(1)
    worse = np.maximum(np.quantile(knees[seen], _AT_BEST) - knees, 0)
    upright = np.ones_like(visibility)
    upright[:, _LOWER] = (1 / (1 + cut[:, _ANKLES].mean(1) * np.square(_ASKEW * worse)))[:, None]
    return seen[:, None] * upright * directions, seen[:, None] * upright * places


def _cut_off(landmarks: Landmarks, size: Size) -> NDArray:
    """(T, 33) 0 ... 1: whether a landmark may be out of the picture: it, or the joint it hangs on, is near the edge."""
    pixels, metres = landmarks.image_px.astype(np.float64), landmarks.world_m[..., :2].astype(np.float64)
    px_per_m = pixels.std(1).sum(-1) / np.maximum(metres.std(1).sum(-1), 1e-6)
    inside_px = np.minimum(pixels, np.array(size[::-1]) - pixels).min(-1)
    inside_m = inside_px / np.maximum(px_per_m, 1e-6)[:, None]
    cut = np.clip((_INSIDE_M[0] - inside_m) / (_INSIDE_M[0] - _INSIDE_M[1]), 0, 1)
    reach = np.clip((_REACH_M[0] - inside_m) / (_REACH_M[0] - _REACH_M[1]), 0, 1)
    for row, above in _ARMS:
        cut[:, row] = np.maximum(cut[:, row], reach[:, above].max(1))
    return cut
