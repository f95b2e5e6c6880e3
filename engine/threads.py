"""Work on one frame after another, several at a time."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")

NUM_THREADS = 2
"""numpy, OpenCV and the codecs let go of the interpreter while they work; more threads would wait for each other."""


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], ahead: int = 2 * NUM_THREADS
) -> Generator[Result, None, None]:
    """Yield `work(item)` for each item, in order; a few are worked on ahead, in threads.

    Args:
        work: called from other threads, with two and more items at once.
        items: taken in the caller's thread.
        ahead: how many items are taken before their turn.

    Raises:
        Exception: what `work` raised, when its turn comes.
    """
    source = iter(items)
    with _OPENCV.alone(), ThreadPoolExecutor(NUM_THREADS) as pool:
        waiting = deque(pool.submit(work, item) for item in islice(source, ahead))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(source, 1))


class _OpenCV:
    """Takes OpenCV's own threads away while there are ours: they would take the cores from each other."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = threading.Lock(), 0, 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep OpenCV to one thread until everybody who asked for it is done."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    cv2.setNumThreads(self._before)


_OPENCV = _OpenCV()
