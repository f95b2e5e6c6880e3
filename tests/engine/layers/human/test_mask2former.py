"""An instance network's masks: the person is picked out of what it sees, and only if it sees them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_networks import write_tiny_mask2former

from engine.errors import InputError
from engine.layers.human.mask2former import SIDE_PX, detected_mask, load_network, refine
from engine.people.roi import Roi
from engine.types import ArraySource, Landmarks, TempChunks, Tracks

ROI = Roi(64, 48, 80, 0.0)
ROUGH = np.zeros((256, 256), np.uint8)
ROUGH[60:200, 100:160] = 255


class Answers:
    """A network that answers what it is told: boxes as masks, each with how surely it is a person."""

    device = torch.device("cpu")
    config = SimpleNamespace(id2label={0: "dog", 1: "person"})

    def __init__(self, *found):
        self.found, self.shown = found, None

    def __call__(self, *, pixel_values):
        self.shown = pixel_values
        masks = torch.full((1, len(self.found), 96, 96), -20.0)
        classes = torch.zeros((1, len(self.found), 3))
        for k, ((x0, y0, x1, y1), sure) in enumerate(self.found):
            masks[0, k, y0:y1, x0:x1] = 20
            classes[0, k] = torch.tensor([0.01, sure, 0.99 - sure]).log()
        return SimpleNamespace(masks_queries_logits=masks, class_queries_logits=classes)


def test_the_person_meant_is_taken():
    me, other, dog = ((35, 20, 62, 78), 0.9), ((60, 20, 90, 78), 0.95), ((36, 22, 60, 75), 0.2)
    rgb = np.full((96, 128, 3), 128, np.uint8)
    network = Answers(other, dog, me)
    mask = refine(network, rgb, ROI, ROUGH)
    assert network.shown.shape == (1, 3, SIDE_PX, SIDE_PX)
    scale = 256 / 96
    assert mask[round(25 * scale), round(50 * scale)] == 255 and mask[round(25 * scale), round(64 * scale)] < 128
    np.testing.assert_array_equal(refine(Answers(other, dog), rgb, ROI, ROUGH), ROUGH)  # nobody like that


def test_pieces_can_be_resumed(tmp_path):
    folder, chunks = write_tiny_mask2former(tmp_path / "mask2former"), TempChunks()
    frames = np.random.default_rng(3).integers(0, 255, (3, 96, 128, 3), dtype=np.uint8)
    points = np.random.default_rng(4).uniform((40, 20), (80, 80), (3, 33, 2)).astype(np.float32)
    marks = Landmarks(points, np.zeros((3, 33, 3), np.float32), np.ones((3, 33), np.float32), np.ones(3))
    rough = [(ROI, ROUGH), None, (ROI, ROUGH)]
    tracks = Tracks(np.zeros((3, 4), np.float32), np.ones(3, np.float32))
    masks = {"rough_masks": lambda start=0, stop=None: iter(rough[start:stop])}
    person = SimpleNamespace(tracks=tracks, landmarks=marks, hidden=np.zeros(3, bool), **masks)
    got = list(detected_mask(ArraySource(frames), person, folder, chunks=chunks))
    assert [mask.any() for mask in got] == [True, False, True]
    again = list(detected_mask(ArraySource(frames), person, tmp_path / "gone", chunks=chunks))
    np.testing.assert_array_equal(again, got)  # all pieces are there: the network is not opened
    chunks.close()


def test_a_network_without_people(tmp_path):
    folder = write_tiny_mask2former(tmp_path / "mask2former")
    config = (folder / "config.json").read_text().replace("person", "parrot")
    (folder / "config.json").write_text(config)
    with pytest.raises(InputError, match="no class named person"):
        load_network(folder)
