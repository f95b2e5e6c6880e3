"""Lines of a drawing, told from the clothes of a person."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.identity.lift import lift
from engine.identity.texture import find_strokes

from .figures import draw_figure, stick_joints, stick_points

INK, SHOE, TROUSERS, SHIRT, SKIN = (40, 30, 45), (18, 18, 20), (70, 76, 96), (240, 205, 40), (205, 160, 130)
HAIR = (90, 55, 35)
THIN_PX = 12  # a dark limb between light and light, as narrow as a broad line


def dressed_figure(limb_px: int) -> NDArray:
    """(H, W, 4) uint8: black shoes, dark trousers and sleeves, a yellow shirt; no line is drawn anywhere."""
    points = stick_points()
    cutout = draw_figure(points, limb_px=limb_px)
    rows, columns = np.indices(cutout.shape[:2])
    cutout[..., :3] = SKIN
    cutout[rows > 118, :3] = SHIRT
    cutout[(rows > 118) & (np.abs(columns - 180) > 46), :3] = TROUSERS
    cutout[rows > 262, :3] = TROUSERS
    cutout[rows > points["left_ankle"][1] - 3, :3] = SHOE
    return cutout


def outlined_figure() -> NDArray:
    """(H, W, 4) uint8: the same clothes inside a pen's line of five pixels."""
    cutout = dressed_figure(20)
    solid = np.pad(cutout[..., 3] >= 128, 1).astype(np.uint8)
    cutout[cv2.distanceTransform(solid, cv2.DIST_L2, 5)[1:-1, 1:-1] <= 5, :3] = INK
    return cutout


def test_dark_clothes_are_no_outline():
    cutout = dressed_figure(THIN_PX)
    strokes = find_strokes(cutout)
    assert strokes.rgb is None
    assert strokes.width_px == 0


def test_black_shoes_stay_black_behind():
    cutout = dressed_figure(THIN_PX)
    puppet = lift(cutout, stick_joints(stick_points()))
    assert puppet.stroke_rgb is None
    shoes = (puppet.front_rgba[..., :3] == SHOE).all(-1)
    seen = puppet.back_rgba[cv2.erode(shoes.astype(np.uint8), np.ones((5, 5))) > 0, :3].astype(int)
    assert len(seen) > 200
    assert np.abs(seen - SHOE).max() <= 12  # the film is solved at half the size: trousers come a little into the shoes


def test_a_pen_line_around_dark_clothes_is_an_outline():
    strokes = find_strokes(outlined_figure())
    assert strokes.rgb is not None
    assert np.abs(np.subtract(strokes.rgb, INK)).max() <= 6
    assert 2 <= strokes.width_px <= 10


def test_a_head_has_a_cheek_in_profile_and_hair_behind():
    """The sides keep the face's skin without eyes; the back has neither."""
    cutout = dressed_figure(THIN_PX)
    rows = np.indices(cutout.shape[:2])[0]
    cutout[rows < 62, :3] = HAIR
    cv2.circle(cutout, (168, 84), 4, (*SHOE, 255), -1)  # eyes
    cv2.circle(cutout, (192, 84), 4, (*SHOE, 255), -1)
    puppet = lift(cutout, stick_joints(stick_points()))
    ys, xs = np.nonzero((puppet.front_rgba[:100, :, :3] == SHOE).all(-1))
    y, x = int(ys.mean()), int(xs.mean())
    cheek = np.s_[y - 12 : y + 24, x - 16 : x + 17]
    assert np.abs(puppet.fill_rgba[cheek][..., :3].astype(int) - SKIN).max() <= 12  # a film over where the eyes were
    assert np.abs(puppet.back_rgba[cheek][..., :3].astype(int) - HAIR).mean() <= 12


def test_the_whites_of_eyes_are_not_seen_from_behind():
    """Fur nearly as white as they are, on a body without a neck; one eye reaches its edge."""
    fur = (236, 226, 252)
    cutout = np.zeros((420, 360, 4), np.uint8)
    cv2.ellipse(cutout, (180, 210), (90, 170), 0, 0, 360, (*INK, 255), -1)
    cv2.ellipse(cutout, (180, 210), (85, 165), 0, 0, 360, (*fur, 255), -1)
    eyes = ((145, 130), (232, 130))
    for eye in eyes:
        cv2.circle(cutout, eye, 32, (*INK, 255), -1)
        cv2.circle(cutout, eye, 27, (255, 255, 255, 255), -1)
        cv2.circle(cutout, eye, 9, (*INK, 255), -1)
    points = stick_points() | {"neck": np.array([180.0, 215.0]), "head": np.array([180.0, 195.0])}
    puppet = lift(cutout, stick_joints(points))
    top, left = (int(np.nonzero((cutout[..., 3] >= 128).any(axis))[0].min()) - 6 for axis in (1, 0))
    for x, y in eyes:
        seen = puppet.back_rgba[y - top - 18 : y - top + 19, x - left - 18 : x - left + 19, :3].astype(int)
        assert np.abs(seen - fur).max() <= 6  # whites are 29 away; the film is solved at half the size


def test_stripes_go_round_the_sides_of_a_drawing():
    """Under its outline lies what is next to it, not a film that has run together."""
    cutout = outlined_figure()
    shirt = (cutout[..., :3] == SHIRT).all(-1)
    shirt &= np.indices(shirt.shape)[0] % 16 < 8
    cutout[shirt, :3] = (60, 90, 200)
    puppet = lift(cutout, stick_joints(stick_points()))
    top, left = (int(np.nonzero((cutout[..., 3] >= 128).any(axis))[0].min()) - 6 for axis in (1, 0))
    belly = puppet.fill_rgba[184 - top : 216 - top, :, 0].astype(int)  # two stripes of each colour, 180 apart in red
    edge = np.flatnonzero(cutout[200, :, 3] >= 128).min() - left
    assert np.ptp(belly[:, 180 - left]) >= 170 and np.ptp(belly[:, edge + 1]) >= 120
