"""Arms that the body hides: an elbow or a wrist that cannot be seen, beside or before the trunk, is behind it."""

import numpy as np
from numpy.typing import NDArray

from engine.types import LANDMARKS

_L = {name: idx for idx, name in enumerate(LANDMARKS)}
_ENDS = np.array([[_L[f"{side}_{end}"] for side in ("left", "right")] for end in ("shoulder", "hip")])
_HIDDEN, _SEEN = 0.6, 0.8
"""Visibility: below the first a landmark is hidden, above the second it is not. On the clips of
benchmarks/calibrate_landmarks.py 93 % of the hidden ones are behind the trunk, and all in its outline that are seen
are before it."""
_BEHIND_M = 0.15
"""From the middle of a trunk to the middle of an arm behind it, at least."""
_ASIDE_M = 0.26
"""From the axis of a trunk seen from the side to an arm that it hides, at most; beyond, something else hides it."""
_BELOW = 0.5
"""How far below the hips, as a share of the trunk, a hidden wrist may be."""


def put_behind(points_m: NDArray, rays: NDArray, visibility: NDArray) -> NDArray:
    """Move hidden elbows and wrists from before the trunk, where a network likes to guess them, to behind it.

    Args:
        points_m: (T, 33, 3) float, metres, camera axes (z away from the camera), any origin.
        rays: (T, 33, 2): the landmarks in the picture, on the plane z = 1.
        visibility: (T, 33), 0 ... 1.

    Returns:
        (T, 33, 3), changed in z alone: mirrored at the trunk, and no nearer than its back. A hand goes with its wrist.
    """
    points_m = points_m.copy()
    spread = points_m[..., :2].std(1).sum(-1), np.maximum(rays.std(1).sum(-1), 1e-6)
    flat_m = rays * (spread[0] / spread[1])[:, None, None]
    for side in ("left", "right"):
        for joint, hand in (("elbow", ()), ("wrist", ("pinky", "index", "thumb"))):
            row = _L[f"{side}_{joint}"]
            beside, along = _beside_trunk(flat_m, row)
            top, bottom = (points_m[:, ends, 2].mean(1) for ends in _ENDS)
            off = points_m[:, row, 2] - (bottom + along * (top - bottom))
            behind = np.maximum(np.abs(off), _BEHIND_M)
            share = beside * hidden_share(visibility[:, row])
            rows = [row, *(_L[f"{side}_{part}"] for part in hand)]
            points_m[:, rows, 2] += (share * (behind - off))[:, None]
    return points_m


def hidden_share(visibility: NDArray) -> NDArray:
    """How surely something hides landmarks, 0 ... 1, by their visibility, any shape."""
    return np.clip((_SEEN - visibility) / (_SEEN - _HIDDEN), 0, 1)


def _beside_trunk(flat_m: NDArray, row: int) -> tuple[NDArray, NDArray]:
    """Whether a landmark is where the trunk may hide it (T,), and beside what of the trunk: 0 hips ... 1 shoulders."""
    top, bottom = (flat_m[:, ends].mean(1) for ends in _ENDS)
    wide = np.linalg.norm(flat_m[:, _ENDS[0, 0]] - flat_m[:, _ENDS[0, 1]], axis=-1) / 2
    axis = top - bottom
    from_hips = flat_m[:, row] - bottom
    along = (from_hips * axis).sum(-1) / np.maximum(np.square(axis).sum(-1), 1e-6)
    aside = np.linalg.norm(from_hips - along[:, None] * axis, axis=-1)
    return (aside < np.maximum(wide, _ASIDE_M)) & (along > -_BELOW) & (along < 1), np.clip(along, 0, 1)
