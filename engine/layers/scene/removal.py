"""What leaves the picture with the person, and what stays in front."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import FrameSource


class Together:
    """Two masks as one `FrameSource`: whatever is white in either."""

    def __init__(self, mask: FrameSource, other: FrameSource) -> None:
        self._mask, self._other = mask, other
        self.num_frames, self.size = mask.num_frames, mask.size

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """See `FrameSource.read`."""
        for mask, other in zip(self._mask.read(start, stop), self._other.read(start, stop)):
            yield cv2.max(mask, other)


def sort_out(front: NDArray, props: NDArray, *, keep: bool) -> tuple[NDArray, NDArray]:
    """Say what stays in front and what goes away with the person.

    Args:
        front: (H, W) uint8, 0 ... 255: what passes in front of the person. It is never a prop.
        props: (H, W) uint8, 0 ... 255: what they hold or ride.
        keep: props stay, in front; or they go.

    Returns:
        Both masks anew, (H, W) uint8.
    """
    if not props.any():
        return front, props
    props = cv2.bitwise_and(props, cv2.bitwise_not(cv2.dilate(front, np.ones((5, 5), np.uint8))))
    return (np.maximum(front, props), np.zeros_like(props)) if keep else (front, props)
