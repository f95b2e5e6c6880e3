"""One run at a time per project. The kernel frees the lock when a process dies: no stale locks, no id to check."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.2


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file for the length of the block; wait while another process has it.

    Args:
        path: the lock file; made when it is not there, never deleted.
        on_wait: called once before waiting for another process.

    Raises:
        OSError: the file cannot be made.
    """
    fd = _take(path, on_wait)
    try:
        yield
    finally:
        os.close(fd)


def _take(path: Path, on_wait: Callable[[], None]) -> int:
    told = False
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try(fd):
                if not told:
                    told = True
                    on_wait()
                _wait(fd)
            # Somebody may have deleted the file while we waited: then we hold a lock that nobody else can see.
            if path.exists() and os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _try(fd: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return _try_windows(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
        # A network disk without locks: one person, one run is the best it can promise.
    return True


def _try_windows(fd: int) -> bool:
    import msvcrt

    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _wait(fd: int) -> None:
    try:
        import fcntl
    except ImportError:
        while not _try_windows(fd):
            time.sleep(_POLL_S)
        return
    fcntl.flock(fd, fcntl.LOCK_EX)
