from itertools import pairwise

import cv2
import numpy as np
import pytest

from engine.metrics.warp import WarpError


@pytest.fixture
def wall():
    """A wall of blots that slides by 3 pixels a frame."""
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
    wide = cv2.GaussianBlur(noise, (0, 0), 3)
    wide = np.clip((wide.astype(float) - 127) * 4 + 127, 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(wide[:, 3 * idx : 3 * idx + 160]) for idx in range(4)]


def errors(frames, moves=None, mask=None):
    meter = WarpError()
    return [meter.add(frame, move, mask) for frame, move in zip(frames, moves or frames)]


def test_what_motion_explains_is_no_error(wall):
    found = errors(wall)
    assert np.isnan(found[0])
    plain = [np.square((a.astype(float) - b) / 255).mean() for a, b in pairwise(wall)]
    # The flow is good to a fraction of a pixel: a hundredth of what the pictures differ by.
    assert max(found[1:]) < 0.01 * min(plain)


def test_a_known_flicker(wall):
    """Still pictures that become brighter by 51 levels, (51 / 255)^2; the flow of the truth says that nothing moves."""
    still = [wall[0] // 2, wall[0] // 2 + 51]
    assert errors(still, [wall[0], wall[0]])[1] == pytest.approx(0.04, rel=1e-3)  # the flow is zero to 1e-3 pixels
    mask = np.zeros(wall[0].shape[:2], bool)
    half = still[0].copy()
    half[:, :80] += 51
    mask[:, 100:] = True
    assert errors([still[0], half], [wall[0], wall[0]], mask)[1] == pytest.approx(0, abs=1e-6)
    assert np.isnan(errors(still, None, mask & ~mask)[1])


def test_what_comes_into_sight_is_left_out(wall):
    """A card slides over the wall: where it was the wall appears, which no earlier pixel can explain."""
    frames = []
    for idx in range(2):
        frame = wall[0].copy()
        frame[30:90, 20 + 12 * idx : 80 + 12 * idx] = wall[2][10:70, 50:110]
        frames.append(frame)
    everything = np.square((frames[1].astype(float) - frames[0]) / 255).mean()
    assert errors(frames)[1] < 0.2 * everything  # flow is soft at the card's edges
