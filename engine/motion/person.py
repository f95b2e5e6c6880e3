"""Who is fitted: the embedded body in one shape, with the points that evidence speaks about."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.body.model import Body
from engine.motion.energy import BONES, with_smooth_joints
from engine.motion.posing import NUM_JOINTS, Points, Pose, Posed, body_points, pose_points
from engine.motion.silhouette import Surface, find_rim, grown_surface, make_surface
from engine.motion.view import View
from engine.types import LANDMARKS

SOLES = np.array([LANDMARKS.index(f"{s}_{part}") for s in ("left", "right") for part in ("heel", "foot_index")])
"""Landmarks of the soles: heel and toe, left and right."""
ROOT_WEIGHT = 0.01
"""Least weight of a landmark when a body is placed."""
OUTLINE_TRUST = 2.0
"""How much more an outline tells of the shape than of a pose: what is wrong with it in one frame is not in another."""
TABLE = Path(__file__).with_name("landmarks.toml")
"""Written by benchmarks/calibrate_landmarks.py."""


@dataclass(frozen=True)
class Person:
    """One shape of the body."""

    body: Body
    shape: NDArray
    """(10,) standard deviations."""
    points: Points
    """33 landmarks as BlazePose sees them, 4 points of the soles, then the joints of `energy.SMOOTH_JOINTS`."""
    surface: Surface
    """Points all over the skin."""
    sole_m: NDArray
    """(4,) metres: heights of the soles' points above the ground when a foot stands flat."""

    @property
    def rest_m(self) -> NDArray:
        """(52, 3) float32 rest joints, soles on y = 0."""
        return self.body.rest(self.shape)[1]


def make_person(body: Body, shape: NDArray) -> Person:
    """The body in a shape (10,)."""
    landmarks = body.landmarks + np.tensordot(shape, body.shape_landmarks, 1)
    rows = np.concatenate([np.arange(len(LANDMARKS)), SOLES])
    places = landmarks[rows].astype(np.float64)
    places[: len(LANDMARKS)] += landmark_table().shift_m
    points = with_smooth_joints(body_points(body, shape, places, body.landmark_joints[rows]))
    ground = float(points.rest_m[0, 1] - body.rest(shape)[1][0, 1])
    return Person(body, shape, points, make_surface(body, shape), landmarks[SOLES, 1] - ground)


def place_roots(pose: Pose, person: Person, view: View) -> NDArray:
    """Put a posed body where its landmarks project to what was seen: linear least squares in each frame.

    Args:
        pose: T frames; where they are does not matter.

    Returns:
        (T, 3) metres, world, the camera at the origin; unseen frames are interpolated.
    """
    there = pose_points(Pose(pose.rotvec, np.zeros_like(pose.root_m)), person.points)
    camera = there.points_m[:, : len(LANDMARKS)] @ np.swapaxes(view.world_to_cam, -1, -2)
    rays = view.rays
    weight = view.place_trust + ROOT_WEIGHT
    rows = np.zeros((*rays.shape, 3))
    rows[..., 0, 0], rows[..., 1, 1], rows[..., 2] = 1, 1, -rays
    target = rays * camera[..., 2:] - camera[..., :2]
    normal = np.einsum("tl,tlri,tlrj->tij", weight, rows, rows)
    right = np.einsum("tl,tlri,tlr->ti", weight, rows, target)
    root = np.linalg.solve(normal, right[..., None])[..., 0]
    seen = np.flatnonzero(view.seen & (root[:, 2] > 0.2))
    if len(seen) == 0:
        root[:] = 0, 0, 4
        seen = np.arange(len(root))
    frames = np.arange(len(root))
    root = np.stack([np.interp(frames, seen, root[seen, axis]) for axis in range(3)], axis=1)
    return np.einsum("tji,tj->ti", view.world_to_cam, root)


