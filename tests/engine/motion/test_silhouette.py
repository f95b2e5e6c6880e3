"""The outline of a mask, and the rim of a body that is drawn to it."""

import numpy as np

from engine.body.model import load_body
from engine.motion.energy import with_smooth_joints
from engine.motion.outline import NUM_POINTS, Outline, find_outlines
from engine.motion.posing import NUM_JOINTS, NUM_UNKNOWNS, Pose, pose_points
from engine.motion.silhouette import find_rim, make_surface, rim_rows
from engine.raster import rasterize
from engine.types import ArraySource

SIZE = (240, 320)
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return (np.hypot(columns - x, rows - y) < radius) * np.uint8(255)


def test_the_outline_of_a_disc():
    outline = find_outlines(ArraySource(disc(170, 110, 50)[None]), K)
    off = outline.rays[0] * 300 + [160, 120] - [170, 110]
    np.testing.assert_allclose(np.linalg.norm(off, axis=-1), 50, atol=1)  # pixels
    outwards = off / np.linalg.norm(off, axis=-1, keepdims=True)
    assert (np.sum(outline.normals[0] * outwards, -1) > 0.98).all()  # within 11 degrees


def test_where_the_picture_ends_is_no_outline():
    outline = find_outlines(ArraySource(np.stack([disc(0, 120, 60), np.zeros(SIZE, np.uint8)])), K)
    known = np.linalg.norm(outline.normals, axis=-1) > 0.5
    at_edge = outline.rays[0, :, 0] * 300 + 160 < 2
    assert at_edge.any() and not known[0, at_edge].any() and known[0, ~at_edge].any()
    assert not known[1].any()  # nobody


def test_specks_and_hairs_are_no_outline():
    hair = np.zeros((900, 900), np.uint8)
    np.fill_diagonal(hair, 255)  # gone when the mask is made small
    speck = np.zeros_like(hair)
    speck[5:8, 5:8] = 255
    assert not find_outlines(ArraySource(np.stack([hair, speck])), K).normals.any()


def standing(turn: float = 0.0) -> tuple[Pose, np.ndarray, np.ndarray]:
    """One frame of the mean adult in the T-pose, 4 m before a camera: pose, turn of the camera, its place."""
    rotvec = np.zeros((1, NUM_JOINTS, 3))
    rotvec[0, 0, 1] = turn
    rotvec[0, 16, 2] = -0.4  # an arm hangs lower than the other
    return Pose(rotvec, load_body().joints[:1].astype(float)), np.diag([1.0, -1, -1])[None], np.array([0.0, 0.9, 4])


def mask_of(pose: Pose, shape: np.ndarray, world_to_cam: np.ndarray, camera_m: np.ndarray) -> np.ndarray:
    full = np.zeros((1, 52, 3), np.float32)
    full[:, :NUM_JOINTS] = pose.rotvec
    body = load_body()
    vertices = body.pose(full, pose.root_m.astype(np.float32), shape.astype(np.float32))
    vertices = (vertices - camera_m) @ world_to_cam[0].T
    seen = rasterize(vertices.astype(np.float32), body.faces, K, SIZE, cull_back=True)
    return (seen.face_idx >= 0) * np.uint8(255)


def rim_of(pose: Pose, outline: Outline, world_to_cam: np.ndarray, camera_m: np.ndarray):
    surface = make_surface(load_body(), np.zeros(10))
    posed = pose_points(pose, with_smooth_joints(surface.points))
    return find_rim(posed, surface, outline, world_to_cam, camera_m), posed, surface


def test_a_body_lies_in_its_own_outline():
    pose, *camera = standing(0.5)
    outline = find_outlines(ArraySource(mask_of(pose, np.zeros(10), *camera)), K)
    rim = rim_of(pose, outline, *camera)[0]
    assert (rim.weight > 0).mean() > 0.8  # of its points; fingers, for one, have no surface of their own
    assert np.abs(rim.off[rim.weight > 0]).mean() < 0.015  # metres; a pixel is 0.013


def test_slopes_are_those_of_the_distances():
    pose, *camera = standing()
    thin = np.array([0, 1.5, 0, 0, 0, 0, 0, 0, 0, 0])
    rim, posed, surface = rim_of(pose, find_outlines(ArraySource(mask_of(pose, thin, *camera)), K), *camera)
    slopes = rim_rows(rim, pose, posed, surface)[1][0]
    assert slopes.shape == (NUM_POINTS, NUM_UNKNOWNS)
    world_to_cam, camera_m = camera

    def off(pose: Pose) -> np.ndarray:
        """How far the same points are across the outline."""
        moved = pose_points(pose, surface.points).points_m[0, rim.point[0]]
        cam = (moved - camera_m) @ world_to_cam[0].T
        return (across * cam[:, :2] / cam[:, 2:]).sum(-1) * rim.weight[0]

    depth = ((rim.places_m[0] - camera_m) @ world_to_cam[0].T)[:, 2:]
    across = (rim.slope_m[0] @ world_to_cam[0].T)[:, :2] * depth  # the outline's normals times the body's distance
    for unknown in (0, 1, 3 * 16 + 2, 3 * 4, 3 * NUM_JOINTS, 3 * NUM_JOINTS + 2):  # turns of pelvis, arm, knee; place
        change = np.zeros((1, NUM_UNKNOWNS))
        change[0, unknown] = 1e-5
        numeric = (off(pose.moved(change)) - off(pose.moved(-change))) / 2e-5
        np.testing.assert_allclose(slopes[:, unknown], numeric, atol=1e-3)  # they reach 30; float32
        assert np.abs(numeric).max() > 1
