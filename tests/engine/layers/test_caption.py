"""Words over the picture stay in front; a sign on the wall behind does not."""

import cv2
import numpy as np
import pytest

from engine.layers import caption
from engine.layers.scene.plate import INPAINTED, build_plate
from engine.types import ArraySource, BackgroundMotion, Landmarks

SIZE = (360, 480)
ROW = 300
WORDS = (200, 20, 150)


def draw_words(picture: np.ndarray) -> np.ndarray:
    """Write a line with a white rim; returns what is covered, (h, w) bool."""
    letters = np.zeros(SIZE, np.uint8)
    cv2.putText(letters, "words on top", (8, ROW), cv2.FONT_HERSHEY_SIMPLEX, 1.9, 255, 2, cv2.LINE_AA)
    covered = cv2.dilate(letters, np.ones((9, 9), np.uint8))
    for mask, colour in ((covered, (255, 255, 255)), (letters, WORDS)):
        share = mask[..., None] / 255.0
        picture[:] = (picture * (1 - share) + np.array(colour) * share).astype(np.uint8)
    return covered > 127


def film(*, in_front: bool, num: int = 5) -> tuple[list[np.ndarray], np.ndarray, Landmarks, list[np.ndarray]]:
    """Pictures of a stick figure that walks through the words, what the words cover, and the figure's landmarks and
    masks."""
    rng = np.random.default_rng(4)
    wall = cv2.resize(rng.uniform(60, 180, (24, 32, 3)).astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    pictures, masks, points = [], [], np.zeros((num * caption.EVERY, 33, 2), np.float32)
    covered = np.zeros(SIZE, bool)
    for number in range(num):
        picture = np.clip(wall + rng.normal(0, 2, wall.shape), 0, 255).astype(np.uint8)
        if not in_front:
            covered = draw_words(picture)
        x = 130 + 50 * number
        at = {11: (x + 9, 90), 12: (x - 9, 90), 23: (x + 8, 190), 24: (x - 8, 190)}
        at |= {25: (x + 10, 250), 26: (x - 10, 250), 27: (x + 12, 318), 28: (x - 12, 318)}
        at |= {29: (x + 10, 322), 30: (x - 14, 322), 31: (x + 20, 324), 32: (x - 20, 324)}
        masks.append(np.zeros(SIZE, np.uint8))
        for a, b in ((11, 24), (12, 23), (23, 25), (24, 26), (25, 27), (26, 28), (27, 31), (28, 32)):
            cv2.line(picture, at[a], at[b], (60, 90, 60), 13)
            cv2.line(masks[-1], at[a], at[b], 255, 13)
        for k, place in at.items():
            points[number * caption.EVERY, k] = place
        if in_front:
            covered = draw_words(picture)
        pictures.append(picture)
    score = np.ones(len(points), np.float32)
    landmarks = Landmarks(points, np.zeros((len(points), 33, 3)), np.ones((len(points), 33)), score)
    return pictures, covered, landmarks, masks


def clip_of(pictures) -> ArraySource:
    """Every picture stands as long as from one look to the next."""
    return ArraySource(np.repeat(np.array(pictures), caption.EVERY, axis=0))


def test_words_in_front_are_found_and_cut_out():
    pictures, covered, landmarks, _ = film(in_front=True)
    found = caption.find_captions(clip_of(pictures), landmarks)
    assert len(found) == 1
    first, last, line = found[0]
    assert (first, last) == (0, len(landmarks.score))
    flash = [*pictures, np.full_like(pictures[0], 255), pictures[-1]]  # in one look they are not seen
    landmarks = Landmarks(*(np.pad(each, [(0, 24)] + [(0, 0)] * (each.ndim - 1)) for each in vars(landmarks).values()))
    again = caption.find_captions(clip_of(flash), landmarks)
    assert [each[:2] for each in again] == [(0, 61), (61, 84)]
    for picture in pictures:
        mask = np.zeros(SIZE, np.uint8)
        caption.draw_line(mask, picture, line, 1.0)
        got = mask > 127
        # 0.8: of the rim's four pixels the outermost may be missed or doubled.
        assert (got & covered).sum() > 0.8 * (got | covered).sum()


def test_a_sign_behind_is_not():
    pictures, _, landmarks, _ = film(in_front=False)
    assert caption.find_captions(clip_of(pictures), landmarks) == []


def test_words_are_not_a_part_of_the_place(chunks):
    pictures, covered, landmarks, masks = film(in_front=True)
    clip, human, num = clip_of(pictures), clip_of(masks), len(landmarks.score)
    motion = BackgroundMotion(np.repeat(np.eye(3)[None], num, axis=0), np.ones(num, np.float32))
    plate = build_plate(clip, human, motion, chunks=chunks, landmarks=landmarks)
    assert len(plate.captions) == 1
    place, state = plate.render(0, (0, 0, SIZE[1], SIZE[0]))
    hidden = (np.max(masks, axis=0) > 0) & covered
    assert (state[hidden] == INPAINTED).mean() > 0.95
    # The wall has 30 to 210 levels of anything; the letters have 20 of green, their rim has 255.
    assert (place[hidden].min(1) > 25).mean() > 0.99 and (place[hidden].max(1) < 220).mean() > 0.99


@pytest.mark.parametrize("size", [(20, 30), (2, 2)])
def test_small_pictures_have_no_words(size):
    assert caption.find_lines(np.full((*size, 3), 90, np.uint8), np.zeros(size, np.uint8)) == []
