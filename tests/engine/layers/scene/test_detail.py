import cv2
import numpy as np

from engine.layers.scene.detail import FINER, enlarge_mosaic, find_detail
from engine.layers.scene.warp import warp_picture

_FULL = np.full((96, 128), 255, np.uint8)


def _see(place: np.ndarray, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """What a camera sees from x, y (pixels, each 4 of the place's across), and its matrix from the mosaic."""
    to_place = np.array([[1, 0, 4 * x + 32], [0, 1, 4 * y + 32], [0, 0, 1.0]])
    large = warp_picture(place, place[..., 0] | 1, to_place, (4 * 96, 4 * 128), cv2.INTER_LINEAR)[0]
    return cv2.resize(large, (128, 96), interpolation=cv2.INTER_AREA), np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1.0]])


def _place(seed: int) -> np.ndarray:
    """Bars and spots finer than a pixel of the camera."""
    rough = np.random.default_rng(seed).integers(0, 255, (230, 294, 3)).astype(np.uint8)
    return cv2.resize(rough, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


def _error(picture: np.ndarray, truth: np.ndarray) -> float:
    inner = slice(8, -8), slice(8, -8)
    return float(np.mean((picture[inner].astype(float) - truth[inner]) ** 2))


def test_many_shifted_frames_show_more_than_their_mean():
    rng = np.random.default_rng(0)
    views = [_see(_place(1), *rng.uniform(-1, 1, 2)) for _ in range(24)]
    moved = [warp_picture(rgb, _FULL, matrix, (96, 128))[0] for rgb, matrix in views]
    mosaic = np.mean(moved, axis=0).round().astype(np.uint8)
    found = find_detail([(rgb, _FULL, matrix) for rgb, matrix in views], mosaic, _FULL)
    assert found["corner"] == (0, 0)
    truth, to_frame = _see(_place(1), 0.3, -0.4)
    to_mosaic = np.linalg.inv(to_frame)
    fine = enlarge_mosaic(mosaic, **found)
    sharp = warp_picture(fine, fine[..., 0] | 1, np.diag([FINER, FINER, 1.0]) @ to_mosaic, (96, 128))[0]
    plain = warp_picture(mosaic, _FULL, to_mosaic, (96, 128))[0]
    assert _error(sharp, truth) < 0.5 * _error(plain, truth)  # 75 and 260


def test_frames_that_do_not_agree_have_no_detail():
    """Noise on a grey wall; the shares of many frames' means that are kept would be theirs."""
    rng = np.random.default_rng(2)
    frames = [np.clip(rng.normal(128, 6, (96, 128, 3)), 0, 255).round().astype(np.uint8) for _ in range(24)]
    shifts = rng.uniform(-1, 1, (24, 2))
    views = [(frame, _FULL, np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1.0]])) for frame, (x, y) in zip(frames, shifts)]
    found = find_detail(views, np.full((96, 128, 3), 128, np.uint8), _FULL)
    # A node's mean of six frames is off by 6 / sqrt(6) = 2.4 levels; what is kept of it is a small share: 0.15.
    assert np.std(found["detail"].astype(float)) < 0.8


def test_nothing_wanted_has_no_detail():
    black = np.zeros((96, 128, 3), np.uint8)
    assert find_detail([(black, _FULL, np.eye(3))], black, 0 * _FULL) == {}
