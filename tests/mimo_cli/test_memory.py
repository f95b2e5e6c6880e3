import sys

import numpy as np
import psutil
import pytest

from mimo_cli import memory


@pytest.mark.skipif(not memory._find("malloc_trim"), reason="this C library keeps no stock to give back")
def test_what_was_let_go_is_given_back():
    process = psutil.Process()
    parts = [np.ones(15_000) for _ in range(1500)]  # 120 kB each: from the heap, not mapped one by one
    full = process.memory_info().rss
    kept = parts[::100]  # what holds the heap's end in place
    del parts
    memory.give_back()
    assert full - process.memory_info().rss > 100e6  # of 180 MB
    assert all((part == 1).all() for part in kept)


def test_without_glibc_nothing_happens(monkeypatch):
    memory._find.cache_clear()
    monkeypatch.setattr(sys, "platform", "win32")
    memory.share_stocks()
    memory.give_back()
    memory._find.cache_clear()
