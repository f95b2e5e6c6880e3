"""What a stage is: the slots it reads and writes, its settings, its version, and the key that all of them make."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import to_table
from engine.types import Chunks, Progress, quiet
from mimo_cli import disk
from mimo_cli.artifacts import Slot

if TYPE_CHECKING:
    from engine.weights import Found

KEY_SCHEMA = 1
"""Raise it when the meaning of a key changes: every stage then runs once more."""


@dataclass(frozen=True)
class NoParams:
    """Settings of a stage that has none."""


def _as_written(params: Any) -> Any:
    return params


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the walk, declared once in `mimo_cli/stages.py`.

    Where a slot has {name} in it, the stage is a template; `bind("cat")` makes it the stage of one identity.
    """

    name: str
    """As in `mimo status`, in project.toml and in stages/: "segment"."""
    version: int
    """Raised by hand whenever an output means something new; a golden fails if that was forgotten."""
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    run: Callable[["Job"], None]
    about: str
    """What it does, in a few words, for the progress bar: "cut the person out"."""
    params: type = NoParams
    """Frozen dataclass; every field is part of the key, and of project.toml under [name]."""
    optional: tuple[Slot, ...] = ()
    """Read where they exist; their writer is not asked to make them."""
    weights: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = ()
    """Names in engine/weights, or what gives them for resolved params; their sha256 is part of the key."""
    resolve: Callable[[Any], Any] = _as_written
    """Turns params as written into params as used, e.g. backend "auto" into what this machine has, before the key."""
    credits: bool = False
    """Its outputs tell what they are made with: the parts of all stages behind them are part of the key."""
    identity: str = ""

    @property
    def id(self) -> str:
        """Name of the record: "segment", "encode-id@cat"."""
        return f"{self.name}@{self.identity}" if self.identity else self.name

    @property
    def is_template(self) -> bool:
        """True while the name of an identity is still to be filled in."""
        return not self.identity and any(slot.is_template for slot in (*self.reads, *self.optional, *self.writes))

    def bind(self, name: str) -> "Stage":
        """Return the stage of one identity; a stage that is the same for all identities stays as it is."""
        return replace(self, identity=name) if self.is_template else self

    def at(self, slot: Slot) -> Slot:
        """Return a declared slot with the identity filled in."""
        return slot.bind(self.identity) if self.identity else slot

    def needs(self, params: Any) -> tuple[str, ...]:
        """Return the names of the weights that a run with these resolved params uses."""
        return self.weights(params) if callable(self.weights) else self.weights

    def key(
        self, params: object, inputs: Mapping[str, str], weights: Mapping[str, str], credits: Sequence[str] = ()
    ) -> str:
        """Return the key: what the outputs depend on, in 64 hexadecimal digits.

        Args:
            params: an instance of `self.params`, resolved.
            inputs: stem of each input there is, to its digest ("yours:" before it where a person's file took the place
                of ours, since such a file is read with more care and may give other bytes).
            weights: name to sha256.
            credits: what its outputs tell that they are made with.
        """
        parts = [KEY_SCHEMA, self.name, self.version, to_table(params), dict(inputs), dict(weights), *credits]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


