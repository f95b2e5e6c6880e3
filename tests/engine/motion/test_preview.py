"""The overlay: where the body is, the picture changes; elsewhere it does not."""

import numpy as np

from engine.body.model import load_body
from engine.motion.preview import draw_preview
from engine.raster import rasterize

K = np.array([[200.0, 0, 80], [0, 200, 60], [0, 0, 1]])


def _seen_from_front() -> np.ndarray:
    vertices = load_body().vertices
    return (vertices * [1, -1, -1] + [0, 0.9, 4]).astype(np.float32)


def test_only_the_body_is_drawn_on():
    rgb = np.full((120, 160, 3), 100, np.uint8)
    vertices = _seen_from_front()
    drawn = draw_preview(rgb, vertices, K)
    body = rasterize(vertices[None], load_body().faces, K, (120, 160), cull_back=True).face_idx[0] >= 0
    changed = (drawn != rgb).any(-1)
    assert (changed[~body] == 0).all()
    assert changed[body].mean() > 0.95  # a shade may happen to be the picture's own
    assert (rgb == 100).all()


def test_sides_have_their_colours_and_standing_feet_are_green():
    rgb = np.zeros((120, 160, 3), np.uint8)
    drawn = draw_preview(rgb, _seen_from_front(), K, planted=(True, False)).astype(int)
    person_left, person_right = drawn[:, 81:], drawn[:, :79]  # they face the camera: their left is on the right
    assert person_left[40:90].sum((0, 1))[2] > person_left[40:90].sum((0, 1))[0]  # blue
    assert person_right[40:90].sum((0, 1))[0] > person_right[40:90].sum((0, 1))[2]  # orange
    feet = drawn[100:110]
    assert (feet[:, 81:, 1] > feet[:, 81:, 0] + 20).any()
    assert not (feet[:, :79, 1] > feet[:, :79, 0] + 20).any()


def test_a_body_behind_the_camera_or_outside_is_not_drawn():
    rgb = np.full((120, 160, 3), 7, np.uint8)
    for shift in ([0, 0, -9], [30, 0, 0]):
        np.testing.assert_array_equal(draw_preview(rgb, _seen_from_front() + np.float32(shift), K), rgb)
