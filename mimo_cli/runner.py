"""The runner: does what the plan says, one stage after the other, and looks again before each."""

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from engine.config import to_table
from mimo_cli import __version__, disk
from mimo_cli.artifacts import Slot
from mimo_cli.plan import Planner, Step
from mimo_cli.stage import Job, Stage
from mimo_cli.store import Store


class Listener(Protocol):
    """Hears what happens; `console.Console` is one."""

    def waiting(self, project: Path) -> None:
        """Another run holds the project."""

    def planned(self, steps: list[Step]) -> None:
        """The plan, before anything runs."""

    def warned(self, text: str) -> None:
        """Something the person should know."""

    def started(self, stage_id: str, about: str) -> None:
        """A stage begins."""

    def progressed(self, stage_id: str, done: int, total: int) -> None:
        """A stage got on."""

    def noted(self, stage_id: str, text: str) -> None:
        """A stage says a sentence."""

    def finished(self, stage_id: str, took_s: float) -> None:
        """A stage is committed."""

    def skipped(self, stage_id: str) -> None:
        """A stage that was planned turned out to be up to date: what it reads came out the same."""

    def failed(self, stage_id: str) -> None:
        """A stage ended in an error, which is on its way up."""


def run(planner: Planner, goals: Iterable[Slot], listener: Listener) -> dict[Slot, Path]:
    """Make some slots, running what has to run.

    Args:
        planner: of this store and these settings.
        goals: bound slots.
        listener: hears what happens.

    Returns:
        Each goal to its file.

    Raises:
        MimoError: what the person can solve, from a stage, a check at the door, or the disk.
    """
    goals, store = tuple(goals), planner.store
    with store.locked(lambda: listener.waiting(store.root)):
        for stage in planner.stages:
            for slot in map(stage.at, stage.writes):
                if said := store.set_aside(slot, stage.id):
                    listener.warned(said)
        steps = planner.plan(goals)
        listener.planned(steps)
        for warning in dict.fromkeys(warning for step in steps for warning in step.warnings):
            listener.warned(warning)
        for planned in steps:
            if planned.action == "yours":
                continue
            step = planner.decide(planned.stage, {})
            if step.action == "run":
                planner.check_doors(step.stage, {})
                _run_stage(planner, step, listener)
            elif planned.action == "run":
                listener.skipped(step.stage.id)
        results = {}
        for goal in goals:
            found = planner.find(goal)
            assert found is not None, f"{goal.stem} was not made"
            results[goal] = found.path
    return results


def _run_stage(planner: Planner, step: Step, listener: Listener) -> None:
    stage, store = step.stage, planner.store
    assert step.key is not None and step.inputs is not None
    params = planner.params(stage)
    inputs, ours = _inputs(planner, stage)
    started_s = time.monotonic()
    listener.started(stage.id, stage.about)
    job = None
    try:
        with disk.plain_errors(store.root):
            work = store.begin(stage.id, step.key, again="--redo" in step.reasons)
            job = Job(
                stage, params, inputs, ours, work,
                progress=lambda done, total: listener.progressed(stage.id, done, total),
                on_note=lambda text: listener.noted(stage.id, text),
            )  # fmt: skip
        _work(job, stage, store, work)
        outputs = job.collect()
        took_s = time.monotonic() - started_s
        with disk.plain_errors(store.root):
            store.prepare(work, _record(step, job, params, planner, took_s), outputs)
            kept = store.commit(work)
    except BaseException:
        listener.failed(stage.id)
        raise
    for stem in kept:
        if step.warnings == ():
            listener.noted(stage.id, f"{stem} is yours and stays")
    listener.finished(stage.id, took_s)


def _work(job: Job, stage: Stage, store: Store, work: Path) -> None:
    """Run the stage; if the disk says no, say how much room it would have taken."""
    try:
        stage.run(job)
    except Exception as error:
        used = disk.num_bytes(work)
        part = job.done / job.total if job.total else 0
        missing = int(used / part - used) if part else used
        sentence = disk.explain(error, store.root, missing_bytes=missing or None)
        if sentence is None:
            raise
        raise sentence from error


def _inputs(planner: Planner, stage: Stage) -> tuple[dict[Slot, Path], list[Slot]]:
    inputs, ours = {}, []
    for slot in (*stage.reads, *stage.optional):
        found = planner.find(stage.at(slot))
        if found is not None:
            inputs[slot] = found.path
            if found.is_ours:
                ours.append(slot)
    return inputs, ours


def _record(step: Step, job: Job, params: object, planner: Planner, took_s: float) -> dict[str, Any]:
    """Return the record of a run, all but its outputs: what the key was made of, then facts for people."""
    stage = step.stage
    av = sys.modules.get("av")
    return {
        "stage": stage.id,
        "version": stage.version,
        "key": step.key,
        "mimo": __version__,
        "took_s": round(took_s, 2),
        "params": to_table(params),
        "inputs": dict(step.inputs or {}),
        "weights": {name: planner.weights(name) for name in stage.weights},
        "facts": job.facts,
        "notes": job.notes,
        "device": f"cpu, {os.cpu_count()} threads",
        "ffmpeg": str(getattr(av, "ffmpeg_version_info", "")) if av else "",
    }
