"""A project: the folder a person sees, its project.toml, and the way from a wish to a run."""

import dataclasses
import os
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import from_table, nearest
from engine.errors import InputError, RecipeError, UsageError
from mimo_cli import console, disk
from mimo_cli.artifacts import Slot, check_name
from mimo_cli.plan import Planner, Step
from mimo_cli.runner import run
from mimo_cli.settings import FILE, check_tables, first_text, first_there, read_settings, set_line, source_value
from mimo_cli.stage import Stage
from mimo_cli.store import Store

if TYPE_CHECKING:
    from engine.weights import Found

WEIGHTS = "weights"
"""Folder of a project for weights that it alone uses."""

Overrides = Mapping[str, Mapping[str, Any]]
"""Stage name to setting to value, as said on the command line; they win over project.toml."""


class Project:
    """An open project folder."""

    def __init__(
        self,
        root: Path,
        stages: Iterable[Stage],
        settings: Mapping[str, Any],
        *,
        weights: Callable[[str], str] | None = None,
        verify: bool = False,
    ) -> None:
        """Use `Project.open` or `Project.create`.

        Raises:
            RecipeError: project.toml has a table or a key that means nothing, or a value that cannot be.
        """
        self.root = root.resolve()
        self.stages = tuple(stages)
        self.settings = settings
        self._weights = weights or self._weights_digest
        check_tables(settings, *_names(self.stages))
        self.sources = {name: first_there(self.root, value) for name, value in settings.get("source", {}).items()}
        self.store = Store(self.root, self.sources, verify=verify)
        console.current().project = self.root
        try:
            for stage in self.stages:
                self.params(stage)
        except RecipeError as error:
            raise RecipeError(error.what, fix=f"{error.fix.rstrip('.')} (in {self.root / FILE})") from error

    @classmethod
    def open(cls, folder: Path, stages: Iterable[Stage] | None = None, **more: Any) -> "Project":
        """Open an existing project.

        Args:
            folder: the project folder.
            stages: the stage map; by default the one of `mimo_cli.stages` that fits the sources in project.toml.
            more: `weights` (name to sha256) and `verify` (read every file again).

        Raises:
            InputError: there is no such project, it was made by a newer mimo, or its project.toml is broken.
        """
        settings = read_settings(folder)
        return cls(folder, _stages(stages, settings), settings, **more)

    @classmethod
    def create(
        cls,
        folder: Path,
        sources: Mapping[str, Path],
        params: Overrides | None = None,
        stages: Iterable[Stage] | None = None,
        **more: Any,
    ) -> "Project":
        """Make a project folder with its project.toml, or open the one that is there.

        Args:
            folder: the project folder; its parents are made too.
            sources: name ("video") to a file outside the project.
            params: values for the new project.toml.
            stages: the stage map; `mimo_cli.stages.STAGES` by default.
            more: as in `open`.

        Raises:
            InputError: a source is missing, the folder cannot be written or holds something else, or it is a project of
                other sources.
        """
        stages = _stages(stages, {"source": sources})
        for path in sources.values():
            if not path.exists():
                raise InputError(f"{path} is not there.", fix="check the name; ls shows what is in a folder.")
        if (folder / FILE).exists():
            project = cls.open(folder, stages, **more)
            project._add_sources(sources)
            return cls.open(folder, stages, **more) if sources else project
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file, not a project folder.", fix="name another folder with --project")
        if folder.is_dir() and any(not path.name.startswith((".", FILE)) for path in folder.iterdir()):
            raise InputError(f"{folder} is a folder with other things in it.", fix="name a new folder with --project")
        with disk.plain_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            disk.write_text(folder / FILE, first_text(folder.resolve(), sources, params or {}, _configurable(stages)))
        return cls.open(folder, stages, **more)

    # ------------------------------------------------------------------------------------------ identities

    def identities(self) -> list[str]:
        """Return the names of the identities: the folders in identity/."""
        return known_identities(self.root)

    def put(self, slot: Slot, file: Path, name: str = "") -> Path:
        """Copy a person's file into a slot (a picture to `identity/cat/reference`); what was there goes to the trash.

        Nothing happens when the same bytes lie there already.

        Args:
            slot: a slot, bound or not.
            file: the person's file.
            name: the identity, where the slot is one of an identity.
        """
        slot = slot.bind(check_name(name)) if slot.is_template else slot
        if not file.exists():
            raise InputError(f"{file} is not there.", fix="check the name; ls shows what is in a folder.")
        suffix = "/" if file.is_dir() else file.suffix.lower()
        if suffix not in slot.suffixes:
            forms = ", ".join(form for form in slot.suffixes if form != "/")
            raise InputError(f"{file} cannot be used as {slot.stem}.", fix=f"give one of these: {forms}")
        with self.store.locked(lambda: console.current().waiting(self.root)):
            there = self.store.find(slot)
            if there is not None and there.sha256 == self.store.digest(file):
                return there.path
            return self.store.put(slot, file)

    # ------------------------------------------------------------------------------------------ settings

    def params(self, stage: Stage, overrides: Overrides | None = None) -> Any:
        """Return the settings of a stage: its defaults, then project.toml, then `overrides`; "auto" is resolved.

        Raises:
            RecipeError: a key or a value that cannot be.
        """
        values = {**self.settings.get(stage.name, {}), **(overrides or {}).get(stage.name, {})}
        return stage.resolve(from_table(stage.params, values, table=stage.name))

    def set_params(self, values: Overrides, *, keep: bool = True) -> None:
        """Take over values the person typed on the command line.

        Args:
            values: stage name to setting to value; values that are there already change nothing.
            keep: write them into project.toml, line by line; the rest stays as it is.

        Raises:
            RecipeError: a key or a value that cannot be; nothing is written then.
        """
        for stage in self.stages:
            self.params(stage, values)
        tables = {
            table: {k: v for k, v in new.items() if self.settings.get(table, {}).get(k) != v}
            for table, new in values.items()
        }
        if any(tables.values()):
            self._rewrite(tables, keep=keep)

    # ------------------------------------------------------------------------------------------ plans and runs

    def planner(
        self, identities: Iterable[str] = (), overrides: Overrides | None = None, redo: Collection[str] = ()
    ) -> Planner:
        """Return a planner for the stages that are the same for all, and those of some identities.

        Raises:
            UsageError: `redo` names no stage.
        """
        names = {name for stage in self.stages for name in (stage.name, *(f"{stage.name}@{who}" for who in identities))}
        for word in redo:
            if word not in names:
                known = [stage.name for stage in self.stages]
                raise UsageError(f"--redo {word}: there is no such stage.", fix=nearest(word, known, "stages"))
        bound = [s.bind(check_name(who)) for s in self.stages for who in (identities if s.is_template else ("all",))]
        params = partial(self.params, overrides=overrides)
        return Planner(self.store, bound, params, self._weights, redo, self.find_weights)

    def run(
        self,
        goals: Iterable[Slot],
        *,
        identity: str = "",
        overrides: Overrides | None = None,
        redo: Collection[str] = (),
        dry_run: bool = False,
        workers: int = 1,
    ) -> dict[Slot, Path]:
        """Make some slots, running what has to run; print the plan only, if `dry_run`.

        Args:
            goals: slots as written in the map (unbound).
            identity: name filled in where slots are those of an identity.
            overrides: values from the command line.
            redo: stages to run as if their key had changed.
            dry_run: print the plan, write nothing.
            workers: stages that may run side by side.

        Returns:
            Each goal, as given, to its file; empty after a dry run.
        """
        goals = tuple(goals)
        planner = self.planner([identity] if identity else [], overrides, redo)
        bound = {goal: goal.bind(identity) for goal in goals}
        listener = console.current()
        if dry_run:
            listener.planned(planner.plan(bound.values()), dry_run=True)
            return {}
        made = run(planner, bound.values(), listener, workers=workers)
        return {goal: made[slot] for goal, slot in bound.items()}

    def status(self) -> list[Step]:
        """Return every stage, for every identity, with its state and the reason."""
        return self.planner(self.identities()).survey()

    def _weights_digest(self, name: str) -> str:
        from engine.weights import sha256_of

        return sha256_of(name, self.root / WEIGHTS)

    def find_weights(self, name: str) -> "Found":
        """Return where weights are: in the project's own folder, or where every mimo looks."""
        from engine.weights import find

        return find(name, self.root / WEIGHTS)

    # ------------------------------------------------------------------------------------------ project.toml

    def _add_sources(self, sources: Mapping[str, Path]) -> None:
        new = {}
        for name, path in sources.items():
            known = self.sources.get(name)
            if known is None:
                new[name] = source_value(self.root, path)
            elif not (known.exists() and os.path.samefile(known, path)):
                if known.exists() and disk.digest(known) == disk.digest(path):
                    continue
                if name == "scene":  # what stands behind is changed like a setting; the motion stays
                    new[name] = source_value(self.root, path)
                    continue
                raise InputError(
                    f"{self.root} is a project of {known}, not of {path}.",
                    fix=f"name another folder with --project, or write the new {name} into {self.root / FILE}",
                )
        if new:
            self._rewrite({"source": new})

    def _rewrite(self, tables: Mapping[str, Mapping[str, Any]], *, keep: bool = True) -> None:
        path = self.root / FILE
        text = path.read_text(encoding="utf-8")
        for table, values in tables.items():
            for key, value in values.items():
                text = set_line(text, table, key, value)
        self.settings = tomllib.loads(text)
        if keep:
            with disk.plain_errors(self.root):
                disk.write_text(path, text)


