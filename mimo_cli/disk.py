"""Files that survive a kill: digests, durable writes, removal that is never half seen, what to say when one is full."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InputError, MimoError

_BLOCK = 1 << 20
_AT_ONCE = 8
"""Files that are pushed to the disk together: it writes several in the time of one."""
_LITTER = {"Thumbs.db", "desktop.ini"}
_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_DENIED = {errno.EACCES, errno.EPERM}


def digest(path: Path) -> str:
    """Return the sha256 of what a file, or a folder of pictures, holds.

    Args:
        path: a file, or a folder whose visible files count, by name and content (a PNG sequence).

    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256()
    if path.is_dir():
        for file in folder_files(path):
            sha.update(f"{file.relative_to(path).as_posix()}\n{digest(file)}\n".encode())
        return sha.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()


def folder_files(folder: Path) -> list[Path]:
    """Return the files of a folder in order of name, without hidden ones and what desktops leave behind."""
    found = []
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        if (
            file.is_file()
            and file.name not in _LITTER
            and not any(part.startswith((".", "__MACOSX")) for part in parts)
        ):
            found.append(file)
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def stamp(path: Path) -> tuple[str, int]:
    """Return a cheap mark that changes whenever a file or folder is written, and its youngest time.

    Returns:
        (mark, youngest): text made of sizes, times and inodes; the latest of all mtimes and ctimes, nanoseconds.
    """
    stats = [path.stat()] + ([file.stat() for file in folder_files(path)] if path.is_dir() else [])
    youngest = max(max(stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats)
    lines = "\n".join(f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}" for s in stats)
    return (lines if len(stats) == 1 else hashlib.sha256(lines.encode()).hexdigest()), youngest


def num_bytes(path: Path) -> int:
    """Return how many bytes the file or folder holds; 0 when it is not there."""
    if path.is_dir() and not path.is_symlink():
        return sum(num_bytes(child) for child in path.iterdir())
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def sync(path: Path) -> None:
    """Push a file, or a folder with everything in it, from the memory of the machine to its disk."""
    if path.is_dir():
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(sync, sorted(path.iterdir())))
        sync_folder(path)
        return
    fd = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can (Windows does so by itself)."""
    if os.name == "nt":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_text(path: Path, text: str) -> None:
    """Write a small text file so that a reader sees the old text or the new, never half, also after a power cut."""
    part = path.with_name(f"{path.name}.part")
    with open(part, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Delete a file or a folder. A folder is first renamed to begin with "~", so that it is never seen half deleted."""
    if path.is_dir() and not path.is_symlink():
        dead = path
        if not path.name.startswith("~"):
            dead = path.with_name(f"~{path.name}")
            shutil.rmtree(dead, ignore_errors=True)
            os.rename(path, dead)
        shutil.rmtree(dead, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def gigabytes(count: float) -> str:
    """Return a number of bytes as a person reads it: "0.3 GB", "12 MB"."""
    if count >= 1e8:
        return f"{count / 1e9:.1f} GB"
    return f"{max(count, 0) / 1e6:.0f} MB" if count >= 1e6 else f"{max(count, 0) / 1e3:.0f} KB"


@contextmanager
def plain_errors(folder: Path, *, missing_bytes: int | None = None) -> Iterator[None]:
    """Turn what the disk refuses inside the block into a sentence for the person.

    Args:
        folder: where mimo is writing.
        missing_bytes: how much more room the work needs, when known.

    Raises:
        InputError: the disk is full, read-only, or the folder belongs to somebody else.
    """
    try:
        yield
    except MimoError:
        raise
    except Exception as error:
        sentence = explain(error, folder, missing_bytes=missing_bytes)
        if sentence is None:
            raise
        raise sentence from error


def explain(error: BaseException, folder: Path, *, missing_bytes: int | None = None) -> InputError | None:
    """Return the sentence for an error of the disk, or None when the error is something else.

    Args:
        error: what was raised; its causes are looked at too, since libraries wrap what the system said.
        folder: where mimo was writing.
        missing_bytes: how much more room the work needs, when known.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno is not None:
            sentence = _explain_number(seen, folder, missing_bytes)
            if sentence is not None:
                return sentence
        seen = seen.__cause__ or seen.__context__
    return None


def _explain_number(error: OSError, folder: Path, missing_bytes: int | None) -> InputError | None:
    if error.errno in _DISK_FULL:
        room = f"; about {gigabytes(missing_bytes)} more is needed" if missing_bytes else ""
        need = gigabytes(missing_bytes) if missing_bytes else "some space"
        return InputError(
            f"the disk that holds {folder} is full ({gigabytes(free_bytes(folder))} free{room}).",
            fix=f"free {need} there (mimo clean drops what can be made again), then type the same command: "
            "finished work is kept.",
        )
    if error.errno == errno.EROFS:
        there = folder.exists()
        elsewhere = f"name a place mimo may write to: --project /somewhere/else/{folder.name}"
        return InputError(
            f"{folder} is on a read-only disk." if there else f"{folder} cannot be made: the disk is read-only.",
            fix="copy it to a disk mimo may write to and use the copy." if there else elsewhere,
        )
    if error.errno in _DENIED and error.filename is not None and Path(os.fsdecode(error.filename)).exists():
        path = os.fsdecode(error.filename)
        return InputError(
            f"mimo may not open or write {path}.", fix=f"give yourself the right to it: chmod u+rwX '{path}'"
        )
    if error.errno in _DENIED:
        return InputError(
            f"mimo may not write in {folder}.",
            fix=f"make it writable (chmod -R u+rwX '{folder}') or use another folder.",
        )
    if error.errno == errno.EXDEV:
        return InputError(
            f"part of {folder} lies on another disk (a link or a mounted folder).",
            fix="put a plain folder in its place; a project lives on one disk.",
        )
    return None


def free_bytes(folder: Path) -> int:
    """Return how many bytes may still be written where `folder` is, or would be."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0
