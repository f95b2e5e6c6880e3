from dataclasses import dataclass

import numpy as np
import pytest

from engine.people import rough
from engine.people.roi import Roi
from engine.people.rough import Followed, Silhouettes, bridged_masks, save_rough
from engine.types import Landmarks, Tracks

SIZE = (60, 80)
UNSEEN = (0, 4, 5, 9)


@dataclass(frozen=True)
class Someone:
    """Turns about the lower edge of the picture; is away now and then."""

    tracks: Tracks
    landmarks: Landmarks
    hidden: np.ndarray

    def rough_masks(self, start=0, stop=None):
        for frame in range(start, len(self.tracks.score) if stop is None else stop):
            mask = np.random.default_rng(frame).integers(0, 256, (256, 256), np.uint8)
            yield None if frame in UNSEEN else (Roi(30.0 + frame, 55.5, 40.0, 0.1 * frame), mask)


@pytest.fixture
def someone():
    score = np.array([frame not in UNSEEN for frame in range(10)], np.float32)
    tracks = Tracks(np.zeros((10, 4), np.float32), score)
    marks = Landmarks(np.zeros((10, 33, 2)), np.zeros((10, 33, 3)), np.zeros((10, 33)), score)
    return Someone(tracks, marks, np.zeros(10, bool))


def test_masks_come_back_from_disk(someone, tmp_path, monkeypatch):
    monkeypatch.setattr(rough, "CHUNK", 4)
    save_rough(someone, tmp_path)
    followed = Followed(someone.tracks, someone.landmarks, tmp_path)
    np.testing.assert_array_equal(followed.hidden, someone.hidden)
    for start, stop in ((0, None), (3, 9), (5, 6), (2, 2)):
        got, want = list(followed.rough_masks(start, stop)), list(someone.rough_masks(start, stop))
        assert [each is None for each in got] == [each is None for each in want]
        for one, other in zip(got, want):
            if one is not None and other is not None:
                assert one[0] == other[0]
                np.testing.assert_array_equal(one[1], other[1])


def test_silhouettes_are_the_masks_at_full_size(someone):
    masks = Silhouettes(someone, SIZE)
    assert (masks.num_frames, masks.size) == (10, SIZE)
    frames = list(masks.read(3, 9))
    for frame, seen in zip(frames, bridged_masks(someone, 3, 9), strict=True):
        want = np.zeros(SIZE, np.uint8) if seen is None else seen[0].paste(seen[1], SIZE)
        assert want.any() == (seen is not None)
        # OpenCV's table of sub-pixels has steps of 1/32: at another corner a level of 255 may fall into the next one.
        np.testing.assert_allclose(frame.astype(int), want.astype(int), atol=9)


def test_a_short_gap_is_bridged_by_a_guess(someone, monkeypatch):
    frames = list(bridged_masks(someone, 2, 10))
    assert [each and each[2] for each in frames] == [True, True, False, False, True, True, True, None]
    (roi, mask, _), before, after = frames[2], frames[1], frames[4]
    assert roi.center_x == pytest.approx(34) and roi.turn == pytest.approx(0.4)  # a third of the way from 3 to 6
    mixed = (2 * before[1].astype(int) + after[1]) / 3
    np.testing.assert_allclose(mask, 64 + mixed / 2, atol=1)  # rounding
    monkeypatch.setattr(rough, "LONGEST_GAP", 1)
    assert [each is None for each in bridged_masks(someone, 2, 10)] == [False] * 2 + [True] * 2 + [False] * 3 + [True]
    someone.hidden[4:6] = True  # behind somebody else
    assert [each is None for each in bridged_masks(someone, 2, 10)] == [False] * 7 + [True]


def test_who_was_just_not_found_yet_is_guessed_at(someone, monkeypatch):
    """Frame 0 is before the first sighting: its mask, half as sure."""
    (roi, mask, is_seen), first = next(bridged_masks(someone, 0, 1)), next(someone.rough_masks(1, 2))
    assert not is_seen and roi == first[0]
    np.testing.assert_allclose(mask, 64 + first[1].astype(int) / 2, atol=1)  # rounding
    monkeypatch.setattr(rough, "BEFORE", 0)
    assert next(bridged_masks(someone, 0, 1)) is None