def known_identities(root: Path) -> list[str]:
    """Return the names of the identities of a project: the folders in identity/; none where nothing is there yet."""
    folder = root / "identity"
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "~")))


def default_folder(video: Path) -> Path:
    """Return where the project of a video goes if nobody says otherwise: `<stem>.mimo` in the working directory."""
    return Path(f"{video.stem}.mimo")


def find_folder(given: Path | None, option: str = "") -> Path:
    """Return the project folder: the one given, else the working directory, else the only .mimo folder in it.

    Args:
        given: as it was typed.
        option: "--project " where it is typed after that.

    Raises:
        UsageError: none was given and none is here, or several are.
    """
    if given is not None:
        return given.parent if given.name == FILE else given
    if Path(FILE).is_file():
        return Path()
    here = sorted(path.parent for path in Path().glob(f"*.mimo/{FILE}"))
    if len(here) == 1:
        return here[0]
    if here:
        names = ", ".join(map(str, here))
        raise UsageError(f"which project? Here are {names}.", fix=f"name one: {option}{here[0]}")
    raise UsageError("there is no project here.", fix=f"name one ({option}FOLDER), or make one: mimo decompose VIDEO")


def _names(stages: tuple[Stage, ...]) -> tuple[list[str], list[str]]:
    """Return the names of all stages, and of all sources that they read."""
    slots = [slot for stage in stages for slot in (*stage.reads, *stage.optional)]
    return [stage.name for stage in stages], sorted({slot.source for slot in slots if slot.source})


def _configurable(stages: tuple[Stage, ...]) -> list[str]:
    return [stage.name for stage in stages if dataclasses.fields(stage.params)]


def _stages(stages: Iterable[Stage] | None, settings: Mapping[str, Any]) -> tuple[Stage, ...]:
    if stages is None:
        from mimo_cli.stages import stages_of  # the map imports the engine: late

        return stages_of(settings)
    return tuple(stages)