def better_shape(pose: Pose, person: Person, view: View, noise_m: NDArray, *, prior: float) -> NDArray:
    """The shape that brings the landmarks of a posed body nearest to what was seen, places being free.

    Args:
        pose: N frames of the view, in its order.
        person: who they are posed for.
        view: N frames.
        noise_m: (33,) metres, of each landmark.
        prior: trust in the mean adult, against one frame's landmarks.

    Returns:
        (10,) standard deviations.

    Source: with rotations held, every landmark is linear in shape and place; the places are eliminated frame by frame.
    """
    count = len(LANDMARKS)
    posed = pose_points(pose, person.points)
    cam = posed.points_m[:, :count] @ np.swapaxes(view.world_to_cam, -1, -2)
    grown = np.stack([_grown(pose, person, k) for k in range(len(person.shape))], -1)  # (N, L, 3, S)
    grown = view.world_to_cam[:, None] @ grown
    moved = np.tile(view.world_to_cam[:, None], (1, count, 1, 1))
    depth = np.maximum(cam[..., 2:], 0.1)
    flat = cam[..., :2] / depth
    distance = depth.mean(1, keepdims=True)
    off = (flat - view.rays) * distance
    weight = np.sqrt(view.place_trust * np.square(0.01 / (np.square(off).sum(-1) + 0.01))) / noise_m
    scale = (weight * distance[..., 0] / depth[..., 0])[..., None, None]
    rows = [scale * (slope[:, :, :2] - flat[..., None] * slope[:, :, 2:]) for slope in (grown, moved)]
    shape_rows, root_rows = (row.reshape(len(pose), 2 * count, -1) for row in rows)
    right = (off * weight[..., None]).reshape(len(pose), -1)
    if view.outline is not None:
        more = _outline_rows(pose, posed, person, view)
        shape_rows, root_rows, right = (np.concatenate(pair, 1) for pair in zip((shape_rows, root_rows, right), more))
    free = np.linalg.inv(np.swapaxes(root_rows, -1, -2) @ root_rows + 1e-6 * np.eye(3))
    across = np.swapaxes(root_rows, -1, -2)
    held = shape_rows - root_rows @ (free @ (across @ shape_rows))  # what the place cannot explain
    normal = (np.swapaxes(held, -1, -2) @ shape_rows).mean(0)
    gradient = (np.swapaxes(held, -1, -2) @ right[..., None])[..., 0].mean(0)
    stiff = prior * np.eye(len(person.shape))
    return person.shape - np.linalg.solve(normal + stiff, gradient + prior * person.shape)


def _grown(pose: Pose, person: Person, component: int) -> NDArray:
    """(N, 33, 3) how the posed landmarks move with one component of the shape, the pelvis staying."""
    body, count = person.body, len(LANDMARKS)
    rest = body.shape_joints[component].astype(np.float64)[:NUM_JOINTS]
    riding = person.points.joint[:count]
    offset = body.shape_landmarks[component].astype(np.float64) - rest[riding]
    return pose_points(Pose(pose.rotvec, np.zeros_like(pose.root_m)), Points(rest, riding, offset)).points_m


def _outline_rows(pose: Pose, posed: Posed, person: Person, view: View) -> tuple[NDArray, NDArray, NDArray]:
    """What the outline says of shape (N, R, S) and place (N, R, 3), and how far it is off (N, R), in deviations."""
    assert view.outline is not None
    rim = find_rim(posed, person.surface, view.outline, view.world_to_cam, np.zeros(3))
    weight = rim.weight * OUTLINE_TRUST
    slope = rim.slope_m * weight[..., None]
    each = np.arange(len(pose))[:, None]
    grown = [grown_surface(pose, person.body, person.surface, k)[each, rim.point] for k in range(len(person.shape))]
    return np.stack([(slope * way).sum(-1) for way in grown], -1), slope, rim.off * weight


@dataclass(frozen=True)
class LandmarkTable:
    """How BlazePose's landmarks lie on the embedded body and how far they err."""

    shift_m: NDArray
    """(33, 3) metres, added to the baked landmarks, in the rest axes of the joint each rides on."""
    noise_m: NDArray
    """(33,) metres at the person's distance: deviation per axis in the picture."""
    direction_noise: NDArray
    """(B,) deviation per axis of the directions of `energy.BONES` among the 3D landmarks."""


@lru_cache(maxsize=1)
def landmark_table() -> LandmarkTable:
    """Read `TABLE`."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    rows = [table["landmarks"][name] for name in LANDMARKS]
    bones = [table["bones"][f"{LANDMARKS[start]} {LANDMARKS[end]}"]["direction_noise"] for start, end in BONES]
    return LandmarkTable(
        np.array([row["shift_m"] for row in rows]), np.array([row["noise_m"] for row in rows]), np.array(bones)
    )
