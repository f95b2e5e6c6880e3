"""What a person sees. Everything but results goes to stderr; stdout carries result paths, or JSON lines with --json."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import MimoError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLAIN_EVERY_S = 10.0
_JSON_EVERY_S = 0.5
_TELLING = 0.03
"""Share of a stage after which its pace says how long it will take: the first step also loads libraries."""


class Console:
    """The voice of one process: a `Listener` of the runner, and the printer of plans, errors and results."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False, as_json: bool = False) -> None:
        """Nothing is printed yet.

        Args:
            verbose: also say what is up to date.
            quiet: only errors and results.
            as_json: one JSON object per line on stdout; people's text stays on stderr.
        """
        self.verbose, self.quiet, self.as_json = verbose, quiet, as_json
        self.project: Path | None = None
        """The open project: where a crash is logged."""
        self.num_started = 0
        """Stages that began to run."""
        self._begun_s = time.monotonic()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started_s: dict[str, float] = {}
        self._told_s: dict[str, float] = {}

    # ------------------------------------------------------------------------------------------ plain words

    def say(self, text: str) -> None:
        """Print a line for the person."""
        if not self.quiet:
            self._line(text)

    def detail(self, text: str) -> None:
        """Print a line for the person who typed -v."""
        if self.verbose and not self.quiet:
            self._line(f"[{time.monotonic() - self._begun_s:8.2f} s] {text}", "dim")

    def warned(self, text: str) -> None:
        """Print something the person should know."""
        self.event("warning", text=text)
        if not self.quiet:
            self._line(f"note: {text}", "yellow", head=5)

    def error(self, error: MimoError) -> None:
        """Print the two lines of an error."""
        self.stop()
        self.event("error", what=error.what, fix=error.fix, exit_code=error.exit_code)
        self._line(f"error: {error.what}", "bold red", head=6)
        self._line(f"  fix: {error.fix}", "bold", head=6)

    def result(self, path: Path, **facts: Any) -> None:
        """Print the path of a result, alone on a line of stdout; with --json an object with `facts`."""
        if self.as_json:
            self.event("result", path=str(path), **facts)
        else:
            print(path, flush=True)

    def event(self, kind: str, **facts: Any) -> None:
        """Print one JSON line on stdout, with --json."""
        if self.as_json:
            print(json.dumps({"event": kind, **facts}, ensure_ascii=False, default=str), flush=True)

    def table(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Print rows of three columns on stderr, aligned, whatever the width of the window."""
        widths = [max((len(row[col]) for row in rows), default=0) for col in (0, 1)]
        for first, second, third in rows:
            self._line(f"{first:<{widths[0]}}  {second:<{widths[1]}}  {third}".rstrip())

    # ------------------------------------------------------------------------------------------ Listener

    def waiting(self, project: Path) -> None:
        """Say that another run holds the project."""
        self.event("waiting", project=str(project))
        self.say(f"another mimo is working on {project.name}; waiting for it to finish (Ctrl-C to stop waiting)")

    def planned(self, steps: Sequence[Any], *, dry_run: bool = False) -> None:
        """Print a plan: with --dry-run all of it, else what will run and what stands aside."""
        for step in steps:
            self.event("plan", stage=step.stage.id, action=step.action, reasons=list(step.reasons))
        shown = [step for step in steps if dry_run or self.verbose or step.action != "fresh"]
        width = max((len(step.stage.id) for step in shown), default=0)
        for step in shown:
            self.say(step.line(width))
        if dry_run:
            for warning in dict.fromkeys(warning for step in steps for warning in step.warnings):
                self.warned(warning)
        elif steps and all(step.action != "run" for step in steps):
            self.say("everything is up to date")

    def started(self, stage_id: str, about: str) -> None:
        """Begin the bar of a stage, or print a line where stderr is no terminal."""
        self.num_started += 1
        self.event("start", stage=stage_id)
        self._started_s[stage_id] = self._told_s[stage_id] = time.monotonic()
        if self.quiet:
            return
        if not sys.stderr.isatty():
            self._line(f"{stage_id}: {about} ...")
            return
        if self._bar is None:
            self._bar = self._new_bar()
            self._bar.start()
        self._tasks[stage_id] = self._bar.add_task(f"{stage_id}: {about}", total=None)

    def _new_bar(self) -> "Progress":
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        return Progress(*columns, console=_rich(), transient=True, refresh_per_second=5)

    def progressed(self, stage_id: str, done: int, total: int) -> None:
        """Move the bar; where there is none print a line every ten seconds."""
        if self._bar is not None and stage_id in self._tasks:
            self._bar.update(self._tasks[stage_id], completed=done, total=total)
            return
        now_s = time.monotonic()
        if now_s - self._told_s[stage_id] < (_JSON_EVERY_S if self.as_json else _PLAIN_EVERY_S):
            return
        self._told_s[stage_id] = now_s
        took_s = now_s - self._started_s[stage_id]
        left_s = took_s * (total - done) / done if done and done >= _TELLING * total else None
        if self.as_json:
            self.event("progress", stage=stage_id, done=done, total=total, left_s=left_s and round(left_s, 1))
        else:
            left = f", {clock(left_s)} left" if left_s is not None else ""
            self.say(f"{stage_id}: {done} of {total}{left}")

    def noted(self, stage_id: str, text: str) -> None:
        """Print a sentence of a stage."""
        self.event("note", stage=stage_id, text=text)
        self.say(f"{stage_id}: {text}")

    def finished(self, stage_id: str, took_s: float) -> None:
        """End the bar of a stage."""
        self._end(stage_id)
        self.event("done", stage=stage_id, took_s=round(took_s, 2))
        self.say(f"{stage_id}: done in {clock(took_s)}")

    def skipped(self, stage_id: str) -> None:
        """Say that a planned stage need not run."""
        self.event("skipped", stage=stage_id)
        self.say(f"{stage_id}: up to date, what it reads came out the same")

    def failed(self, stage_id: str) -> None:
        """End the bar of a stage that broke off."""
        self._end(stage_id)
        self.event("failed", stage=stage_id)

    def stop(self) -> None:
        """Take the bars off the screen."""
        self._tasks.clear()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _end(self, stage_id: str) -> None:
        task = self._tasks.pop(stage_id, None)
        if self._bar is not None and task is not None:
            self._bar.remove_task(task)
        if not self._tasks:
            self.stop()

    # ------------------------------------------------------------------------------------------ inside

    def _line(self, text: str, style: str = "", *, head: int | None = None) -> None:
        """Print a line on stderr, above the bar if there is one; `head` signs of it carry the style."""
        if self._bar is not None or (style and sys.stderr.isatty() and "NO_COLOR" not in os.environ):
            from rich.text import Text

            line = Text(text)
            if style:
                line.stylize(style, 0, head)
            (self._bar.console if self._bar is not None else _rich()).print(line, soft_wrap=True, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


def current() -> Console:
    """Return the console of this process."""
    return _current[0]


def use(console: Console) -> Console:
    """Make a console the one of this process."""
    _current[0] = console
    return console


_current = [Console()]


def _rich() -> Any:
    from rich.console import Console as RichConsole

    return RichConsole(stderr=True)


def clock(seconds: float) -> str:
    """Return a length of time as people say it: "0.4 s", "12 s", "3:05 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
