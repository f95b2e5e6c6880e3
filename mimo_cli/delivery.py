"""Results leave the project: in the form the person asked for, under the name they gave."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError, UsageError
from mimo_cli import console, disk, slots
from mimo_cli.artifacts import Slot
from mimo_cli.project import Project
from mimo_cli.report import report_run

WORKERS = 2
"""Stages side by side: each keeps a core and a half busy; a third only costs memory."""
PIPE = Path("-")
"""Stands for stdout, and stdin."""
_PLAIN = (".mp4", ".m4v", ".mov")
_ALPHA = (".mov", ".webm", ".mkv", ".gif", "")


@dataclass(frozen=True)
class Delivery:
    """Which result is wanted, and where it goes."""

    slot: Slot
    params: dict
    """Settings of the stage that writes it."""
    out: Path | None


def plan_delivery(out: Path | None, *, lossless: bool, alpha: bool, mark: bool | None = None) -> Delivery:
    """Decide the form of the result from the flags and the suffix of `--out`; "-" is Matroska on stdout.

    Raises:
        UsageError: the suffix does not go with the flags; both flags.
        InputError: the result cannot be written there.
    """
    if lossless and alpha:
        raise UsageError("--lossless and --alpha are two results.", fix="run it twice, the second takes seconds.")
    if alpha and mark:
        raise UsageError("--mark needs a picture to stand on; --alpha has none.", fix="leave one of them away.")
    if out == PIPE:
        _check_pipe()
        alpha_form = {"export-alpha": {"suffix": ".mkv"}}
        return Delivery(slots.OUT_ALPHA, alpha_form, out) if alpha else Delivery(slots.OUT_LOSSLESS, {}, out)
    suffix = out.suffix.lower() if out else None
    if out is not None:
        _check_place(out, folder=alpha and not suffix)
    if alpha:
        if suffix not in (None, *_ALPHA):
            raise UsageError(f"{out} cannot hold transparency.", fix="use .mov, .webm, .mkv, .gif or a folder name.")
        return Delivery(slots.OUT_ALPHA, {"export-alpha": {"suffix": ".mov" if suffix is None else suffix or "/"}}, out)
    if lossless or suffix == ".mkv":
        if suffix not in (None, ".mkv"):
            raise UsageError(f"{out}: a lossless result is a .mkv file.", fix=f"use -o {out.with_suffix('.mkv')}")  # type: ignore[union-attr]
        return Delivery(slots.OUT_LOSSLESS, {}, out)
    if suffix not in (None, *_PLAIN):
        hint = ".mp4, or .mkv for a lossless one; with --alpha .mov, .webm, .gif or a folder"
        raise UsageError(f"{out} is not a name for a video.", fix=f"use {hint}.")
    return Delivery(slots.OUT, {"compose": {"suffix": suffix}} if suffix else {}, out)


def deliver(project: Project, delivery: Delivery, identity: str, *, report: bool = True, **run) -> None:
    """Make the result, copy it to where the person wants it, and print its path; then write the report."""
    made = project.run((delivery.slot,), identity=identity, overrides=delivery.params, workers=WORKERS, **run)
    if run.get("dry_run"):
        return
    result = made[delivery.slot]
    if delivery.out == PIPE:
        with result.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
        sys.stdout.buffer.flush()
    elif delivery.out is not None:
        with disk.plain_errors(delivery.out.parent):
            if not _is_there(project, result, delivery.out):
                _copy(result, delivery.out)
        result = delivery.out
    if delivery.out != PIPE:
        console.current().result(result)
    if report:
        report_run(project, identity)


def _check_place(out: Path, *, folder: bool) -> None:
    parent = out.resolve().parent
    if not parent.is_dir():
        raise InputError(f"{parent} is not a folder.", fix=f"make it: mkdir -p {parent}")
    if out.is_dir() and not folder:
        raise InputError(f"{out} is a folder.", fix=f"name a file in it: -o {out / 'result.mp4'}")
    if not os.access(parent, os.W_OK):
        raise InputError(f"{parent} cannot be written.", fix="name another place with -o.")


def _check_pipe() -> None:
    if console.current().as_json:
        raise UsageError("-o - and --json both want stdout.", fix="name a file with -o, or leave --json away.")
    if sys.stdout.isatty():
        raise UsageError("-o - writes a video, and stdout is a terminal.", fix="send it on: mimo ... -o - | mpv -")


def _is_there(project: Project, result: Path, out: Path) -> bool:
    """True when the very result lies there already: its time stays, for what watches it."""
    return (
        out.exists() and out.is_dir() == result.is_dir() and project.store.digest(out) == project.store.digest(result)
    )


def _copy(source: Path, target: Path) -> None:
    """Copy beside the target, then move into place: a reader never sees half a video."""
    part = target.with_name(f".{target.name}.part")
    disk.remove(part)
    try:
        if source.is_dir():
            shutil.copytree(source, part)
            disk.remove(target)
        else:
            shutil.copyfile(source, part)
        os.replace(part, target)
    finally:
        disk.remove(part)
