import cv2
import numpy as np

from engine.layers.scene.align import align, keep_shifts, shift_at
from engine.layers.scene.warp import warp_back, warp_flow

_SIZE = (120, 160)


def _place() -> np.ndarray:
    rough = np.random.default_rng(3).integers(0, 255, (36, 46, 3)).astype(np.uint8)
    return cv2.resize(rough, _SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def _bulge(px: float) -> np.ndarray:
    """Shifts that grow to the right and differ by height, (60, 80, 2) float32."""
    y, x = np.mgrid[:60, :80].astype(np.float32)
    return px * np.stack([x / 80, 0.5 * np.sin(y / 20)], 2)


def test_what_is_shifted_is_shifted_back():
    place, full = _place(), np.full(_SIZE, 255, np.uint8)
    matrix = np.array([[1.02, 0.01, 2.5], [-0.01, 0.99, 1.0], [0, 0, 1.0]])
    seen, visible = warp_flow(place, full, matrix, _bulge(4), (0, 0, 160, 120), _SIZE)
    again, known = warp_back(seen, visible, np.linalg.inv(matrix), _bulge(4), _SIZE)
    assert (known > 0).mean() > 0.8
    error = np.abs(again.astype(float) - place)[known > 0]
    assert error.mean() < 1.5  # resampled twice: 1.1; with the matrix alone 51


def test_shifts_of_frames_are_found_and_kept():
    place, full = _place(), np.full(_SIZE, 255, np.uint8)
    shifts = (-4.0, -2.0, 0.0, 2.0, 4.0)
    views = []
    for px in shifts:
        picture, _ = warp_back(place, full, np.eye(3), _bulge(px), _SIZE)
        views.append((picture, full, np.eye(3)))
    flows, off_px = align(views, _SIZE)
    assert off_px > 1
    kept = keep_shifts([flow for flow in flows if flow is not None])
    found = shift_at(kept, np.array([0, 4, 8, 12, 16]), 14)
    want = cv2.resize(_bulge(3), found.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(found - want)[2:-2, 2:-2].mean() < 0.3  # flow of clean pictures errs by 0.1
