"""Keyed curves, as animation files hold them, at the times of frames."""

import numpy as np
from numpy.typing import NDArray

MAX_FRAMES = 200_000
"""Half an hour at 120 frames per second."""


def clock(keys: list[NDArray]) -> NDArray | None:
    """Choose the times of frames from the times of keys.

    Args:
        keys: per curve the times of its keys, seconds, rising.

    Returns:
        (T,) float64, seconds: the keys' own times where they are even, else an even clock at the rate of the densest
        curve; None where there are no keys or no sense in them.
    """
    keys = [times for times in keys if len(times)]
    if not keys:
        return None
    start, stop = min(t[0] for t in keys), max(t[-1] for t in keys)
    dense = max(keys, key=len)
    span = float(stop - start)
    if not 0 <= span <= 1e5:
        return None
    if len(dense) < 2 or span == 0:
        return np.array([start])
    if len(dense) > MAX_FRAMES:
        return None
    steps = np.diff(dense)
    step = float(np.median(steps))
    own = dense[0] == start and dense[-1] == stop and np.abs(steps - step).max() < 0.02 * step
    if own:
        return dense.astype(np.float64)
    rate = 1 / step
    rate = min(max(round(rate) if abs(rate - round(rate)) < 0.02 * rate else rate, 24.0), 120.0)
    num = int(span * rate + 1e-6) + 1
    return start + np.arange(num) / rate if num <= MAX_FRAMES else None


def sample_values(times: NDArray, values: NDArray, way: str, time_s: NDArray) -> NDArray:
    """A curve of vectors at given times.

    Args:
        times: (K,) seconds, rising.
        values: (K, N), or (K, 3, N) for "CUBICSPLINE": in-tangent, value, out-tangent.
        way: "LINEAR", "STEP" or "CUBICSPLINE".
        time_s: (T,) seconds; before the first and after the last key the curve holds still.

    Returns:
        (T, N) float64.
    """
    before, share, step = _between(times, time_s)
    if way == "STEP":
        return values[np.where(share >= 1, np.minimum(before + 1, len(times) - 1), before)]
    after = np.minimum(before + 1, len(times) - 1)
    if way == "CUBICSPLINE":
        s, d = share[:, None], step[:, None]
        return (
            (2 * s**3 - 3 * s**2 + 1) * values[before, 1] + d * (s**3 - 2 * s**2 + s) * values[before, 2]
            + (-2 * s**3 + 3 * s**2) * values[after, 1] + d * (s**3 - s**2) * values[after, 0]
        )  # fmt: skip
    return (1 - share[:, None]) * values[before] + share[:, None] * values[after]


def sample_turns(times: NDArray, values: NDArray, way: str, time_s: NDArray) -> NDArray:
    """`sample_values` for quaternions xyzw (K, 4): along the shorter arc; returns unit quaternions (T, 4)."""
    if way != "LINEAR":
        return _unit(sample_values(times, values, way, time_s))
    before, share, _ = _between(times, time_s)
    start, stop = _unit(values[before]), _unit(values[np.minimum(before + 1, len(times) - 1)])
    dot = (start * stop).sum(1)
    stop, dot = np.where(dot[:, None] < 0, -stop, stop), np.clip(np.abs(dot), 0, 1)
    angle = np.arccos(dot)
    small = angle < 1e-6
    sine = np.where(small, 1.0, np.sin(angle))
    first = np.where(small, 1 - share, np.sin((1 - share) * angle) / sine)
    second = np.where(small, share, np.sin(share * angle) / sine)
    return _unit(first[:, None] * start + second[:, None] * stop)


def quaternion_matrix(xyzw: NDArray) -> NDArray:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4) with the scalar last."""
    x, y, z, w = np.moveaxis(xyzw, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _between(times: NDArray, time_s: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """For each time the key before it, how far it is to the next one (0 ... 1), and that step, seconds."""
    before = np.clip(np.searchsorted(times, time_s, side="right") - 1, 0, max(len(times) - 2, 0))
    after = np.minimum(before + 1, len(times) - 1)
    step = times[after] - times[before]
    share = np.where(step > 0, (time_s - times[before]) / np.where(step > 0, step, 1.0), 0.0)
    return before, np.clip(share, 0.0, 1.0), step


def _unit(quaternions: NDArray) -> NDArray:
    length = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    return np.where(length > 1e-9, quaternions / np.maximum(length, 1e-9), np.array([0.0, 0.0, 0.0, 1.0]))


def nearest_turns(matrices: NDArray) -> NDArray:
    """The nearest rotations, (..., 3, 3), of matrices (..., 3, 3) that also scale or mirror."""
    u, _, vt = np.linalg.svd(matrices)
    u[..., :, 2] *= np.linalg.det(u @ vt)[..., None]
    return u @ vt
