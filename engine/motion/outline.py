"""The outline of a person in every frame, as points with normals, from the mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.types import FrameSource

NUM_POINTS = 64
"""Points of an outline, evenly along it: every 8 cm or so."""
_LONGEST_PX = 192
"""Masks are looked at so small: 1 cm a pixel."""
_SMOOTH_PX = 2.0
INSIDE = 150
"""Of 255: soft masks end a little further in for a body than for a picture, as clothes and hair reach over it."""
_LEAST_SHARE = 0.05
"""Pieces smaller than this share of the largest one are specks."""


@dataclass(frozen=True)
class Outline:
    """Where the person ends in T frames."""

    rays: NDArray
    """(T, 64, 2) float32: on the plane z = 1 in front of the camera."""
    normals: NDArray
    """(T, 64, 2) float32: unit vectors away from the person; zero where the picture ends or nothing is known."""

    def part(self, frames: NDArray | slice) -> "Outline":
        """Some of its frames."""
        return Outline(self.rays[frames], self.normals[frames])


def find_outlines(masks: FrameSource, K: NDArray) -> Outline:
    """Walk around the mask of every frame.

    Args:
        masks: T frames (H, W) uint8, 0 no ... 255 the person.
        K: (3, 3) float, pixels.
    """
    rays = np.zeros((masks.num_frames, NUM_POINTS, 2), np.float32)
    normals = np.zeros_like(rays)
    focal, center = K[[0, 1], [0, 1]], K[:2, 2]
    for frame, mask in enumerate(masks.read()):
        points, outwards = _outline_of(mask)
        if len(points):
            rays[frame] = (points - center) / focal
            outwards = outwards * focal  # a normal is a gradient: it scales against the points
            normals[frame] = outwards / np.maximum(np.linalg.norm(outwards, axis=-1, keepdims=True), 1e-9)
    return Outline(rays, normals)


def _outline_of(mask: NDArray) -> tuple[NDArray, NDArray]:
    """(64, 2) pixels and (64, 2) normals, or twice nothing."""
    import cv2

    inside = (mask > INSIDE) * np.uint8(255)
    x0, y0, width, height = cv2.boundingRect(inside)
    if min(width, height) < 8:
        return np.zeros((0, 2)), np.zeros((0, 2))
    scale = max(1.0, max(width, height) / _LONGEST_PX)
    size = max(2, round(width / scale)), max(2, round(height / scale))
    small = cv2.resize(inside[y0 : y0 + height, x0 : x0 + width], size, interpolation=cv2.INTER_AREA)
    small = cv2.copyMakeBorder((small > 127).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    found = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    largest = max((cv2.contourArea(line) for line in found), default=0.0)
    pieces = [_smooth(line[:, 0]) for line in found if cv2.contourArea(line) >= max(_LEAST_SHARE * largest, 4)]
    if not pieces:
        return np.zeros((0, 2)), np.zeros((0, 2))
    points, outwards = (np.concatenate(parts) for parts in zip(*pieces))
    some = np.linspace(0, len(points), NUM_POINTS, endpoint=False).astype(int)
    points, outwards = points[some], outwards[some]
    step = np.array([width, height]) / size
    points = (points - 0.5 + 0.5 * outwards) * step + (x0, y0)  # the walk is along the middles of the last pixels
    edge = (points < 2 * scale).any(1) | (points > np.array(mask.shape[::-1]) - 2 * scale).any(1)
    outwards[edge] = 0
    return points, outwards


def _smooth(line: NDArray) -> tuple[NDArray, NDArray]:
    """A closed line of pixels (N, 2) and its outward normals, smoothed."""
    from scipy.ndimage import gaussian_filter1d

    line = gaussian_filter1d(line.astype(np.float64), _SMOOTH_PX, axis=0, mode="wrap")
    along = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    turns = np.sum(line[:, 0] * along[:, 1] - line[:, 1] * along[:, 0])  # twice the area: positive when clockwise seen
    return line, np.stack([along[:, 1], -along[:, 0]], -1) * np.sign(turns)
