"""Somebody nearer is cut out before the person; somebody behind is not."""

import numpy as np
from figures import SIZE, figure, paint, track

from engine.layers import passer_by
from engine.layers.views import View
from engine.types import Landmarks, Tracks


def test_who_is_nearer_is_cut_out():
    mine, other = figure(70, 160, 120), figure(95, 180, 140)
    me, them = paint(mine, 120), paint(other, 140)
    human = np.where(them > 0, 0, me).astype(np.uint8)
    away = np.where((me > 0) | (them > 0), 90, 3).astype(np.uint8)
    x, y = other[23:25].mean(0).astype(int)
    away[y - 40 : y - 34, x - 3 : x + 3] = 3  # a spot of their coat is like the place
    shade = np.zeros(SIZE, np.uint8)
    away[176:184, 115:135], shade[176:184, 115:135] = 60, 255  # their shadow, right of their feet
    view = View(0, 0, np.zeros((*SIZE, 3), np.uint8), away, human, np.full(SIZE, 255, np.uint8), shade)
    found = passer_by.find_passer_by(view, mine, other, 20.0) > 127
    union = (found | (them > 0)).sum()
    assert found[y - 40 : y - 34, x - 3 : x + 3].all()
    assert not found[176:184, 125:135].any()
    assert (found & (them > 0)).sum() > 0.9 * union  # a rim of a pixel of limbs eight wide
    assert (found & (human > 0)).sum() < 0.015 * union  # closing the gaps of a mask takes a pixel here and there


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
