import json

import numpy as np
import pytest
from PIL import Image

from engine.people import find_pose

COCO = {5: 11, 6: 12, 7: 13, 8: 14, 9: 15, 10: 16, 11: 23, 12: 24, 13: 25, 14: 26, 15: 27, 16: 28}
"""COCO keypoint: landmark."""


@pytest.fixture(scope="module")
def skier(sample_data):
    truth = json.loads((sample_data / "characters" / "coco_skier.coco.json").read_text())["annotations"][0]
    points = np.array(truth["keypoints"], float).reshape(17, 3)[:, :2]
    return np.array(Image.open(sample_data / "characters" / "coco_skier.jpg").convert("RGB")), points, truth["bbox"]


@pytest.mark.parametrize("quarters", [0, 1, 2])
def test_a_photo_upright_lying_and_upside_down(skier, quarters):
    rgb, points, box = skier
    landmarks = find_pose(np.ascontiguousarray(np.rot90(rgb, quarters)))
    assert landmarks is not None and landmarks.score[0] > 0.8
    height, width = rgb.shape[:2]
    turned = [points, np.stack([points[:, 1], width - points[:, 0]], 1), (width, height) - points][quarters]
    away = np.linalg.norm(landmarks.image_px[0, list(COCO.values())] - turned[list(COCO)], axis=1)
    # People who mark joints differ by about 3 % of the person's height (COCO's sigmas: 2.6 ... 9 % of its scale).
    assert np.median(away) < 0.04 * box[3]


def test_alpha_tells_where_the_figure_is(walker):
    frame = walker.frame(0)
    cutout = np.dstack([frame.rgb, frame.human_full])
    landmarks = find_pose(cutout)
    assert landmarks is not None and landmarks.score[0] > 0.7
    away = np.linalg.norm(landmarks.image_px[0, 25] - walker.joints_px[0][4])
    assert away < 0.05 * np.ptp(walker.joints_px[0][:, 1])  # the left knee, by its name


def test_large_pictures_come_back_in_their_own_pixels(skier):
    rgb, points, box = skier
    large = np.asarray(Image.fromarray(rgb).resize((rgb.shape[1] * 3, rgb.shape[0] * 3)))
    landmarks = find_pose(large)
    assert landmarks is not None
    away = np.linalg.norm(landmarks.image_px[0, list(COCO.values())] - 3 * points[list(COCO)], axis=1)
    assert np.median(away) < 3 * 0.04 * box[3]


@pytest.mark.parametrize("shape", [(80, 60, 3), (1, 1, 3), (300, 40, 4)])
def test_nothing_in_an_empty_picture(shape):
    assert find_pose(np.full(shape, 255, np.uint8)) is None
