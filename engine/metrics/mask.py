"""How well a mask agrees with the true one: J and F of the DAVIS benchmark."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

BOUNDARY_SHARE = 0.008
"""How far a boundary may lie beside the true one, as a share of the picture's diagonal, rounded up to whole pixels."""


def region_similarity(got: NDArray, want: NDArray) -> float:
    """J: intersection over union of two masks (H, W) bool; 1 when both are empty.

    Source: Perazzi et al. 2016, "A benchmark dataset and evaluation methodology for video object segmentation".
    """
    union = int((got | want).sum())
    return int((got & want).sum()) / union if union else 1.0


def boundary_accuracy(got: NDArray, want: NDArray) -> float:
    """F: harmonic mean of precision and recall of the boundary of a mask.

    Args:
        got, want: (H, W) bool.

    Returns:
        0 ... 1. A boundary pixel is right where one of the other mask is within `BOUNDARY_SHARE` of the diagonal; 1
        when neither mask has a boundary, 0 when one has.

    Source: Perazzi et al. 2016, as in the DAVIS 2017 evaluation code: boundaries by the right, lower and lower right
        neighbour, matched by dilation with a disc.
    """
    reach_px = math.ceil(BOUNDARY_SHARE * math.hypot(*got.shape))
    ours, theirs = boundary(got), boundary(want)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    side = np.arange(-reach_px, reach_px + 1)
    disc = (np.hypot(*np.meshgrid(side, side)) <= reach_px).astype(np.uint8)
    precision = (ours & (cv2.dilate(theirs.astype(np.uint8), disc) > 0)).sum() / ours.sum()
    recall = (theirs & (cv2.dilate(ours.astype(np.uint8), disc) > 0)).sum() / theirs.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boundary(mask: NDArray) -> NDArray:
    """(H, W) bool: pixels of a mask (H, W) bool that differ from their right, lower or lower right neighbour.

    In the last row only the right neighbour counts, in the last column only the lower one.
    """
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge
