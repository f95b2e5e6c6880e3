"""The embedded body stood into the outline of a person: where joints are, and how deep what the picture shows is."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.identity.stance import (
    EYE_M,
    Posed,
    Stance,
    Tables,
    body_tables,
    first_stance,
    joint_slopes,
    point_slopes,
    pose_stance,
    vertex_slopes,
)
from engine.types import BODY_JOINTS, JOINTS, LANDMARKS, Landmarks

THINNED = 5
"""The outline is fitted with every fifth vertex of the body."""

NUM_ROUNDS = 25
EDGE_ON = 0.2
"""Vertices whose normal has at most this share along the line of sight may lie on the outline."""

OUTLINE_M, POINT_M = 0.012, 0.04
"""How well outlines agree (clothes fold), and how well points are known; metres on the person."""

OUTLINE_COUNT = 120.0
"""Neighbours on an outline err alike: all of it counts as much as this many places."""

REACH = 0.06
"""Outlines farther apart than this share of the figure's height are not the same; half as much more at first."""

CLEAR_M = (0.03, 0.06, 0.09)
"""Beyond the body's outline there is no body at these distances, metres."""

LEAST_OVERLAP, MOST_MISS = 0.8, 0.04
"""A figure is a person who faces the viewer where the body covers it so well (intersection over union), and no elbow,
wrist, knee or ankle is farther off than this share of its height. Measured: .90 and .03 for a man in a jacket and for
rendered people; .79 to .84 and .05 to .10 for people who hold an arm towards the viewer or are turned aside; below .65
for most drawings."""

_OVERLAP_PX = 200
_BENDS = ("elbow", "wrist", "knee", "ankle")
_MARKS = tuple(name for name in LANDMARKS if not name.endswith(("pinky", "thumb", "left_index", "right_index")))


@dataclass(frozen=True)
class Template:
    """The body in the picture: x right, y up, z towards the eye, metres from its axis."""

    stance: Stance
    vertices_m: NDArray
    """(V, 3) float64: flesh, hair and clothes."""
    joints_m: NDArray
    """(J, 3) float64."""
    overlap: float
    """Intersection over union of the body's outline and the figure's."""
    miss: float
    """Greatest distance of an elbow, wrist, knee or ankle from where it was given, share of the figure's height."""

    @property
    def fits(self) -> bool:
        """Whether the figure is a person who faces the viewer."""
        return self.overlap >= LEAST_OVERLAP and self.miss <= MOST_MISS

    def joints_px(self) -> dict[str, NDArray]:
        """(2,) pixels by name of the 22 joints of the body."""
        return dict(zip(BODY_JOINTS, self.stance.project(self.joints_m)))


def fit_template(alpha: NDArray, points: dict[str, NDArray], landmarks: Landmarks | None = None) -> Template:
    """Stand the body into a silhouette.

    Args:
        alpha: (H, W) uint8, 255 on a figure that faces the viewer.
        points: (2,) pixels by joint name: where the fit begins, and what the body's joints are drawn to.
        landmarks: of the same picture; then the body's own landmarks are drawn to them instead.

    Source: Gauss-Newton on distances from points to lines of the outlines (Chen, Medioni 1992) with robust weights, and
    on points; turns, shape and clothes are held to how people usually are.
    """
    mask = (alpha >= 128).astype(np.uint8)
    outline, tables = _outline(mask), body_tables(THINNED)
    top, tall = float(outline[0][:, 1].min()), float(np.ptp(outline[0][:, 1]))
    stance = first_stance(points, np.array([points["pelvis"][0], top + tall / 2]), tall)
    targets = _targets(points, landmarks)
    for number in range(NUM_ROUNDS):
        reach = REACH * (1.5 - number / NUM_ROUNDS) * tall
        step = _step(stance, tables, outline, targets, reach)
        stance = stance.moved(step)
        if np.abs(step).max() < 1e-3:
            break
    posed = pose_stance(stance, body_tables())
    joints = stance.project(posed.joints)
    gaps = [np.linalg.norm(joints[JOINTS.index(name)] - points[name]) for name in points if name.endswith(_BENDS)]
    overlap = _overlap(stance.project(posed.vertices), mask)
    return Template(stance, posed.vertices, posed.joints, overlap, float(np.max(gaps)) / tall)


def _targets(points: dict[str, NDArray], landmarks: Landmarks | None) -> list[tuple[int, NDArray, NDArray]]:
    """Joint, offset from it at rest (3,) metres and pixels (2,) of what the body is drawn to."""
    body = load_body()
    if landmarks is None:
        return [(JOINTS.index(name), np.zeros(3), np.asarray(xy, np.float64)) for name, xy in points.items()]
    rows = [LANDMARKS.index(name) for name in _MARKS]
    offsets = body.landmark_offsets.astype(np.float64)
    return [(int(body.landmark_joints[k]), offsets[k], landmarks.image_px[0, k].astype(np.float64)) for k in rows]


