"""ProPainter for the scene: real networks, where their package is; stretches and refusals everywhere."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_networks import write_propainter

from engine.errors import InputError, MissingError
from engine.layers.scene import propainter
from engine.layers.scene.propainter import FILES, list_stretches, load_painter, network_scene, network_size
from engine.types import ArraySource, BackgroundMotion, TempChunks

SIZE = (144, 176)
HAS_PACKAGE = importlib.util.find_spec("pytorchcv") is not None
needs_package = pytest.mark.skipif(not HAS_PACKAGE, reason="needs pip install propainter, and a CUDA build of PyTorch")


@given(st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_stretches_cover_the_clip_and_stay_in_their_shot(lengths):
    ends = np.cumsum(lengths).tolist()
    shots = list(zip([0, *ends], ends))
    stretches = list_stretches(shots)
    assert [frame for s in stretches for frame in range(s.start, s.stop)] == list(range(ends[-1]))
    for s in stretches:
        (shot,) = [shot for shot in shots if shot[0] <= s.start < shot[1]]
        assert shot[0] <= s.first <= s.start < s.stop <= s.last <= shot[1]
        assert s.stop - s.start <= propainter.STRETCH + 1  # edges are rounded
        assert s.last - s.first <= propainter.STRETCH + 1 + 2 * propainter.CONTEXT  # what is in memory at once


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_the_networks_pictures(height, width):
    h, w = network_size((height, width))
    assert h % 8 == 0 and w % 8 == 0 and min(h, w) >= 128 and max(h, w) <= propainter.SIDE


@pytest.mark.skipif(HAS_PACKAGE, reason="the package is there")
def test_without_the_package(tmp_path):
    with pytest.raises(MissingError, match="package does not start") as caught:
        load_painter(tmp_path)
    assert "--backend scene=embedded" in caught.value.fix


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_propainter(tmp_path_factory.mktemp("propainter"))


def clip(num_frames=5):
    rng = np.random.default_rng(0)
    place = np.kron(rng.integers(0, 255, (18, 22, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    masks = np.zeros((num_frames, *SIZE), np.uint8)
    for idx, mask in enumerate(masks):
        mask[40:100, 60 + 4 * idx : 80 + 4 * idx] = 255
    return ArraySource(np.repeat(place[None], num_frames, 0)), ArraySource(masks)


def still(num_frames):
    return BackgroundMotion(np.repeat(np.eye(3)[None], num_frames, 0), np.ones(num_frames, np.float32))


@needs_package
def test_paints_where_the_person_was_and_nowhere_else(folder):
    frames, masks = clip()
    chunks = TempChunks()
    scene = np.stack(list(network_scene(frames, masks, still(5), folder, chunks=chunks)))
    assert scene.shape == (5, *SIZE, 4)
    human = np.stack(list(masks.read())) > 0
    assert (scene[..., 3][human] == 255).all()
    assert not scene[:, :20].any() and not scene[:, 120:].any()
    again = np.stack(list(network_scene(frames, masks, still(5), folder / "gone", chunks=chunks)))
    np.testing.assert_array_equal(again, scene)  # a finished stretch needs no network
    fresh = np.stack(list(network_scene(frames, masks, still(5), folder, chunks=TempChunks())))
    np.testing.assert_array_equal(fresh, scene)


def test_nobody_needs_no_network(tmp_path):
    frames, _ = clip()
    nobody = ArraySource(np.zeros((5, *SIZE), np.uint8))
    scene = list(network_scene(frames, nobody, still(5), tmp_path, chunks=TempChunks()))
    assert len(scene) == 5 and not np.stack(scene).any()


@needs_package
def test_another_networks_file(folder, tmp_path):
    for name in FILES.values():
        (tmp_path / name).symlink_to(folder / FILES["flow"])
    with pytest.raises(InputError, match="does not fit the network"):
        load_painter(tmp_path)
