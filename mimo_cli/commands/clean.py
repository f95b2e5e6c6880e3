"""`mimo clean`: drop what can be made again."""

from pathlib import Path
from typing import Annotated

import typer

from mimo_cli import console, disk
from mimo_cli.args import ProjectArgument


def clean(
    project: ProjectArgument = None,
    light: Annotated[bool, typer.Option("--light", help="Only the trash and unfinished work.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would go; delete nothing.")] = False,
) -> None:
    """Drop what can be made again: layers that mimo wrote, unfinished work, the trash.

    \b
    mimo clean game.mimo --dry-run
    mimo clean game.mimo --light

    Your files, your edits, and finished results (out/) stay. The next command makes again what it needs.
    """
    from mimo_cli.project import Project, find_folder

    voice = console.current()
    opened = Project.open(find_folder(project))
    store = opened.store
    if dry_run:
        _report(_droppable(opened, light), opened.root, dry_run=True)
        return
    with store.locked(lambda: voice.waiting(opened.root)), disk.plain_errors(opened.root):
        drop = _droppable(opened, light)
        for path, _ in drop:
            disk.remove(path)
    _report(drop, opened.root, dry_run=False)


def _droppable(project, light: bool) -> list[tuple[Path, int]]:
    """Return what can go, with its size in bytes."""
    store = project.store
    paths = [
        path for folder in (store.work_dir, store.trash_dir) if folder.is_dir() for path in sorted(folder.iterdir())
    ]
    if not light:
        for stage in project.planner(project.identities()).stages:
            for slot in map(stage.at, stage.writes):
                found = None if slot.result else store.find(slot, stage.id)
                if found is not None and found.is_ours:
                    paths.append(found.path)
    return [(path, disk.num_bytes(path)) for path in paths]


def _report(drop: list[tuple[Path, int]], root: Path, *, dry_run: bool) -> None:
    voice = console.current()
    freed = sum(size for _, size in drop)
    for path, size in drop:
        voice.event("drop", path=str(path), bytes=size)
        if dry_run or voice.verbose:
            voice.say(f"{disk.gigabytes(size):>8}  {path.relative_to(root).as_posix()}")
    voice.event("freed", bytes=freed, dry_run=dry_run)
    voice.say(f"{'would free' if dry_run else 'freed'} {disk.gigabytes(freed)} in {root}")
