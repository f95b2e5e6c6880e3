"""33 landmarks, their places in metres, and a rough mask of one person, from a square around them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.network import Network
from engine.people.roi import Roi
from engine.threads import NUM_THREADS

SIDE = 256
"""Input of the network and size of its mask, pixels."""
MIN_PRESENCE = 0.5
"""Below it there is no person in the square (MediaPipe's threshold)."""
KERNEL = 7
"""Side of the window of the 64x64 heatmap that refines a landmark."""
MIN_HEAT = 0.5
"""Heat below which a landmark is left where the regression put it."""


_SHARES = np.arange(256, dtype=np.float32) / 255


@dataclass(frozen=True)
class Pose:
    """One person in one picture."""

    roi: Roi
    """Where the network looked."""
    score: float
    """0 ... 1: that there is a person in the square."""
    image_px: NDArray
    """(33, 2) float32, pixels."""
    align_px: NDArray
    """(2, 2) float32, pixels: middle of the hips and radius point; they make the next square."""
    world_m: NDArray
    """(33, 3) float32, metres, camera axes (x right, y down, z forward), origin between the hips."""
    visibility: NDArray
    """(33,) float32, 0 ... 1."""
    mask: NDArray
    """(256, 256) uint8 in the square: 0 not the person ... 255 the person."""

    @property
    def box_px(self) -> NDArray:
        """(4,) float32: x0, y0, x1, y1 around the landmarks, a little wider than them, as the skin is."""
        low, high = self.image_px.min(0), self.image_px.max(0)
        margin = 0.08 * float(np.max(high - low))
        return np.concatenate([low - margin, high + margin]).astype(np.float32)


class Landmarker:
    """The landmark network and the graph around it (heatmap refinement, projection back into the picture)."""

    def __init__(self, *, threads: int = NUM_THREADS) -> None:
        """Load the network; `threads` share the work of one picture, see `Network`."""
        self._network = Network("pose_landmark_full.tflite", threads=threads)

    def find(self, rgb: NDArray, roi: Roi) -> Pose:
        """Look for one person in a square of the picture; whether there is one is for the caller to judge by `score`.

        Args:
            rgb: (H, W, 3) uint8.
            roi: where to look.
        """
        crop = roi.crop(rgb, SIDE)
        raw, presence, mask, heatmap, world = self._network.run(cv2.LUT(crop, _SHARES))
        points = raw.reshape(39, 5).astype(np.float64)
        xy = _refine(points[:, :2] / SIDE, heatmap)
        to_image = roi.to_image(1)
        image_px = (xy @ to_image[:, :2].T + to_image[:, 2]).astype(np.float32)
        cos, sin = np.cos(roi.turn), np.sin(roi.turn)
        # BlazePose's own world axes are the camera's (x right, y down, z away from it), turned with the square.
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        return Pose(
            roi=roi,
            score=float(presence[0]),
            image_px=image_px[:33],
            align_px=image_px[33:35],
            world_m=(world.reshape(39, 3)[:33] @ turn.T).astype(np.float32),
            visibility=_sigmoid(points[:33, 3]).astype(np.float32),
            mask=np.rint(_sigmoid(mask[..., 0]) * 255).astype(np.uint8),
        )


def _sigmoid(values: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-np.clip(values, -80, 80)))


def _refine(xy: NDArray, heatmap: NDArray) -> NDArray:
    """Move each landmark to the centre of heat around it.

    Args:
        xy: (39, 2) float64, 0 ... 1.
        heatmap: (64, 64, 39) float32 logits, trained so that column i stands for i / 64, not the middle of its cell.
    """
    num = heatmap.shape[0]
    cell = (xy * num).astype(int)
    near = cell[..., None] + np.arange(KERNEL) - KERNEL // 2  # (39, 2, 7)
    there = (near >= 0) & (near < num)
    cols, rows = np.clip(near, 0, num - 1).swapaxes(0, 1)
    heat = _sigmoid(heatmap[rows[:, :, None], cols[:, None], np.arange(len(xy))[:, None, None]].astype(np.float64))
    heat *= there[:, 1, :, None] & there[:, 0, None]
    sure = ((cell >= 0) & (cell < num)).all(1) & (heat.max((1, 2)) >= MIN_HEAT)
    center = np.stack([(heat.sum(1) * cols).sum(1), (heat.sum(2) * rows).sum(1)], 1)
    return np.where(sure[:, None], center / (np.maximum(heat.sum((1, 2)), 1e-9) * num)[:, None], xy)
