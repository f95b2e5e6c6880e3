"""A person before any background."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import LANDMARKS, Landmarks

CUT_PX = 420
"""Longest side at which colours are separated."""

CLEAR_SHARE = 0.57
"""Share of the network's mask that has to be sure of itself: .69 ... .94 for people, at most .46 for noise."""

_BONES = (
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"), ("left_ankle", "left_heel"),
    ("left_heel", "left_foot_index"), ("left_ankle", "left_foot_index"), ("right_ankle", "right_heel"),
    ("right_heel", "right_foot_index"), ("right_ankle", "right_foot_index"),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Somebody in a picture."""

    landmarks: Landmarks
    score: float
    mask: NDArray
    """(H, W) uint8, 0 or 255."""


def find_person(rgb: NDArray) -> Person | None:
    """Find the most prominent person of a picture and cut them out.

    Args:
        rgb: (H, W, 3) uint8.

    Source: the pose network's mask as a first guess, then GrabCut (Rother et al. 2004) at a reduced size.
    """
    from engine.people.still import find_pose

    landmarks = find_pose(np.ascontiguousarray(rgb))
    if landmarks is None or landmarks.score[0] < 0.45:
        return None
    rough = rough_mask(rgb, landmarks)
    seen = rough[rough > 20]
    if rough.max() < 128 or float((seen > 200).mean()) < CLEAR_SHARE:
        return None
    return Person(landmarks, float(landmarks.score[0]), _cut(rgb, rough, landmarks))


def rough_mask(rgb: NDArray, landmarks: Landmarks) -> NDArray:
    """(H, W) uint8: the pose network's own idea of where the person is."""
    from engine.people.landmarks import Landmarker
    from engine.people.roi import Roi

    xy = landmarks.image_px[0].astype(np.float64)
    centre = (xy.min(0) + xy.max(0)) / 2
    landmarker = Landmarker()
    pose = landmarker.find(rgb, Roi(centre[0], centre[1], 1.3 * float((xy.max(0) - xy.min(0)).max()), 0.0))
    pose = landmarker.find(rgb, Roi.from_points(*pose.align_px.astype(np.float64)))
    return pose.roi.paste(pose.mask, rgb.shape[:2])


def _cut(rgb: NDArray, rough: NDArray, landmarks: Landmarks) -> NDArray:
    height, width = rgb.shape[:2]
    x, y, w, h = cv2.boundingRect((rough > 100).astype(np.uint8))
    pad = int(0.18 * max(w, h)) + 4
    x0, y0, x1, y1 = max(x - pad, 0), max(y - pad, 0), min(x + w + pad, width), min(y + h + pad, height)
    scale = min(1.0, CUT_PX / max(x1 - x0, y1 - y0))
    size = max(int((x1 - x0) * scale), 8), max(int((y1 - y0) * scale), 8)
    small = cv2.resize(rgb[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
    guess = cv2.resize(rough[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
    xy = (landmarks.image_px[0] - [x0, y0]) * [size[0] / (x1 - x0), size[1] / (y1 - y0)]
    tall = max(h * scale, w * scale)
    trimap = _trimap(guess, xy, landmarks.visibility[0], tall)
    if not ((trimap == cv2.GC_FGD).any() and (trimap == cv2.GC_BGD).any()):
        hard = np.where(guess > 127, 255, 0).astype(np.uint8)
    else:
        cv2.setRNGSeed(0)
        bgr = cv2.cvtColor(cv2.bilateralFilter(small, 5, 20, 3), cv2.COLOR_RGB2LAB)
        model = [np.zeros((1, 65)), np.zeros((1, 65))]
        cv2.grabCut(bgr, trimap, None, model[0], model[1], 4, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
        hard = np.where((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)
        hard = _tidy(hard, guess, tall)
    mask = np.zeros((height, width), np.uint8)
    soft = cv2.GaussianBlur(hard, (0, 0), 1.0)
    big = cv2.resize(soft, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
    mask[y0:y1, x0:x1] = np.where(big >= 128, 255, 0)
    return mask


def _trimap(guess: NDArray, xy: NDArray, visibility: NDArray, tall: float) -> NDArray:
    """GrabCut's labels: sure where the network is sure or a bone runs, open near its edge."""

    def disc(share: float) -> NDArray:
        r = max(int(share * tall), 1)
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))

    hard = (guess > 127).astype(np.uint8)
    labels = np.where(hard > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[cv2.dilate(hard, disc(0.05)) == 0] = cv2.GC_BGD
    labels[cv2.erode((guess > 190).astype(np.uint8), disc(0.02)) > 0] = cv2.GC_FGD
    thin = max(int(0.012 * tall), 1)
    bones = np.zeros_like(labels)
    for a, b in _BONES:
        i, j = LANDMARKS.index(a), LANDMARKS.index(b)
        if min(visibility[i], visibility[j]) > 0.6:
            cv2.line(bones, tuple(int(v) for v in xy[i]), tuple(int(v) for v in xy[j]), 1, thin)
    labels[(bones > 0) & (guess > 60)] = cv2.GC_FGD
    return labels


def _tidy(hard: NDArray, guess: NDArray, tall: float) -> NDArray:
    """Drop specks and threads; close pinholes; a hole stays when the network doubts it too."""
    r = max(int(0.006 * tall), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))
    opened = cv2.morphologyEx(hard, cv2.MORPH_OPEN, disc)
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((closed == 0).astype(np.uint8), connectivity=4)
    for index in range(1, count):
        x, y, w, h, area = stats[index]
        inner = x > 0 and y > 0 and x + w < hard.shape[1] and y + h < hard.shape[0]
        hole = labels == index
        if inner and (area < 0.0008 * tall**2 or guess[hole].mean() > 170):
            closed[hole] = 255
    return closed
