"""Hidden arms are behind the body."""

import numpy as np
import pytest

from engine.body.model import load_body
from engine.motion.hidden import put_behind
from engine.types import LANDMARKS

WRIST, INDEX = LANDMARKS.index("left_wrist"), LANDMARKS.index("left_index")
DISTANCE_M = 4.0


def seen(aside_m: float, visibility: float):
    """One frame of somebody who faces the camera, a wrist 0.25 m before the trunk: points, and what is made of them."""
    body = load_body()
    points = (body.landmarks * [1, -1, -1])[None].astype(float)
    middle = points[0, [11, 12, 23, 24]].mean(0)
    points[0, [WRIST, INDEX]] = middle + np.array([aside_m, 0, -0.25])
    visible = np.full((1, 33), 0.99)
    visible[0, WRIST] = visibility
    rays = (points[..., :2] - middle[:2]) / DISTANCE_M
    return points - middle, put_behind(points - middle, rays, visible)


def test_a_hidden_wrist_is_behind_the_trunk_and_its_hand_with_it():
    before, after = seen(0.0, 0.3)
    assert after[0, WRIST, 2] == pytest.approx(0.25, abs=0.05)  # mirrored at the trunk, which leans a little
    assert after[0, INDEX, 2] - before[0, INDEX, 2] == pytest.approx(after[0, WRIST, 2] - before[0, WRIST, 2])
    np.testing.assert_array_equal(after[..., :2], before[..., :2])


@pytest.mark.parametrize(("aside_m", "visibility"), [(0.0, 0.95), (0.6, 0.3)])
def test_a_wrist_that_is_seen_or_hidden_by_something_else_stays(aside_m, visibility):
    before, after = seen(aside_m, visibility)
    np.testing.assert_array_equal(after, before)
