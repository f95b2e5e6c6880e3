"""The feed: threads make ahead what a step would make for itself."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.training.codec import PixelCodec
from engine.training.feed import Feed
from engine.training.samples import Samples
from engine.training.shards import Shards


@pytest.mark.parametrize("reference", ["canonical", "frame"])
def test_threads_make_what_a_step_would_make(reference, tiny_recipe):
    recipe = tiny_recipe(steps=5, batch=4)
    recipe = replace(recipe, model=replace(recipe.model, reference=reference))

    def feed(threads):
        samples = Samples(Shards(Path(recipe.data.shards)), recipe.data, recipe.model, map_side=64, seed=3)
        return Feed(samples, recipe, PixelCodec(4), [[0, 2], [1, 3]], clip_side=64, threads=threads)

    alone, ahead = feed(0), feed(3)
    for step in range(2, 5):  # as after a resumption
        for part in range(2):
            want, got = alone.take(step, part), ahead.take(step, part)
            assert got.about == want.about and got.pictures.num_dropped == want.pictures.num_dropped
            assert torch.equal(got.noise_BCTHW, want.noise_BCTHW)
            for group in ("layers", "body"):
                a, b = (getattr(one.pictures, group) for one in (got, want))
                assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    ahead.close()


def test_the_first_step_waits_for_its_own_samples_alone(tiny_recipe):
    """With as many threads as portions ahead each could fill its own, and the first would be ready with the last."""
    recipe = tiny_recipe(steps=50, batch=4)
    samples = Samples(Shards(Path(recipe.data.shards)), recipe.data, recipe.model, map_side=64, seed=3)
    begun, draw = [], samples.draw

    def watched(step, place, batch):
        begun.append(step)
        return draw(step, place, batch)

    samples.draw = watched
    feed = Feed(samples, recipe, PixelCodec(4), [[0, 1, 2, 3]], clip_side=64, threads=4)
    feed.take(0, 0)
    assert begun[:4] == [0, 0, 0, 0]
    feed.close()
