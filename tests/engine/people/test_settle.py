import numpy as np

from engine.people.meeting import hidden_frames, without_mistakes
from engine.people.settle import SWAP, join, settle
from engine.people.table import Table

SIZE = (240, 320)


def made_up(frames, track=0, shift=0.0, color=3):
    """A stick figure that sways; left and right differ."""
    frames = np.asarray(frames)
    rng = np.random.default_rng(5)
    base = rng.uniform(0, 1, (33, 3)) * (0.4, 1.0, 0.3)
    base[:, 0] += np.where(np.arange(33) % 2, 0.5, 0.0)
    sway = 0.05 * np.sin(frames / 6)[:, None]
    world = np.repeat(base[None], len(frames), 0)
    world[..., 0] += sway
    image = (world[..., :2] * 100 + (60 + shift, 60)).astype(np.float32)
    look = np.zeros((len(frames), 72), np.float32)
    look[:, color] = 1
    box = np.concatenate([image.min(1), image.max(1)], 1)
    num = len(frames)
    return Table(
        frame=frames.astype(np.int64), track=np.full(num, track), score=np.full(num, 0.9, np.float32), box=box,
        image=image, world=world.astype(np.float32), visibility=np.full((num, 33), 0.9, np.float32), look=look,
        fill=np.full(num, 0.12, np.float32), roi=np.zeros((num, 4)), row=np.arange(num),
    )  # fmt: skip


def one(table, num_frames):
    (person,) = settle(table, join(table, num_frames), num_frames, SIZE)
    return person


def test_gaps_are_carried_with_score_zero():
    table = made_up([*range(10), *range(16, 30)])
    person = one(table, 34)
    assert (person.tracks.score[10:16] == 0).all() and (person.tracks.score[30:] == 0).all()
    assert (person.rows[10:16] == -1).all() and person.rows[16] == 10
    assert np.isfinite(person.landmarks.image_px).all()
    middle = person.landmarks.image_px[13]
    ends = person.landmarks.image_px[[8, 17]]
    # Linear between both ends, so inside of them; smoothing may add a little of the sway (5 px).
    assert (middle >= ends.min(0) - 2).all() and (middle <= ends.max(0) + 2).all()


def test_a_short_exchange_of_sides_is_undone():
    table = made_up(range(60))
    want = one(table, 60)
    image, world = table.image.copy(), table.world.copy()
    image[20:26], world[20:26] = table.image[20:26][:, SWAP], table.world[20:26][:, SWAP]
    got = one(Table(**{**vars(table), "image": image, "world": world}), 60)
    np.testing.assert_array_equal(got.landmarks.image_px, want.landmarks.image_px)
    np.testing.assert_array_equal(got.landmarks.world_m, want.landmarks.world_m)


def test_exchanged_legs_are_undone_alone():
    table = made_up(range(60))
    want = one(table, 60)
    image, world = table.image.copy(), table.world.copy()
    legs = np.arange(23, 33)
    image[30:33, legs], world[30:33, legs] = table.image[30:33, SWAP[legs]], table.world[30:33, SWAP[legs]]
    got = one(Table(**{**vars(table), "image": image, "world": world}), 60)
    np.testing.assert_array_equal(got.landmarks.image_px, want.landmarks.image_px)


def test_a_guess_at_a_hidden_arm_exchanges_nothing():
    """The right arm is hidden and guessed where the left one was, which has just moved away: no exchange."""
    table = made_up(range(60))
    left, right = np.arange(13, 23, 2), np.arange(14, 23, 2)
    image, world, visibility = table.image.copy(), table.world.copy(), table.visibility.copy()
    hidden = slice(20, 40)
    for values in (image, world):
        values[hidden, left] = (values[hidden, left] + values[hidden, right]) / 2
        values[hidden, right] = (table.image if values is image else table.world)[hidden, left]
    visibility[hidden, right] = 0.02
    got = one(Table(**{**vars(table), "image": image, "world": world, "visibility": visibility}), 60)
    # Smoothing reaches a few frames in from the jumps; an exchange would move the arm by 25 pixels and more.
    np.testing.assert_allclose(got.landmarks.image_px[26:34, left], image[26:34, left], atol=2)


def test_a_turn_is_not_taken_for_an_exchange():
    """Someone who turns around has left and right exchanged in the picture, but not in one step."""
    frames = np.arange(80)
    table = made_up(frames)
    angle = np.clip((frames - 20) / 40, 0, 1) * np.pi
    centered = table.world - table.world.mean(1, keepdims=True)
    x = centered[..., 0] * np.cos(angle)[:, None] + centered[..., 2] * np.sin(angle)[:, None]
    z = -centered[..., 0] * np.sin(angle)[:, None] + centered[..., 2] * np.cos(angle)[:, None]
    world = np.stack([x, centered[..., 1], z], -1).astype(np.float32)
    image = (world[..., :2] * 100 + 120).astype(np.float32)
    person = one(Table(**{**vars(table), "image": image, "world": world}), 80)
    # Smoothing moves nothing by more than a few pixels; an exchange would move the sides by 50.
    assert np.abs(person.landmarks.image_px - image).max() < 6


