"""How far the rim of the posed body is from the outline of the person.

Shapes: T frames, P points of the surface, N points of the outline, J 22 body joints, C 69 unknowns of a frame.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.body.model import Body, load_body
from engine.motion.outline import Outline
from engine.motion.posing import (
    NUM_JOINTS,
    NUM_UNKNOWNS,
    Points,
    Pose,
    Posed,
    body_points,
    is_moved_by,
    pose_points,
    turn_axes,
)

NOISE_M = 0.03
"""Deviation of one point of the outline, metres: errors of masks, and clothes, last along it and over frames."""
OUTLIER_M = 0.06
"""An outline further off than this is of something else: a skirt, a bag, a bicycle."""
_RIM = 0.35
"""The rim is where the line of sight nearly touches the surface: cosine between it and the normal."""
_ALIKE = 0.7
"""Cosine between the normals of the outline and of a point that may lie on it."""
_REACH_M = 0.25
_CELL_M = 0.045
"""The surface has one point in every such cube."""
_RIGID = 0.75
"""Points that hang on one joint by less bend too much to ride on it."""


@dataclass(frozen=True)
class Surface:
    """Points all over the body of one person."""

    points: Points
    normals: NDArray
    """(P, 3) at rest, outwards."""
    rows: NDArray
    """(P,) int: which vertices they are."""


@dataclass(frozen=True)
class Rim:
    """Where the outline meets the body."""

    point: NDArray
    """(T, N) int: the surface's point that lies nearest."""
    off: NDArray
    """(T, N) metres at the person's distance, across the outline: positive where the body reaches over it."""
    slope_m: NDArray
    """(T, N, 3): how `off` grows when the point moves, in the world."""
    weight: NDArray
    """(T, N): inverse deviations."""
    places_m: NDArray
    """(T, N, 3): where the points are, world."""


def make_surface(body: Body, shape: NDArray) -> Surface:
    """The surface of the embedded body in a shape (10,)."""
    rows, joints, normals = _chosen()
    vertices = body.vertices[rows] + np.tensordot(shape, body.shape_vertices[:, rows], 1)
    return Surface(body_points(body, shape, vertices, joints), normals, rows)


@lru_cache(maxsize=1)
def _chosen() -> tuple[NDArray, NDArray, NDArray]:
    """Vertices spread over the embedded body, the joints they ride on and their normals at rest."""
    body = load_body()
    first = body.weights.argmax(1)
    each = np.arange(len(first))
    joints, share = body.weight_joints[each, first], body.weights[each, first]
    corners = body.vertices[body.faces].astype(np.float64)
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros((len(first), 3))
    for corner in range(3):
        np.add.at(normals, body.faces[:, corner], area)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    fit = np.flatnonzero((share >= _RIGID) & (joints < NUM_JOINTS))
    cells = np.unique(np.floor(body.vertices[fit] / _CELL_M).astype(int), axis=0, return_index=True)[1]
    rows = fit[np.sort(cells)]
    return rows, joints[rows], normals[rows]


