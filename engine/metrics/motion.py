"""How far a motion is from the true one, by the definitions of the SMPL family of papers.

Shapes: T frames, N joints. Points are metres, pixels where it says so; means are over everything that is measured.
"""

import numpy as np
from numpy.typing import NDArray

CONTACT_M_S = 0.3
"""A foot that truly moves slower than this stands: WHAM's 1 cm a frame at 30 frames/s."""
WORLD_STRETCH = 100
"""Frames that are laid on the truth at once in `world_mpjpe_m`."""


def procrustes_align(got_m: NDArray, want_m: NDArray) -> NDArray:
    """Move points onto others by the best similarity (rotation, one scale, shift) of each frame.

    Args:
        got_m: (..., N, 3) float, metres, any axes.
        want_m: (..., N, 3) float, metres.

    Returns:
        (..., N, 3) float64: `got_m` after the similarity; mirrored points are not mirrored back.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns".
    """
    return _moved_as(got_m, want_m, got_m)


def _moved_as(got_m: NDArray, want_m: NDArray, points_m: NDArray) -> NDArray:
    """(..., M, 3) float64: points moved by the similarity that is best for laying (..., N, 3) points on others."""
    got, want = np.asarray(got_m, np.float64), np.asarray(want_m, np.float64)
    center, start = want.mean(-2, keepdims=True), got.mean(-2, keepdims=True)
    a, b = got - start, want - center
    u, s, vt = np.linalg.svd(np.swapaxes(b, -1, -2) @ a)
    sign = np.ones_like(s)
    sign[..., 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (s * sign).sum(-1) / np.maximum(np.square(a).sum((-2, -1)), 1e-12)
    return scale[..., None, None] * (points_m - start) @ np.swapaxes(rotation, -1, -2) + center


def pa_mpjpe_m(got_m: NDArray, want_m: NDArray) -> float:
    """Mean distance of joints after `procrustes_align` of each frame, metres: the error of the pose alone.

    Args:
        got_m, want_m: (T, N, 3) float, metres.

    Source: PA-MPJPE ("reconstruction error") as in HMR (Kanazawa 2018), WHAM (Shin 2024) and GVHMR (Shen 2024).
    """
    return _mean_distance(procrustes_align(got_m, want_m), want_m)


def mpjpe_m(got_m: NDArray, want_m: NDArray, *, root: tuple[int, ...] = (0,)) -> float:
    """Mean distance of joints in the camera's axes, roots laid on each other, metres: pose, size and facing.

    Args:
        got_m, want_m: (T, N, 3) float, metres, axes of the same camera.
        root: joints whose mean is laid on the true one; the pelvis.

    Source: MPJPE as in WHAM and GVHMR (there after aligning the pelvis; no scale, no rotation).
    """
    rows = list(root)
    return _mean_distance(
        got_m - got_m[:, rows].mean(1, keepdims=True), want_m - want_m[:, rows].mean(1, keepdims=True)
    )


def world_mpjpe_m(got_m: NDArray, want_m: NDArray, *, align: int | None) -> float:
    """Mean distance of joints in the world, stretch by stretch of 100 frames, metres: where the body goes.

    Args:
        got_m, want_m: (T, N, 3) float, metres, world (each its own), T >= 2.
        align: each stretch is moved by the one similarity that is best for its first so many frames; None: for all.

    Returns:
        Metres; a last stretch of less than two frames is left out.

    Source: W-MPJPE (`align` 2) and WA-MPJPE (None) of SLAHMR (Ye 2023), in stretches of 100 frames as in WHAM.
    """
    distances = []
    for start in range(0, len(got_m), WORLD_STRETCH):
        got, want = (np.asarray(points[start : start + WORLD_STRETCH], np.float64) for points in (got_m, want_m))
        if len(got) < 2:
            break
        moved = _moved_as(got[:align].reshape(-1, 3), want[:align].reshape(-1, 3), got.reshape(-1, 3))
        distances.append(np.linalg.norm(moved - want.reshape(-1, 3), axis=-1))
    return float(np.concatenate(distances).mean())


def acceleration_error_m_s2(got_m: NDArray, want_m: NDArray, fps: float) -> float:
    """Mean length of the difference of accelerations, m/s^2.

    Args:
        got_m, want_m: (T, N, 3) float, metres, T >= 3, axes of the same camera (or world).
        fps: frames per second.

    Source: "Accel" of HMMR (Kanazawa 2019) in the unit of WHAM: second differences times fps^2.
    """
    return float(np.linalg.norm(np.diff(got_m - want_m, n=2, axis=0), axis=-1).mean() * fps**2)


def jitter_m_s3(points_m: NDArray, fps: float) -> float:
    """Mean length of the third derivative, m/s^3; papers print it in units of 10 m/s^3.

    Args:
        points_m: (T, N, 3) float, metres, world, T >= 4.
        fps: frames per second.

    Source: "Jitter" of TransPose (Yi 2021), as in WHAM and GVHMR: third differences times fps^3.
    """
    return float(np.linalg.norm(np.diff(points_m, n=3, axis=0), axis=-1).mean() * fps**3)


def foot_slide_m(got_m: NDArray, want_m: NDArray, fps: float) -> float:
    """Mean way that points of the feet move in a frame in which they truly stand, metres.

    Args:
        got_m, want_m: (T, N, 3) float, metres, world (each its own): the same points of the feet, T >= 2.
        fps: frames per second. The way is given for a frame of 1/30 s, so that rates can be compared.

    Returns:
        Metres; NaN when nothing ever stands.

    Source: "Foot sliding" of WHAM: displacement where the true displacement is below 1 cm a frame at 30 frames/s.
    """
    got, want = (np.linalg.norm(np.diff(points, axis=0), axis=-1) * fps for points in (got_m, want_m))
    stands = want < CONTACT_M_S
    return float(got[stands].mean() / 30) if stands.any() else float("nan")


def pck(got_px: NDArray, want_px: NDArray, seen: NDArray, *, share: float = 0.05) -> float:
    """Share of points that are near where they should be in the picture, 0 ... 1.

    Args:
        got_px, want_px: (T, N, 2) float, pixels.
        seen: (T, N) bool: points that count; frames without any are left out.
        share: "near" is this share of the longer side of the box around the frame's `want_px` that count.

    Source: PCK@0.05 as in HMR 2.0 (Goel 2023), the threshold relative to the person's box.
    """
    keep = seen.any(1)
    got, want, seen = got_px[keep], want_px[keep], seen[keep]
    low = np.where(seen[..., None], want, np.inf).min(1)
    high = np.where(seen[..., None], want, -np.inf).max(1)
    limit = share * (high - low).max(-1, keepdims=True)
    near = np.linalg.norm(got - want, axis=-1) <= limit
    return float(near[seen].mean()) if seen.any() else float("nan")


def mask_iou(got: NDArray, want: NDArray) -> float:
    """Intersection over union of two masks (H, W) uint8 0 ... 255, cut at half; 1 when both are empty."""
    a, b = got > 127, want > 127
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 1.0


def _mean_distance(a: NDArray, b: NDArray) -> float:
    return float(np.linalg.norm(a - b, axis=-1).mean())
