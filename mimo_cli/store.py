"""The store: a project folder in which only a record makes a file done, and a person's file always wins.

Writing has two moments. *Prepared*: all outputs and the record lie fsynced in the work folder. *Committed*: outputs are
moved into place one by one, the record last. A kill before the first leaves unfinished work, whose finished chunks are
used again; a kill between the two is rolled forward at the next start.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import InputError
from mimo_cli import disk
from mimo_cli.artifacts import Slot
from mimo_cli.lock import locked

RECORD_SCHEMA = 1
"""Form of the records in stages/. A record with a higher number was written by a newer mimo and is refused."""

_RECORD = "stage.json"
_FORMS = "forms.json"
_COMMITTING = "committing"
_YOUNG_NS = (20_000_000, 2_000_000_000)
"""A file younger than this may change under the same time: two ticks of Linux' clock; FAT's, where times are round."""

State = Literal["missing", "yours", "edited", "ours"]


@dataclass(frozen=True)
class Found:
    """The file that fills a slot."""

    path: Path
    sha256: str
    state: Literal["yours", "edited", "ours"]

    @property
    def is_ours(self) -> bool:
        """True when the bytes are the ones mimo wrote."""
        return self.state == "ours"


class Store:
    """One project folder on disk: slots, records, work in progress, trash."""

    def __init__(self, root: Path, sources: Mapping[str, Path] | None = None, *, verify: bool = False) -> None:
        """Look at a folder; nothing is written.

        Args:
            root: the project folder; it must exist.
            sources: files outside the project, by the name their slots give.
            verify: read every file again instead of trusting size and time.
        """
        self.root = root.resolve()
        self.sources = dict(sources or {})
        self.verify = verify
        self.records_dir = self.root / "stages"
        self.private_dir = self.root / ".mimo"
        self.work_dir = self.private_dir / "work"
        self.trash_dir = self.private_dir / "trash"
        self._digests: dict[str, list] = self._load_digests()
        self._digests_changed = False
        self._prepared: dict[Path, str] = {}

    # ------------------------------------------------------------------------------------------ reading

    def digest(self, path: Path) -> str:
        """Return the sha256 of a file or picture folder; read only when its size, times or inode moved."""
        key, (mark, youngest) = str(path), disk.stamp(path)
        known = self._digests.get(key)
        coarse = youngest % 1_000_000 == 0
        if known and not self.verify and known[0] == mark and youngest + _YOUNG_NS[coarse] < known[2]:
            return known[1]
        now = time.time_ns()
        sha = disk.digest(path)
        self._digests[key] = [mark, sha, now]
        self._digests_changed = True
        return sha

    def record(self, stage_id: str) -> dict[str, Any] | None:
        """Return the record of a stage, None if it never finished.

        Raises:
            InputError: the record was written by a newer mimo, or cannot be read.
        """
        return self._read_record(self.records_dir / f"{stage_id}.json")

    def find(self, slot: Slot, writer: str | None = None) -> Found | None:
        """Return the file that fills a slot; where ours and the person's lie side by side, theirs.

        Args:
            slot: a bound slot.
            writer: id of the stage that writes the slot, if any does.

        Raises:
            InputError: two files of the person's claim the slot.
        """
        if slot.source:
            path = self.sources.get(slot.source)
            return Found(path, self.digest(path), "yours") if path is not None and path.exists() else None
        output = self._output(slot, writer)
        candidates = slot.candidates(self.root)
        mine = [path for path in candidates if output and self._is(path, output)]
        theirs = [path for path in candidates if path not in mine]
        if len(theirs) > 1:
            names = " and ".join(self.name(path) for path in theirs[:2])
            raise InputError(
                f"{names} both claim the same place.", fix=f"keep one: delete or move {self.name(theirs[1])}"
            )
        if theirs:
            return Found(theirs[0], self.digest(theirs[0]), "edited" if output else "yours")
        return Found(mine[0], self.digest(mine[0]), "ours") if mine else None

    def state(self, slot: Slot, writer: str | None = None) -> State:
        """Return in which of the states of a slot the file is; whether ours is stale is for the plan to say."""
        found = self.find(slot, writer)
        return "missing" if found is None else found.state

    def name(self, path: Path) -> str:
        """Return a path as a person reads it: relative to the project where it lies inside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    # ------------------------------------------------------------------------------------------ writing

    @contextmanager
    def locked(self, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the project for this process: make `.mimo/`, wait for other runs, finish what a killed run left.

        Raises:
            InputError: the folder cannot be written, or part of it is a link out of the project.
        """
        with ExitStack() as held:
            with disk.plain_errors(self.root):
                self._make_folder(self.work_dir)
                held.enter_context(locked(self.private_dir / "lock", on_wait))
                self._digests = self._load_digests()
                self.recover()
            try:
                yield
            finally:
                self._save_digests()

    def begin(self, stage_id: str, key: str, *, again: bool = False) -> Path:
        """Return the work folder of a stage, with `chunks/` of an earlier run of the same key and an empty `outputs/`.

        Args:
            stage_id: "segment", "encode-id@cat".
            key: the key of this run; work under another key is deleted.
            again: delete the chunks of the same key too (`--redo`).
        """
        work = self.work_dir / f"{stage_id}-{key[:16]}"
        for other in self._works():
            if other.name.rpartition("-")[0] == stage_id and (other != work or again):
                disk.remove(other)
        if work.exists():
            shutil.rmtree(work / "outputs", ignore_errors=True)
        self._make_folder(work / "outputs")
        self._make_folder(work / "chunks")
        return work

    def prepare(self, work: Path, record: dict[str, Any], outputs: Mapping[Slot, Path]) -> None:
        """Make a finished stage durable: fsync its outputs, hash them, and write the full record beside them.

        Args:
            work: what `begin` gave.
            record: everything but `schema`, `outputs` and `written_ns`.
            outputs: bound slot to the file in `work/outputs`.
        """
        described = {}
        for slot, path in outputs.items():
            disk.sync(path)
            self._prepared[path] = disk.digest(path)
            described[slot.stem] = {
                "file": path.name,
                "sha256": self._prepared[path],
                "size": disk.num_bytes(path),
                "mtime_ns": path.stat().st_mtime_ns,
            }
        disk.sync_folder(work / "outputs")
        disk.write_text(work / _FORMS, json.dumps({slot.stem: slot.suffixes for slot in outputs}))
        full = {"schema": RECORD_SCHEMA, **record, "outputs": described, "written_ns": time.time_ns()}
        disk.write_text(work / _RECORD, json.dumps(full, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def commit(self, work: Path) -> list[str]:
        """Move prepared outputs into place, the record last. Safe to repeat after a kill anywhere.

        Args:
            work: a work folder with a record.

        Returns:
            Stems where a person's file stayed and ours was dropped.
        """
        new = self._read_record(work / _RECORD)
        assert new is not None, work
        old = self.record(new["stage"]) or {"outputs": {}}
        (work / _COMMITTING).touch()
        kept = []
        forms = json.loads((work / _FORMS).read_text(encoding="utf-8"))
        for stem, output in new["outputs"].items():
            slot = Slot(stem, tuple(forms[stem]))
            source = slot.candidate(work / "outputs", output["file"])
            if not self._place(slot, output, old["outputs"].get(stem), source):
                kept.append(stem)
        self._make_folder(self.records_dir)
        os.replace(work / _RECORD, self.records_dir / f"{new['stage']}.json")
        disk.sync_folder(self.records_dir)
        disk.remove(work)
        return kept

    def recover(self) -> None:
        """Finish or sweep what a killed run left behind. Runs under the lock, before any plan."""
        for work in sorted(self.work_dir.iterdir()):
            if (work / _RECORD).exists() and not work.name.startswith("~"):
                self.commit(work)  # prepared: roll forward
            elif work.name.startswith("~") or (work / _COMMITTING).exists():
                disk.remove(work)  # half deleted, or committed and killed before the sweep
        if self.trash_dir.is_dir():
            for path in self.trash_dir.rglob("~*"):
                disk.remove(path)

    def set_aside(self, slot: Slot, writer: str | None) -> str | None:
        """Put our file into the trash where a person's file took its slot; returns a sentence when that happened."""
        output = self._output(slot, writer)
        candidates = slot.candidates(self.root) if output else []
        mine = [path for path in candidates if output and self._is(path, output)]
        if not mine or len(candidates) == len(mine):
            return None
        self.trash(mine[0])
        theirs = next(path for path in candidates if path not in mine)
        return f"{self.name(theirs)} is yours and is used; {self.name(mine[0])} went to .mimo/trash"

    def trash(self, path: Path) -> None:
        """Move a file or folder of the project to `.mimo/trash/`; what was kept there under its name is deleted."""
        kept = self.trash_dir / path.relative_to(self.root)
        self._make_folder(kept.parent)
        self._refuse_link(path.parent)
        if kept.exists() or kept.is_symlink():
            disk.remove(kept)
        os.replace(path, kept)

    def put(self, slot: Slot, source: Path) -> Path:
        """Copy a person's file into a slot, whole or not at all; what was there goes to the trash.

        Args:
            slot: a bound slot.
            source: a file of one of the slot's forms, or a folder of pictures.

        Returns:
            Where it lies in the project.
        """
        suffix = "/" if source.is_dir() else source.suffix.lower()
        target = slot.place(self.root, suffix)
        with disk.plain_errors(self.root, missing_bytes=disk.num_bytes(source)):
            self._make_folder(target.parent)
            part = self.private_dir / "put"
            self._make_folder(self.private_dir)
            disk.remove(part)
            if source.is_dir():
                shutil.copytree(source, part)
            else:
                shutil.copyfile(source, part)
            disk.sync(part)
            for old in slot.candidates(self.root):
                self.trash(old)
            os.replace(part, target)
            disk.sync_folder(target.parent)
        return target

    # ------------------------------------------------------------------------------------------ inside

    def _place(self, slot: Slot, output: dict, old: dict | None, source: Path) -> bool:
        """Put one prepared output in its slot; False when a person's file is there, which stays."""
        target = slot.candidate(self.root, output["file"])
        rivals = set(slot.candidates(self.root))
        mine = [path for path in rivals if self._is(path, output) or (old and self._is(path, old))]
        if len(mine) < len(rivals):
            disk.remove(source)  # edited, or brought, while we were at work: the person wins
            for path in mine:
                self.trash(path)
            return False
        if not source.exists():
            return True  # moved before the kill
        self._make_folder(target.parent)
        for path in mine:
            if path != target or path.is_dir() or not self._is(path, output):
                self.trash(path)  # os.replace alone would do for a file with equal bytes, never for a folder
        os.replace(source, target)
        disk.sync_folder(target.parent)
        if sha := self._prepared.pop(source, None):  # nobody but this run has had it in hand: no need to read it again
            mark, youngest = disk.stamp(target)
            self._digests[str(target)], self._digests_changed = [mark, sha, youngest + _YOUNG_NS[True] + 1], True
        return True

    def _output(self, slot: Slot, writer: str | None) -> dict | None:
        record = self.record(writer) if writer else None
        return record["outputs"].get(slot.stem) if record else None

    def _is(self, path: Path, output: dict) -> bool:
        """True when the file holds what the record says."""
        return self.digest(path) == output["sha256"]

    def _works(self) -> list[Path]:
        return sorted(path for path in self.work_dir.iterdir() if not path.name.startswith("~"))

    def _make_folder(self, folder: Path) -> None:
        self._refuse_link(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def _refuse_link(self, folder: Path) -> None:
        if not folder.resolve().is_relative_to(self.root):
            link = next(path for path in (folder, *folder.parents) if path.is_symlink())
            raise InputError(
                f"{self.name(link)} is a link to {link.resolve()}, outside the project; mimo does not write there.",
                fix=f"put a plain folder in its place: rm '{link}' && mkdir '{link}'",
            )

    def _read_record(self, path: Path) -> dict[str, Any] | None:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            schema = record["schema"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{self.name(path)} is not a record mimo can read.",
                fix=f"delete it; files it spoke of then count as yours: rm '{path}'",
            ) from error
        if not isinstance(schema, int) or schema > RECORD_SCHEMA:
            raise InputError(
                f"{self.name(path)} was written by a newer mimo (form {schema}; this one knows {RECORD_SCHEMA}).",
                fix="update mimo: git pull && pip install .   (in mimo's folder)",
            )
        return record

    def _load_digests(self) -> dict[str, list]:
        try:
            known = json.loads((self.private_dir / "digests.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}

    def _save_digests(self) -> None:
        """Write the cache of digests; it is a convenience, hence a disk that refuses it is no error."""
        if not self._digests_changed:
            return
        known = {path: entry for path, entry in sorted(self._digests.items()) if os.path.exists(path)}
        part = self.private_dir / "digests.json.part"
        try:
            part.write_text(json.dumps(known), encoding="utf-8")
            os.replace(part, self.private_dir / "digests.json")
        except OSError:
            part.unlink(missing_ok=True)
