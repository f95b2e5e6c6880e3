"""Many runs of one command from a table: a row a run, a column an option."""

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from engine.config import nearest
from engine.errors import InputError, MimoError, UsageError
from mimo_cli import console
from mimo_cli.crash import EXIT_CODE as BUG
from mimo_cli.crash import report_crash

_YES, _NO = ("yes", "true", "1", "x", "on"), ("no", "false", "0", "off")
_USAGE_ERROR = typer.BadParameter.__mro__[1]
_REFUSED = ("jobs", "help")


@dataclass(frozen=True)
class JobRow:
    """A row of the table."""

    line: int
    """Of the file, from 1."""
    cells: Mapping[str, str]
    """Name of an option, without its dashes, to what stands there; empty cells are left out."""

    @property
    def name(self) -> str:
        """Its first cells, to know it by."""
        return ", ".join(list(self.cells.values())[:2])


def run_jobs(table: Path, ctx: typer.Context) -> None:
    """Run the command of `ctx` once for every row of a table; what is given on the command line is for all rows.

    Args:
        table: a .csv; "-" is stdin.
        ctx: of the command that was given --jobs.

    Raises:
        typer.Exit: when a row failed, with the exit code of the first that did.
        InputError: the table cannot be read.
        UsageError: a column is no option; two rows write one file.
    """
    rows = read_rows(table, _options(ctx.command))
    voice, codes = console.current(), []
    for number, row in enumerate(rows, start=1):
        voice.say(f"job {number} of {len(rows)}: {row.name}")
        started = voice.num_started
        voice.event("job", job=number, of=len(rows), line=row.line, state="starts", cells=dict(row.cells))
        code = _run_row(ctx, row)
        state = "failed" if code else "done" if voice.num_started > started else "was done"
        codes.append((code, state))
        voice.event("job", job=number, of=len(rows), line=row.line, state=state, exit_code=code)
    voice.table([(f"job {n}", state, row.name) for n, ((_, state), row) in enumerate(zip(codes, rows), start=1)])
    failed = [code for code, _ in codes if code]
    if failed:
        voice.say(
            f"{len(failed)} of {len(rows)} jobs failed; mend them and type the same command: the others are skipped"
        )
        raise typer.Exit(failed[0])


def read_rows(table: Path, options: Mapping[str, Any]) -> list[JobRow]:
    """Read a table of jobs: comma, semicolon or tab between the cells; lines that begin with # say nothing.

    Args:
        table: the file; "-" is stdin.
        options: the options of the command, by name without dashes.
    """
    try:
        text = sys.stdin.read() if str(table) == "-" else table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{table} cannot be read: {why}.", fix="give a .csv file with a line for each job.") from error
    lines = text.lstrip("\ufeff").splitlines()
    kept = [(idx, line) for idx, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    if len(kept) < 2:
        raise InputError(
            f"{table} has no jobs.", fix="first line: the options, e.g. video,character; then a line a job."
        )
    sign = max(",;\t", key=kept[0][1].count)
    try:
        parsed = list(csv.reader((line for _, line in kept), delimiter=sign))
    except csv.Error as error:
        raise InputError(
            f"{table} cannot be read: {error}.", fix="give a .csv file with a line for each job."
        ) from error
    names = [_column(cell, options, table) for cell in parsed[0]]
    rows = []
    for (line, _), cells in zip(kept[1:], parsed[1:]):
        if len(cells) > len(names):
            raise InputError(
                f"{table}, line {line}, has {len(cells)} cells; there are {len(names)} columns.",
                fix='put "quotes" around a cell with a comma in it.',
            )
        filled = {name: cell.strip() for name, cell in zip(names, cells) if cell.strip()}
        if filled:
            rows.append(JobRow(line, filled))
    _check_outs(rows, table)
    return rows


def _options(command: Any) -> dict[str, Any]:
    """The options of a command, by long name without dashes."""
    return {name.lstrip("-"): param for param in command.params for name in param.opts if name.startswith("--")}


def _column(cell: str, options: Mapping[str, Any], table: Path) -> str:
    name = cell.strip().lstrip("-").replace("_", "-")
    if name not in options or name in _REFUSED:
        fix = nearest(name, [known for known in options if known not in _REFUSED], "columns")
        raise UsageError(f"{table}: the column {cell.strip() or '(empty)'} is no option.", fix=fix)
    return name


def _check_outs(rows: Sequence[JobRow], table: Path) -> None:
    seen: dict[Path, int] = {}
    for row in rows:
        if "out" in row.cells:
            out = Path(row.cells["out"]).absolute()
            if out in seen:
                raise UsageError(
                    f"{table}: lines {seen[out]} and {row.line} both write {row.cells['out']}.",
                    fix="give each its own.",
                )
            seen[out] = row.line


def _run_row(ctx: typer.Context, row: JobRow) -> int:
    """Run one row; returns its exit code. Ctrl-C ends all."""
    voice = console.current()
    try:
        words = _words(row, _options(ctx.command))
        inner = ctx.command.make_context(ctx.info_name, words, parent=ctx.parent)
        for name, value in ctx.params.items():
            if str(inner.get_parameter_source(name)).endswith("DEFAULT"):
                inner.params[name] = value
        inner.params["jobs"] = None
        ctx.command.invoke(inner)
    except typer.Exit as end:
        return end.exit_code
    except MimoError as error:
        voice.error(error)
        return error.exit_code
    except Exception as error:
        if isinstance(error, _USAGE_ERROR):
            what = getattr(error, "format_message", error.__str__)().rstrip(".")
            voice.error(UsageError(f"line {row.line}: {what[:1].lower()}{what[1:]}.", fix="mend that cell."))
            return UsageError.exit_code
        report_crash(error)
        return BUG
    return 0


def _words(row: JobRow, options: Mapping[str, Any]) -> list[str]:
    """The row as typed on a command line."""
    words = []
    for name, cell in row.cells.items():
        param = options[name]
        if not param.is_flag:
            words += [f"--{name}", cell]
        elif cell.lower() in _YES:
            words.append(f"--{name}")
        elif cell.lower() in _NO:
            words += [other for other in param.secondary_opts if other.startswith("--")][:1]
        else:
            raise UsageError(f"line {row.line}: {name} is {cell}.", fix="write yes or no.")
    return words
