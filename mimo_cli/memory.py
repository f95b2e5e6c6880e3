"""Memory that was let go, given back to the system while stages run: a long clip takes no more than a short one.

The C library keeps what it was given back in the hope of using it again, one stock per thread. Frames come and go in a
dozen threads; after some minutes half of what the process holds is such stock.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache

TRIM_EVERY_S = 5.0
"""Long against what taking the memory again costs (a tenth of a second), short against what a stage piles up."""
_OPTIONS = {-8: 2, -3: 32 << 20, -1: 64 << 20}
"""M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc's malloc.h: how many threads may allocate at once without
waiting for each other; the size, bytes, up to which a piece is taken from the stock, and how much stock is kept between
two calls of `give_back`. By itself glibc hands the arrays of every frame back and clears the same pages for the next: a
fifth of the time of drawing a figure."""


def share_stocks() -> None:
    """Let threads share their stocks of free memory, and keep them for the next frame; to be called before there are
    threads. Only glibc has them."""
    if set_option := _find("mallopt"):
        for option, value in _OPTIONS.items():
            set_option(option, value)


def give_back() -> None:
    """Give free memory back to the system, where the C library can."""
    if trim := _find("malloc_trim"):
        trim(0)


@lru_cache
def _find(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none of that name."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
