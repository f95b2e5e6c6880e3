"""The depth layer of the embedded path: coarse, and honest about it.

Nothing is measured here but the person: a body of 1.7 m that is h pixels tall stands f * 1.7 / h metres away. The rest
is a prior: a level ground under the feet that rises to a horizon, a far backdrop above it, the person as a flat board
with a slight bulge, occluders a little nearer than the person. It orders the layers (backdrop, ground, person,
occluder) and gives a lift for a parallax effect; it knows nothing of walls, trees or furniture.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import FrameSource, Landmarks, Progress, Size, Tracks, quiet

BODY_M = 1.7
"""Height a person is taken to have, metres."""
NEAREST_M = 0.5
"""Distance that is written as 65535; inverse depth is NEAREST_M / distance * 65535."""
_EYE_M = 1.5
"""Height a camera is taken to have above the ground, metres: held at the eye."""
_FOCAL = 1.1
"""Focal length as a share of the longer side: 49 degrees across, between a phone and a camera."""
BACKDROP_M = 40.0
"""Beyond this the ground prior says nothing."""
_SMOOTH_FRAMES = 4.0
"""Standard deviation of the smoothing of the person's distance over time, frames."""


def coarse_depth(
    landmarks: Landmarks,
    tracks: Tracks,
    human_mask: FrameSource,
    occlusion: FrameSource,
    size: Size,
    *,
    progress: Progress = quiet,
) -> Iterator[NDArray]:
    """Order the layers of a clip by depth; see the head of this file for how little is known.

    Args:
        landmarks: of the person; hips, ankles and head give its size.
        tracks: the person's box, used where landmarks were not seen.
        human_mask: (H, W) uint8 per frame.
        occlusion: (H, W) uint8 per frame, what is in front of the person.
        size: (height, width), pixels.
        progress: called with frames done and frames in all.

    Yields:
        (H, W) uint16 per frame: inverse depth, 65535 at `NEAREST_M` or nearer, metres as `NEAREST_M * 65535 / value`.
    """
    distance_m, foot_row = person_distance(landmarks, tracks, size)
    half = (max(1, size[0] // 2), max(1, size[1] // 2))
    for idx, (human, front) in enumerate(zip(human_mask.read(), occlusion.read())):
        ground = _ground(half, size, foot_row[idx], distance_m[idx])[:, None]
        depth = np.broadcast_to(_levels(ground, (size[0], 1)), size).copy()
        window = _window(human, front, half)
        if window is not None:
            person, nearer = (_shrunk(mask, half)[window].astype(np.float32) / 255 for mask in (human, front))
            inverse = np.repeat(ground[window[0]], person.shape[1], axis=1)
            # A body is some 20 cm thick: the middle of the mask bulges by half of that.
            bulge = cv2.blur(person, (2 * (half[0] // 24) + 1,) * 2)
            body = NEAREST_M / np.maximum(distance_m[idx] - 0.1 * bulge, NEAREST_M)
            inverse += (body - inverse) * person
            thing = NEAREST_M / max(NEAREST_M, distance_m[idx] - 0.35)
            inverse += (thing - inverse) * nearer
            y0, x0 = (at.start * full // small for at, full, small in zip(window, size, half))
            y1, x1 = (-(-at.stop * full // small) for at, full, small in zip(window, size, half))
            depth[y0:y1, x0:x1] = _levels(inverse, (y1 - y0, x1 - x0))
        yield depth
        progress(idx + 1, human_mask.num_frames)


def _shrunk(mask: NDArray, size: Size) -> NDArray:
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA)


def _window(human: NDArray, front: NDArray, half: Size) -> tuple[slice, slice] | None:
    """Rows and columns of the half-sized picture around the person and what is in front, with room for the bulge; the
    whole picture where sizes are odd; None where there is neither."""
    x, y, width, height = cv2.boundingRect(cv2.max(human, front))
    if not width:
        return None
    if human.shape != (2 * half[0], 2 * half[1]):
        return slice(0, half[0]), slice(0, half[1])
    room = half[0] // 24 + 2
    rows = slice(max(0, y // 2 - room), min(half[0], -(-(y + height) // 2) + room))
    return rows, slice(max(0, x // 2 - room), min(half[1], -(-(x + width) // 2) + room))


def _levels(inverse: NDArray, size: Size) -> NDArray:
    """(H, W) uint16: inverse depth (h, w) float32, 0 ... 1, at another size."""
    large = cv2.resize(inverse, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(size)
    large *= 65535
    large += 0.5
    return large.astype(np.uint16)


def person_distance(landmarks: Landmarks, tracks: Tracks, size: Size) -> tuple[NDArray, NDArray]:
    """Where the person stands, smooth in time.

    Returns:
        distance_m (T,) float32, metres from the camera; foot_row (T,) float32, the row of the feet, pixels.
    """
    points = landmarks.image_px
    ankles = points[:, 27:33, 1].max(1)
    # Bone lengths do not shrink when a person bends down: trunk and legs, each as a person stands, sum to 0.73 of the
    # height (Winter 2009: ankle to hip 0.49, hip to shoulder 0.29, less what is foreshortened on average).
    hips, shoulders = points[:, 23:25].mean(1), points[:, 11:13].mean(1)
    knees, feet = points[:, 25:27], points[:, 27:29]
    legs = np.linalg.norm(knees - points[:, 23:25], axis=2) + np.linalg.norm(feet - knees, axis=2)
    height = (np.linalg.norm(shoulders - hips, axis=1) + legs.max(1)) / 0.76
    box = tracks.box_px
    seen = landmarks.score > 0
    # A body that leaves the frame has landmarks outside it; its box is the safer lower bound.
    tall = np.where(seen, np.maximum(height, 0.6 * (box[:, 3] - box[:, 1])), box[:, 3] - box[:, 1])
    rows = np.where(seen, ankles, box[:, 3])
    focal = _FOCAL * max(size)
    distance = np.clip(focal * BODY_M / np.maximum(tall, 8), NEAREST_M, 200)
    trust = np.where(seen, np.maximum(landmarks.score, 0.05), 0.02)
    return (
        np.exp(smooth_over_time(np.log(distance), trust)).astype(np.float32),
        smooth_over_time(np.clip(rows, 0, size[0]), trust).astype(np.float32),
    )


def smooth_over_time(values: NDArray, weights: NDArray) -> NDArray:
    """Weighted Gaussian mean over time: (T,) values and weights to (T,)."""
    reach = int(3 * _SMOOTH_FRAMES)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTH_FRAMES) ** 2)
    total = np.convolve(np.pad(values * weights, reach), kernel, "valid")
    return total / np.maximum(np.convolve(np.pad(weights, reach), kernel, "valid"), 1e-9)


def _ground(half: Size, size: Size, foot_row: float, distance_m: float) -> NDArray:
    """(h,) float32 inverse depth of a level ground, row by row: the person's at its feet, the backdrop's above."""
    # A camera at eye height sees the ground at distance d this many rows below the horizon: f * eye / d.
    below_px = _FOCAL * max(size) * _EYE_M / distance_m
    horizon = foot_row - below_px
    rows = (np.arange(half[0]) + 0.5) * size[0] / half[0]
    inverse = (rows - horizon) / below_px * (NEAREST_M / distance_m)
    return np.clip(inverse, NEAREST_M / BACKDROP_M, 1).astype(np.float32)
