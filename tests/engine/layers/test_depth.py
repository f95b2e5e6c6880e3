import numpy as np

from engine.layers.depth import NEAREST_M, coarse_depth, person_distance
from engine.types import ArraySource, Landmarks, Tracks


def standing(num: int, height_px: float, size: tuple[int, int]) -> tuple[Landmarks, Tracks]:
    """A person who stands upright in the middle, feet 10 pixels above the lower edge."""
    foot, x = size[0] - 10.0, size[1] / 2
    px = np.zeros((num, 33, 2), np.float32)
    px[:, :, 0] = x
    px[:, :11, 1] = foot - 0.95 * height_px
    px[:, 11:23, 1] = foot - 0.78 * height_px
    px[:, 23:25, 1] = foot - 0.51 * height_px
    px[:, 25:27, 1] = foot - 0.27 * height_px
    px[:, 27:, 1] = foot - 0.02 * height_px
    ones = np.ones(num, np.float32)
    box = np.tile(np.array([x - 20, foot - height_px, x + 20, foot], np.float32), (num, 1))
    return Landmarks(px, np.zeros((num, 33, 3), np.float32), np.ones((num, 33), np.float32), ones), Tracks(box, ones)


def layers(num: int, size: tuple[int, int]) -> tuple[ArraySource, ArraySource]:
    human, front = np.zeros((num, *size), np.uint8), np.zeros((num, *size), np.uint8)
    human[:, 40:170, 150:170] = 255
    front[:, 100:120, 155:165] = 255
    return ArraySource(human), ArraySource(front)


def test_layers_are_in_order():
    size = (180, 320)
    marks, tracks = standing(3, 130, size)
    human, front = layers(3, size)
    depth = list(coarse_depth(marks, tracks, human, front, size))
    assert len(depth) == 3
    assert depth[0].dtype == np.uint16
    assert depth[0].shape == size
    backdrop, body, thing = (int(depth[1][row, col]) for row, col in ((5, 20), (70, 160), (110, 160)))
    assert backdrop < body < thing
    # The ground comes nearer towards the lower edge, and is as far as the person where the person stands.
    column = depth[1][:, 20].astype(int)
    assert (np.diff(column) >= 0).all()
    assert abs(column[169] - body) < 0.1 * body


def test_distance_is_the_one_of_a_body_of_170_cm():
    size = (720, 1280)
    marks, tracks = standing(5, 400, size)
    distance, foot_row = person_distance(marks, tracks, size)
    want = 1.1 * 1280 * 1.7 / 400
    np.testing.assert_allclose(distance, want, rtol=0.05)  # the landmarks' share of the height is a mean person's
    np.testing.assert_allclose(foot_row, 710 - 8, atol=0.01)  # ankles lie 0.02 of the height above the sole


def test_inverse_depth_reads_back_in_metres():
    size = (180, 320)
    marks, tracks = standing(2, 130, size)
    human, front = layers(2, size)
    depth = next(coarse_depth(marks, tracks, human, front, size))
    distance, _ = person_distance(marks, tracks, size)
    metres = NEAREST_M * 65535 / depth[70, 160]
    assert distance[0] - 0.15 < metres <= distance[0] + 0.01  # the bulge brings the chest 10 cm nearer


def test_a_lost_frame_is_smooth():
    size = (180, 320)
    marks, tracks = standing(21, 130, size)
    marks.score[10] = 0
    marks.image_px[10] = 0
    tracks.box_px[10] = 0, 0, 4, 4
    distance, _ = person_distance(marks, tracks, size)
    assert np.abs(np.diff(np.log(distance))).max() < 0.02  # 2 % per frame: no jump
