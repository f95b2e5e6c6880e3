"""SAM 2 on one person: the same masks as the library's own walk over a whole video, in bounded memory, in pieces."""

import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_networks import write_tiny_sam2

from engine.errors import InputError
from engine.layers.human import sam2
from engine.layers.human.sam2 import PATIENCE, Follower, Sighting, load_network, network_mask
from engine.types import ArraySource, Landmarks, TempChunks, Tracks

SIZE, T = (96, 128), 40
BOX = np.array([40, 10, 80, 90], np.float32)
SEEN = Sighting(BOX, np.array([60.0, 40.0], np.float32), 0.9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_sam2(tmp_path_factory.mktemp("sam2") / "sam2")


@pytest.fixture(scope="module")
def network(folder):
    return load_network(folder)


@pytest.fixture
def chunks():
    chunks = TempChunks()
    yield chunks
    chunks.close()


def film() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (T, *SIZE, 3), dtype=np.uint8)


def person(first: int = 0, gap: range = range(0)) -> SimpleNamespace:
    """What `network_mask` asks of a person: seen from some frame on, but for a gap."""
    score = np.full(T, 0.9, np.float32)
    score[:first], score[list(gap)] = 0, 0
    points = np.tile(np.array([60, 40], np.float32), (T, 33, 1))
    marks = Landmarks(points, np.zeros((T, 33, 3), np.float32), np.ones((T, 33), np.float32), score)
    return SimpleNamespace(tracks=Tracks(np.tile(BOX, (T, 1)), score), landmarks=marks)


def test_streamed_masks_are_those_of_the_whole_video_at_once(network, monkeypatch):
    """The library's own walk keeps everything; ours drops what the network cannot look at any more."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    monkeypatch.setattr(sam2, "PATIENCE", 1000)  # shown once, as there
    frames = film()
    follower = Follower(network, SIZE)
    follower._shown_idx = 0
    got = [follower.step(idx, rgb, SEEN if idx == 0 else None) for idx, rgb in enumerate(frames)]
    assert len(follower._session.output_dict_per_obj[0]["non_cond_frame_outputs"]) == 16

    small = np.stack([cv2.resize(rgb, (128, 128), interpolation=cv2.INTER_LINEAR) for rgb in frames])
    video = (small.astype(np.float32) / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    session = Sam2VideoInferenceSession(
        video=torch.from_numpy(video.transpose(0, 3, 1, 2)), video_height=96, video_width=128, dtype=torch.float32
    )
    session.obj_id_to_idx(1)
    scale = np.float32([1, 128 / 96])
    points = np.float32([BOX[:2], BOX[2:], SEEN.trunk_px]) * scale
    prompt = {"point_coords": torch.from_numpy(points)[None, None], "point_labels": torch.tensor([[[2, 3, 1]]])}
    session.add_point_inputs(0, 0, prompt)
    session.obj_with_new_inputs = [1]
    for idx in range(T):
        logits = network(inference_session=session, frame_idx=idx).pred_masks[0, 0].numpy()
        want = 255 / (1 + np.exp(-cv2.resize(logits, SIZE[::-1], interpolation=cv2.INTER_LINEAR)))
        want = sam2._near(want, BOX) if idx == 0 else want
        assert np.abs(got[idx] - want).max() <= 8  # below 8 of 255 is nothing


def test_a_table_that_is_kept_once_is_there_twice(folder, network, tmp_path):
    shutil.copytree(folder, tmp_path / "sam2")
    tensors = load_file(folder / "model.safetensors")
    tensors["shared_image_embedding.positional_embedding"].fill_(0.5)
    del tensors["prompt_encoder.shared_embedding.positional_embedding"]
    save_file(tensors, tmp_path / "sam2" / "model.safetensors", metadata={"format": "pt"})
    loaded = load_network(tmp_path / "sam2")
    assert (loaded.prompt_encoder.shared_embedding.positional_embedding == 0.5).all()
    del tensors["shared_image_embedding.positional_embedding"]
    save_file(tensors, tmp_path / "sam2" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"2 missing: prompt_encoder\.shared_embedding"):
        load_network(tmp_path / "sam2")


def test_pieces_can_be_resumed_and_the_person_comes_late(folder, chunks):
    clip, told = ArraySource(film()), []
    who = person(first=3, gap=range(20, 26))

    def masks(folder):
        return np.stack(
            list(network_mask(clip, who, folder, chunks=chunks, progress=lambda done, total: told.append(done)))
        )

    whole = masks(folder)
    assert whole.shape == (T, *SIZE) and whole.dtype == np.uint8
    assert told == sorted(told) and told[-1] == T
    assert not whole[:3].any() and whole[3:].any(axis=(1, 2)).all()  # goes on where the detector does not see them
    shutil.rmtree(chunks.get("sam2-000032-000039"))
    np.testing.assert_array_equal(masks(folder), whole)
    np.testing.assert_array_equal(masks(folder / "gone"), whole)


class Fake:
    """A network that answers what it is told to: the middle of a bright square, or that there is nobody."""

    device = torch.device("cpu")
    config = SimpleNamespace(image_size=128, num_maskmem=7, max_object_pointers_in_encoder=16)

    def __init__(self):
        self.shown, self.answers = [], {}

    def __call__(self, *, inference_session, frame, frame_idx):
        if inference_session.obj_with_new_inputs:
            inference_session.obj_with_new_inputs = []
            self.shown.append(frame_idx)
        inference_session.add_new_frame(frame, frame_idx)
        box, there = self.answers.get(frame_idx, ((40, 10, 80, 90), True))
        logits = torch.full((1, 1, 96, 128), -20.0)
        logits[..., box[1] : box[3], box[0] : box[2]] = 20
        return SimpleNamespace(pred_masks=logits, object_score_logits=torch.tensor([[5.0 if there else -5.0]]))


def test_who_is_lost_is_shown_again_but_not_in_every_frame():
    network = Fake()
    network.answers = {idx: ((90, 10, 120, 90), True) for idx in range(5, 40)}  # follows somebody else from frame 5 on
    follower = Follower(network, SIZE)
    black = np.zeros((*SIZE, 3), np.uint8)
    for idx in range(36):
        mask = follower.step(idx, black, SEEN)
    assert network.shown == [0, PATIENCE, 2 * PATIENCE]
    assert mask[50, 95] == 255 and mask[50, 110] == 0  # 100 and more is out of the person's reach
    network = Fake()
    network.answers = {20: ((40, 10, 80, 90), False)}
    follower = Follower(network, SIZE)
    for idx in range(24):
        follower.step(idx, black, SEEN if idx != 22 else None)
    assert network.shown == [0, 20]
    unsure = Sighting(BOX, SEEN.trunk_px, 0.3)
    network.answers = {40: ((40, 10, 80, 90), False)}
    follower.step(40, black, unsure)
    assert network.shown == [0, 20]
