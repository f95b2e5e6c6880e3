"""Sets of clips: two sets of one cast show the same people in other motions and places."""

import pytest

from engine.synth.dataset import SynthSet, clip_spec, draw_clip


def test_a_held_out_set_has_the_cast_but_not_the_motions_and_places():
    train = SynthSet(count=30, seed=1, identities=2, acts=("wave", "jack"))
    held = SynthSet(count=30, seed=2, cast_seed=1, identities=2, acts=("walk", "dance"))
    ours, theirs = ([clip_spec(dataset, idx) for idx in range(30)] for dataset in (train, held))
    assert {spec.actor_seed for spec in ours} == {spec.actor_seed for spec in theirs} == {1001, 1002}
    assert {spec.motion for spec in ours} == {"wave", "jack"}
    assert {spec.motion for spec in theirs} == {"walk", "dance"}
    assert not {spec.seed for spec in ours} & {spec.seed for spec in theirs}


def test_another_seed_has_another_cast():
    one, two = (clip_spec(SynthSet(count=1, seed=seed), 0) for seed in (1, 2))
    assert one.actor_seed != two.actor_seed


def test_a_motion_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        draw_clip(SynthSet(count=1, acts=("swim",), size=(32, 32), num_frames=2), 0)
