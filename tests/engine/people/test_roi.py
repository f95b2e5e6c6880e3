import numpy as np
from numpy.testing import assert_allclose

from engine.people.roi import Roi


def test_upright_person_gives_an_unturned_square():
    roi = Roi.from_points(np.array([50.0, 60.0]), np.array([50.0, 20.0]))
    assert_allclose(roi.as_array(), [50, 60, 2 * 40 * 1.25, 0], atol=1e-12)


def test_leaning_right_is_a_positive_turn():
    assert_allclose(Roi.from_points(np.zeros(2), np.array([10.0, 0.0])).turn, np.pi / 2)


def test_middle_of_the_crop_is_the_centre():
    roi = Roi(31.0, 17.0, 20.0, 0.7)
    assert_allclose(roi.to_image(64) @ [32, 32, 1], [31, 17], atol=1e-9)


def test_aligned_crop_is_the_picture_itself():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    roi = Roi(20.0, 16.0, 16.0, 0.0)  # 12 ... 28 by 8 ... 24, at scale 1: no pixel is mixed with another
    np.testing.assert_array_equal(roi.crop(image, 16), image[8:24, 12:28])


def test_paste_undoes_crop():
    yy, xx = np.mgrid[:120, :160].astype(np.float32)
    image = 100 + 50 * np.sin(xx / 15) * np.cos(yy / 12)
    roi = Roi(80.0, 60.0, 70.0, 0.4)
    back = roi.paste(roi.crop(image, 128), image.shape)
    # Two linear interpolations of a smooth wave: curvature 0.22 + 0.35 per px^2, an eighth of it each time, below 0.3.
    assert_allclose(back[45:75, 65:95], image[45:75, 65:95], atol=0.3)
    assert back[0, 0] == 0


def test_part_of_the_picture_is_pasted_where_it_belongs():
    crop = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    roi = Roi(50.0, 40.0, 50.0, -0.3)
    whole, part = roi.paste(crop, (90, 110)), roi.paste(crop, (40, 50), x0=30, y0=20)
    # The same map up to OpenCV's 1/32-pixel grid: a step of at most 255 / 32 here and there.
    assert np.abs(whole[20:60, 30:80].astype(int) - part).max() <= 8
