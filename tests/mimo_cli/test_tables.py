"""Every table comes back as it was written, and a table that does not fit is refused."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.errors import InputError
from engine.geometry import rotvec_to_matrix
from engine.types import BackgroundMotion, Camera, ClipInfo, FrameTimes, Landmarks, Tracks
from mimo_cli import tables

T = 5


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def test_frames(tmp_path):
    times = FrameTimes(np.array([0, 3003, 6006]), np.array([0.1, 0.1333, 1 / 3]), np.array([1 / 30, 1 / 30, 1 / 30]))
    tables.write_frames(times, tmp_path / "frames.csv")
    back = tables.read_frames(tmp_path / "frames.csv")
    assert_array_equal(back.pts, times.pts)
    assert_array_equal(back.time_s, times.time_s)  # repr of a double is exact
    assert_array_equal(back.duration_s, times.duration_s)


def test_tracks_and_landmarks_are_exact(tmp_path):
    tracks = Tracks(_random(T, 4), _random(T))
    tables.write_tracks(tracks, tmp_path / "tracks.csv")
    assert_array_equal(tables.read_tracks(tmp_path / "tracks.csv", T).box_px, tracks.box_px)
    landmarks = Landmarks(_random(T, 33, 2), _random(T, 33, 3), _random(T, 33), _random(T))
    tables.write_landmarks(landmarks, tmp_path / "landmarks.csv")
    back = tables.read_landmarks(tmp_path / "landmarks.csv", T)
    for name in ("image_px", "world_m", "visibility", "score"):
        assert_array_equal(getattr(back, name), getattr(landmarks, name))


def test_background_and_camera(tmp_path):
    motion = BackgroundMotion(np.random.default_rng(0).normal(size=(T, 3, 3)), _random(T))
    tables.write_background(motion, tmp_path / "b.csv")
    assert_array_equal(tables.read_background(tmp_path / "b.csv", T).to_first, motion.to_first)
    world_to_cam = np.tile(np.eye(4, dtype=np.float32), (T, 1, 1))
    world_to_cam[:, :3, :3] = rotvec_to_matrix(_random(T, 3))
    world_to_cam[:, :3, 3] = _random(T, 3)
    K = np.tile(np.array([[900, 0, 320], [0, 910, 180], [0, 0, 1]], np.float32), (T, 1, 1))
    tables.write_camera(Camera(K, world_to_cam), tmp_path / "c.csv")
    back = tables.read_camera(tmp_path / "c.csv", T)
    assert_array_equal(back.K, K)
    assert_allclose(back.world_to_cam, world_to_cam, atol=1e-6)  # through axis-angle, float32


def test_clip(tmp_path):
    info = ClipInfo(width=64, height=48, num_frames=3, time_base=Fraction(1, 90000), rate=Fraction(30000, 1001),
                    pixel_aspect=Fraction(128, 117), codec="h264")  # fmt: skip
    tables.write_clip(info, tmp_path / "clip.toml")
    assert tables.read_clip(tmp_path / "clip.toml") == info


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "column frame_idx is missing"),
        ("frame_idx,x0_px,y0_px,x1_px,y1_px\n", "column score is missing"),
        ("frame_idx,x0_px,y0_px,x1_px,y1_px,score\n0,1,2,3,4,1\n", "1 rows and the clip has 2 frames"),
        ("frame_idx,x0_px,y0_px,x1_px,y1_px,score\n0,1,2,3,4,1\n1,1,a,3,4,1\n", "not made of 6 numbers"),
        ("frame_idx,x0_px,y0_px,x1_px,y1_px,score\n0,1,2,3,4,1\n1,1,nan,3,4,1\n", "frame 1 has a value"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, text, why):
    (tmp_path / "tracks.csv").write_text(text)
    with pytest.raises(InputError, match=why):
        tables.read_tracks(tmp_path / "tracks.csv", 2)
