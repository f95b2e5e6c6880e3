"""The plan: which stages have to run for a wish, and the reason for each."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.config import to_table
from engine.errors import InputError, MimoError, MissingError
from mimo_cli.artifacts import Slot
from mimo_cli.licences import parts_of
from mimo_cli.stage import Stage, order
from mimo_cli.store import Found as FoundFile
from mimo_cli.store import Store

if TYPE_CHECKING:
    from engine.weights import Found

_YOURS = "yours:"


@dataclass(frozen=True)
class Step:
    """What will happen to one stage, and why."""

    stage: Stage
    action: Literal["fresh", "run", "yours", "blocked"]
    """fresh: nothing to do; run: will run; blocked: cannot run; yours: not run, what is wanted is the person's."""
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    key: str | None = None
    """The key, where all inputs are known already."""
    inputs: Mapping[str, str] | None = None

    @property
    def reason(self) -> str:
        """The reasons in one line."""
        return ", ".join(self.reasons)

    def line(self, width: int = 0) -> str:
        """Return the step as the plan prints it, the name padded to `width`."""
        says = {"fresh": "up to date", "run": "will run", "yours": "yours", "blocked": "cannot run"}[self.action]
        return f"{self.stage.id:<{width}}  {says:<10}  {self.reason}".rstrip()


