import numpy as np
import pytest

from engine.people import find_people, second, walk
from engine.people.track import Tracker
from engine.types import BODY_JOINTS, ArraySource, TempChunks


class Killed(Exception):
    pass


class Fragile(ArraySource):
    """Breaks off at a frame, as a killed run does."""

    def __init__(self, frames, last):
        super().__init__(frames)
        self.last = last

    def read(self, start=0, stop=None):
        for idx, frame in enumerate(super().read(start, stop), start):
            if idx == self.last:
                raise Killed
            yield frame


def assert_same(people, others):
    assert len(people) == len(others)
    for one, other in zip(people, others):
        np.testing.assert_array_equal(one.landmarks.image_px, other.landmarks.image_px)
        np.testing.assert_array_equal(one.landmarks.world_m, other.landmarks.world_m)
        np.testing.assert_array_equal(one.tracks.box_px, other.tracks.box_px)
        np.testing.assert_array_equal(one.thumb, other.thumb)
        for a, b in zip(one.rough_masks(), other.rough_masks()):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a[1], b[1])


def test_the_actor_is_found_in_every_frame(walker, found, true_joints):
    assert len(found) == 1
    person = found[0]
    assert (person.tracks.score > 0.5).all()
    truth = walker.joints_px[:, [BODY_JOINTS.index(name) for name in true_joints.values()]]
    away = np.linalg.norm(person.landmarks.image_px[:, list(true_joints)] - truth, axis=-1)
    # As in test_landmarks: skin points against joint centres; the arms swing in front of the body here and there.
    assert np.median(away) < 0.03 * np.ptp(walker.joints_px[0][:, 1])
    assert person.thumb.shape[0] == 96 and person.thumb.dtype == np.uint8


def test_rough_mask_covers_the_actor(walker_film, found):
    pairs = zip(found[0].rough_masks(), walker_film[1])
    ious = []
    for seen, truth in pairs:
        mask = seen[0].paste(seen[1], truth.shape) > 127
        ious.append((mask & (truth > 127)).sum() / (mask | (truth > 127)).sum())
    assert np.mean(ious) > 0.88  # .93 is what is asked of the refined mask; this is what it starts from


@pytest.fixture
def at_once(monkeypatch):
    """Chunks of six frames, two at a time."""
    monkeypatch.setattr(walk, "LEAST", 8)
    monkeypatch.setattr(walk, "MOST", 8)


def test_walked_through_at_once(frames, found, at_once):
    chunks = TempChunks()
    (person,) = find_people(ArraySource(frames), chunks=chunks)
    assert person.length == 12
    assert (person.tracks.score > 0.5).all()
    # A square that was found eight frames ago is not quite the one that was followed from the start: 1 % of the height.
    away = np.linalg.norm(person.landmarks.image_px - found[0].landmarks.image_px, axis=-1)
    assert away.max() < 2
    chunks.close()


def test_a_walk_that_missed_somebody_is_made_again(frames, found, at_once, monkeypatch):
    monkeypatch.setattr(walk, "same_tracks", lambda known, begun: None)
    chunks = TempChunks()
    (person,) = find_people(ArraySource(frames), chunks=chunks)
    np.testing.assert_array_equal(person.landmarks.image_px, found[0].landmarks.image_px)
    np.testing.assert_array_equal(person.landmarks.world_m, found[0].landmarks.world_m)
    chunks.close()


def test_two_walks_agree_on_names(frames, at_once):
    both = np.concatenate([frames, frames[:, :, ::-1]], axis=2)
    chunks = TempChunks()
    people = find_people(ArraySource(both), chunks=chunks)
    assert len(people) == 2
    for person in people:  # the first frame of a chunk is in the other half of the picture for nobody
        assert np.abs(np.diff(person.tracks.box_px[:, 0])).max() < 100
    with np.load(people[0].folders[-1] / "people.npz") as last:
        assert len(np.unique(last["track"])) == 2 and last["track"].max() == 1
    chunks.close()


@pytest.mark.parametrize("places", ["in_order", "at_once"])
@pytest.mark.parametrize("last", [3, 11, 20])
def test_a_killed_run_goes_on_to_the_same_bytes(frames, found, monkeypatch, request, places, last):
    monkeypatch.setattr(walk, "CHUNK", 8)
    if places == "at_once":
        request.getfixturevalue("at_once")
    unbroken, broken = TempChunks(), TempChunks()
    want = find_people(ArraySource(frames), chunks=unbroken)
    with pytest.raises(Killed):
        find_people(Fragile(frames, last), chunks=broken)
    got = find_people(ArraySource(frames), chunks=broken)
    np.testing.assert_array_equal(got[0].landmarks.image_px, want[0].landmarks.image_px)
    if places == "in_order":  # where the chunks end is no part of the result either
        np.testing.assert_array_equal(want[0].landmarks.image_px, found[0].landmarks.image_px)
    unbroken.close(), broken.close()


