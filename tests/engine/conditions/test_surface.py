import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.body.model import load_body
from engine.conditions.surface import HIGHEST, LOWEST, draw_surface, pose_body, surface_colors
from engine.types import JOINTS, Camera, Motion

SIZE = (160, 120)


def standing(num_frames=3, *, scale=1.0, shape=None):
    body = load_body()
    shape = np.zeros(10, np.float32) if shape is None else np.asarray(shape, np.float32)
    rest = (scale * body.rest(shape)[1]).astype(np.float32)
    rotvec = np.zeros((num_frames, len(JOINTS), 3), np.float32)
    rotvec[:, JOINTS.index("left_shoulder"), 2] = np.linspace(0, -1.2, num_frames)
    root_m = np.tile(rest[0], (num_frames, 1))
    return Motion(rotvec=rotvec, root_m=root_m, time_s=np.arange(num_frames) / 30, rest_m=rest, shape=shape)


def level_camera(num_frames=3, *, behind=False):
    """3.2 m before (or behind) the body, at 0.85 m."""
    side = -1 if behind else 1
    world_to_cam = np.diag([side, -1, -side, 1.0])
    world_to_cam[:3, 3] = 0, 0.85, 3.2
    K = np.array([[200.0, 0, 60], [0, 200.0, 80], [0, 0, 1]])
    return Camera(np.tile(K, (num_frames, 1, 1)), np.tile(world_to_cam, (num_frames, 1, 1)))


def test_every_vertex_has_a_colour_of_its_own():
    colors = surface_colors()
    assert colors.min() == LOWEST and colors.max() == HIGHEST
    vertices = load_body().vertices
    for axis in range(3):  # each channel grows along its axis, strictly: a colour tells the point
        order = np.argsort(vertices[:, axis])
        steps, rises = np.diff(vertices[order, axis]), np.diff(colors[order, axis])
        assert (rises[steps > 1e-5] > 0).all() and (rises >= 0).all()
    assert len(np.unique(colors, axis=0)) == len(np.unique(vertices, axis=0))


def test_a_pixel_tells_the_point_of_the_body():
    motion, camera = standing(), level_camera()
    frames = list(draw_surface(motion, camera, SIZE))
    vertices = list(pose_body(motion, 0, 3))
    assert all(frame.shape == (*SIZE, 3) and frame.dtype == np.uint8 for frame in frames)
    for frame, posed in zip(frames, vertices):
        for name in ("head", "left_wrist", "right_knee", "spine3"):
            joint = load_body().joints[JOINTS.index(name)]
            nearby = np.flatnonzero(np.linalg.norm((load_body().vertices - joint)[:, :2], axis=1) < 0.03)
            vertex = nearby[np.argmax(posed[nearby, 2])]  # the nearest to the camera
            x, y, z = posed[vertex]
            seen = frame[int(200 * (0.85 - y) / (3.2 - z) + 80), int(200 * x / (3.2 - z) + 60)]
            # A pixel is 16 mm of the body, a level at least 1 mm of it (in depth; 5 mm across).
            assert_allclose(seen.astype(int), surface_colors()[vertex], atol=16)
    left, right = frames[0][70, 65, 0], frames[0][70, 55, 0]  # a person who faces us has the left hand at our right
    assert left > 144 > right > LOWEST


def test_the_back_is_seen_from_behind():
    front, back = (next(iter(draw_surface(standing(1), level_camera(1, behind=b), SIZE))) for b in (False, True))
    assert_array_equal(front.any(-1).sum() > 1000, True)
    assert front[70, 60, 2] > back[70, 60, 2] + 50  # blue grows from back to front


def test_edges_are_mixed_with_black_in_quarters():
    frame = next(iter(draw_surface(standing(1), level_camera(1), SIZE)))
    partly = frame.any(-1) & (frame.min(-1) < LOWEST)  # only edges are darker than the darkest of the body
    assert 50 < partly.sum() < 0.2 * frame.any(-1).sum()
    assert (frame[0] == 0).all() and (frame[:, 0] == 0).all()


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.2])
def test_the_body_is_as_large_as_its_person(scale):
    motion = standing(1, scale=scale, shape=[1.5, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    posed = next(iter(pose_body(motion, 0, 1)))
    height = np.ptp(load_body().rest(motion.shape)[0][:, 1])
    assert_allclose(np.ptp(posed[:, 1]), scale * height, rtol=1e-4)  # float32 skinning
    assert_allclose(posed[:, 1].min(), 0, atol=1e-3)  # its soles stay on the ground