def find_rim(posed: Posed, surface: Surface, outline: Outline, world_to_cam: NDArray, camera_m: NDArray) -> Rim:
    """Find for every point of the outline the point of the body's rim that it may be of.

    Args:
        posed: T frames; its points do not matter.
        surface: who is posed.
        outline: T frames.
        world_to_cam: (T, 3, 3) rotations.
        camera_m: (3,) where the camera is in the world.

    Source: iterative closest points, from point to line (Chen & Medioni 1992).
    """
    riding = surface.points.joint
    turned = posed.rotations[:, riding]
    places = posed.joints_m[:, riding] + np.einsum("tpij,pj->tpi", turned, surface.points.offset_m)
    to_camera = np.swapaxes(world_to_cam, -1, -2)
    cam = ((places - camera_m) @ to_camera).astype(np.float32)
    normals = (np.einsum("tpij,pj->tpi", turned, surface.normals) @ to_camera).astype(np.float32)
    depth = np.maximum(cam[..., 2:], 0.1)
    flat, distance = cam[..., :2] / depth, depth.mean(1)[:, 0]
    facing = (normals * cam).sum(-1) / np.linalg.norm(cam, axis=-1)
    across = normals[..., :2] - normals[..., 2:] * flat  # of the line in the plane z = 1 that the rim draws
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    point, away = _nearest(outline, flat, across, np.abs(facing) <= _RIM)
    near = away * np.square(distance)[:, None] < _REACH_M**2
    each = np.arange(len(point))[:, None]
    flat, depth = flat[each, point], depth[each, point, 0]
    off = (outline.normals * (flat - outline.rays)).sum(-1) * distance[:, None]
    slope = np.concatenate([outline.normals, -(outline.normals * flat).sum(-1, keepdims=True)], -1)
    slope = (slope * (distance[:, None] / depth)[..., None]) @ world_to_cam
    weight = near * OUTLIER_M**2 / (np.square(off) + OUTLIER_M**2) / NOISE_M
    return Rim(point, off, slope, weight, places[each, point])


def _nearest(outline: Outline, flat: NDArray, across: NDArray, at_rim: NDArray) -> tuple[NDArray, NDArray]:
    """For every point of the outline the nearest of the rim that looks the same way, and the square of how far (T, N).

    Args:
        outline: T frames.
        flat: (T, P, 2) float32, where the surface's points are on the plane z = 1, and across: their normals there.
        at_rim: (T, P) bool.
    """
    point = np.zeros(outline.rays.shape[:2], np.int64)
    away = np.zeros(point.shape, np.float32)
    for frame in range(len(point)):  # one table at a time stays in cache
        rays, normals = outline.rays[frame], outline.normals[frame]
        rim = np.flatnonzero(at_rim[frame])
        away_x, away_y = (rays[:, None, axis] - flat[frame, rim, axis] for axis in (0, 1))
        square = away_x * away_x + away_y * away_y
        square[normals @ across[frame, rim].T < _ALIKE] = np.inf
        square = np.concatenate([square, np.full((len(rays), 1), np.inf, np.float32)], 1)  # when there is no rim at all
        best = square.argmin(1)
        point[frame] = np.append(rim, 0)[best]
        away[frame] = square[np.arange(len(best)), best]
    return point, away


def rim_rows(rim: Rim, pose: Pose, posed: Posed, surface: Surface) -> tuple[NDArray, NDArray]:
    """The residuals (T, N) of a rim and their slopes (T, N, C) float32 in the unknowns, in units of their deviation.

    Source: a point p below joint j moves by w x (p - j) when j turns by w, so g . (w x (p - j)) = w . ((p - j) x g).
    """
    slopes = np.zeros((*rim.off.shape, NUM_UNKNOWNS), np.float32)
    weighted = rim.slope_m * rim.weight[..., None]
    axes = turn_axes(pose, posed.rotations)
    riding = surface.points.joint[rim.point]
    turning = np.cross(rim.places_m, weighted)
    for joint in range(NUM_JOINTS):
        moved = is_moved_by(joint)[riding]
        if moved.any():
            about = turning - np.cross(posed.joints_m[:, joint, None], weighted)
            slopes[..., 3 * joint : 3 * joint + 3] = (about @ axes[:, joint]) * moved[..., None]
    slopes[..., 3 * NUM_JOINTS :] = weighted
    return rim.off * rim.weight, slopes


def grown_surface(pose: Pose, body: Body, surface: Surface, component: int) -> NDArray:
    """(T, P, 3) how points of the surface move with one component of the shape, the pelvis staying."""
    rest = body.shape_joints[component].astype(np.float64)
    riding = surface.points.joint
    offset = body.shape_vertices[component][surface.rows] - rest[riding]
    points = Points(rest[:NUM_JOINTS], riding, offset)
    return pose_points(Pose(pose.rotvec, np.zeros_like(pose.root_m)), points).points_m
