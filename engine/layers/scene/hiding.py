"""The person's mask together with whoever hides them: what neither lets be seen is the place."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from engine.layers.bones import bone_distance
from engine.layers.occlusion.passer_by import is_in_front, seen_beside
from engine.layers.scene.bystander import STEP
from engine.types import FrameSource, Landmarks, Size, Tracks

_FLESH = 0.11
"""Of bodies around the bone, heights of the body."""


class WithPassers:
    """A `FrameSource` of the person's mask and whoever stands in front of them then: behind both nothing is seen.

    Where a person stands all the time, the place is hidden but for the moments in which another one hides it.
    """

    def __init__(
        self,
        mask: FrameSource,
        tracks: Tracks,
        landmarks: Landmarks,
        others: Mapping[int, tuple[Tracks, Landmarks]],
    ) -> None:
        """Find who stands in front.

        Args:
            mask: (H, W) uint8, the person.
            tracks: the person's box.
            landmarks: the person's.
            others: tracks and landmarks of everybody else, by number.
        """
        self.num_frames, self.size, self._mask = mask.num_frames, mask.size, mask
        beside = seen_beside(tracks, others).values()
        self._front = [(is_in_front(landmarks, theirs, tracks, boxes), theirs.image_px) for boxes, theirs in beside]

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """Yield frames start ... stop-1."""
        stop = self.num_frames if stop is None else min(stop, self.num_frames)
        for idx, mask in enumerate(self._mask.read(start, stop), start):
            bodies = [_body(points[idx], self.size) for nearer, points in self._front if nearer[idx]]
            yield np.maximum.reduce([mask, *bodies]) if bodies else mask


def _body(points: NDArray, size: Size) -> NDArray:
    """(H, W) uint8: 255 around the bones of landmarks (33, 2), pixels."""
    small = (-(-size[0] // STEP), -(-size[1] // STEP))
    flesh = bone_distance(points / STEP, small) < _FLESH * float(np.ptp(points[:, 1])) / STEP
    return np.repeat(np.repeat(flesh.astype(np.uint8) * 255, STEP, 0), STEP, 1)[: size[0], : size[1]]
