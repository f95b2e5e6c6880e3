"""Things in front of the actor: a football and a pole, seen ray by ray, with their shadows."""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.geometry import project, transform
from engine.synth.actor import flatten_to_ground, shade
from engine.synth.motions import BALL_RADIUS_M
from engine.synth.scene import SUN
from engine.types import Size

_SPIN_RAD_S = np.array([-5.5, 0.7, 0.5])
_POLE_X, _POLE_Z, _POLE_RADIUS, _POLE_TOP = 0.22, 1.1, 0.045, 2.3


class Prop(Protocol):
    """Something solid in front of the actor."""

    moves: bool
    """False: it belongs to the still scene too."""

    def draw(self, frame_idx: int, rays: NDArray, center_m: NDArray) -> tuple[NDArray, NDArray]:
        """What rays meet.

        Args:
            frame_idx: the frame.
            rays: (H, W, 3) float, world directions whose length along the camera's z is 1.
            center_m: (3,) the camera in the world.

        Returns:
            rgb (H, W, 3) float32 0 ... 255 and depth (H, W) float32 metres along z, infinite where missed.
        """
        ...

    def window(self, frame_idx: int, K: NDArray, world_to_cam: NDArray, size: Size) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1, pixels: the part of the picture outside which no ray meets it."""
        ...

    def shadow_outline(self, frame_idx: int) -> NDArray | None:
        """(N, 3) outline of its shadow on the ground, metres; None when it is part of the scene."""
        ...


class Ball:
    """A football on a path, rolling in the air."""

    moves = True

    def __init__(self, path_m: NDArray, time_s: NDArray) -> None:
        self._path, self._time = path_m, time_s

    def draw(self, frame_idx: int, rays: NDArray, center_m: NDArray) -> tuple[NDArray, NDArray]:
        """See `Prop.draw`."""
        from scipy.spatial.transform import Rotation

        to_ball = self._path[frame_idx] - center_m
        a, b = (rays * rays).sum(-1), rays @ to_ball
        inside = b * b - a * (to_ball @ to_ball - BALL_RADIUS_M**2)
        hit = inside > 0
        depth = np.full(rays.shape[:2], np.inf, np.float32)
        rgb = np.zeros(rays.shape, np.float32)
        if hit.any():
            depth[hit] = (b[hit] - np.sqrt(inside[hit])) / a[hit]
            normal = (rays[hit] * depth[hit][:, None] - to_ball) / BALL_RADIUS_M
            spin = Rotation.from_rotvec(_SPIN_RAD_S * self._time[frame_idx]).as_matrix()
            rgb[hit] = shade(_football(normal @ spin), normal, np.ones(len(normal), np.float32))
        return rgb, depth

    def window(self, frame_idx: int, K: NDArray, world_to_cam: NDArray, size: Size) -> tuple[int, int, int, int]:
        """See `Prop.window`."""
        cube = self._path[frame_idx] + BALL_RADIUS_M * (np.indices((2, 2, 2)).reshape(3, 8).T * 2 - 1)
        points = project(K, transform(world_to_cam, cube))
        low, high = np.floor(points.min(0)), np.ceil(points.max(0)) + 1
        x0, x1 = np.clip([low[0], high[0]], 0, size[1]).astype(int).tolist()
        y0, y1 = np.clip([low[1], high[1]], 0, size[0]).astype(int).tolist()
        return x0, y0, x1, y1

    def shadow_outline(self, frame_idx: int) -> NDArray:
        """See `Prop.shadow_outline`."""
        side = np.cross([0.0, 0.0, 1.0], SUN)
        side /= np.linalg.norm(side)
        other = np.cross(SUN, side)
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None]
        ring = self._path[frame_idx] + BALL_RADIUS_M * (np.cos(angle) * side + np.sin(angle) * other)
        return flatten_to_ground(ring)


class Pole:
    """A round, upright, striped pole between the camera and the actor."""

    moves = False

    def draw(self, frame_idx: int, rays: NDArray, center_m: NDArray) -> tuple[NDArray, NDArray]:
        """See `Prop.draw`."""
        flat, to_pole = rays[..., [0, 2]], np.array([_POLE_X, _POLE_Z]) - center_m[[0, 2]]
        a, b = (flat * flat).sum(-1), flat @ to_pole
        inside = b * b - a * (to_pole @ to_pole - _POLE_RADIUS**2)
        depth = np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
        height = center_m[1] + np.where(inside > 0, depth, 0) * rays[..., 1]
        hit = (inside > 0) & (height > 0) & (height < _POLE_TOP)
        rgb = np.zeros(rays.shape, np.float32)
        if hit.any():
            out = (flat[hit] * depth[hit][:, None] - to_pole) / _POLE_RADIUS
            normal = np.stack([out[:, 0], np.zeros(len(out)), out[:, 1]], -1)
            stripe = (height[hit] / 0.35 % 1 < 0.5)[:, None]
            rgb[hit] = shade(np.where(stripe, (236, 232, 224), (70, 120, 170)), normal, np.ones(len(out), np.float32))
        return rgb, np.where(hit, depth, np.inf).astype(np.float32)

    def window(self, frame_idx: int, K: NDArray, world_to_cam: NDArray, size: Size) -> tuple[int, int, int, int]:
        """See `Prop.window`."""
        return 0, 0, size[1], size[0]

    def shadow_outline(self, frame_idx: int) -> None:
        """The pole never moves; it throws no shadow of its own."""
        return None


def bouncing_path(time_s: NDArray) -> NDArray:
    """(T, 3) metres: a ball that bounces across in front of the actor, at x = 0 in the middle of the clip."""
    span = max(float(time_s[-1] - time_s[0]), 1e-6)
    share = (time_s - time_s[0]) / span
    hop_s = 0.86
    phase = ((time_s - time_s[0]) / hop_s + 0.35) % 1
    height = BALL_RADIUS_M + 4 * 0.95 * phase * (1 - phase)
    return np.stack([1.5 * (2 * share - 1), height, np.full_like(height, 0.62)], -1)


def outline_mask(outline_px: NDArray, size: Size) -> NDArray:
    """(H, W) float32 0 ... 1 of a polygon (N, 2) in pixels, edges smoothed."""
    mask = np.zeros(size, np.uint8)
    points = np.rint((outline_px - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, lineType=cv2.LINE_AA, shift=8)
    return mask.astype(np.float32) / 255


def _football(directions: NDArray) -> NDArray:
    """(N, 3) colours of a ball of 12 dark pentagons and 20 white hexagons in directions (N, 3)."""
    golden = (1 + 5**0.5) / 2
    corners = np.array([p for a in (-1, 1) for b in (-golden, golden) for p in ((0, a, b), (a, b, 0), (b, 0, a))])
    corners = corners / np.linalg.norm(corners[0])
    triples = [[i, j, k] for i in range(12) for j in range(i) for k in range(j)]
    near = corners[0] @ corners.T
    edge = np.sort(near)[-2] - 1e-6
    close = corners @ corners.T > edge
    centers = np.array([corners[t].sum(0) for t in triples if close[np.ix_(t, t)].all()])
    centers = centers / np.linalg.norm(centers[0])
    black = (directions @ corners.T).max(1)
    white = np.sort(directions @ centers.T, axis=1)
    is_black = black * 1.028 > white[:, -1] + 0.004
    seam = (white[:, -1] - white[:, -2] < 0.022) & ~is_black
    color = np.full((len(directions), 3), 240.0)
    color[seam] = 172
    color[is_black] = (38, 40, 46)
    return color
