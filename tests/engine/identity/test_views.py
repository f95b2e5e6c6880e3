"""A back and a side of one's own."""

import numpy as np

from engine.identity.lift import lift

from .figures import draw_figure, stick_joints, stick_points


def test_own_back_is_shown_on_the_back():
    points = stick_points()
    cutout = draw_figure(points)
    back = np.ascontiguousarray(cutout[:, ::-1])
    back[..., :3] = (20, 160, 40)
    fill = lift(cutout, stick_joints(points), back=back).back_rgba
    assert np.abs(fill[..., :3].astype(int) - (20, 160, 40)).max() <= 2  # rounding of a resize and a film


def test_a_side_view_says_how_deep_the_figure_is():
    points = stick_points()
    cutout = draw_figure(points)
    rows = np.nonzero((cutout[..., 3] > 128).any(1))[0]
    top, height = rows[0], np.ptp(rows)
    side = np.zeros_like(cutout)
    side[rows[0] : rows[-1] + 1, 150:180] = 255
    belly = slice(top + int(0.4 * height), top + int(0.55 * height))
    side[belly, 110:150] = 255  # a belly to the front, the left of the picture
    depths = lift(cutout, stick_joints(points), side=side).vertices
    plain = lift(cutout, stick_joints(points)).vertices
    middle = (np.abs(depths[:, 1] - 0.52) < 0.03) & (np.abs(depths[:, 0]) < 0.05)
    assert depths[middle, 2].max() > 2.5 * -depths[middle, 2].min()  # 55 pixels to the front, 15 to the back
    assert plain[middle, 2].max() < 1.5 * -plain[middle, 2].min()  # a person's chest is a little before the middle
