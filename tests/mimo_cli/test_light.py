import numpy as np
import pytest

from engine.errors import InputError
from mimo_cli.runs.light import SCENE_TEXT, read_grain, read_scene_light


def test_a_written_scene_light_reads_back(tmp_path):
    path = tmp_path / "light.toml"
    path.write_text(SCENE_TEXT.format(rgb=(0.25, 0.5, 1.0), blur_px=1.5, grain=2.0), encoding="utf-8")
    light = read_scene_light(path)
    assert (light.rgb, light.blur_px, light.grain) == ((0.25, 0.5, 1.0), 1.5, 2.0)
    assert np.isclose(read_grain(path), 2.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rgb = [1, 2]\nblur_px = 0\ngrain = 0",
        "rgb = 3\nblur_px = 0\ngrain = 0",
        "rgb = [0.1, 0.2, nan]\nblur_px = 0\ngrain = 0",
        'rgb = ["a", 1, 2]\nblur_px = 0\ngrain = 0',
        "rgb = [",
    ],
)
def test_an_edited_light_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "light.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"light\.toml"):
        read_scene_light(path)
