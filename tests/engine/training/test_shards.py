"""Shards: what goes in comes out, bit for bit; a killed build goes on; damaged ones are refused."""

import tarfile

import numpy as np
import pytest

from engine.errors import InputError
from engine.synth.dataset import SynthSet, clip_spec, draw_reference
from engine.training.shards import Shards
from engine.training.synthetic import build_synth, training_clip

TINY = SynthSet(count=3, identities=2, size=(32, 32), num_frames=3, fps=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    build_synth(TINY, folder, pairs=True, per_shard=2)
    return folder


def test_what_goes_in_comes_out(folder):
    shards = Shards(folder)
    assert len(shards) == 3
    want, got = training_clip(TINY, 2, pair=True), shards.read(2)
    for one, other in ((got, want), (got.pair, want.pair)):
        for name in ("rgb", "scene", "occlusion", "human_mask", "rotvec", "root_m", "shape", "reference"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        np.testing.assert_array_equal(one.camera.K, other.camera.K)
        assert one.about == other.about
    assert got.identity == "actor-1" and got.about["pair_identity"] == "actor-2"


def test_index_i_is_the_same_whatever_the_count():
    more = SynthSet(count=50, identities=2, size=(32, 32), num_frames=3, fps=6)
    assert clip_spec(more, 2) == clip_spec(TINY, 2)
    with pytest.raises(IndexError):
        clip_spec(TINY, 3)


def test_pairs_differ_only_where_a_figure_is(folder):
    clip = Shards(folder).read(0)
    differs = (clip.rgb != clip.pair.rgb).any(-1)
    assert 0.01 < differs.mean() < 0.5  # two bodies and their shadows, not the place
    assert (clip.rgb[:, :4] == clip.pair.rgb[:, :4]).all()  # the sky
    assert (clip.reference != clip.pair.reference).any()


def test_equal_sets_make_equal_bytes_and_whole_shards_are_kept(folder, tmp_path):
    build_synth(TINY, tmp_path, pairs=True, per_shard=2)
    for name in ("shard-000000.tar", "shard-000001.tar"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    kept = (tmp_path / "shard-000000.tar").stat().st_mtime_ns
    (tmp_path / "shard-000001.tar").rename(tmp_path / "shard-000001.tar.part")  # as a kill leaves it
    build_synth(TINY, tmp_path, pairs=True, per_shard=2)
    assert (tmp_path / "shard-000000.tar").stat().st_mtime_ns == kept
    assert (tmp_path / "shard-000001.tar").read_bytes() == (folder / "shard-000001.tar").read_bytes()


def test_workers_make_the_same_bytes(tmp_path):
    eight = SynthSet(count=8, size=(32, 32), num_frames=1, fps=6)
    for workers in (1, 2):
        build_synth(eight, tmp_path / str(workers), workers=workers, per_shard=5)
    for name in ("shard-000000.tar", "shard-000001.tar"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_damaged_shards_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no shards"):
        Shards(tmp_path)
    whole = (folder / "shard-000000.tar").read_bytes()
    (tmp_path / "shard-000000.tar").write_bytes(whole[:700])
    with pytest.raises(InputError):
        Shards(tmp_path)
    with tarfile.open(tmp_path / "shard-000000.tar", "w"):
        pass
    (tmp_path / "shard-000000.tar").write_bytes(b"not a tar")
    with pytest.raises(InputError, match="damaged"):
        Shards(tmp_path)


def test_the_reference_shows_a_whole_figure_on_white():
    picture = draw_reference(5, 96)
    figure = (picture < 250).any(-1)
    rows, columns = np.where(figure.any(1))[0], np.where(figure.any(0))[0]
    assert 0.85 * 96 <= rows[-1] - rows[0] + 1 <= 96  # `_REFERENCE_FILL`, within a pixel or two
    assert rows[0] > 0 and rows[-1] < 95 and columns[0] > 0 and columns[-1] < 95
    assert (picture[0] == 255).all()
