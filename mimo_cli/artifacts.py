"""Slots: the places in a project folder where a stage, or a person, puts a file."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from engine.errors import InputError, UsageError

FOLDER = "/"
"""Stands among the suffixes for a folder of numbered pictures named as the stem."""

VIDEO_SUFFIXES = (".mkv", ".mov", ".mp4", ".m4v", ".avi", ".webm", ".gif", ".apng", ".webp", FOLDER)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")


@dataclass(frozen=True)
class Slot:
    """A place for one artifact: a stem, and the forms it may take.

    `check(path, others)` is the check at the door. It runs on files that are not ours, before any work; `others`
    holds the files of the slots of `check_with`. It raises InputError with both numbers and a fix.
    """

    stem: str
    """Path in the project without suffix, with "/" between folders: "layers/human.mask", "identity/{name}/cutout"."""
    suffixes: tuple[str, ...]
    """Accepted forms; the first is the one we write. `FOLDER` stands for a folder of pictures."""
    check: Callable[[Path, Mapping["Slot", Path]], None] | None = None
    check_with: tuple["Slot", ...] = ()
    source: str = ""
    """Name of a source in project.toml: the file stays where it is, outside the project, and no stage writes it."""
    result: bool = False
    """What the person came for: `mimo clean` keeps it."""

    def __post_init__(self) -> None:
        assert self.suffixes and not self.stem.startswith(("/", ".")), self
        assert "{name}" in self.stem or "{" not in self.stem, self.stem

    @property
    def is_template(self) -> bool:
        """True while the name of an identity is still to be filled in."""
        return "{name}" in self.stem

    def bind(self, name: str) -> "Slot":
        """Return the slot of one identity."""
        return replace(self, stem=self.stem.replace("{name}", name)) if self.is_template else self

    def candidates(self, root: Path) -> list[Path]:
        """Return every file or folder in the project that could fill the slot, in order of name."""
        folder, base = root / PurePosixPath(self.stem).parent, PurePosixPath(self.stem).name
        if not folder.is_dir():
            return []
        found = []
        for path in folder.iterdir():
            if path.name == base:
                if FOLDER in self.suffixes and path.is_dir():
                    found.append(path)
            elif path.name.startswith(base) and path.name[len(base) :].lower() in self.suffixes and not path.is_dir():
                found.append(path)
        return sorted(found)

    def candidate(self, root: Path, file: str) -> Path:
        """Return where a file of this name fills the slot."""
        return root / PurePosixPath(self.stem).parent / file

    def place(self, root: Path, suffix: str | None = None) -> Path:
        """Return where the file of a given form lies (by default the form we write)."""
        suffix = self.suffixes[0] if suffix is None else suffix
        assert suffix in self.suffixes, f"{self.stem} does not come as {suffix}"
        return root / PurePosixPath(self.stem + ("" if suffix == FOLDER else suffix))


def video_slot(stem: str, **more) -> Slot:
    """Return a slot for a lossless video: our .mkv, any file ffmpeg reads, or a folder of PNG."""
    return Slot(stem, VIDEO_SUFFIXES, **more)


def picture_slot(stem: str, **more) -> Slot:
    """Return a slot for one picture: our .png, or any other picture file."""
    return Slot(stem, PICTURE_SUFFIXES, **more)


def data_slot(stem: str, *suffixes: str, **more) -> Slot:
    """Return a slot for a file of values (.csv, .toml, .bvh, .npz); the first suffix is the one we write."""
    return Slot(stem, suffixes, **more)


def source_slot(name: str, stem: str | None = None, **more) -> Slot:
    """Return the slot of a file that stays outside the project and is named in project.toml under [source]."""
    return Slot(stem or f"source/{name}", ("",), source=name, **more)


def check_columns(*columns: str) -> Callable[[Path, Mapping[Slot, Path]], None]:
    """Return a check at the door for a .csv: it must have these columns in its first line."""

    def check(path: Path, others: Mapping[Slot, Path]) -> None:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            names = [name.strip() for name in stream.readline().strip().split(",")]
        missing = [column for column in columns if column not in names]
        if missing:
            raise InputError(
                f"{path} has no column {missing[0]}; its columns are {', '.join(names)}.",
                fix=f"its first line must be: {','.join(columns)}  (or delete the file and mimo makes it again)",
            )

    return check


def check_name(name: str) -> str:
    """Return the name of an identity if it can be the name of a folder anywhere.

    Raises:
        UsageError: it is empty, hidden, or has signs that some system refuses.
    """
    if not re.fullmatch(r"[^\W_][\w .+-]*", name) or name.endswith((".", " ")) or len(name) > 64:
        raise UsageError(
            f'"{name}" cannot be the name of an identity.', fix="use letters, digits, - and _, e.g. --name cat"
        )
    return name
