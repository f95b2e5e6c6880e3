"""The camera of a clip, as far as one camera can tell: a guessed lens, and turns read from the background."""

import numpy as np
from numpy.typing import NDArray

from engine.types import BackgroundMotion, Camera, ClipInfo

FOCAL_PER_LONG_SIDE = 1.1
"""Focal length over the longer side of the picture: 49 degrees, between a phone (65) and a portrait lens (30)."""
_SHORTEST, _LONGEST = 0.6, 3.0
"""Focal lengths that are tried, times the guess."""
_FOCAL_STEPS = 120
_FOCAL_SPREAD = 0.25
"""Deviation of the guess, of the logarithm."""
_TURN_NOISE = 0.01
"""How far measured homographies of a camera that only turns are from rotations: 0.001 to 0.005 on rendered clips."""
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


def find_intrinsics(background: BackgroundMotion, info: ClipInfo) -> NDArray:
    """The lens of a clip, as far as its background tells: a camera that turns shows by how much; one at rest does not.

    Args:
        background: homographies of every frame to frame 0.
        info: size and pixel aspect of the clip.

    Returns:
        (3, 3) float64, pixels: like `guess_intrinsics`, with the focal length for which the homographies are most
        nearly turns; where they never are (the camera walks, or stands), the guess outweighs them.

    Source: self-calibration of a turning camera (Hartley 1994): inv(K) H K is a rotation for the right K alone.
    """
    guess = guess_intrinsics(info)
    trusted = background.inliers >= _TRUSTED
    if trusted.sum() < 2:
        return guess
    scales = np.exp(np.linspace(np.log(_SHORTEST), np.log(_LONGEST), _FOCAL_STEPS))
    off = np.array([_not_turns(background.to_first[trusted], _scaled(guess, scale)) for scale in scales])
    noise = max(_TURN_NOISE, float(off.min()))
    cost = np.square(off / noise) + np.square(np.log(scales) / _FOCAL_SPREAD)
    return _scaled(guess, float(scales[cost.argmin()]))


def _scaled(K: NDArray, scale: float) -> NDArray:
    return K * np.array([[scale, 1, 1], [1, scale, 1], [1, 1, 1]])


def _not_turns(to_first: NDArray, K: NDArray) -> float:
    """How far homographies are from rotations, root mean square of M M^T - 1."""
    matrix = np.linalg.inv(K) @ to_first @ K
    matrix = matrix / np.cbrt(np.linalg.det(matrix))[:, None, None]
    return float(np.sqrt(np.square(matrix @ np.swapaxes(matrix, 1, 2) - np.eye(3)).sum((1, 2)).mean()))


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
