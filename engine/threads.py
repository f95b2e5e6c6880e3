"""Work on one frame after another, several at a time."""

import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import cv2

TURN_S = 0.0005
"""Longest turn of a thread that computes in Python while another waits. With Python's own 5 ms `mimo decompose` changes
threads 150,000 times in 20 s instead of 90,000 (measured on two cores), and is 2 % slower."""

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
    with OPENCV.alone(), ThreadPoolExecutor(NUM_THREADS) as pool:
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


OPENCV = _OpenCV()
"""The one of this process."""


@contextmanager
def short_turns() -> Iterator[None]:
    """Keep turns to `TURN_S` until the block ends."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


_END = object()


def run_ahead(items: Generator[Item, None, None], depth: int = 4) -> Generator[Item, None, None]:
    """Run a generator in a thread of its own, at most `depth` items ahead of whoever takes them.

    An exception in it is raised here. Closing this generator stops the thread and closes the other.
    """
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    break
            put((_END, None))
        except BaseException as error:
            put((_END, error))
        finally:
            items.close()

    thread = threading.Thread(target=work, name="mimo-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        thread.join()
