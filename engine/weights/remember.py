"""The sha256 of weights, computed once: gigabytes are read again only when size or time of a file changed."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from engine.weights.find import Found, find

_BLOCK = 1 << 22


def sha256_of(name: str, *folders: Path) -> str:
    """Return what stands for weights in the key of a stage.

    Args:
        name: as in `find.look`.
        folders: folders of weights to search first.

    Returns:
        64 hexadecimal digits, of the sha256 of every file in order. Names and places do not count.

    Raises:
        MissingError: they are not here.
    """
    found = find(name, *folders)
    return hashlib.sha256("\n".join(digests(found)).encode()).hexdigest()


def digests(found: Found, *, again: bool = False) -> list[str]:
    """Return the sha256 of each file of a set.

    Args:
        found: the set.
        again: read every file, whatever is remembered.
    """
    memory = _memory()
    told = _load(memory)
    result, changed = [], False
    for path in found.files:
        real = path.resolve()
        stat = real.stat()
        mark = [stat.st_size, stat.st_mtime_ns]
        entry = told.get(str(real))
        if again or entry is None or entry[:2] != mark:
            entry = [*mark, file_sha256(real)]
            told[str(real)], changed = entry, True
        result.append(entry[2])
    if changed:
        _save(memory, told)
    return result


def remember(path: Path, sha256: str) -> None:
    """Keep a digest that is known already, e.g. from a download."""
    memory = _memory()
    told = _load(memory)
    stat = path.stat()
    told[str(path.resolve())] = [stat.st_size, stat.st_mtime_ns, sha256]
    _save(memory, told)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file: 64 hexadecimal digits."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()


def _memory() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("mimo", appauthor=False) / "weights.json"


def _load(memory: Path) -> dict[str, list]:
    try:
        told = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _save(memory: Path, told: dict[str, list]) -> None:
    """Write what is known; it saves time and nothing else, hence a disk that refuses it is no error."""
    part = memory.with_name(f"{memory.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({path: told[path] for path in sorted(told) if os.path.exists(path)}), "utf-8")
        os.replace(part, memory)
