from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.layers.human import matte
from engine.layers.human.guided import GuidedFilter
from engine.layers.human.matte import Belief, Memory, human_mask
from engine.people import find_people
from engine.types import ArraySource, TempChunks


@pytest.fixture(scope="module")
def frames(walker_film):
    return walker_film[0]


@pytest.fixture(scope="module")
def truth(walker_film):
    return walker_film[1] > 127


@pytest.fixture(scope="module")
def actor(frames):
    chunks = TempChunks()
    yield find_people(ArraySource(frames), chunks=chunks)[0]
    chunks.close()


@pytest.fixture(scope="module")
def masks(frames, actor):
    chunks = TempChunks()
    yield np.stack(list(human_mask(ArraySource(frames), actor, chunks=chunks)))
    chunks.close()


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_mask_is_the_actor(truth, masks):
    # .93 is what the issue asks for; a ball in front of the body may be in or out, so the actor counts whole.
    assert np.mean([iou(mask > 127, true) for mask, true in zip(masks, truth)]) >= 0.93


def test_better_than_the_network(truth, actor, masks):
    ours, rough = [], []
    for mask, seen, true in zip(masks, actor.rough_masks(), truth):
        ours.append(iou(mask > 127, true))
        rough.append(iou(seen[0].paste(seen[1], true.shape) > 127, true))
    assert np.mean(ours) > np.mean(rough)


def test_edges_are_soft_but_narrow(masks):
    soft = ((masks > 0) & (masks < 255)).sum(axis=(1, 2))
    edge = np.array([np.abs(np.diff((mask > 127).astype(int), axis=0)).sum() for mask in masks])
    edge = edge + np.array([np.abs(np.diff((mask > 127).astype(int), axis=1)).sum() for mask in masks])
    assert (soft > 0).all()
    assert np.median(soft / edge) < 3  # about 2 px across; an edge pixel counts up to twice where it is oblique


def test_steady(truth, masks):
    """The mask flickers no more than the truth moves."""
    ours = [iou(a > 127, b > 127) for a, b in pairwise(masks)]
    true = [iou(a, b) for a, b in pairwise(truth)]
    assert np.mean(ours) > np.mean(true) - 0.03  # the edge of a figure this small is 3 % of its area


class Killed(Exception):
    pass


@pytest.mark.parametrize("last", [2, 13])
def test_a_killed_run_goes_on_to_the_same_bytes(frames, actor, masks, monkeypatch, last):
    monkeypatch.setattr(matte, "CHUNK", 6)
    chunks = TempChunks()

    class Fragile(ArraySource):
        def read(self, start=0, stop=None):
            for idx, frame in enumerate(super().read(start, stop), start):
                if idx == last:
                    raise Killed
                yield frame

    with pytest.raises(Killed):
        list(human_mask(Fragile(frames), actor, chunks=chunks))
    assert_array_equal(np.stack(list(human_mask(ArraySource(frames), actor, chunks=chunks))), masks)
    chunks.close()


def test_frames_without_the_person_are_empty(frames):
    """Before they come, and while something green, which nothing in the clip is, hides them for a moment."""
    hidden = frames.copy()
    hidden[:4], hidden[10:14] = 90, (0, 255, 0)
    people_chunks, chunks = TempChunks(), TempChunks()
    (person,) = find_people(ArraySource(hidden), chunks=people_chunks)
    seen = np.array([mask.any() for mask in human_mask(ArraySource(hidden), person, chunks=chunks)])
    assert_array_equal(seen, person.tracks.score > 0)
    assert not seen[:4].any() and not seen[10:14].any() and seen[15:].all()
    people_chunks.close(), chunks.close()


def slow_guided(rgb, values, radius, eps):
    """The filter as it is written in the paper, window by window, reflected at the border."""
    guide = np.pad(rgb.astype(float) / 255, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    padded = np.pad(values.astype(float), radius, mode="symmetric")
    height, width = values.shape
    slope, offset = np.zeros((height, width, 3)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            window = np.s_[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
            colors, inside = guide[window].reshape(-1, 3), padded[window].ravel()
            centered = colors - colors.mean(0)
            cov = centered.T @ centered / len(colors) + eps * np.eye(3)
            slope[y, x] = np.linalg.solve(cov, centered.T @ inside / len(colors))
            offset[y, x] = inside.mean() - slope[y, x] @ colors.mean(0)
    slope = np.pad(slope, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    offset = np.pad(offset, radius, mode="symmetric")
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            window = np.s_[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
            out[y, x] = slope[window].mean((0, 1)) @ rgb[y, x] / 255 + offset[window].mean()
    return out


@pytest.mark.parametrize(("share", "theirs"), [(0.9, True), (0.3, False)])
def test_before_anything_is_known_of_them_the_place_tells(share, theirs):
    """Somebody who is on their way in differs from the place over most of the guess; a guess that is wrong does not."""
    gray, belief = np.zeros((10, 10), np.uint8), np.full((10, 10), -1, np.float32)
    belief[:, :5] = 1
    differs = np.zeros((10, 10), np.float32)
    differs[: round(10 * share)] = 1
    picture = np.zeros((10, 10, 3), np.uint8)
    memory = Memory(gray, belief, np.eye(2, 3), np.zeros((2, 16, 16, 16), np.float32))
    assert Belief(picture, 0, 0, picture, memory, None, differs).is_theirs(None) is theirs


def test_guided_filter_equals_the_slow_one():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (14, 17, 3), np.uint8)
    values = rng.uniform(0, 1, (14, 17)).astype(np.float32)
    got = GuidedFilter(rgb, radius=2, eps=1e-2).smooth(values)
    assert_allclose(got, slow_guided(rgb, values, 2, 1e-2), atol=1e-4)  # float32 through a 3x3 inverse


def test_guided_filter_keeps_an_edge_of_the_picture():
    rgb = np.zeros((20, 40, 3), np.uint8)
    rgb[:, 20:] = 200
    values = np.zeros((20, 40), np.float32)
    values[:, 22:] = 1  # an edge two pixels beside the picture's
    smooth = GuidedFilter(rgb, radius=6, eps=1e-4).smooth(values)
    assert np.argmax(np.abs(np.diff(smooth[10]))) == 19  # now at the picture's edge
