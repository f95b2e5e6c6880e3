import numpy as np

from engine.layers.scene.restless import bridge, find_restless
from engine.layers.scene.scene import complete_scene
from engine.types import ArraySource, BackgroundMotion

_SEEN = np.full((60, 120), 255, np.uint8)


def _surf(rng: np.random.Generator, frames: int = 16) -> list[np.ndarray]:
    """Sea that stirs a little (rows 20 ... 59), in it surf, another in each frame (rows 30 ... 49)."""
    pictures = []
    for _ in range(frames):
        picture = np.full((60, 120, 3), 100, np.uint8)
        picture[20:] += rng.integers(0, 80, dtype=np.uint8)
        picture[30:50] = rng.integers(60, 250)
        pictures.append(picture)
    return pictures


def test_surf_is_restless_and_the_shore_is_not():
    found = find_restless(_surf(np.random.default_rng(0)), [_SEEN] * 16)
    assert found is not None and found.shape == (30, 60)
    assert (found[12:28] == 255).all()  # the sea around belongs to it
    assert (found[:2] == 0).all()


def test_a_wall_before_which_many_pass_is_still():
    views = [np.full((60, 120, 3), 100, np.uint8) for _ in range(16)]
    for idx, view in enumerate(views):
        at = 14 * (idx % 8)
        view[:, at : at + 28] = 250  # in a quarter of the frames: 37 levels on the mean
    assert find_restless(views, [_SEEN] * 16) is None


def test_bridge_leads_over_from_side_to_side():
    rows = np.linspace(50, 200, 60)[:, None] + np.linspace(0, 40, 120)
    truth = np.stack([rows] * 3, 2)
    hidden = np.zeros((60, 120), np.uint8)
    hidden[10:50, 40:70] = 255
    frame = np.where(hidden[..., None] > 0, 0, truth).astype(np.uint8)
    film = bridge(frame, hidden)
    np.testing.assert_array_equal(film[hidden == 0], frame[hidden == 0])
    assert np.abs(film - truth).max() < 4  # measured 2.4; the slope is of 100 levels upright and 10 across


def test_scene_of_surf_is_like_what_is_beside_it(chunks):
    """The surf's brightness jumps from frame to frame; the hole must have the frame's own, not the median one."""
    rng = np.random.default_rng(1)
    rgb = np.stack([np.repeat(np.repeat(picture, 4, 0), 4, 1) for picture in _surf(rng)])
    human = np.zeros(rgb.shape[:3], np.uint8)
    for idx, mask in enumerate(human):
        mask[60:230, 20 + 26 * idx : 60 + 26 * idx] = 255
    holed = np.where(human[..., None] > 0, 0, rgb).astype(np.uint8)
    still = BackgroundMotion(np.tile(np.eye(3), (len(rgb), 1, 1)), np.ones(len(rgb), np.float32))
    for idx, layer in enumerate(complete_scene(ArraySource(holed), ArraySource(human), still, chunks=chunks)):
        inside = human[idx, 130:190] > 0
        error = layer[130:190, :, :3][inside].astype(float) - rgb[idx, 130:190][inside]
        assert np.abs(error).mean() < 6, idx  # the median of all frames is 50 levels off
