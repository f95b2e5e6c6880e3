import sys
import threading

import cv2
import pytest

from engine.threads import NUM_THREADS, TURN_S, map_in_order, short_turns


def test_results_come_in_order_from_several_threads_and_little_is_taken_ahead():
    both, taken, names = threading.Barrier(NUM_THREADS, timeout=30), [], set()

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    def work(item):
        if item < NUM_THREADS:
            both.wait()  # passes only when as many items are worked on at once
        names.add(threading.current_thread().name)
        return item * item

    for done, result in enumerate(map_in_order(work, items())):
        assert result == done * done
        assert len(taken) <= done + 2 * NUM_THREADS
    assert done == 19
    assert threading.current_thread().name not in names


def test_an_error_comes_when_its_turn_comes():
    results = map_in_order(lambda item: 1 // (3 - item), range(6))
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_opencv_gets_its_threads_back():
    before = cv2.getNumThreads()
    results = map_in_order(lambda item: cv2.getNumThreads(), range(6))
    assert next(results) == 1
    results.close()
    assert cv2.getNumThreads() == before


def test_turns_are_short_while_they_should_be():
    before = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(TURN_S, abs=1e-6)  # Python keeps whole microseconds
    assert sys.getswitchinterval() == before
