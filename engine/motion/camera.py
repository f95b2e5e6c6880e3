"""The camera of a clip, as far as one camera can tell: a guessed lens, and turns read from the background."""

import numpy as np
from numpy.typing import NDArray

from engine.types import BackgroundMotion, Camera, ClipInfo

FOCAL_PER_LONG_SIDE = 1.1
"""Focal length over the longer side of the picture: 49 degrees, between a phone (65) and a portrait lens (30)."""
_TRUSTED = 0.3
"""Frames whose background agrees less than this take their turn from their neighbours."""


def guess_intrinsics(info: ClipInfo) -> NDArray:
    """A plausible lens for a clip that does not name its own.

    Returns:
        (3, 3) float64, pixels: fx is smaller than fy where pixels are wider than high.
    """
    focal_px = FOCAL_PER_LONG_SIDE * max(info.width * float(info.pixel_aspect), info.height)
    return np.array(
        [[focal_px / float(info.pixel_aspect), 0, info.width / 2], [0, focal_px, info.height / 2], [0, 0, 1]]
    )


def camera_turns(background: BackgroundMotion, K: NDArray) -> NDArray:
    """Read how the camera turned from how its background moved, as if all of it were far away.

    Args:
        background: homographies of every frame to frame 0.
        K: (3, 3) float, pixels.

    Returns:
        (T, 3, 3) float64 rotations: directions of frame 0's camera to directions of frame t's camera.

    Source: a camera that only turns moves its picture by K R inv(K); the nearest rotation is the polar factor.
    """
    from_first = np.linalg.inv(background.to_first)
    matrix = np.linalg.inv(K) @ from_first @ K
    scale = np.cbrt(np.linalg.det(matrix))
    u, _, vt = np.linalg.svd(matrix / scale[:, None, None])
    turns = u @ vt
    trusted = np.flatnonzero(background.inliers >= _TRUSTED)
    if 0 < len(trusted) < len(turns):
        place = np.interp(np.arange(len(turns)), trusted, np.arange(len(trusted)))
        turns = turns[trusted[np.round(place).astype(int)]]
    return turns


def place_camera(turns: NDArray, first_to_world: NDArray, position_m: NDArray, K: NDArray) -> Camera:
    """A camera that stands still in the world and turns.

    Args:
        turns: (T, 3, 3) from `camera_turns`.
        first_to_world: (3, 3) rotation of frame 0's camera axes to world axes.
        position_m: (3,) metres, world.
        K: (3, 3) pixels.
    """
    world_to_cam = np.zeros((len(turns), 4, 4))
    world_to_cam[:, :3, :3] = turns @ first_to_world.T
    world_to_cam[:, :3, 3] = -(world_to_cam[:, :3, :3] @ position_m)
    world_to_cam[:, 3, 3] = 1
    return Camera(np.tile(K, (len(turns), 1, 1)).astype(np.float32), world_to_cam.astype(np.float32))
