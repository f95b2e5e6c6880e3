import numpy as np

from engine.layers.scene.borrow import borrow_lightest, goes_on
from engine.layers.scene.plate_window import BORROWED, SEEN, PlateWindow
from engine.types import BackgroundMotion

SIZE = (80, 160)


def window_of(ground, shadow: slice) -> PlateWindow:
    """What a window saw of the ground with a shadow on it."""
    rgb = ground.copy()
    rgb[:, shadow] = rgb[:, shadow] // 2
    state = np.full(SIZE, SEEN, np.uint8)
    return PlateWindow(start=0, stop=1, anchor=0, x0=0, y0=0, size=SIZE, rgb=rgb, state=state)


def test_ground_that_every_window_doubts_is_taken_from_the_lightest():
    ground = np.random.default_rng(0).integers(90, 150, (*SIZE, 3)).astype(np.uint8)
    seen = [window_of(ground, slice(60, 90)), window_of(ground, slice(80, 110))]
    rgb, state = seen[0].rgb.copy(), seen[0].state.copy()
    doubted = np.s_[20:60, 50:120]
    state[doubted], rgb[doubted] = 1, 0
    motion = BackgroundMotion(np.eye(3)[None], np.ones(1, np.float32))
    borrow_lightest(rgb, state, seen[0], iter(seen), motion)
    assert (state[doubted] == BORROWED).all() and (state[:20] == SEEN).all()
    # Where only one of them lies in shadow the other one's light is taken: to the level.
    np.testing.assert_array_equal(rgb[20:60, 50:80], ground[20:60, 50:80])
    np.testing.assert_array_equal(rgb[20:60, 90:120], ground[20:60, 90:120])


def test_a_ball_that_few_frames_show_is_no_ground():
    """In a hole one frame alone shows the ground, and a white ball that lies on a part of it."""
    ground = np.random.default_rng(0).integers(60, 120, (*SIZE, 3)).astype(np.uint8)
    state = np.full(SIZE, SEEN, np.uint8)
    state[20:60, 40:120] = 1
    ball = np.hypot(*(axis - at for axis, at in zip(np.ogrid[:80, :160], (40, 44)))) < 12
    ball &= state == 1
    rgb = np.where(ball[..., None], np.uint8(230), ground)
    shown = goes_on(rgb, state, (state == 1).astype(np.uint8))
    assert not shown[ball].any()
    assert shown[20:60, 70:120].all() and not shown[:20].any()
