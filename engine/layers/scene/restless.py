"""Places that never look the same twice (surf, spray, fire): what other frames show there is not what is hidden now."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import above, apply_exposure, enlarge, largest_channel
from engine.layers.scene.median import masked_median

_WILD = 36.0
"""Mean change of a place between frames, levels, from which nothing is known of it: surf changes by 30 to 70, trees
beside a moving camera by up to 20 here and there."""
_LIVELY, _STIRRED = 10.0, 4.0
"""Mean and typical change of what surrounds a wild place and is the same water. Where many pass before a wall, what is
typical is that it does not change."""
_LARGE = 0.01
"""Share of the map that is wild at least: surf is large, a shadow or two people who walk about are not."""
_FEW = 4
"""Frames that must show a place to say how it changes."""
_AROUND = 9
"""Pixels of the map, of 8 of the mosaic each, across: spray that flies up falls beside that of yesterday."""
_UPRIGHT = 0.3
"""What a side above or below counts beside one at the same distance in the row: places look alike along the horizon."""
_SPREAD_PX, _LEAK, _ROUNDS = 7, 0.06, 50
"""How far colours spread along a row, what share of them goes up, as much down, and how often, to make a film."""
_FORMS = 1.5
"""Standard deviation of the blur that leaves large forms, pixels of the shrunk frame."""
_GRAIN = 8.0
"""Levels from the large forms up to which something is grain; more are edges, of foam that has gone."""


def find_restless(views: list[NDArray], seen: list[NDArray]) -> NDArray | None:
    """Measure how much a place changes from frame to frame.

    Args:
        views: the place in some frames, (h, w, 3) uint8 each, smooth, levelled and laid over each other.
        seen: (h, w) uint8 each, 255 where they show it.

    Returns:
        (h / 2, w / 2) uint8: 0 where it is still, 255 where no frame tells about another; None where all is still.
    """
    size = (max(2, views[0].shape[1] // 2), max(2, views[0].shape[0] // 2))
    small = [cv2.resize(view, size, interpolation=cv2.INTER_AREA) for view in views]
    known = [cv2.resize(each, size, interpolation=cv2.INTER_NEAREST) for each in seen]
    middle = masked_median(small, known)
    away = [cv2.absdiff(view, middle) for view in small]
    number = np.maximum(sum(above(each, 0) // 255 for each in known), 1).astype(np.float32)
    total = sum(largest_channel(cv2.bitwise_and(a, cv2.merge([b] * 3))).astype(np.float32) for a, b in zip(away, known))
    often, mean = largest_channel(masked_median(away, known)), total / number
    lively = (mean > _LIVELY) & (often > _STIRRED) & (number >= _FEW)
    wild = cv2.erode((lively & (mean > _WILD)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if wild.sum() < _LARGE * wild.size:
        return None
    lively = cv2.morphologyEx(lively.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((_AROUND, _AROUND), np.uint8))
    count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents(lively))
    area = np.bincount(labels[wild], minlength=count)
    same = np.where(area < _LARGE * wild.size, 0, 255).astype(np.uint8)
    wide = cv2.dilate(same[labels] * lively, np.ones((_AROUND, _AROUND), np.uint8))
    return cv2.blur(wide, (_AROUND, _AROUND))


def bridge(frame: NDArray, hidden: NDArray) -> NDArray:
    """Lead the colours at the sides of a hole over to each other, along the rows above all.

    Args:
        frame: (h, w, 3) uint8, shrunk.
        hidden: (h, w) uint8, above 0 in the hole.

    Returns:
        (h, w, 3) float32, the large forms that the hole may have; the frame itself beside it.

    Source: inverse distance weighting, Shepard 1968, of the nearest pixels in the four directions; then a film between
        the rims, Jacobi's way, in large steps.
    """
    known = hidden == 0
    result = frame.astype(np.float32)
    if not known.any() or known.all():
        return result
    total, weight = np.zeros_like(result), np.full(known.shape, 1e-9, np.float32)
    for turn, counts in enumerate((1.0, _UPRIGHT, 1.0, _UPRIGHT)):
        colour, away = _look_left(np.rot90(result, turn), np.rot90(known, turn))
        share = counts / np.rot90(away, -turn) ** 2
        total += share[..., None] * np.rot90(colour, -turn)
        weight += share
    film = np.where(known[..., None], result, total / weight[..., None])
    hole = (~known).view(np.uint8)
    along, upright = np.ones(_SPREAD_PX, np.float32) / _SPREAD_PX, np.array([_LEAK, 1 - 2 * _LEAK, _LEAK], np.float32)
    for _ in range(_ROUNDS):
        cv2.copyTo(cv2.sepFilter2D(film, cv2.CV_32F, along, upright), hole, film)
    return film


def calm(
    scene: NDArray, small: NDArray, gain: NDArray, lift: NDArray, wanted: NDArray, restless: NDArray
) -> tuple[NDArray, NDArray]:
    """Where the place never looks the same twice, take no more than fine grain from it.

    Args:
        scene: (H, W, 3) uint8.
        small: (h, w, 3) uint8: the scene, shrunk.
        gain, lift: see `fit_exposure`.
        wanted: (h, w, 3) float32: the large forms that it should have.
        restless: (h, w) uint8: where.

    Returns:
        scene and lift.
    """
    forms = cv2.GaussianBlur(small, (0, 0), _FORMS)
    share = cv2.merge([restless.astype(np.float32) / 255] * 3)
    lift = lift + share * (wanted - apply_exposure(forms, gain, lift))
    grain = cv2.subtract(scene, enlarge(forms, scene.shape), dtype=cv2.CV_32F)
    rough = grain - np.clip(grain, -_GRAIN, _GRAIN)
    return cv2.subtract(scene, enlarge(share, scene.shape) * rough, dtype=cv2.CV_8U), lift


def _look_left(picture: NDArray, known: NDArray) -> tuple[NDArray, NDArray]:
    """The nearest known pixel on the left in the row, (h, w, 3), and how far away it is, (h, w) float32, pixels."""
    x, rows = np.arange(known.shape[1]), np.arange(known.shape[0])[:, None]
    at = np.maximum.accumulate(np.where(known, x, -1), 1)
    return picture[rows, np.maximum(at, 0)], np.where(at < 0, 1e6, np.maximum(x - at, 0.5)).astype(np.float32)
