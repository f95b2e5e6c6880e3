"""Motion files on their way in and out: by conversion, into a project, and out of one."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from mimo_cli import console, disk, slots, tables
from mimo_cli.project import Project

if TYPE_CHECKING:
    from engine.body.family import SmplBody
    from engine.motion.files import MotionFile


def check_exports(exports: Sequence[Path]) -> None:
    """Refuse export files that cannot be written, before any work.

    Raises:
        UsageError: a suffix is none of a form mimo writes.
        InputError: a folder is not there or cannot be written.
    """
    from engine.motion.export import check_export

    for path in exports:
        check_export(path)
        parent = path.resolve().parent
        if not parent.is_dir():
            raise InputError(f"{parent} is not a folder.", fix=f"make it: mkdir -p {parent}")
        if path.is_dir() or not os.access(parent, os.W_OK):
            raise InputError(f"{path} cannot be written.", fix="name another file with --export.")


def read_file(file: Path, mapping: Path | None, body: "SmplBody | None" = None, *, place: bool = True) -> "MotionFile":
    """Read a motion file and say what was found about it."""
    from engine.motion.files import read_motion_file
    from engine.motion.given import read_mapping

    read = read_motion_file(file, None if mapping is None else read_mapping(mapping), body=body, place=place)
    for line in read.lines:
        console.current().say(line)
    return read


def convert(file: Path, exports: Sequence[Path], *, mapping: Path | None, body: Path | None) -> None:
    """Write a motion file in other forms, at its own frame rate, and print their paths; makes no project."""
    from engine.motion.export import export_motion

    check_exports(exports)
    model = _model(body)
    read = read_file(file, mapping, model, place=False)
    for path in exports:
        with disk.plain_errors(path.parent):
            export_motion(read.motion, path, body=model, facts=read.facts)
        console.current().result(path)


def put_motion(project: Project, file: Path, mapping: Path | None) -> None:
    """Make a motion file the body of a project: a .bvh as it is, any other form (or with a mapping) as our .bvh.

    Raises:
        InputError: it cannot be read, or has another number of frames than the clip.
    """
    from engine.motion.rig import write_motion

    read = read_file(file, mapping, place=False)
    clip = project.store.find(slots.CLIP)
    if clip is not None and (num_frames := tables.read_clip(clip.path).num_frames) != len(read.motion):
        raise InputError(
            f"{file} has {len(read.motion)} frames; the clip has {num_frames}.",
            fix=f"export it again with {num_frames} frames, or animate it alone: mimo animate --motion {file}",
        )
    if file.suffix.lower() == ".bvh" and mapping is None:
        project.put(slots.BODY, file)
        return
    with tempfile.TemporaryDirectory(prefix="mimo-motion-") as folder:
        ours = Path(folder) / f"{file.stem}.bvh"
        write_motion(read.motion, ours)
        project.put(slots.BODY, ours)


def export_project(made: dict, exports: Sequence[Path], *, body: Path | None) -> None:
    """Write the motion of a project in other forms and print their paths.

    Args:
        made: slot to file, of a run that made body, shape and frames (and the camera, where there is one).
        exports: the files.
        body: an SMPL file, or None.
    """
    from engine.motion.export import export_motion
    from engine.motion.rig import read_motion
    from mimo_cli.runs.conditions import read_shape

    times = tables.read_frames(made[slots.FRAMES])
    motion = read_motion(made[slots.BODY], time_s=times.time_s, shape=read_shape(made[slots.SHAPE]))
    camera = tables.read_camera(made[slots.CAMERA], len(motion)) if slots.CAMERA in made else None
    model = _model(body)
    for path in exports:
        with disk.plain_errors(path.parent):
            export_motion(motion, path, camera=camera, body=model)
        console.current().result(path)


def _model(body: Path | None) -> Any:
    from engine.body.family import load_smpl

    return None if body is None else load_smpl(body)
