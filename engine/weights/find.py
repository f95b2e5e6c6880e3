"""Where weights lie: in the project, in the person's folder, or in the Hugging Face cache. Nothing is fetched here.

A name that is not in the table is a checkpoint of the person's own: a folder of that name in one of these places, or a
path; of the folder of a training run its `network/` is meant.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from engine.config import nearest
from engine.errors import MissingError
from engine.weights.known import Weights, WeightsFile, known

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".json", ".npy", ".npz", ".pkl", ".toml")
"""What counts in a folder of the person's own."""


@dataclass(frozen=True)
class Found:
    """A complete set of weights on this machine."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    """Each file of the table, or what does as well, in the table's order; for a folder of the person's own, all."""
    place: str
    """"project", "yours" (the person's folder), "hub cache" or "path"."""


def user_folder() -> Path:
    """Return the person's folder of weights: $MIMO_WEIGHTS, else where this system keeps data of programs."""
    if given := os.environ.get("MIMO_WEIGHTS"):
        return Path(given).expanduser()
    from platformdirs import user_data_path

    return user_data_path("mimo", appauthor=False) / "weights"


def places(*folders: Path) -> list[tuple[str, Path]]:
    """Return the folders that are searched, in order: name and path.

    Args:
        folders: those of the project.
    """
    return [*(("project", folder) for folder in folders), ("yours", user_folder())]


def look(name: str, *folders: Path) -> Found | None:
    """Find weights, or None.

    Args:
        name: of the table; or of a folder of the person's own, or its path.
        folders: folders of weights to search first: the project's.
    """
    if name not in known():
        return _own(name, folders)
    weights = known()[name]
    for place, folder in places(*folders):
        for inside in (folder / name, folder) if weights.loose else (folder / name,):
            if files := _complete(weights, inside):
                return Found(name, inside, files, place)
    for snapshot in _snapshots(weights):
        if files := _complete(weights, snapshot):
            return Found(name, snapshot, files, "hub cache")
    return None


def find(name: str, *folders: Path) -> Found:
    """Find weights.

    Args:
        name: as in `look`.
        folders: as in `look`.

    Raises:
        MissingError: they are not here, or not all of them; says what to type.
    """
    found = look(name, *folders)
    if found is not None:
        return found
    if name not in known():
        searched = " and ".join(str(folder / name) for _, folder in places(*folders))
        raise MissingError(
            f"there are no weights {name}: neither a known name, nor files in {searched}.",
            fix=f"put the checkpoint there, or {nearest(name, known(), 'known names')}",
        )
    weights = known()[name]
    missing = [file.path for file in weights.files if not any(_file(f / name, file) for _, f in places(*folders))]
    searched = ", ".join(str(folder) for _, folder in places(*folders))
    raise MissingError(
        f"the weights {name} ({weights.about}) are not here: {', '.join(missing or ['some files'])} not in "
        f"{searched}" + (", nor in the Hugging Face cache." if weights.repo else "."),
        fix=how_to_get(weights),
    )


def how_to_get(weights: Weights) -> str:
    """Return what to type, or to do, to get weights."""
    if weights.by_hand:
        return weights.by_hand.format(folder=user_folder() / weights.name)
    return f"mimo weights pull {weights.name}"


def _complete(weights: Weights, folder: Path) -> tuple[Path, ...] | None:
    files = [_file(folder, file) for file in weights.files]
    there = tuple(file for file in files if file is not None)
    return there if len(there) == len(files) else None


def _file(folder: Path, file: WeightsFile) -> Path | None:
    return next((folder / path for path in (file.path, *file.also) if (folder / path).is_file()), None)


def _snapshots(weights: Weights) -> list[Path]:
    """Return what the hub's cache holds of a repository: what it calls "main" first, then the youngest."""
    if not weights.repo:
        return []
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{weights.repo.replace('/', '--')}"
    main = folder / "refs" / "main"
    named = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    there = [path for path in (folder / "snapshots").glob("*") if path.is_dir()]
    return sorted(there, key=lambda path: (path.name != named, -path.stat().st_mtime_ns))


def _own(name: str, folders: tuple[Path, ...]) -> Found | None:
    candidates = [(place, folder / name) for place, folder in places(*folders)]
    if os.sep in name or "/" in name:
        candidates = [("path", Path(name).expanduser())]
    for place, named in candidates:
        folder = named / "network" if (named / "network").is_dir() else named
        if folder.is_dir():
            files = tuple(path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES and path.is_file())
            if files:
                return Found(name, folder, files, place)
    return None
