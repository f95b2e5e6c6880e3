"""The runner: does what the plan says, in its order, and looks again before each stage."""

import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.config import to_table
from engine.shelf import SHELF
from mimo_cli import __version__, disk, licences, memory
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

    def detail(self, text: str) -> None:
        """Something for who asked to be told more."""

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


def run(planner: Planner, goals: Iterable[Slot], listener: Listener, *, workers: int = 1) -> dict[Slot, Path]:
    """Make some slots, running what has to run.

    Args:
        planner: of this store and these settings.
        goals: bound slots.
        listener: hears what happens; its `progressed` and `noted` from other threads when there are several workers.
        workers: stages that may run side by side, where neither reads what the other writes.

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
        steps = [step for step in steps if step.action != "yours"]
        if steps:
            from engine.threads import OPENCV, short_turns

            with SHELF.kept(), OPENCV.alone(), short_turns():  # stages have threads of their own, and run side by side
                _run_steps(planner, steps, listener, workers)
        results = {}
        for goal in goals:
            found = planner.find(goal)
            assert found is not None, f"{goal.stem} was not made"
            results[goal] = found.path
    return results


@dataclass
class _Running:
    """A stage at work. Only its own computing happens in another thread; the project is this thread's alone."""

    step: Step
    job: Job
    work: Path
    params: Any
    started_s: float
    future: Future[None]


def _run_steps(planner: Planner, steps: list[Step], listener: Listener, workers: int) -> None:
    """Run planned steps, each once all that it reads from is committed."""
    memory.share_stocks()
    waiting, running, stop = list(steps), list[_Running](), threading.Event()
    pool = ThreadPoolExecutor(workers) if workers > 1 else None
    try:
        while waiting or running:
            for planned in _ready(waiting, running)[: workers - len(running)]:
                waiting.remove(planned)
                step = planner.decide(planned.stage, {})
                if step.action == "run":
                    planner.check_doors(step.stage, {})
                    running.append(_start(planner, step, listener, pool, stop))
                elif planned.action == "run":
                    listener.skipped(step.stage.id)
            if running:
                wait([one.future for one in running], memory.TRIM_EVERY_S, FIRST_COMPLETED)
                memory.give_back()
            for one in [one for one in running if one.future.done()]:
                _finish(planner, one, listener)
                running.remove(one)
    except BaseException:
        stop.set()  # the others end at their next sign of progress; what they finished stays for the next run
        for one in running:
            listener.failed(one.step.stage.id)
        raise
    finally:
        if pool is not None:
            pool.shutdown()


def _ready(waiting: list[Step], running: list[_Running]) -> list[Step]:
    """The steps that read from no step still to be finished, in the order of the plan."""
    unfinished = [*waiting, *(one.step for one in running)]
    ready = []
    for step in waiting:
        stage = step.stage
        reads = {stage.at(slot).stem for slot in (*stage.reads, *stage.optional)}
        before = (other.stage for other in unfinished if other is not step)
        if not any(reads & {writer.at(slot).stem for slot in writer.writes} for writer in before):
            ready.append(step)
    return ready


class _Stopped(BaseException):
    """Another stage failed, or the person pressed Ctrl-C."""


def _start(
    planner: Planner, step: Step, listener: Listener, pool: ThreadPoolExecutor | None, stop: threading.Event
) -> _Running:
    stage, store = step.stage, planner.store
    assert step.key is not None
    params = planner.params(stage)
    inputs, ours = _inputs(planner, stage)
    started_s = time.monotonic()
    listener.started(stage.id, stage.about)
    for line in _told(store, step, params, inputs):
        listener.detail(line)

    def progress(done: int, total: int) -> None:
        if stop.is_set():
            raise _Stopped
        listener.progressed(stage.id, done, total)

    try:
        with disk.plain_errors(store.root):
            work = store.begin(stage.id, step.key, again="--redo" in step.reasons)
            job = Job(
                stage,
                params,
                inputs,
                ours,
                work,
                credits=planner.credits(stage),
                **({"find_weights": planner.find_weights} if planner.find_weights is not None else {}),
                progress=progress,
                on_note=lambda text: listener.noted(stage.id, text),
            )
        future: Future[None]
        if pool is not None:
            future = pool.submit(_work, job, stage, store, work)
        else:
            _work(job, stage, store, work)
            future = Future()
            future.set_result(None)
    except BaseException:
        listener.failed(stage.id)
        raise
    return _Running(step, job, work, params, started_s, future)


def _finish(planner: Planner, one: _Running, listener: Listener) -> None:
    """Commit what a stage made."""
    store, stage = planner.store, one.step.stage
    one.future.result()
    outputs = one.job.collect()
    took_s = time.monotonic() - one.started_s
    with disk.plain_errors(store.root):
        store.prepare(one.work, _record(one.step, one.job, one.params, planner, took_s), outputs)
        sizes = {slot: disk.num_bytes(path) for slot, path in outputs.items()}
        kept = store.commit(one.work)
    for stem in kept:
        if one.step.warnings == ():
            listener.noted(stage.id, f"{stem} is yours and stays")
    for slot, path in outputs.items():
        file = store.name(slot.candidate(store.root, path.name))
        listener.detail(f"{stage.id}: wrote {file}, {disk.gigabytes(sizes[slot])}")
    listener.finished(stage.id, took_s)


def _told(store: Store, step: Step, params: Any, inputs: Mapping[Slot, Path]) -> list[str]:
    """What a log says of a stage that begins."""
    values = ", ".join(f"{name} = {value}" for name, value in to_table(params).items())
    reads = ", ".join(store.name(path) for path in inputs.values())
    lines = [f"version {step.stage.version}, key {str(step.key)[:16]}, {step.reason}", f"reads {reads}"]
    return [f"{step.stage.id}: {line}" for line in (*lines, *([f"settings {values}"] if values else []))]


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
        "weights": {name: planner.weights(name) for name in stage.needs(params)},
        "credits": list(job.credits),
        "licences": dict(licences.as_record(stage.name, stage.needs(params))),
        "facts": job.facts,
        "notes": job.notes,
        "device": f"cpu, {os.cpu_count()} threads",
        "ffmpeg": str(getattr(av, "ffmpeg_version_info", "")) if av else "",
    }
