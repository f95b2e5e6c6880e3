"""Memory that this process holds without needing it: the heap of glibc, and mapped files. Only on Linux.

Loading makes large blocks and drops others: what is freed goes back to the system at once, else holes stay between the
weights. A step makes and drops the same activations many times: what is freed stays, since every fresh page costs, and
goes back after each block of the network, since the next wants pieces of another size.
"""

import ctypes
import sys
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of malloc.h
_MADV_DONTNEED = 4  # of sys/mman.h
_LARGE_BYTES = 1 << 20
_WORTH_BYTES = 1 << 18
_MOST_MAPPINGS = 65536  # glibc's own
_NEVER = 2**31 - 1


def return_freed() -> None:
    """Give large blocks back to the system as they are freed."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(_M_MMAP_MAX, _MOST_MAPPINGS)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
        libc.malloc_trim(0)


def keep_freed(blocks: Iterable[nn.Module]) -> None:
    """Keep what is freed, within each of these blocks of a network."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
        for block in blocks:
            block.register_forward_hook(_trim)


def release_files(folder: Path) -> None:
    """Drop what was read of mapped files from memory; it comes again from the disk if it is read again.

    Args:
        folder: of the files. Nothing may have been written into the mapped tensors.
    """
    libc, start_of_path = _libc(), f"{folder.resolve()}/"
    if libc is None:
        return
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        place, *_, path = line.split(maxsplit=5)
        if path.startswith(start_of_path):
            first, last = (int(address, 16) for address in place.split("-"))
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)


def _trim(block: nn.Module, inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
    first = output if isinstance(output, Tensor) else output[0]
    libc = _libc() if first.nbytes > _WORTH_BYTES else None  # it takes some milliseconds
    if libc is not None:
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if libc.mallopt and libc.malloc_trim else None
    except (OSError, AttributeError):
        return None
