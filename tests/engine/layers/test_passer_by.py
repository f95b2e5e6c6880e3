"""Somebody nearer is cut out before the person; somebody behind is not."""

import cv2
import numpy as np

from engine.layers import passer_by
from engine.layers.views import View
from engine.types import Landmarks, Tracks

SIZE = (200, 160)


def figure(x: float, foot: float, tall: float) -> np.ndarray:
    """(33, 2): a standing figure's landmarks."""
    points = np.full((33, 2), (x, foot - 0.9 * tall))
    for side, (shoulder, elbow, wrist, hip, knee, ankle) in (
        (1, (11, 13, 15, 23, 25, 27)),
        (-1, (12, 14, 16, 24, 26, 28)),
    ):
        for k, dx, up in (
            (shoulder, 0.1, 0.78), (elbow, 0.14, 0.6), (wrist, 0.15, 0.45), (hip, 0.06, 0.48), (knee, 0.07, 0.25),
            (ankle, 0.07, 0.03),
        ):  # fmt: skip
            points[k] = x + side * dx * tall, foot - up * tall
        points[[wrist + 2, wrist + 4, wrist + 6]] = points[wrist]
        points[[ankle + 2, ankle + 4]] = points[ankle] + (0, 0.03 * tall)
    return points


def paint(points: np.ndarray, tall: float) -> np.ndarray:
    """(h, w) uint8: limbs as thick as limbs are."""
    mask = np.zeros(SIZE, np.uint8)
    at = np.round(points).astype(int)
    for a, b in ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28), (27, 31), (28, 32)):
        cv2.line(mask, at[a].tolist(), at[b].tolist(), 255, max(1, round(0.06 * tall)))
    cv2.fillConvexPoly(mask, at[[11, 12, 24, 23]], 255)
    cv2.circle(mask, at[0].tolist(), round(0.07 * tall), 255, -1)
    return mask


def track(points: np.ndarray, num: int) -> tuple[Tracks, Landmarks]:
    box = np.concatenate([points.min(0) - 4, points.max(0) + 4])
    every = np.repeat(points[None], num, 0).astype(np.float32)
    score = np.ones(num, np.float32)
    return Tracks(np.repeat(box[None], num, 0).astype(np.float32), score), Landmarks(
        every, np.zeros((num, 33, 3), np.float32), np.ones((num, 33), np.float32), score
    )


def test_who_is_nearer_is_cut_out():
    mine, other = figure(70, 160, 120), figure(95, 180, 140)
    me, them = paint(mine, 120), paint(other, 140)
    human = np.where(them > 0, 0, me).astype(np.uint8)
    away = np.where((me > 0) | (them > 0), 90, 3).astype(np.uint8)
    view = View(
        0, 0, np.zeros((*SIZE, 3), np.uint8), away, human, np.full(SIZE, 255, np.uint8), np.zeros(SIZE, np.uint8)
    )
    found = passer_by.find_passer_by(view, mine, other, 20.0) > 127
    union = (found | (them > 0)).sum()
    assert (found & (them > 0)).sum() > 0.9 * union  # a rim of a pixel of limbs eight wide
    assert (found & (human > 0)).sum() < 0.01 * union  # closing the gaps of a mask takes a pixel here and there


def test_a_painted_figure_is_no_one():
    mine, other = figure(60, 160, 120), figure(115, 180, 140)
    me, painted = paint(mine, 120), paint(other, 140)
    away = np.where(me > 0, 90, 3).astype(np.uint8)
    away[(painted > 0) & (np.indices(SIZE).sum(0) % 3 == 0)] = 60  # a third of it does not fit the plate well
    view = View(0, 0, np.zeros((*SIZE, 3), np.uint8), away, me, np.full(SIZE, 255, np.uint8), np.zeros(SIZE, np.uint8))
    assert not passer_by.find_passer_by(view, mine, other, 20.0).any()


def test_the_lower_feet_are_nearer():
    (boxes, mine), (near_boxes, near) = track(figure(70, 160, 120), 20), track(figure(95, 180, 140), 20)
    far_boxes, far = track(figure(60, 150, 110), 20)
    assert passer_by.is_in_front(mine, near, boxes, near_boxes).all()
    assert not passer_by.is_in_front(mine, far, boxes, far_boxes).any()
    away_boxes, away = track(figure(400, 180, 140), 20)
    assert not passer_by.is_in_front(mine, away, boxes, away_boxes).any()  # nearer, but not near


def test_one_hidden_for_a_moment_is_still_behind():
    (boxes, mine), (near_boxes, near) = track(figure(70, 160, 120), 30), track(figure(95, 180, 140), 30)
    boxes.score[10:16] = 0
    assert passer_by.is_in_front(mine, near, boxes, near_boxes).all()
    boxes.score[16:] = 0  # gone for good
    assert not passer_by.is_in_front(mine, near, boxes, near_boxes)[16:].any()


def test_who_is_seen_only_where_the_person_is_lost_is_the_person():
    def seen(*scores: float) -> tuple[Tracks, Landmarks]:
        num = len(scores)
        points, score = np.zeros((num, 33, 2), np.float32), np.array(scores, np.float32)
        marks = Landmarks(points, np.zeros((num, 33, 3), np.float32), np.ones((num, 33), np.float32), score)
        return Tracks(np.zeros((num, 4), np.float32), score), marks

    mine, _ = seen(1, 0, 0, 1)
    others = {2: seen(0, 1, 1, 0), 3: seen(1, 1, 1, 0)}
    assert list(passer_by.seen_beside(mine, others)) == [3]
