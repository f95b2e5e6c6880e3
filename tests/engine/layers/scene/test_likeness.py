"""Somebody stands there while the person runs past: they are shown whole behind the person."""

import cv2
import numpy as np
import pytest
from figures import SIZE, figure, paint, track

from engine.layers.scene.likeness import find_likenesses
from engine.layers.scene.plate import Plate
from engine.layers.scene.plate_window import SEEN, PlateWindow, write_window
from engine.types import ArraySource, BackgroundMotion

NUM, HIDDEN = 12, range(4, 8)
STILL = BackgroundMotion(np.tile(np.eye(3), (NUM, 1, 1)), np.ones(NUM, np.float32))
BOX = 0, 0, SIZE[1], SIZE[0]
THEIRS = figure(80, 160, 120)


def film(lean: int):
    """The place; frames in which somebody with a pattern, whose upper half leans aside from frame 4 on, is passed by
    somebody dark; who passes; and those who stand, whole."""
    rng = np.random.default_rng(0)
    place, coat = (cv2.GaussianBlur(rng.integers(0, 256, (*SIZE, 3), np.uint8), (0, 0), 2) for _ in range(2))
    place, coat = place // 2 + 90, coat // 2
    body, whole, frames, masks = paint(THEIRS, 120), [], [], []
    for idx in range(NUM):
        aside = np.clip((110 - np.arange(SIZE[0])) / 70, 0, 1) * lean * (idx >= HIDDEN[0])
        x, y = np.meshgrid(np.arange(SIZE[1], dtype=np.float32), np.arange(SIZE[0], dtype=np.float32))
        x -= aside[:, None].astype(np.float32)
        alpha = cv2.remap(body, x, y, cv2.INTER_LINEAR)[..., None] / 255
        whole.append((alpha * cv2.remap(coat, x, y, cv2.INTER_LINEAR) + (1 - alpha) * place).astype(np.uint8))
        mask = np.zeros(SIZE, np.uint8)
        if idx in HIDDEN:
            mask[:, 83 + 4 * (idx - HIDDEN[0]) :][:, :40] = 255
        frames.append(np.where(mask[..., None] > 0, np.uint8(20), whole[-1]))
        masks.append(mask)
    return place, np.stack(frames), np.stack(masks), np.stack(whole)


def populate(place, frames, masks, folder):
    """The plate of that place with those whom the masks hide."""
    window = PlateWindow(start=0, stop=NUM, anchor=0, x0=0, y0=0, size=SIZE, rgb=place, state=np.full(SIZE, SEEN))
    write_window(folder, window)
    plate = Plate([window], [folder], STILL, SIZE, [])
    tracks, landmarks = track(THEIRS, NUM)
    tracks.score[list(HIDDEN)] = 0
    person = track(THEIRS, NUM)
    others = {2: (tracks, landmarks)}
    looks = find_likenesses(ArraySource(frames), ArraySource(masks), plate, STILL, person, others)
    plate.populate = looks.lay
    return plate, looks


@pytest.mark.parametrize("lean", [0, 6])
def test_who_stands_behind_the_person_is_whole(lean, tmp_path):
    place, frames, masks, whole = film(lean)
    plate, looks = populate(place, frames, masks, tmp_path)
    for idx in HIDDEN:
        shown = plate.render(idx, BOX)[0].astype(float)
        behind = (masks[idx] > 0) & (np.abs(whole[idx].astype(float) - place).max(2) > 0)
        off, bare = (np.abs(each - whole[idx])[behind].mean() for each in (shown, place.astype(float)))
        assert off < (0.12 if lean == 0 else 0.2) * bare  # the rim alone; bent in bands of 7 pixels, resampled
        assert looks.stands_still(idx, 2)
    for idx in (0, NUM - 1):  # nobody is hidden
        np.testing.assert_array_equal(plate.render(idx, BOX)[0], place)


def test_who_moved_on_is_not_shown(tmp_path):
    place, frames, masks, _ = film(0)
    frames[list(HIDDEN)] = np.where(masks[list(HIDDEN)][..., None] > 0, np.uint8(20), place)
    plate, _ = populate(place, frames, masks, tmp_path)
    for idx in HIDDEN:
        np.testing.assert_array_equal(plate.render(idx, BOX)[0], place)
