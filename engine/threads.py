"""Work on one frame after another, several at a time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")

NUM_THREADS = 2
"""numpy, OpenCV and the codecs let go of the interpreter while they work; more threads would wait for each other."""


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yield `work(item)` for each item, in order; a few are worked on ahead, in threads.

    Args:
        work: called from other threads, with two and more items at once.
        items: taken in the caller's thread, never more than `2 * NUM_THREADS` ahead.

    Raises:
        Exception: what `work` raised, when its turn comes.
    """
    source, before = iter(items), cv2.getNumThreads()
    cv2.setNumThreads(1)  # OpenCV's own threads and these would take the cores from each other
    try:
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            waiting = deque(pool.submit(work, item) for item in islice(source, 2 * NUM_THREADS))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in islice(source, 1))
    finally:
        cv2.setNumThreads(before)
