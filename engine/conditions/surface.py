"""`surface`: the embedded body, every point of it in a colour of its own, unlit, on black.

A colour says which point of the body a pixel shows, whatever the pose, the shape and the light: red runs from the
right hand to the left, green from the soles to the crown, blue from the back to the front of the T-pose.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.body.model import Body, load_body
from engine.raster import draw_samples
from engine.types import JOINTS, Camera, Motion, Size

LOWEST, HIGHEST = 32, 255
"""Levels of each channel: the body is never as dark as the black around it."""
_EQUALISED = 0.5
"""How far levels follow where the vertices are instead of plain length: hands and face get more of them."""
_BATCH = 8


@lru_cache(maxsize=1)
def surface_colors() -> NDArray:
    """Return the colour of every vertex of the embedded body.

    Returns:
        (V, 3) float32 RGB, 32 ... 255: per axis of the T-pose, half a straight line over its length, half the share of
        vertices below. Mirrored points differ in red alone, by the same amount either side of the middle.
    """
    points = load_body().vertices.astype(np.float64)
    colors = np.empty(points.shape)
    for axis in range(3):
        values = points[:, axis]
        line = (values - values.min()) / np.ptp(values)
        places, count = np.unique(values, return_counts=True)
        middle = np.cumsum(count) - count / 2  # vertices below, half of those here: the same from either end
        share = (middle - middle[0]) / (middle[-1] - middle[0])
        colors[:, axis] = (1 - _EQUALISED) * line + _EQUALISED * np.interp(values, places, share)
    return (LOWEST + (HIGHEST - LOWEST) * colors).astype(np.float32)


def pose_body(motion: Motion, start: int, stop: int, body: Body | None = None) -> Iterator[NDArray]:
    """Pose the embedded body as a motion says, at the size of its person.

    Args:
        motion: T frames; its `shape` shapes the body, its `rest_m` says how large it is.
        start: first frame.
        stop: frame after the last.
        body: the embedded one unless given.

    Yields:
        (V, 3) float32, metres, world.
    """
    body = body or load_body()
    scale = np.float32(leg_m(motion.rest_m) / leg_m(body.rest(motion.shape)[1]))
    for first in range(start, stop, _BATCH):
        batch = slice(first, min(first + _BATCH, stop))
        root_m = motion.root_m[batch].astype(np.float32)
        posed = body.pose(motion.rotvec[batch], root_m, motion.shape)
        yield from posed if abs(scale - 1) < 1e-4 else root_m[:, None] + scale * (posed - root_m[:, None])


def draw_surface(
    motion: Motion, camera: Camera, size: Size, start: int = 0, stop: int | None = None
) -> Iterator[NDArray]:
    """Draw the body of a motion as `surface`.

    Args:
        motion: T frames.
        camera: T frames.
        size: (height, width), pixels.
        start: first frame.
        stop: frame after the last; None: all.

    Yields:
        (H, W, 3) uint8 RGB on black, four samples per pixel.
    """
    faces, colors = load_body().faces, surface_colors()
    stop = len(motion) if stop is None else stop
    for frame, vertices_m in enumerate(pose_body(motion, start, stop), start):
        yield draw_colors(to_camera(vertices_m, camera.world_to_cam[frame]), faces, colors, camera.K[frame], size)


def draw_colors(vertices_m: NDArray, faces: NDArray, colors: NDArray, K: NDArray, size: Size) -> NDArray:
    """Draw a closed mesh with a colour per vertex, unlit, on black, four samples per pixel.

    Args:
        vertices_m: (V, 3) float, camera frame.
        faces: (F, 3) int, counter-clockwise seen from outside; the others are not drawn.
        colors: (V, 3) float RGB, 0 ... 255.
        K: (3, 3) float, pixels.
        size: (height, width).

    Returns:
        (H, W, 3) uint8.
    """
    return np.floor(draw_samples(colors, vertices_m, faces, K, size) + 0.5).astype(np.uint8)


def to_camera(vertices_m: NDArray, world_to_cam: NDArray) -> NDArray:
    """(V, 3) float32 points of the world in the frame of a camera (4, 4)."""
    return (vertices_m @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]).astype(np.float32)


def leg_m(rest_m: NDArray) -> float:
    """Hip to ankle along the bones, metres, of rest joints (J, 3) in the order of `JOINTS`."""
    hip, knee, ankle = (rest_m[JOINTS.index(f"left_{name}")] for name in ("hip", "knee", "ankle"))
    return float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
