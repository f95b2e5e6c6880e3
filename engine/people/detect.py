"""Finds people in one picture: BlazePose's detector on the whole frame and on square tiles of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.network import Network
from engine.people.roi import Roi
from engine.types import Size

SIDE = 224
"""Input of the detector, pixels."""
MIN_SCORE = 0.5
"""MediaPipe's threshold."""
SAME_IOU = 0.3
"""Boxes that overlap more are one person (MediaPipe's threshold)."""

Tile = tuple[int, int, int, int]
"""x0, y0, x1, y1, pixels."""
Raw = tuple[NDArray, NDArray]
"""Scores (N,) and values (N, 12): face box corners and four points, pixels of the whole picture."""


@dataclass(frozen=True)
class Detection:
    """One person."""

    score: float
    """0 ... 1."""
    face_px: NDArray
    """(4,) float64: x0, y0, x1, y1 of the face, pixels."""
    points_px: NDArray
    """(4, 2) float64: middle of the hips, radius point of the body, middle of the shoulders, that of the torso."""

    @property
    def roi(self) -> Roi:
        """The square for the landmark network."""
        return Roi.from_points(self.points_px[0], self.points_px[1])


def tiles(size: Size, level: int) -> list[Tile]:
    """Where to look: level 0 the whole frame, 1 squares of its short side, 2 squares of half that.

    Neighbours overlap by half. A level that would only repeat the one before it is empty.
    """
    height, width = size
    if level == 0:
        return [(0, 0, width, height)]
    side = min(size) // level
    if side < 64 or (level == 1 and max(size) < 1.2 * min(size)):
        return []
    across = _starts(width, side)
    return [(x, y, x + side, y + side) for y in _starts(height, side) for x in across]


def _starts(length: int, side: int) -> list[int]:
    num = int(np.ceil((length - side) / (side / 2))) + 1
    return [round(start) for start in np.linspace(0, length - side, num)]


class Detector:
    """The detector network and the graph around it (SSD anchors, weighted suppression)."""

    def __init__(self) -> None:
        self._network = Network("pose_detection.tflite")

    def detect(
        self,
        rgb: NDArray,
        where: list[Tile] | None = None,
        *,
        min_score: float = MIN_SCORE,
        known: Mapping[Tile, Raw] | None = None,
    ) -> list[Detection]:
        """Find people, the surest first.

        Args:
            rgb: (H, W, 3) uint8.
            where: the parts of the picture to look at; the whole when None.
            min_score: 0 ... 1; what is less sure is dropped.
            known: what `look` gave for some of these parts.
        """
        known = known or {}
        places = where or tiles(rgb.shape[:2], 0)
        found = [known[tile] if tile in known else self.look(rgb, tile, min_score) for tile in places]
        scores, values = (np.concatenate(parts) for parts in zip(*found))
        return list(_suppress(scores, values))

    def look(self, rgb: NDArray, tile: Tile, min_score: float = MIN_SCORE) -> Raw:
        """Run the network on one part of a picture, without deciding what is one person."""
        x0, y0, x1, y1 = tile
        scale = SIDE / max(x1 - x0, y1 - y0)
        pad_x, pad_y = (SIDE - (x1 - x0) * scale) / 2, (SIDE - (y1 - y0) * scale) / 2
        # Pixel centres are at +0.5 on both sides of the map.
        shift_x, shift_y = pad_x + (scale - 1) / 2, pad_y + (scale - 1) / 2
        image = cv2.warpAffine(rgb[y0:y1, x0:x1], np.array([[scale, 0, shift_x], [0, scale, shift_y]]), (SIDE, SIDE))
        boxes, logits = self._network.run(image.astype(np.float32) * (2 / 255) - 1)
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0].astype(np.float64), -100, 100)))
        keep = scores >= min_score
        scores, values, anchors = scores[keep], boxes[keep].astype(np.float64), _anchors()[keep]
        points = values.reshape(-1, 6, 2)  # centre, size, four points
        points[:, [0, 2, 3, 4, 5]] += anchors[:, None] * SIDE
        points[:, 0], points[:, 1] = points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2
        return scores, ((points - (pad_x, pad_y)) / scale + (x0, y0)).reshape(-1, 12)


@lru_cache(maxsize=1)
def _anchors() -> NDArray:
    """(2254, 2) float64: centres of the SSD anchors, 0 ... 1; two for each layer of a stride at each place."""
    centers = []
    for stride, num in ((8, 2), (16, 2), (32, 6)):
        along = (np.arange(SIDE // stride) + 0.5) / (SIDE // stride)
        grid = np.stack(np.meshgrid(along, along), -1).reshape(-1, 2)
        centers.append(np.repeat(grid, num, axis=0))
    return np.concatenate(centers)


def _suppress(scores: NDArray, values: NDArray) -> Iterator[Detection]:
    """Weighted non-maximum suppression: what overlaps the surest box is averaged into it by score."""
    order = np.argsort(-scores, kind="stable")
    while len(order):
        ious = box_iou(values[order[0], :4], values[order, :4])
        same = ious > SAME_IOU
        same[0] = True
        weights = scores[order[same]]
        mean = (values[order[same]] * weights[:, None]).sum(0) / weights.sum()
        yield Detection(float(scores[order[0]]), mean[:4], mean[4:].reshape(4, 2))
        order = order[~same]


def box_iou(box: NDArray, boxes: NDArray) -> NDArray:
    """Intersection over union of one box (4,) with others (N, 4); x0, y0, x1, y1."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return common / np.maximum(areas - common, 1e-9)
