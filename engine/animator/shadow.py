"""A soft shadow on the ground: dark and sharp where the character touches it, faint and wide below what is high."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import Size

_CELLS = 112
"""Cells of the ground grid along its longer side."""
_LAYERS = ((0.06, 0.032, 0.85), (0.45, 0.085, 0.55))
"""Fall-off with height, blur (both in heights of the character) and darkness: contact, body."""


def ground_shadow(
    vertices_m: NDArray, height_m: float, direction: tuple[float, float, float]
) -> tuple[NDArray, NDArray]:
    """Find the shadow on the plane y = 0.

    Args:
        vertices_m: (3, V) float32, world, metres.
        height_m: height of the character, metres.
        direction: towards the light, world axes.

    Returns:
        (n, m) float32 0 ... 1, rows along z and columns along x, and (3,) float64: x and z of the centre of its first
        cell and the size of a cell, metres.
    """
    x, y, z = vertices_m
    up = np.maximum(y, 0.0)
    slope = np.array(direction) / max(direction[1], 0.35)
    x, z = x - up * np.float32(slope[0] * 0.35), z - up * np.float32(slope[2] * 0.35)
    margin = 0.2 * height_m
    x0, z0 = float(x.min()) - margin, float(z.min()) - margin
    cell = max(float(x.max()) + margin - x0, float(z.max()) + margin - z0) / _CELLS
    shape = (int((float(z.max()) + margin - z0) / cell) + 1, int((float(x.max()) + margin - x0) / cell) + 1)
    index = ((z - z0) / cell).astype(np.int32) * shape[1] + ((x - x0) / cell).astype(np.int32)
    light = np.ones(shape, np.float32)
    for fall_off, blur, darkness in _LAYERS:
        weight = np.exp(-up / (fall_off * height_m))
        near = np.bincount(index, weight, shape[0] * shape[1]).reshape(shape).astype(np.float32)
        sigma = blur * height_m / cell
        # Vertices are dense: a cell below two of them is covered, whatever the mesh is like.
        covered = np.minimum(cv2.GaussianBlur(near, (0, 0), max(0.5 * sigma, 0.8)) * 2.0, 1.0)
        light *= 1 - darkness * cv2.GaussianBlur(covered, (0, 0), max(sigma, 0.8))
    return 1 - light, np.array([x0 + cell / 2, z0 + cell / 2, cell])


def project_ground(
    shadow: NDArray, place: NDArray, K: NDArray, world_to_cam: NDArray, size: Size
) -> tuple[int, int, NDArray]:
    """Bring a shadow on the ground into the picture.

    Args:
        shadow: (n, m) float32 0 ... 1 and place (3,), of `ground_shadow`.
        place: see there.
        K: (3, 3) float, pixels.
        world_to_cam: (4, 4) float.
        size: (height, width) of the frame.

    Returns:
        x0, y0 and (h, w) uint8: the part of the frame the shadow is in; 0x0 where none of it can be seen.
    """
    none = 0, 0, np.zeros((0, 0), np.uint8)
    x0, z0, cell = place
    if (world_to_cam[:3, :3].T @ -world_to_cam[:3, 3])[1] < 0.05:
        return none  # a camera below the ground does not see it
    to_world = np.array([[cell, 0, x0], [0, 0, 0], [0, cell, z0]])
    matrix = K @ (world_to_cam[:3, :3] @ to_world + np.outer(world_to_cam[:3, 3], [0, 0, 1]))
    rows, columns = shadow.shape
    corners = matrix @ np.array([[0, columns, columns, 0], [0, 0, rows, rows], [1, 1, 1, 1]], float)
    if corners[2].min() < 0.1:
        return none
    px = corners[:2] / corners[2]
    low = np.clip(np.floor(px.min(1)), 0, (size[1], size[0])).astype(int)
    high = np.clip(np.ceil(px.max(1)), 0, (size[1], size[0])).astype(int)
    width, height = (high - low).tolist()
    if width <= 0 or height <= 0:
        return none
    move = np.array([[1, 0, -low[0] - 0.5], [0, 1, -low[1] - 0.5], [0, 0, 1]])  # cv2 counts from pixel centres
    image = cv2.warpPerspective((shadow * 255).astype(np.uint8), move @ matrix, (width, height), flags=cv2.INTER_LINEAR)
    return int(low[0]), int(low[1]), image