def test_smoothing_does_not_lag_and_removes_jitter():
    table = made_up(range(120))
    noise = np.random.default_rng(1).normal(0, 1.0, table.image.shape).astype(np.float32)
    person = one(Table(**{**vars(table), "image": table.image + noise}), 120)
    smooth, truth = person.landmarks.image_px[8:-8], table.image[8:-8]
    # A Gaussian of 2.2 frames leaves 1 / (2 sqrt(pi) 2.2) = 0.36 of the noise; a part of it is smoothed less.
    assert (smooth - truth).std() < 0.5
    lag = [np.abs(smooth[4:-4] - truth[4 + k : len(truth) - 4 + k]).mean() for k in range(-4, 5)]
    assert np.argmin(lag) == 4


def test_a_spike_is_removed():
    table = made_up(range(40))
    image = table.image.copy()
    image[20, 15] += 60
    person = one(Table(**{**vars(table), "image": image}), 40)
    assert np.abs(person.landmarks.image_px[20, 15] - table.image[20, 15]).max() < 3


def test_lost_and_found_is_one_person():
    a, b = made_up(range(20)), made_up(range(40, 60), track=1, shift=10)
    table = Table(**{name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in vars(a)})
    assert len(join(table, 60)) == 1


def test_other_colours_elsewhere_are_another_person():
    a, b = made_up(range(20)), made_up(range(25, 45), track=1, shift=150, color=40)
    table = Table(**{name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in vars(a)})
    assert len(join(table, 45)) == 2


def test_a_thing_read_as_a_person_is_dropped():
    table = made_up(range(30))
    thing = Table(**{**vars(table), "visibility": table.visibility * 0.5, "fill": table.fill * 0.5})
    assert join(thing, 30) == []


def test_two_who_met_are_not_exchanged():
    """One stays where they are, one comes, is lost behind the other, and the tracker goes on with the wrong one."""
    stays, comes = made_up(range(20)), made_up(range(5, 20), track=1, shift=30, color=40)
    wrong, found = made_up(range(20, 60), shift=20, color=40), made_up(range(40, 60), track=2)
    parts = (stays, comes, wrong, found)
    for part in parts:
        part.look[:] *= 0.2  # both wear much the same
        part.look[:, 0] = 0.8
    table = Table(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(stays)})
    groups = join(table, 60)
    assert len(groups) == 2
    colors = [np.unique(table.look[group][:, 1:].argmax(1) + 1).tolist() for group in groups]
    assert sorted(colors) == [[3], [40]]


def test_one_who_hid_another_hands_the_name_back():
    """The first track goes on with the passer-by, who had a track of their own; the one behind gets a third."""
    behind, again = made_up(range(20), track=0), made_up(range(34, 60), track=2)
    before, after = made_up(range(20), track=1, color=9), made_up(range(26, 60), track=0, color=9)
    parts = (behind, after, before, again)
    table = Table(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(behind)})
    groups = join(table, 60)
    looks = [set(table.look[entries].argmax(1).tolist()) for entries in groups]
    assert sorted(map(list, looks)) == [[3], [9]]
    assert sorted(len(entries) for entries in groups) == [46, 54]


def test_a_stranger_who_takes_the_track_along_gives_it_back():
    """One stands; somebody never seen before stops in front and walks off with the track; the one behind is found."""
    stands, again = made_up(range(20)), made_up(range(50, 80), track=1)
    thief = made_up(range(20, 80), color=9)
    thief.image[:] += np.where(thief.frame < 40, 20, 90)[:, None, None].astype(np.float32) * (1, 0)
    thief.box[:] = np.concatenate([thief.image.min(1), thief.image.max(1)], 1)
    parts = (stands, thief, again)
    table = Table(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(stands)})
    groups = join(table, 80)
    assert sorted(table.frame[entries].min().item() for entries in groups) == [0, 20]
    assert [set(table.look[entries].argmax(1).tolist()) for entries in groups] == [{3}, {9}]
    table.look[:] = table.look[0]  # all in the same clothes: nothing tells a thief from one who jumped
    assert sorted(len(entries) for entries in join(table, 80)) == [30, 80]


def test_one_lost_behind_another_is_hidden_and_not_seen_on_the_other():
    front, behind = made_up(range(40), shift=25), made_up([*range(12), *range(30, 40)], track=1)
    mistake = made_up(range(18, 20), track=1, shift=24)
    table = Table(**{k: np.concatenate([vars(each)[k] for each in (front, behind, mistake)]) for k in vars(front)})
    groups = without_mistakes(table, [np.flatnonzero(table.track == name) for name in (0, 1)])
    assert [len(group) for group in groups] == [40, 22]
    one, other = (person.tracks for person in settle(table, groups, 40, SIZE))
    np.testing.assert_array_equal(hidden_frames(other, [one]), other.score == 0)
    one.box_px[:] += 300  # nobody stands before them: they are missed, or out of the picture
    assert not hidden_frames(other, [one]).any()
