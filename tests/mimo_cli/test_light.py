import numpy as np
import pytest

from engine.animator.light import SceneLight
from engine.errors import InputError
from mimo_cli.runs.light import SCENE_TEXT, read_grain, read_scene_light


def test_a_written_scene_light_reads_back(tmp_path):
    path = tmp_path / "light.toml"
    seen = SceneLight(rgb=(0.25, 0.5, 1.0), blur_px=1.5, grain=2.0, saturation=0.0)
    text = SCENE_TEXT.format(**vars(seen))
    path.write_text(text, encoding="utf-8")
    assert read_scene_light(path) == seen
    assert np.isclose(read_grain(path), 2.0)
    path.write_text(text.replace("saturation", "# saturation"), encoding="utf-8")  # a file of an older project
    assert read_scene_light(path).saturation == 1


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
