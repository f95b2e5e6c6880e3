"""Which soles stand, and where the ground is, from a first fit that knows neither."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.motion.person import SOLES, Person
from engine.motion.posing import Posed
from engine.motion.view import View
from engine.types import LANDMARKS

_SOLE_ROWS = slice(len(LANDMARKS), len(LANDMARKS) + len(SOLES))
_STILL_M_S = 0.45
"""A point of a sole that moves slower than this in the picture may stand; depth is too uncertain to tell speeds by."""
_GROUNDED_M = 0.12
"""A point that stands is at most this far above the lowest point of the body around that time."""
_AROUND_S = 0.7
_FLESH_M = 0.06
"""Between a joint of hand, knee, hip or head and what it rests on."""


@dataclass(frozen=True)
class Ground:
    """Which soles stand, and how high the camera is above them."""

    planted: NDArray
    """(T, 2) float64, 0 or 1: left and right."""
    camera_y_m: float


def find_ground(posed: Posed, person: Person, view: View) -> Ground:
    """Find feet that are low and slow, and the height that they share.

    Args:
        posed: the person's points over T frames, the camera at the origin.
        person: who it is.
        view: when they were seen.

    Returns:
        The ground. A body on its hands or knees has no foot on it; then the ground is where its lowest parts are.
    """
    soles = posed.points_m[:, _SOLE_ROWS]
    count = len(soles)
    dt = float(np.median(np.diff(view.time_s))) if count > 1 else 1.0
    speed = _running(_speed_in_picture(posed, view), 2, np.median)
    height = soles[..., 1] - person.sole_m
    others = posed.joints_m[..., 1].min(axis=1) - _FLESH_M
    lowest = np.minimum(height.min(axis=1), others)[:, None]
    half = max(3, round(_AROUND_S / dt))
    around = _running(lowest, half, lambda window, axis: np.quantile(window, 0.2, axis=axis))
    planted = (speed < _STILL_M_S) & (height < around + _GROUNDED_M) & view.seen[:, None]
    on_ground = height[planted]
    ground = float(np.median(on_ground)) if len(on_ground) else float(np.quantile(lowest, 0.1))
    return Ground(planted.astype(np.float64), -ground)


def _speed_in_picture(posed: Posed, view: View) -> NDArray:
    """(T, 4) m/s: how fast the landmarks of the soles move across the line of sight, the camera's turns undone."""
    count = len(posed.points_m)
    if count < 2:
        return np.zeros((count, len(SOLES)))
    rays = np.concatenate([view.rays[:, SOLES], np.ones((count, len(SOLES), 1))], axis=-1)
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    steps = np.gradient(rays @ view.world_to_cam, axis=0)  # both turned back into the world
    distance = np.linalg.norm(posed.points_m[:, _SOLE_ROWS], axis=-1)
    return np.linalg.norm(steps, axis=-1) * distance / np.gradient(view.time_s)[:, None]


def _running(values: NDArray, half: int, statistic) -> NDArray:
    """A statistic over a window of 2 * half + 1 frames, edges repeated."""
    padded = np.concatenate([values[:1].repeat(half, 0), values, values[-1:].repeat(half, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
    return statistic(windows, axis=-1)
