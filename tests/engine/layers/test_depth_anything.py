"""The network's depth: steadied over time and brought to metres, whatever scale it chooses for a frame."""

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny_networks import write_tiny_depth_anything

from engine.errors import InputError
from engine.layers import depth_anything
from engine.layers.depth import BACKDROP_M, NEAREST_M, person_distance
from engine.layers.depth_anything import load_network, network_depth
from engine.types import ArraySource, Landmarks, TempChunks, Tracks

SIZE, T = (90, 160), 40
NEAR = NEAREST_M / BACKDROP_M


@pytest.fixture
def chunks():
    chunks = TempChunks()
    yield chunks
    chunks.close()


def person() -> tuple[Landmarks, Tracks, ArraySource]:
    """Somebody 60 pixels tall in the middle, unseen for two frames."""
    px = np.zeros((T, 33, 2), np.float32)
    px[:, :, 0] = 80
    for part, height in ((slice(0, 11), 0.95), (slice(11, 23), 0.78), (slice(23, 25), 0.51), (slice(25, 27), 0.27)):
        px[:, part, 1] = 85 - height * 60
    px[:, 27:, 1] = 84
    score = np.ones(T, np.float32)
    score[10:12] = 0
    box = np.tile(np.array([70, 25, 90, 85], np.float32), (T, 1))
    mask = np.zeros((T, *SIZE), np.uint8)
    mask[:, 25:85, 70:90] = 255
    mask[10:12] = 0
    return (
        Landmarks(px, np.zeros((T, 33, 3), np.float32), np.ones((T, 33), np.float32), score),
        Tracks(box, score),
        mask,
    )


def test_scale_and_offset_of_every_frame_are_undone(chunks, monkeypatch):
    """A scene of known inverse depth, shown with a scale and an offset that jump from frame to frame."""
    landmarks, tracks, mask = person()
    truth = np.tile(np.linspace(0.0, 0.6, SIZE[0])[:, None], (1, SIZE[1])).astype(np.float32)
    truth[25:85, 70:90] = 0.5
    noise = np.random.default_rng(0)
    answers = iter([scale * truth + offset for scale, offset in noise.uniform(0.5, 20, (T, 2))])
    monkeypatch.setattr(depth_anything, "load_network", lambda folder: lambda rgb: next(answers))
    clip = ArraySource(np.zeros((T, *SIZE, 3), np.uint8))
    got = np.stack(list(network_depth(clip, landmarks, tracks, ArraySource(mask), "", chunks=chunks))) / 65535
    distance_m, _ = person_distance(landmarks, tracks, SIZE)
    near = NEAREST_M / distance_m
    np.testing.assert_allclose(got[:, 40, 80], near, rtol=1e-3)  # 16 bits of a range 20 times the person's
    assert np.ptp(got[:, 20, 10]) < 1e-3 * near[0]  # steady where nobody is, also in the frames without a person
    want = NEAR + (truth - np.percentile(truth, 2)) / (0.5 - np.percentile(truth, 2)) * (near[0] - NEAR)
    np.testing.assert_allclose(got[20], np.clip(want, 0, 1), atol=2e-3 * near[0])


def test_the_real_network_in_pieces_that_can_be_resumed(chunks, tmp_path):
    landmarks, tracks, mask = person()
    folder = write_tiny_depth_anything(tmp_path / "depth-anything-v2-small")
    clip = ArraySource(np.random.default_rng(0).integers(0, 255, (T, *SIZE, 3), dtype=np.uint8))
    told = []

    def depth(folder):
        frames = network_depth(
            clip,
            landmarks,
            tracks,
            ArraySource(mask),
            folder,
            chunks=chunks,
            progress=lambda done, _: told.append(done),
        )
        return np.stack(list(frames))

    first = depth(folder)
    assert first.shape == (T, *SIZE) and first.dtype == np.uint16
    assert told == sorted(told) and told[-1] == T
    assert len(np.unique(first[0])) > 50  # it saw something
    assert chunks.get("depth-anything-000032-000039") is not None
    np.testing.assert_array_equal(depth(tmp_path / "gone"), first)


def test_the_network_sees_56_pixels_of_the_longer_side(tmp_path):
    network = load_network(write_tiny_depth_anything(tmp_path / "tiny"))
    assert network(np.zeros((90, 160, 3), np.uint8)).shape == (56, 98)  # multiples of 14; 90 is nearer to 56 than 160
    assert network(np.zeros((30, 40, 3), np.uint8)).shape == (42, 56)


def test_a_folder_that_does_not_fit_is_refused(tmp_path):
    folder = write_tiny_depth_anything(tmp_path / "depth-anything-v2-small")
    tensors = load_file(folder / "model.safetensors")
    gone = next(key for key in tensors if key.startswith("neck"))
    del tensors[gone]
    tensors["head.conv3.bias"] = tensors["head.conv3.bias"].repeat(2)
    tensors["head.extra"] = tensors["head.conv2.bias"].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError) as refused:
        load_network(folder)
    assert f"1 missing: {gone}" in str(refused.value) and "1 misshapen: head.conv3.bias" in str(refused.value)
    assert "head.extra" not in str(refused.value)  # hurts nobody
    assert "mimo weights pull depth-anything-v2-small" in str(refused.value)
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        load_network(folder)
    with pytest.raises(InputError, match="cannot be read"):
        load_network(tmp_path / "nowhere")