class FolderChunks:
    """`Chunks` in a stage's work folder: a chunk is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> Path | None:
        """Return the folder of a finished chunk, or None."""
        path = self._folder / name
        return path if path.is_dir() else None

    @contextmanager
    def make(self, name: str) -> Iterator[Path]:
        """Give an empty folder; when the block ends well it is fsynced and becomes the finished chunk."""
        assert Path(name).name == name and not name.endswith(".part") and not name.startswith("~"), name
        part = self._folder / f"{name}.part"
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(parents=True)
        yield part
        disk.sync(part)
        done = self._folder / name
        if done.exists():
            disk.remove(done)
        os.rename(part, done)
        disk.sync_folder(self._folder)


def _find_weights(name: str) -> "Found":
    from engine.weights import find

    return find(name)


class Job:
    """All that a running stage can see: its inputs, where to write, its settings. Not the project, not the shell."""

    def __init__(
        self,
        stage: Stage,
        params: Any,
        inputs: Mapping[Slot, Path],
        ours: Iterable[Slot],
        work: Path,
        *,
        credits: Sequence[str] = (),
        find_weights: "Callable[[str], Found]" = _find_weights,
        progress: Progress = quiet,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Make the job of one run.

        Args:
            stage: the bound stage.
            params: its settings.
            inputs: declared slot, as written in the stage (unbound), to file.
            ours: those of them that mimo wrote.
            work: the work folder with `outputs/` and `chunks/`.
            credits: what its outputs are made with, "part (licence)".
            find_weights: name of weights to where they are.
            progress: hears what is done.
            on_note: hears sentences for the person.
        """
        self.params = params
        self.credits = tuple(credits)
        self.inputs = dict(inputs)
        """Declared slot, as written in `reads` and `optional`, to its file; an optional one may be absent."""
        self.chunks: Chunks = FolderChunks(work / "chunks")
        self.facts: dict[str, Any] = {}
        """Measured things worth keeping; JSON values, written in the record and never part of a key."""
        self.notes: list[str] = []
        self.done, self.total = 0, 0
        self._stage, self._ours, self._folder = stage, frozenset(ours), work / "outputs"
        self._progress, self._on_note, self._find_weights = progress, on_note, find_weights
        self._outputs = {slot: stage.at(slot).place(self._folder) for slot in stage.writes}
        for path in self._outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def outputs(self) -> Mapping[Slot, Path]:
        """Declared slot to the path to write, in the form mimo writes."""
        return self._outputs

    def output(self, slot: Slot, suffix: str) -> Path:
        """Return the path to write for a slot in another of its forms: ".mov", or "/" for a folder of pictures."""
        path = self._stage.at(slot).place(self._folder, suffix)
        if suffix == "/":
            path.mkdir(exist_ok=True)
        return path

    @property
    def identity(self) -> str:
        """Name of the character, where the stage is that of one."""
        return self._stage.identity

    def ours(self, slot: Slot) -> bool:
        """True when mimo wrote this input; others are read with care (a mask of an editor is not 0 and 255)."""
        return slot in self._ours

    def weights(self, name: str) -> "Found":
        """Return where weights are that the stage declared; a MissingError says how to get them."""
        assert name in self._stage.needs(self.params), f"{self._stage.id} does not declare {name}"
        return self._find_weights(name)

    def progress(self, done: int, total: int) -> None:
        """Say how much of the work is done; a `Progress`."""
        self.done, self.total = done, total
        self._progress(done, total)

    def note(self, text: str) -> None:
        """Tell the person a sentence; it is kept in the record."""
        self.notes.append(text)
        self._on_note(text)

    def collect(self) -> dict[Slot, Path]:
        """Return the bound slot and the file of every promised output; a missing one is a bug of the stage."""
        found = {}
        for slot in self._stage.writes:
            candidates = self._stage.at(slot).candidates(self._folder)
            assert len(candidates) == 1, f"{self._stage.id} left {len(candidates)} files for {slot.stem}"
            found[self._stage.at(slot)] = candidates[0]
        return found


def check_map(stages: Iterable[Stage]) -> None:
    """Assert that a stage map can work: one writer per slot, no cycles, unique names and stems, frozen settings."""
    stages = tuple(stages)
    assert len({stage.name for stage in stages}) == len(stages), "two stages have one name"
    writer: dict[str, Stage] = {}
    forms: dict[str, Slot] = {}
    for stage in stages:
        assert stage.writes, f"{stage.name} writes nothing"
        for slot in stage.writes:
            assert not slot.source, f"{stage.name} writes {slot.stem}, a source"
            assert slot.stem not in writer, f"{slot.stem} is written by {stage.name} and {writer[slot.stem].name}"
            assert slot.is_template or not any(read.is_template for read in (*stage.reads, *stage.optional)), (
                f"{stage.name} writes {slot.stem} for all identities but reads from one"
            )
            writer[slot.stem] = stage
        for slot in (*stage.reads, *stage.optional, *stage.writes):
            assert forms.setdefault(slot.stem, slot) == slot, f"two slots have the stem {slot.stem}"
        frozen = getattr(getattr(stage.params, "__dataclass_params__", None), "frozen", False)
        assert frozen, f"the settings of {stage.name} are not a frozen dataclass"
    order(stages, lambda slot: writer.get(slot.stem))


def order(stages: Iterable[Stage], writer: Callable[[Slot], Stage | None]) -> list[Stage]:
    """Return stages so that each comes after the stages it reads from.

    Args:
        stages: bound or unbound, in the order in which ties are kept.
        writer: gives the stage that writes a slot, or None.
    """
    done: list[Stage] = []
    path: list[str] = []
    stages = tuple(stages)

    def visit(stage: Stage) -> None:
        if stage in done or stage not in stages:
            return
        assert stage.id not in path, f"a cycle: {' -> '.join([*path, stage.id])}"
        path.append(stage.id)
        for slot in (*stage.reads, *stage.optional):
            before = writer(stage.at(slot))
            if before is not None:
                visit(before)
        path.pop()
        done.append(stage)

    for stage in stages:
        visit(stage)
    return done
