import numpy as np
import pytest

from engine.layers.background_motion import CHUNK, find_shots, track_background
from engine.types import ArraySource, TempChunks


def corner_error(got: np.ndarray, want: np.ndarray, size: tuple[int, int]) -> float:
    """Largest distance of the frame's corners between two lists of homographies, pixels."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], float).T
    a, b = got @ corners, want @ corners
    return float(np.linalg.norm(a[:, :2] / a[:, 2:] - b[:, :2] / b[:, 2:], axis=1).max())


def test_tripod_is_exactly_still(static_walk, chunks):
    motion = track_background(static_walk.clip, static_walk.human, chunks=chunks)
    assert (motion.to_first == np.eye(3)).all()
    assert motion.inliers.min() > 0.3


def test_pan_is_found(pan_walk, chunks):
    motion = track_background(pan_walk.clip, pan_walk.human, chunks=chunks)
    # Half a pixel at the corners after 60 frames and 200 pixels of travel: what the plate can still align.
    assert corner_error(motion.to_first, pan_walk.to_first, pan_walk.clip.size) < 0.5


def test_translation_is_not_given_a_perspective(static_walk, chunks):
    still = static_walk.scene[0]
    frames = np.stack([still[10:190, 3 * t : 3 * t + 300] for t in range(20)])
    motion = track_background(ArraySource(frames), ArraySource(np.zeros(frames.shape[:3], np.uint8)), chunks=chunks)
    assert (motion.to_first[:, :2, :2] == np.eye(2)).all()
    # 0.1 px: Lucas-Kanade on noiseless whole-pixel shifts.
    np.testing.assert_allclose(motion.to_first[:, 0, 2], 3.0 * np.arange(20), atol=0.1)


def test_cut_starts_again(static_walk, pan_walk, chunks):
    frames = np.concatenate([pan_walk.scene[:9], static_walk.scene[:6, ::-1, ::-1] // 2])
    motion = track_background(ArraySource(frames), ArraySource(np.zeros(frames.shape[:3], np.uint8)), chunks=chunks)
    assert find_shots(motion) == [(0, 9), (9, 15)]
    assert (motion.to_first[9] == np.eye(3)).all()


@pytest.mark.parametrize("level", [0, 128])
def test_nothing_to_see_is_carried(level, chunks):
    frames = np.full((5, 60, 80, 3), level, np.uint8)
    motion = track_background(ArraySource(frames), ArraySource(np.zeros((5, 60, 80), np.uint8)), chunks=chunks)
    assert (motion.to_first == np.eye(3)).all()
    assert len(find_shots(motion)) == 1


def test_one_frame_and_one_pixel(chunks):
    motion = track_background(
        ArraySource(np.zeros((2, 1, 1, 3), np.uint8)), ArraySource(np.zeros((2, 1, 1), np.uint8)), chunks=chunks
    )
    assert motion.to_first.shape == (2, 3, 3)


def test_resumed_run_equals_unbroken_one(pan_walk):
    """Kill after the first chunk: the second run reads it and gives the same bytes."""
    twice = ArraySource(np.concatenate([pan_walk.clip._frames, pan_walk.clip._frames[::-1]])[: CHUNK + 12])
    masks = ArraySource(np.concatenate([pan_walk.human._frames, pan_walk.human._frames[::-1]])[: CHUNK + 12])
    whole, broken = TempChunks(), TempChunks()
    want = track_background(twice, masks, chunks=whole)

    class KilledError(Exception):
        pass

    def kill(done: int, total: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        track_background(twice, masks, chunks=broken, progress=kill)
    got = track_background(twice, masks, chunks=broken)
    np.testing.assert_array_equal(got.to_first, want.to_first)
    np.testing.assert_array_equal(got.inliers, want.inliers)
    whole.close()
    broken.close()
