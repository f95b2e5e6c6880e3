"""People drawn with a few strokes, whose landmarks are known."""

import cv2
import numpy as np

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
