import numpy as np
import pytest

from engine.people.detect import Detector, _anchors, box_iou, tiles


def test_anchors_are_those_of_the_network():
    assert _anchors().shape == (2254, 2)
    np.testing.assert_allclose(_anchors()[0], [0.5 / 28, 0.5 / 28])
    np.testing.assert_allclose(_anchors()[-1], [6.5 / 7, 6.5 / 7])


@pytest.mark.parametrize("size", [(720, 1280), (1920, 1080), (360, 640), (480, 480), (70, 900)])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_tiles_cover_the_picture(size, level):
    where = tiles(size, level)
    seen = np.zeros(size, bool)
    for x0, y0, x1, y1 in where:
        assert 0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]
        assert level == 0 or x1 - x0 == y1 - y0
        seen[y0:y1, x0:x1] = True
    assert seen.all() or not where


def test_iou():
    boxes = np.array([[0.0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]])
    np.testing.assert_allclose(box_iou(boxes[0], boxes), [1, 1 / 7, 0])


def test_finds_the_actor(walker, frames):
    detection = Detector().detect(frames[0])[0]
    joints = walker.joints_px[0]
    height = np.ptp(joints[:, 1])
    # The network's "middle of the hips" is not the pelvis joint of the body; a tenth of the height is one hand.
    assert np.linalg.norm(detection.points_px[0] - joints[0]) < 0.1 * height
    # The square holds the whole body: 1.25 times the radius around it.
    assert 1.0 < detection.roi.side / height < 2.2


def test_a_small_figure_is_found_on_tiles_only(frames):
    far = np.full((720, 1280, 3), 128, np.uint8)
    far[500:620, 900:1060] = np.repeat(np.repeat(frames[0], 1, 0), 1, 1)[::2, ::2]
    detector = Detector()
    assert not detector.detect(far)
    points = [detection.points_px[0] for detection in detector.detect(far, tiles((720, 1280), 2))]
    assert any(900 < x < 1060 and 500 < y < 620 for x, y in points)


def test_nobody_in_noise():
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert Detector().detect(noise, tiles((240, 320), 0) + tiles((240, 320), 1)) == []
