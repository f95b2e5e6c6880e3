"""The files people try first."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from engine.body.bvh import read_bvh
from engine.synth.clip import make_clip
from engine.types import BODY_JOINTS

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(EXAMPLES))
    try:
        import make_examples
    finally:
        sys.path.remove(str(EXAMPLES))
    return make_examples


def test_the_packaged_cat_is_the_example():
    packaged = ROOT / "engine" / "assets" / "characters" / "cat.png"
    assert packaged.read_bytes() == (EXAMPLES / "cat.png").read_bytes()


def test_the_cat_is_drawn_by_the_script(script):
    drawn, kept = script.draw_cat(), np.asarray(Image.open(EXAMPLES / "cat.png"))
    assert kept.shape == (1000, 700, 4)
    # another Pillow may round the edge of a polygon differently: a few samples in sixteen, on outlines alone
    assert (np.abs(drawn.astype(int) - kept) > 48).mean() < 1e-3


def test_the_cat_stands_free_in_its_picture():
    alpha = np.asarray(Image.open(EXAMPLES / "cat.png"))[..., 3]
    rows, cols = np.nonzero(alpha > 128)
    assert rows.min() > 8 and rows.max() < 992 and cols.min() > 8 and cols.max() < 692
    assert alpha[0].max() == 0 and ((alpha > 0) & (alpha < 255)).any()  # free corners, smooth edges
    assert 0.25 < (alpha > 128).mean() < 0.6


def test_the_game_has_pictures_and_sound():
    path = EXAMPLES / "game.mp4"
    assert path.stat().st_size + (EXAMPLES / "cat.png").stat().st_size < 4e6
    with av.open(str(path)) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        assert video.codec_context.name == "h264" and audio.codec_context.name == "aac"
        assert video.width >= 640 and video.height >= 360
        seconds = float(video.duration * video.time_base)
        assert 4 <= seconds <= 6
        assert float(audio.duration * audio.time_base) == pytest.approx(seconds, abs=0.05)  # two AAC frames
        samples = np.concatenate([frame.to_ndarray() for frame in file.decode(audio)], axis=1)
    assert samples.std() > 0.01  # not silent


def test_the_game_is_what_the_script_films(script):
    clip, idx = make_clip(script.GAME), 30
    with av.open(str(EXAMPLES / "game.mp4")) as file:
        frame = next(frame for k, frame in enumerate(file.decode(video=0)) if k == idx)
    kept = frame.to_ndarray(format="rgb24").astype(float)
    # the encoder at this quality, half the colour resolution and the camera's noise; another place or pose costs 30
    assert np.abs(kept - clip.frame(idx).rgb).mean() < 4


def test_the_dance_is_a_movement_of_our_skeleton(script, tmp_path):
    path = EXAMPLES / "dance.bvh"
    assert path.stat().st_size < 400_000
    script.write_dance(tmp_path / "again.bvh")
    kept, again = read_bvh(path), read_bvh(tmp_path / "again.bvh")
    assert set(kept.skeleton.names) == set(BODY_JOINTS)
    # degrees and centimetres, kept to three places; another numpy may round the last one
    assert np.abs(kept.values - again.values).max() < 0.01
    assert 7 < len(kept.values) * kept.frame_time_s < 10
    assert_array_equal(kept.skeleton.offsets, again.skeleton.offsets)
