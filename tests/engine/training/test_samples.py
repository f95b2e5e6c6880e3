"""Samples: the same whoever asks, every clip once an epoch, never the target as its own reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.body.model import load_body
from engine.geometry import project, transform
from engine.synth.dataset import SynthSet
from engine.training.samples import Samples, dropped, fit_square
from engine.training.shards import Shards
from engine.training.synthetic import build_synth


def samples_of(recipe, **model):
    model = replace(recipe.model, **model)
    return Samples(Shards(_path(recipe)), recipe.data, model, map_side=64, seed=3)


def _path(recipe):
    return Path(recipe.data.shards)


def test_every_clip_comes_once_an_epoch_in_a_new_order(tiny_recipe):
    samples = samples_of(tiny_recipe())
    epochs = [[samples.clip_of(3 * epoch + place) for place in range(3)] for epoch in range(12)]
    assert all(sorted(epoch) == [0, 1, 2] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 2


def test_a_sample_depends_on_seed_step_and_place_alone(tiny_recipe):
    one, two = samples_of(tiny_recipe()), samples_of(tiny_recipe())
    for step in range(5):  # in the other order, as another process would
        two.draw(step, 1, 2)
    for step in range(5):
        a, b = one.draw(step, 1, 2), two.draw(step, 1, 2)
        assert (a.clip_idx, a.frame_idx) == (b.clip_idx, b.frame_idx)
        np.testing.assert_array_equal(a.rgb, b.rgb)


def test_a_reference_frame_is_never_a_target(tiny_recipe):
    """Identity 2 has one clip alone: its reference must come from its other frames."""
    samples, shards = samples_of(tiny_recipe(), reference="frame"), Shards(_path(tiny_recipe()))
    for step in range(12):
        sample = samples.draw(step, 0, 2)
        clip = shards.read(sample.clip_idx)
        same = [other for other in range(3) if shards.about[other]["identity"] == clip.identity]
        sources = [(other, idx) for other in same for idx in range(4)]
        found = [source for source in sources if (shards.read(source[0]).rgb[source[1]] == sample.reference).all()]
        assert found
        assert all(other != sample.clip_idx or idx not in sample.frame_idx for other, idx in found)
        if len(same) > 1:
            assert all(other != sample.clip_idx for other, _ in found)


def test_the_body_map_lies_on_the_person(tiny_recipe):
    samples = samples_of(tiny_recipe())
    sample = samples.cut(1, (0, 3), seed=[0])
    drawn = seen_of(sample.body, 2).reshape(2, 32, 2, 32, 2).mean((2, 4)) > 0.5
    seen = sample.human_mask > 127
    assert (drawn & seen).sum() / drawn.sum() > 0.97  # the bare body is inside the dressed one ...
    assert (drawn & seen).sum() / seen.sum() > 0.5  # ... whose clothes stand off it by a pixel of 32 on either side
    np.testing.assert_allclose(sample.body.bary_P3.sum(-1, dtype=np.float32), 1, atol=2e-3)  # float16


def seen_of(body, num_frames):
    """(T, H, W) bool: where a body is seen."""
    seen = np.zeros((num_frames, *body.size), bool)
    seen.reshape(-1)[body.pixel_P] = True
    return seen


def test_frames_of_a_body_map_are_cut_as_pictures_are(tiny_recipe):
    samples = samples_of(tiny_recipe())
    whole = samples.cut(1, (0, 1, 2, 3), seed=[0]).body
    cut = whole.cut((3, 1, 3))
    np.testing.assert_array_equal(seen_of(cut, 3), seen_of(whole, 4)[[3, 1, 3]])
    faces = np.full(4 * 64 * 64, -1)
    faces[whole.pixel_P] = whole.face_P
    np.testing.assert_array_equal(cut.face_P, faces.reshape(4, -1)[[3, 1, 3]][faces.reshape(4, -1)[[3, 1, 3]] >= 0])


def test_the_camera_is_cut_with_the_picture(tiny_recipe):
    clip = Shards(_path(tiny_recipe())).read(0)
    wide = replace(
        clip,
        **{
            name: np.pad(getattr(clip, name), ((0, 0), (0, 0), (6, 10), *((0, 0),) * (getattr(clip, name).ndim - 3)))
            for name in ("rgb", "scene", "occlusion", "human_mask")
        },
    )
    K = clip.camera.K.copy()
    K[:, 0, 2] += 6
    cut = fit_square(replace(wide, camera=replace(clip.camera, K=K)), 64)
    vertices = load_body().pose(clip.rotvec[0], clip.root_m[0], clip.shape)
    cam = transform(clip.camera.world_to_cam[0], vertices)
    want = project(K[0], cam) - [8, 0]  # the middle square of 48 columns begins at the eighth
    np.testing.assert_allclose(project(cut.camera.K[0], cam), 2 * want, atol=1e-3)


def test_dropping_follows_its_share():
    share = np.mean([dropped(5, step, place, 0.3) for step in range(200) for place in range(4)])
    assert abs(share - 0.3) < 0.06  # three and a half deviations of 800 tosses


def test_the_other_half_of_a_pair_is_a_clip_of_its_own(tiny_recipe, tmp_path):
    build_synth(SynthSet(count=2, identities=2, size=(32, 32), num_frames=3, fps=6), tmp_path, pairs=True)
    shards, recipe = Shards(tmp_path), tiny_recipe()
    model = replace(recipe.model, reference="frame")
    samples = Samples(shards, recipe.data, model, map_side=64, seed=3)
    assert [samples.pair_of(idx) for idx in range(4)] == [2, 3, None, None]
    assert sorted(samples.clip_of(place) for place in range(4)) == [0, 1, 2, 3]
    one, other = samples.cut(0, (0, 2), seed=[0]), samples.cut(2, (0, 2), seed=[0])
    np.testing.assert_array_equal(other.rgb, shards.read(0).pair.rgb[[0, 2]])
    np.testing.assert_array_equal(other.scene, one.scene)
    assert (one.body.face_P[:9] != other.body.face_P[:9]).any() or len(one.body.face_P) != len(other.body.face_P)
    # whose identity is shown with a frame of the other clip of the same actor: that of clip 1
    assert any((other.reference == frame).all() for frame in shards.read(1).rgb)
