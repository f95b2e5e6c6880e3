"""Light that falls off across a picture is measured; a shadow, and grain alone, have no say in it."""

import numpy as np
import pytest

from engine.layers.scene.falloff import fit_falloff

HEIGHT, WIDTH = 60, 90


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_a_lens_darker_on_one_side_is_told_from_a_shadow(slope):
    rng = np.random.default_rng(0)
    scene = rng.uniform(80, 180, (HEIGHT, WIDTH, 3)).astype(np.float32)
    want = slope * (np.arange(WIDTH) / WIDTH - 0.5)
    light = np.tile(1 + want, (HEIGHT, 1))
    light[40:52, 10:50] *= 0.6  # a shadow on a ninth of it
    frame = np.clip(scene * light[..., None] + rng.normal(0, 2, scene.shape), 0, 255).astype(np.uint8)
    seen = np.ones((HEIGHT, WIDTH), bool)
    got, unrest = fit_falloff(frame, scene, seen)
    assert unrest < 0.02  # grain of 2 levels on 80 to 180, over three channels
    if slope:
        assert got is not None
        np.testing.assert_allclose(got[..., 0], np.tile(want, (HEIGHT, 1)), atol=0.01)  # frames are cut to whole levels
    else:
        assert got is None
    assert fit_falloff(frame, scene, seen & False)[0] is None