def test_the_same_twice(frames, found):
    chunks = TempChunks()
    assert_same(find_people(ArraySource(frames), chunks=chunks), found)
    # Everything is finished: nothing is read again.
    assert_same(find_people(Fragile(frames, 0), chunks=chunks), found)
    chunks.close()


def test_two_actors(frames):
    both = np.concatenate([frames[:12], frames[:12, :, ::-1]], axis=2)
    chunks = TempChunks()
    people = find_people(ArraySource(both), chunks=chunks)
    assert len(people) == 2
    sides = sorted(float(person.tracks.box_px[:, [0, 2]].mean()) for person in people)
    assert sides[0] < 320 < sides[1]
    chunks.close()


def test_a_hidden_person_is_carried(frames):
    hidden = frames.copy()
    hidden[6:12] = 90
    chunks = TempChunks()
    people = find_people(ArraySource(hidden), chunks=chunks)
    assert len(people) == 1
    score = people[0].tracks.score
    assert (score[:6] > 0).all() and (score[6:12] == 0).all() and (score[12:] > 0).all()
    assert np.isfinite(people[0].landmarks.image_px).all()
    assert [seen is None for seen in people[0].rough_masks(5, 13)] == [False] + [True] * 6 + [False]
    chunks.close()


@pytest.fixture
def late(monkeypatch):
    """A tracker that looks for nobody before frame 14, in small chunks."""
    search = Tracker._search
    monkeypatch.setattr(
        Tracker, "_search", lambda self, where, k, *rest: search(self, where if k >= 14 else [], k, *rest)
    )
    monkeypatch.setattr(walk, "CHUNK", 8)
    monkeypatch.setattr(second, "WINDOW", 3)


def test_found_late_is_followed_back(frames, found, late):
    """Also over frames in which nobody can be seen: who is lost on the way back is looked for."""
    frames, dark = frames.copy(), slice(9, 11)
    frames[dark] = 90
    chunks = TempChunks()
    (person,) = find_people(ArraySource(frames), chunks=chunks)
    seen = np.ones(len(frames), bool)
    seen[dark] = False
    assert ((person.tracks.score > 0.5) == seen).all() and person.first_idx == 0
    assert [each is not None for each in person.rough_masks()] == seen.tolist()
    away = np.linalg.norm(person.landmarks.image_px - found[0].landmarks.image_px, axis=-1)
    # The square comes from the other side of time: another crop, the same person (1 % of the height is 2 px).
    assert np.median(away[:14]) < 2
    chunks.close()


@pytest.mark.parametrize("last", [4, 10])
def test_the_way_back_goes_on_after_a_kill(frames, late, last):
    unbroken, broken = TempChunks(), TempChunks()
    want = find_people(ArraySource(frames), chunks=unbroken)

    class Later(Fragile):
        """Breaks off on the way back only."""

        def read(self, start=0, stop=None):
            forward = stop is None
            return ArraySource.read(self, start, stop) if forward else super().read(start, stop)

    with pytest.raises(Killed):
        find_people(Later(frames, last), chunks=broken)
    assert_same(find_people(ArraySource(frames), chunks=broken), want)
    unbroken.close(), broken.close()


@pytest.mark.parametrize("num_frames", [0, 1, 3])
def test_nobody(num_frames):
    noise = np.random.default_rng(0).integers(0, 256, (num_frames, 120, 160, 3), np.uint8)
    chunks = TempChunks()
    assert find_people(ArraySource(noise), chunks=chunks) == []
    chunks.close()


def test_one_frame(frames):
    chunks = TempChunks()
    people = find_people(ArraySource(frames[:1]), chunks=chunks)
    assert len(people) == 1 and people[0].landmarks.image_px.shape == (1, 33, 2)
    chunks.close()


def test_two_men_of_a_real_film(sample_data):
    import av

    with av.open(str(sample_data / "videos" / "chaplin_two_men.mp4")) as container:
        shots = [frame.to_ndarray(format="rgb24") for k, frame in zip(range(108), container.decode(video=0)) if k >= 96]
    chunks = TempChunks()
    assert len(find_people(ArraySource(np.stack(shots)), chunks=chunks)) == 2
    chunks.close()


def test_pedestrians(sample_data):
    import av

    with av.open(str(sample_data / "videos" / "mmpose_street_5frames.mp4")) as container:
        street = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    chunks = TempChunks()
    people = find_people(ArraySource(street), chunks=chunks)
    assert len(people) >= 3  # a woman in front and three people far away
    assert people[0].tracks.box_px[0, 0] > 650  # the woman in front comes first
    chunks.close()
