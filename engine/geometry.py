"""Rotations and projections in numpy, vectorised over any leading axes. Radians, metres, pixels."""

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-12


def rotvec_to_matrix(rotvec: NDArray) -> NDArray:
    """Turn axis-angle vectors into rotation matrices.

    Args:
        rotvec: (..., 3) float, radians.

    Returns:
        (..., 3, 3) of the same dtype.

    Source: Rodrigues' formula, with sin(a)/a and (1 - cos(a))/a^2 so that zero needs no special case.
    """
    angle = np.linalg.norm(rotvec, axis=-1)[..., None, None]
    x, y, z = rotvec[..., 0], rotvec[..., 1], rotvec[..., 2]
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*rotvec.shape[:-1], 3, 3)
    sin_over = np.sinc(angle / np.pi)
    cos_over = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    matrix = np.eye(3) + sin_over * cross + cos_over * (cross @ cross)
    return matrix.astype(rotvec.dtype, copy=False)


def matrix_to_quaternion(matrix: NDArray) -> NDArray:
    """Turn rotation matrices into unit quaternions (w, x, y, z) with w >= 0.

    Args:
        matrix: (..., 3, 3) float.

    Returns:
        (..., 4) float64.

    Source: Shepperd 1978, the largest of the four candidates is divided by.
    """
    m = np.asarray(matrix, np.float64)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = np.stack([1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], -1)
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    rows = np.stack(
        [
            np.stack([squares[..., 0], a, b, c], -1),
            np.stack([a, squares[..., 1], d, e], -1),
            np.stack([b, d, squares[..., 2], f], -1),
            np.stack([c, e, f, squares[..., 3]], -1),
        ],
        axis=-2,
    )
    best = np.argmax(squares, axis=-1)
    quaternion = np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return np.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def matrix_to_rotvec(matrix: NDArray) -> NDArray:
    """Turn rotation matrices into axis-angle vectors of at most pi.

    Args:
        matrix: (..., 3, 3) float.

    Returns:
        (..., 3) float64, radians.
    """
    quaternion = matrix_to_quaternion(matrix)
    half_sin = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(half_sin, quaternion[..., :1])
    scale = np.where(half_sin > _TINY, angle / np.maximum(half_sin, _TINY), 2.0)
    return quaternion[..., 1:] * scale


def rotation_between(source: NDArray, target: NDArray) -> NDArray:
    """The smallest rotation that turns one direction into another.

    Args:
        source: (..., 3) float, any length but zero.
        target: (..., 3) float, any length but zero.

    Returns:
        (..., 3, 3) float64; for opposite directions a half turn about some axis at right angles.
    """
    a = source / np.maximum(np.linalg.norm(source, axis=-1, keepdims=True), _TINY)
    b = target / np.maximum(np.linalg.norm(target, axis=-1, keepdims=True), _TINY)
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    # A half turn about the bisector of a and b, after a half turn about a, is the smallest rotation from a to b.
    bisector = a + b
    length = np.linalg.norm(bisector, axis=-1, keepdims=True)
    least = np.eye(3)[np.argmin(np.abs(a), axis=-1)]
    sideways = np.cross(a, least)
    sideways /= np.linalg.norm(sideways, axis=-1, keepdims=True)
    opposite = length < 1e-6
    h = np.where(opposite, sideways, bisector / np.maximum(length, _TINY))
    half_turn = 2 * h[..., :, None] * h[..., None, :] - np.eye(3)
    first = np.where(opposite[..., None], np.eye(3), 2 * a[..., :, None] * a[..., None, :] - np.eye(3))
    return half_turn @ first


def transform(matrix: NDArray, points: NDArray) -> NDArray:
    """Apply rigid or affine 4x4 transforms to points.

    Args:
        matrix: (..., 4, 4) float.
        points: (..., N, 3) float.

    Returns:
        (..., N, 3).
    """
    return points @ np.swapaxes(matrix[..., :3, :3], -1, -2) + matrix[..., None, :3, 3]


def project(K: NDArray, points_cam_m: NDArray) -> NDArray:
    """Project points of the camera frame to the image.

    Args:
        K: (..., 3, 3) float, pixels.
        points_cam_m: (..., N, 3) float, metres, z > 0.

    Returns:
        (..., N, 2), pixels; the centre of the top-left pixel is (0.5, 0.5).
    """
    image = points_cam_m @ np.swapaxes(K, -1, -2)
    return image[..., :2] / image[..., 2:3]


def eased(share: NDArray) -> NDArray:
    """0 below 0, 1 above 1, smooth between (3 s^2 - 2 s^3); any shape."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
