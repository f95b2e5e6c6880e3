"""Medians over a stack of pictures in which some pixels do not count, fast."""

from functools import cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray


def masked_median(samples: list[NDArray], visible: list[NDArray]) -> NDArray:
    """Take, per pixel and channel, the median of the samples in which the pixel is visible.

    Hidden samples are set to 0 and 255 in turn, which leaves the middle of the sorted stack where the visible ones
    have theirs; the stack is sorted by a network of minima and maxima, which works on whole rows at once.

    Args:
        samples: S pictures, (H, W, 3) uint8; S <= 64.
        visible: S masks, (H, W) uint8, 0 or 255.

    Returns:
        (H, W, 3) uint8; meaningless where nothing is visible.

    Source: Batcher 1968, odd-even merge sort.
    """
    height, width = visible[0].shape
    result = np.empty((height, width, 3), np.uint8)
    network = sorting_network(len(samples))
    rows = max(1, 60_000 // max(1, width))  # a band of all samples stays in the processor's cache
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        # Fillers start with 255 in an odd stack and with 0 in an even one: then the middle of the stack is a middle of
        # the visible ones whatever the parity of their number.
        turn = np.full((band.stop - top, width), 0 if len(samples) % 2 else 255, np.uint8)
        stack = []
        for sample, seen in zip(samples, visible):
            hidden = cast(NDArray, cv2.bitwise_not(seen[band]))
            turn ^= hidden
            filler = cv2.cvtColor(cv2.bitwise_and(turn, hidden), cv2.COLOR_GRAY2RGB)
            kept = cv2.bitwise_and(sample[band], cv2.cvtColor(seen[band], cv2.COLOR_GRAY2RGB))
            stack.append(cv2.bitwise_or(kept, filler))
        for low, high in network:
            smaller = np.minimum(stack[low], stack[high])
            np.maximum(stack[low], stack[high], out=stack[high])
            stack[low] = smaller
        result[band] = stack[len(stack) // 2]
    return result


@cache
def sorting_network(num: int) -> tuple[tuple[int, int], ...]:
    """List the (low, high) exchanges that sort `num` values; Batcher's merge sort, any length."""
    exchanges = []
    step = 1
    while step < num:
        jump = step
        while jump >= 1:
            for first in range(jump % step, num - jump, 2 * jump):
                for idx in range(first, min(first + jump, num - jump)):
                    if idx // (2 * step) == (idx + jump) // (2 * step):
                        exchanges.append((idx, idx + jump))
            jump //= 2
        step *= 2
    return tuple(exchanges)
