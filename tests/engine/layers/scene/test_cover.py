"""A place is gathered anew where a mask leaves a standing foot out, not where a limb passes by."""

import numpy as np
import pytest

from engine.layers.scene.cover import is_covered
from engine.types import ArraySource, BackgroundMotion

NUM = 24


@pytest.fixture(params=[0, 5])
def clip(request):
    """Person, rough mask of the body alone, camera: at rest, or panning by some pixels a frame."""
    step = request.param
    human, to_first = np.zeros((NUM, 160, 320), np.uint8), np.tile(np.eye(3), (NUM, 1, 1))
    for idx in range(NUM):
        x = 200 - step * idx
        human[idx, 20:120, x : x + 40] = 255
        to_first[idx, 0, 2] = step * idx
    return human, human.copy(), BackgroundMotion(to_first, np.ones(NUM, np.float32)), step


def covered(human, rough, motion):
    return is_covered(ArraySource(human), ArraySource(rough), motion)


def test_the_same_mask_covers(clip):
    human, rough, motion, _ = clip
    assert covered(human, rough, motion)


def test_a_foot_that_stands_is_left_out(clip):
    human, rough, motion, step = clip
    for idx in range(NUM):
        x = 240 - step * idx
        human[idx, 100:120, x : x + 30] = 255
    assert not covered(human, rough, motion)


def test_an_arm_that_passes_is_not_seen_by_a_median(clip):
    human, rough, motion, _ = clip
    for idx in range(2, 6):
        x = 30 + 25 * idx
        human[idx, 40:60, x : x + 20] = 255
    assert covered(human, rough, motion)
