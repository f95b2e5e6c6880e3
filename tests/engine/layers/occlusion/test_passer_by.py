"""Who is in front of the person, and whether anybody is."""

from dataclasses import replace

import numpy as np
from figures import SIZE, figure, paint, track

from engine.layers.occlusion import passer_by
from engine.layers.occlusion.views import View
from engine.types import Landmarks, Tracks


def test_a_painted_figure_is_no_one():
    painted = figure(115, 180, 140)
    body, empty = paint(painted, 140) > 0, np.zeros(SIZE, np.uint8)
    away = np.where(body & (np.indices(SIZE).sum(0) % 3 == 0), 60, 3).astype(np.uint8)  # a third fits the plate badly
    view = View(0, 0, np.zeros((*SIZE, 3), np.uint8), away, empty, np.full(SIZE, 255, np.uint8), empty)
    assert not passer_by.is_somebody(view, painted, 20.0)
    assert passer_by.is_somebody(replace(view, away=np.where(body, 60, 3).astype(np.uint8)), painted, 20.0)


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