class Planner:
    """Looks at a store and decides; writes nothing."""

    def __init__(
        self,
        store: Store,
        stages: Iterable[Stage],
        params: Callable[[Stage], Any],
        weights: Callable[[str], str],
        redo: Collection[str] = (),
        find_weights: "Callable[[str], Found] | None" = None,
    ) -> None:
        """Make a planner.

        Args:
            store: the project folder.
            stages: the map, bound to the identities in question.
            params: gives the resolved settings of a stage.
            weights: gives the sha256 of a network by name.
            redo: names or ids of stages that run as if their key had changed.
            find_weights: gives the place of a network by name; None looks where every mimo looks.
        """
        self.store, self.stages, self.params, self.weights = store, tuple(stages), params, weights
        self.redo, self.find_weights = frozenset(redo), find_weights
        assert not any(stage.is_template for stage in self.stages), "bind the stages to an identity first"
        self._writers = {stage.at(slot).stem: stage for stage in self.stages for slot in stage.writes}
        self._checked: set[tuple] = set()

    def writer(self, slot: Slot) -> Stage | None:
        """Return the stage that writes a slot, None for what only a person brings."""
        return self._writers.get(slot.stem)

    def find(self, slot: Slot) -> FoundFile | None:
        """Return the file in a slot and whose it is."""
        writer = self.writer(slot)
        return self.store.find(slot, writer.id if writer else None)

    def needed(self, goals: Iterable[Slot]) -> list[Stage]:
        """Return the stages behind some slots, in order. What is behind a person's file is not needed for it."""
        wanted, asides = self._behind(goals)
        return [stage for stage in wanted if stage not in asides]

    def credits(self, stage: Stage) -> tuple[str, ...]:
        """Return what the outputs of a stage tell that they are made with, as "part (licence)"; most tell nothing."""
        if not stage.credits:
            return ()
        behind = [*self.needed(stage.at(slot) for slot in stage.reads), stage]
        parts = [part for one in behind for part in parts_of(one.name, one.needs(self.params(one)))]
        return tuple(dict.fromkeys(f"{part.name} ({part.licence})" for part in parts))

    def plan(self, goals: Iterable[Slot]) -> list[Step]:
        """Decide for every stage that `goals` need, in the order in which they run.

        Raises:
            InputError: a file that only a person can bring is missing; two files claim one slot; a file of the person's
                does not fit (the check at the door).
        """
        pending: dict[str, Stage] = {}
        steps = []
        wanted, asides = self._behind(goals)
        for stage in wanted:
            step = self._aside(stage) if stage in asides else self.decide(stage, pending)
            steps.append(step)
            if step.action == "run":
                self.check_doors(stage, pending)
                pending |= self._will_write(stage)
        return steps

    def survey(self) -> list[Step]:
        """Decide for every stage of the map, also for those that cannot run now (`mimo status`)."""
        pending: dict[str, Stage] = {}
        steps = []
        for stage in order(self.stages, self.writer):
            try:
                step = self.decide(stage, pending)
            except MimoError as error:
                step = Step(stage, "blocked", (error.what.rstrip("."),))
            steps.append(step)
            if step.action in ("run", "blocked"):
                pending |= self._will_write(stage)
        return steps

    def decide(self, stage: Stage, pending: Mapping[str, Stage]) -> Step:
        """Decide for one stage.

        Args:
            stage: a bound stage.
            pending: stems that earlier stages of the plan will write, to those stages.
        """
        if self._all_yours(stage):
            return self._aside(stage)
        record = self.store.record(stage.id)
        waits = list(dict.fromkeys(pending[s.stem].id for s in self._reads(stage) if s.stem in pending))
        inputs = self._inputs(stage, pending)
        params = self.params(stage)
        weights, missing = self._weights_of(stage, params, record)
        credits = self.credits(stage)
        key = None if waits else stage.key(params, inputs, weights, credits)
        reasons = self._reasons(stage, record, inputs, to_table(params), weights)
        if record and tuple(record.get("credits", ())) != credits and not reasons:
            reasons.append("it is made with other parts")
        if record and not reasons and not waits and record["key"] != key:
            reasons.append("mimo keeps its books in a new way")
        if waits:
            reasons.append(f"after {', '.join(waits)}")
        elif record is None:
            reasons.insert(0, f"identity/{stage.identity}: first run" if stage.identity else "first run")
        if reasons and missing is not None:
            raise missing
        if not reasons:
            return Step(stage, "fresh", (), (), key, inputs)
        stale = record is not None and (bool(waits) or record["key"] != key)
        return Step(stage, "run", tuple(reasons), self._stale_edits(stage) if stale else (), key, inputs)

    def check_doors(self, stage: Stage, pending: Mapping[str, Stage]) -> None:
        """Check the person's files that a stage reads, as far as what they are compared with is known.

        Raises:
            InputError: a file does not fit.
        """
        for slot in self._reads(stage):
            found = self.find(slot)
            if slot.check is None or found is None or found.is_ours:
                continue
            beside = {stage.at(other): self.find(stage.at(other)) for other in slot.check_with}
            if any(other.stem in pending or there is None for other, there in beside.items()):
                continue  # checked again when they are made, before the stage runs
            seen = (slot.stem, found.sha256, tuple(there.sha256 for there in beside.values() if there))
            if seen not in self._checked:
                slot.check(found.path, {slot: there.path for slot, there in beside.items() if there})
                self._checked.add(seen)

    # ------------------------------------------------------------------------------------------ inside

    def _reads(self, stage: Stage) -> list[Slot]:
        return [stage.at(slot) for slot in (*stage.reads, *stage.optional)]

    def _behind(self, goals: Iterable[Slot]) -> tuple[list[Stage], list[Stage]]:
        """Return the stages that matter to some slots, in order, and those that a person's file stands in for."""
        wanted: list[Stage] = []
        asides: list[Stage] = []

        def want(slot: Slot) -> None:
            stage = self.writer(slot)
            if stage is None or stage in wanted:
                return
            found = self.find(slot)
            redone = self._is_redone(stage) and not self._all_yours(stage)
            if found is not None and not found.is_ours and not redone:
                asides.append(stage)
                return
            wanted.append(stage)
            for read in stage.reads:
                want(stage.at(read))

        for goal in goals:
            want(goal)
        ordered = [stage for stage in order(self.stages, self.writer) if stage in wanted or stage in asides]
        return ordered, [stage for stage in asides if stage not in wanted]

    def _aside(self, stage: Stage) -> Step:
        """Return the step of a stage that is not run because what is wanted of it is the person's."""
        theirs = [there for slot in stage.writes if (there := self.find(stage.at(slot))) and not there.is_ours]
        names = [self.store.name(there.path) for there in theirs]
        record = self.store.record(stage.id)
        warnings: tuple[str, ...] = ()
        if record and all(self.find(stage.at(slot)) for slot in stage.reads):
            weights, _ = self._weights_of(stage, self.params(stage), record)
            key = stage.key(self.params(stage), self._inputs(stage, {}), weights, self.credits(stage))
            warnings = self._stale_edits(stage) if key != record["key"] else ()
        return Step(stage, "yours", (f"{_and(names)} {'is' if len(names) == 1 else 'are'} yours",), warnings)

    def _will_write(self, stage: Stage) -> dict[str, Stage]:
        """Return the stems that change when a stage runs: all but those a person's file holds."""
        slots = [stage.at(slot) for slot in stage.writes]
        return {slot.stem: stage for slot in slots if (found := self.find(slot)) is None or found.is_ours}

    def _is_redone(self, stage: Stage) -> bool:
        return stage.id in self.redo or stage.name in self.redo

    def _all_yours(self, stage: Stage) -> bool:
        found = [self.find(stage.at(slot)) for slot in stage.writes]
        return all(there is not None and not there.is_ours for there in found)

    def _inputs(self, stage: Stage, pending: Mapping[str, Stage]) -> dict[str, str]:
        """Return stem to digest of every input that is known by now."""
        inputs = {}
        for slot in self._reads(stage):
            if slot.stem in pending:
                continue
            found = self.find(slot)
            if found is not None:
                is_replaced = self.writer(slot) is not None and not found.is_ours
                inputs[slot.stem] = (_YOURS if is_replaced else "") + found.sha256
            elif slot in map(stage.at, stage.reads):
                raise _missing(slot, self.store)
        return inputs

    def _weights_of(self, stage: Stage, params: Any, record: dict | None) -> tuple[dict[str, str], MissingError | None]:
        """Return the sha256 of every network of a stage. One that is gone counts as the one the record tells of, so
        that what was made with it stays; the error is for the case that the stage has to run again."""
        digests: dict[str, str] = {}
        missing = None
        for name in stage.needs(params):
            try:
                digests[name] = self.weights(name)
            except MissingError as error:
                missing = missing or error
                digests[name] = (record or {}).get("weights", {}).get(name, "")
        return digests, missing

    def _reasons(self, stage: Stage, record: dict | None, inputs: dict, params: dict, weights: dict) -> list[str]:
        reasons = ["--redo"] if self._is_redone(stage) else []
        if record is None:
            return reasons
        if record["version"] != stage.version:
            reasons.append(f"mimo does it in a new way (version {record['version']} → {stage.version})")
        for name in sorted(params.keys() | record["params"].keys()):
            old, new = record["params"].get(name, "none"), params.get(name, "none")
            if old != new:
                reasons.append(f"{stage.name}.{name} {_show(old)} → {_show(new)}")
        for slot in self._reads(stage):
            old, new = record["inputs"].get(slot.stem), inputs.get(slot.stem)
            if old != new and (new is not None or self.find(slot) is None):
                reasons.append(self._changed(slot, old, new))
        reasons += [f"network {name} changed" for name in weights if record["weights"].get(name) != weights[name]]
        for slot in map(stage.at, stage.writes):
            if self.find(slot) is None:
                reasons.append(f"{slot.stem} is missing")
        return reasons

    def _changed(self, slot: Slot, old: str | None, new: str | None) -> str:
        found = self.find(slot)
        if found is None or new is None:
            return f"{slot.stem} is gone"
        if new.startswith(_YOURS):
            return f"{slot.stem} is yours"
        if old is not None and old.startswith(_YOURS):
            return f"{slot.stem} is mimo's again"
        return f"{self.store.name(found.path)} {'is new' if old is None else 'changed'}"

    def _stale_edits(self, stage: Stage) -> tuple[str, ...]:
        edits = [there for slot in stage.writes if (there := self.find(stage.at(slot))) and there.state == "edited"]
        return tuple(
            f"{self.store.name(there.path)} is yours and older than its inputs; delete it to have it made again"
            for there in edits
        )


def _missing(slot: Slot, store: Store) -> InputError:
    if slot.source and slot.source in store.sources:
        return InputError(
            f"{store.sources[slot.source]} is not there.",
            fix=f"put it back, or write its new place into {store.root / 'project.toml'}: {slot.source} = ...",
        )
    if slot.source:
        return InputError(
            f"the project has no {slot.source}.", fix=f"name one: {slot.source} = ... under [source] in project.toml"
        )
    path: Path = slot.place(store.root)
    return InputError(f"{store.name(path)} is missing, and mimo cannot make it.", fix=f"put a file there: {path}")


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _show(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
