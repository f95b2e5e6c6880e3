"""Where the body must be in a frame, whether it is seen there or not.

Two witnesses: the silhouettes of the frames a moment before and after, moved along with the body; and the bones of
trunk, legs and arms, where the landmarks are sure.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import above
from engine.layers.occlusion.views import View
from engine.people.smooth import smooth_in_time
from engine.types import Landmarks

OFFSETS = (-14, -10, -7, -4, 4, 7, 10, 14)
"""Frames that are asked for their silhouette: near enough to have the pose, far enough to be out of hiding."""
REACH = max(OFFSETS)
_LEAST = 4
"""So many of them must have the body at a pixel."""
_LIMB = 0.045
"""Half the width of a limb, heights of the body."""
_TRUNK = (11, 12, 23, 24)
_LEGS = ((23, 25, 0.03), (24, 26, 0.03), (25, 27, 0.012), (26, 28, 0.012))
_ARMS = ((11, 13, 0.018), (13, 15, 0.014), (12, 14, 0.018), (14, 16, 0.014))
"""Landmark, landmark, radius in heights of the body: well inside the flesh."""


def body_path(landmarks: Landmarks, to_first: NDArray) -> NDArray:
    """Follow the middle of the trunk through a shot, steadily: behind a tree, landmarks are drawn to what is seen.

    Args:
        landmarks: of the shot's frames.
        to_first: (T, 3, 3): the frames' pixels to the place's.

    Returns:
        (T, 2) float64, pixels of each frame.
    """
    middle = landmarks.image_px[:, _TRUNK].mean(1).astype(np.float64)
    place = _apply(to_first, middle)
    ends = min(21, len(place) - 1)  # continued as it goes, or both filters would hold the body back at both ends
    place = np.pad(place, ((ends, ends), (0, 0)), mode="reflect", reflect_type="odd")
    around = np.lib.stride_tricks.sliding_window_view(np.pad(place, ((7, 7), (0, 0)), mode="edge"), 15, axis=0)
    steady = smooth_in_time(np.median(around, axis=-1), 3, cv2.BORDER_REPLICATE)
    return _apply(np.linalg.inv(to_first), steady[ends : len(steady) - ends])


def with_neighbours(views: Iterable[View], start: int, stop: int) -> Iterator[tuple[int, View, dict[int, View]]]:
    """Yield the views start ... stop-1 of a clip's, each with those within `REACH` of it, by index.

    Memory: 2 `REACH` + 1 views.
    """
    near: deque[tuple[int, View]] = deque(maxlen=2 * REACH + 1)
    for idx, view in enumerate(views):
        if start <= idx < stop:
            near.append((idx, view))
            if idx - REACH >= start:
                known = dict(near)
                yield idx - REACH, known[idx - REACH], known
    known = dict(near)
    for idx in range(max(start, stop - REACH), stop):
        if idx in known:
            yield idx, known[idx], known


def expected_trunk(idx: int, near: dict[int, View], path: dict[int, NDArray], body_px: float) -> NDArray:
    """Lay the silhouettes of other frames over one frame.

    Args:
        idx: the frame.
        near: views by index, the frame's own among them.
        path: by index, (2,) the body's middle, small pixels of that frame.
        body_px: height of the person, small pixels.

    Returns:
        (h, w) uint8: 255 where the body must be; without the limbs, which swing.
    """
    view = near[idx]
    height, width = view.away.shape
    count = np.zeros((height, width), np.uint8)
    for other in (idx + offset for offset in OFFSETS):
        if other not in near or not near[other].human.any():
            continue
        dx, dy = path[idx] - path[other]
        shift = np.array([[1, 0, near[other].x0 + dx - view.x0], [0, 1, near[other].y0 + dy - view.y0]])
        moved = cv2.warpAffine(near[other].human, shift, (width, height), flags=cv2.INTER_NEAREST)
        count += moved > 127
    body = above(count, _LEAST - 1)
    side = 2 * max(1, round(_LIMB * body_px)) + 1
    return cv2.erode(cv2.morphologyEx(body, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)), np.ones((3, 3), np.uint8))


def draw_core(view: View, points: NDArray, visibility: NDArray, body_px: float) -> NDArray:
    """Draw the inside of trunk, legs and arms.

    Args:
        view: the frame.
        points: (33, 2) float, landmarks, small pixels of the frame.
        visibility: (33,) float.
        body_px: height of the person, small pixels.

    Returns:
        (h, w) uint8: 255 where the body must be. An arm counts only where its far end is on the person.
    """
    core = np.zeros(view.away.shape, np.uint8)
    at = np.round(points - (view.x0, view.y0)).astype(int)
    human = cv2.dilate(view.human, np.ones((5, 5), np.uint8))
    for a, b, radius in _LEGS + _ARMS:
        if (a, b, radius) in _ARMS and (visibility[b] < 0.5 or not _is_on(human, at[b])):
            continue
        cv2.line(core, at[a].tolist(), at[b].tolist(), 255, max(1, round(2 * radius * body_px)))
    cv2.fillConvexPoly(core, cv2.convexHull(at[[11, 12, 24, 23]]), 255)
    return core


def sure_landmarks(landmarks: Landmarks, idx: int) -> bool:
    """Whether a frame's trunk and legs can be trusted."""
    return bool(landmarks.score[idx] > 0.5 and landmarks.visibility[idx, _TRUNK].min() > 0.5)


def _is_on(human: NDArray, at: NDArray) -> bool:
    x, y = at.tolist()
    return 0 <= x < human.shape[1] and 0 <= y < human.shape[0] and bool(human[y, x] > 127)


def _apply(matrices: NDArray, points: NDArray) -> NDArray:
    """(T, 2): each frame's point through its own homography."""
    moved = np.einsum("tij,tj->ti", matrices, np.concatenate([points, np.ones((len(points), 1))], 1))
    return moved[:, :2] / moved[:, 2:]
