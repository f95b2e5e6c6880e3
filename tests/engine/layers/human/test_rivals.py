"""Two people in the same dark clothes touch; a network that sees one body is told whose is which."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
from figures import SIZE, figure, paint, track

from engine.layers.human.matte import human_mask
from engine.layers.human.rivals import find_rivals
from engine.layers.occlusion.in_front import find_passers
from engine.layers.scene.plate import Plate
from engine.layers.scene.plate_window import PlateWindow, write_window
from engine.people.roi import Roi
from engine.types import ArraySource, BackgroundMotion, Landmarks, Tracks

NUM = 10
DARK = (38, 40, 46)
STILL = BackgroundMotion(np.tile(np.eye(3), (NUM, 1, 1)), np.ones(NUM, np.float32))
MINE = figure(60, 170, 130)


@dataclass(frozen=True)
class Merged:
    """Somebody whom the network sees as one body with whoever touches them."""

    tracks: Tracks
    landmarks: Landmarks
    masks: np.ndarray
    hidden: np.ndarray = field(default_factory=lambda: np.zeros(NUM, bool))

    def rough_masks(self, start=0, stop=None):
        for mask in self.masks[start:stop]:
            yield Roi(100.0, 100.0, 200.0, 0.0), cv2.resize(mask, (256, 256))


def film(foot):
    """Frames in which another one, whose feet are at this height, comes to touch; and both seen parts of each."""
    place = np.random.default_rng(0).integers(110, 230, (*SIZE, 3), np.uint8)
    place = cv2.GaussianBlur(place, (0, 0), 2)
    frames, mine, theirs, points = [], [], [], []
    for idx in range(NUM):
        points.append(figure(128 - 4 * idx, foot, 130))
        me, them = paint(MINE, 130) > 0, paint(points[-1], 130) > 0
        me, them = (me, them & ~me) if foot < 170 else (me & ~them, them)
        frames.append(np.where((me | them)[..., None], np.uint8(DARK), place))
        mine.append(me), theirs.append(them)
    return np.stack(frames), np.stack(mine), np.stack(theirs), np.stack(points).astype(np.float32)


def wide(masks):
    """Masks as large as the network's squares."""
    return np.pad(masks.astype(np.uint8) * 255, ((0, 0), (0, 0), (0, 40)))


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize("foot", [160, 182], ids=["behind", "in front"])
def test_two_in_the_same_clothes_are_told_apart(foot, chunks):
    rgb, mine, theirs, points = film(foot)
    tracks, landmarks = track(MINE, NUM)
    touch = np.array([(cv2.dilate(a.astype(np.uint8), np.ones((3, 3))) & b).any() for a, b in zip(mine, theirs)])
    assert touch[-5:].all()
    masks = np.where(touch[:, None, None], mine | theirs, mine)
    person = Merged(tracks, landmarks, wide(masks))
    boxes = np.concatenate([points.min(1) - 4, points.max(1) + 4], 1)
    seen = np.ones(NUM, np.float32)
    others = {2: (Tracks(boxes, seen), replace(landmarks, image_px=points))}
    clip = ArraySource(rgb)
    rivals = find_rivals(clip, person, others, STILL)
    told = np.stack(list(human_mask(clip, person, chunks=chunks, rivals=rivals))) > 127
    assert iou(masks[-5:], mine[-5:]) < 0.6  # what the network sees is both of them
    assert iou(told[-5:], mine[-5:]) > 0.93  # the aim for a person alone
    assert (told & theirs)[-5:].sum() < 0.05 * theirs[-5:].sum()  # a rim, and an arm that lies before the other's


def test_who_walks_in_front_is_cut_out(tmp_path, chunks):
    rgb, mine, theirs, points = film(182)
    tracks, landmarks = track(MINE, NUM)
    window = PlateWindow(start=0, stop=NUM, anchor=0, x0=0, y0=0, size=(0, 0))  # nothing is known of the place
    write_window(tmp_path, window)
    boxes = np.concatenate([points.min(1) - 4, points.max(1) + 4], 1)
    near = Merged(Tracks(boxes, np.ones(NUM, np.float32)), replace(landmarks, image_px=points), wide(mine | theirs))
    plate = Plate([window], [tmp_path], STILL, SIZE, [])
    (passer,) = find_passers(ArraySource(rgb), (tracks, landmarks), {2: near}, plate, STILL, chunks)
    told = np.stack(list(passer.masks)) > 127
    assert passer.nearer[-5:].all()
    assert iou(told[-5:], theirs[-5:]) > 0.95  # the rim


def test_who_is_never_near_costs_nothing(chunks):
    tracks, landmarks = track(MINE, NUM)
    far_tracks, far = track(figure(900, 170, 130), NUM)

    class Unread:
        def read(self, start=0, stop=None):
            raise AssertionError("no frame is needed")

    person = Merged(tracks, landmarks, np.zeros((NUM, *SIZE), np.uint8))
    rivals = find_rivals(Unread(), person, {2: (far_tracks, far)}, STILL)
    assert all(rivals.beside(idx, MINE) is None for idx in range(NUM))