def _step(stance: Stance, tables: Tables, outline: tuple[NDArray, NDArray], targets: list, reach_px: float) -> NDArray:
    """(N,) one step of Gauss-Newton."""
    posed, pixel_m = pose_stance(stance, tables), 1 / stance.scale_px
    edge, gap_m, normal = _match(stance, posed, outline, reach_px)
    bones = joint_slopes(posed)
    rows = np.einsum("nec,ec->en", vertex_slopes(stance, posed, tables, edge, bones), normal) * pixel_m
    trust = 1 / (1 + (gap_m / (2 * OUTLINE_M)) ** 2) / OUTLINE_M**2 * min(OUTLINE_COUNT / max(len(edge), 1), 1.0)
    matrix, slope = (rows * trust[:, None]).T @ rows, rows.T @ (trust * gap_m)
    blocks, gaps, known = [], [], []
    for joint, offset, xy in targets:
        point = posed.joints[joint] + [*(posed.turns[joint] @ offset[:2]), offset[2]]
        away_m = (xy - stance.project(point)) * pixel_m
        blocks.append(point_slopes(stance, posed, joint, point, bones) * pixel_m)
        gaps.append(away_m)
        known += 2 * [1 / (1 + (away_m @ away_m) / (2 * POINT_M) ** 2) / POINT_M**2]
    block = np.concatenate(blocks, 1)
    matrix += (block * known) @ block.T
    slope += block @ (known * np.concatenate(gaps))
    away, spread = stance.from_usual()
    return np.clip(np.linalg.solve(matrix + np.diag(1 / spread**2), slope - away / spread**2), -0.3, 0.3)


def _match(
    stance: Stance, posed: Posed, outline: tuple[NDArray, NDArray], reach_px: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Vertices (E,) that are seen edge-on and have an outline near that goes the same way, how far it is outside of
    them (E,) metres, and its direction (E, 2)."""
    from scipy.spatial import KDTree

    places, outward = outline
    edge = np.flatnonzero(np.abs(posed.normals[:, 2]) < EDGE_ON)
    at = stance.project(posed.vertices[edge])
    flat = posed.normals[edge, :2] * (1, -1)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    far, nearest = KDTree(np.c_[places, reach_px * outward]).query(np.c_[at, reach_px * flat])
    body = KDTree(stance.project(posed.vertices))
    clear = np.ones(len(edge), bool)  # the side of a trunk behind an arm is not on the outline
    for step in CLEAR_M:
        clear &= body.query(at + step * stance.scale_px * flat)[0] > 0.6 * CLEAR_M[0] * stance.scale_px
    near = clear & (far < reach_px)
    nearest = np.asarray(nearest)[near]
    normal = outward[nearest]
    return edge[near], ((places[nearest] - at[near]) * normal).sum(1) / stance.scale_px, normal


def _outline(mask: NDArray) -> tuple[NDArray, NDArray]:
    """(E, 2) pixels along the edge of a silhouette, and the directions (E, 2) out of it."""
    from scipy.ndimage import gaussian_filter1d

    loops, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    tall = max(cv2.boundingRect(mask)[3], 1)
    places, outward = [], []
    for loop in sorted(loops, key=len)[::-1]:
        if places and len(loop) < 0.05 * tall:
            break
        xy = gaussian_filter1d(loop[:, 0].astype(np.float64) + 0.5, max(0.004 * tall, 1.0), axis=0, mode="wrap")
        along = np.roll(xy, -1, 0) - np.roll(xy, 1, 0)
        out = np.c_[-along[:, 1], along[:, 0]]  # the figure is on the left of outer loops and of holes alike
        places.append(xy[::2])
        outward.append(out[::2] / np.maximum(np.linalg.norm(out[::2], axis=1, keepdims=True), 1e-9))
    return np.concatenate(places), np.concatenate(outward)


def _overlap(vertices_px: NDArray, mask: NDArray) -> float:
    scale = min(1.0, _OVERLAP_PX / max(mask.shape))
    small = np.asarray(cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST), np.uint8)
    body = np.zeros_like(small)
    for triangle in np.round(vertices_px * scale - 0.5).astype(np.int32)[load_body().faces]:
        cv2.fillConvexPoly(body, triangle, 1)
    return float((body & small).sum() / max((body | small).sum(), 1))


def eye_px(template: Template) -> float:
    """How far the eye is from the plane of the picture, in pixels there."""
    return EYE_M * template.stance.scale_px
