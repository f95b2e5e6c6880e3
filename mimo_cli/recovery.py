"""`mimo weights recover-sdc`: the published network's vertex colours, found again from a published pose video."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError, UsageError
from mimo_cli import console, disk, slots, tables

if TYPE_CHECKING:
    from engine.body.family import SmplBody
    from engine.types import Size
    from engine.video import Clip

NAME = "sdc-colors"
FILE = "sdc_colors.npz"


def recover_sdc(words: list[str], out: Path | None) -> None:
    """Recover the table and write it where the stage `sdc` finds it, or to `out`.

    Args:
        words: the pose video and its motion: a project folder of the same video, or SMPL parameters before the
            published camera (.npz, .pkl).
        out: .npz or .npy.

    Raises:
        UsageError: not two files are named, or `out` is no .npz or .npy.
        InputError: video and motion do not fit each other.
        MissingError: there is no SMPL file.
    """
    from engine.body.family import load_smpl
    from engine.conditions.color_table import write_colors
    from engine.conditions.recover import recover_colors
    from engine.conditions.sdc import check_body, published_camera
    from engine.video import open_clip
    from engine.weights import find, user_folder

    if len(words) != 2:
        raise UsageError(
            "recover-sdc takes a pose video and its motion.", "mimo weights recover-sdc sdc.mp4 motion.npz -o table.npz"
        )
    if out is not None and out.suffix.lower() not in (".npz", ".npy"):
        raise UsageError(f"-o {out} is no table.", "end it in .npz or .npy")
    target = user_folder() / NAME / FILE if out is None else out
    body = load_smpl(find("smpl").files[0])
    check_body(body)
    clip = open_clip(Path(words[0]))
    num_frames, posed = _posed(Path(words[1]), body, clip.size)
    if num_frames != clip.num_frames:
        raise InputError(
            f"{words[1]} has {num_frames} frames; {words[0]} has {clip.num_frames}.",
            "give the motion that the video was drawn from, frame for frame.",
        )
    voice = console.current()
    voice.started("recover-sdc", "find the colours of the vertices")
    try:
        found = recover_colors(
            _published_rgb(clip), posed, body.faces, published_camera(clip.size), clip.size, num_frames=num_frames,
            progress=lambda done, total: voice.progressed("recover-sdc", done, total),
        )  # fmt: skip
    finally:
        voice.stop()
    voice.say(
        f"{found.num_used} of {found.num_frames} frames fit, the bodies overlap by {100 * found.overlap:.0f} %; "
        f"{100 * found.coverage:.1f} % of the vertices were seen, the others are filled in; "
        f"the video differs from the table's picture by {found.residual:.1f} levels (root mean square)"
    )
    with disk.plain_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_colors(target, found.colors, seen_px=found.seen_px)
    voice.result(target, coverage=round(found.coverage, 4), residual=round(found.residual, 2))


def _published_rgb(clip: "Clip") -> Iterator[NDArray]:
    """Frames (H, W, 3) as the published code sees them: swscale takes untagged video for BT.601, whatever its size."""
    untagged = clip.info.color_primaries == 2 and clip.info.color_space == "bt709"
    info = replace(clip.info, color_space="bt601") if untagged else clip.info
    for frame in clip.read_frames():
        yield replace(frame, info=info).rgb()


def _posed(motion: Path, body: "SmplBody", size: "Size") -> tuple[int, Iterator[NDArray]]:
    """How many frames a motion has, and its bodies (V, 3) before the published camera."""
    if motion.is_dir():
        return _posed_project(motion, body, size)
    from engine.conditions.camera_motion import pose_camera_motion, read_camera_motion

    if not motion.exists():
        raise InputError(f"{motion} is not there.", fix="check the name; ls shows what is in a folder.")
    read = read_camera_motion(motion)
    return len(read), pose_camera_motion(read, body)


def _posed_project(folder: Path, body: "SmplBody", size: "Size") -> tuple[int, Iterator[NDArray]]:
    from engine.conditions.sdc import place_smpl
    from engine.motion.rig import read_motion
    from mimo_cli.project import Project
    from mimo_cli.runs.conditions import read_shape

    project = Project.open(folder)
    paths = {}
    for slot in (slots.CLIP, slots.FRAMES, slots.BODY, slots.SHAPE, slots.CAMERA):
        found = project.store.find(slot)
        if found is None:
            raise InputError(f"{folder} has no {slot.stem} yet.", fix=f"mimo fit-motion {folder}")
        paths[slot] = found.path
    info = tables.read_clip(paths[slots.CLIP])
    if info.size != size:
        raise InputError(
            f"{folder} is of a video of {info.width}x{info.height}; the pose video is {size[1]}x{size[0]}.",
            "give a project of a video of that size.",
        )
    motion = read_motion(paths[slots.BODY], time_s=tables.read_frames(paths[slots.FRAMES]).time_s)
    motion = replace(motion, shape=read_shape(paths[slots.SHAPE]))
    camera = tables.read_camera(paths[slots.CAMERA], info.num_frames)
    placed = place_smpl(motion, camera, body, size)
    return info.num_frames, (np.zeros((len(body.template), 3)) if one is None else one for one in placed)
