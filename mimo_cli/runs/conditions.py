"""surface, sdc: the posed body drawn as a network is shown it."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.types import Camera, ClipInfo, Motion
from mimo_cli import slots, tables
from mimo_cli.runs.chunked import write_layers
from mimo_cli.runs.motion import read_body
from mimo_cli.runs.presence import find_presence
from mimo_cli.stage import Job


@dataclass(frozen=True, kw_only=True)
class SdcParams:
    """How the body of the published network is drawn."""

    hands: bool = True
    """Draw the hands; the published code cuts off a hand that it did not see."""


Draw = Callable[[int, int], Iterator[NDArray]]
"""Frames start ... stop-1, each (H, W, 3) uint8."""


def surface(job: Job) -> None:
    """Draw the embedded body where the person of the video is; black where nobody is to be replaced."""
    info, motion = _motion(job)
    camera = tables.read_camera(job.inputs[slots.CAMERA], info.num_frames)
    _write_surface(job, info, motion, camera, find_presence(job, info))


def surface_alone(job: Job) -> None:
    """Draw the embedded body of a motion file, seen by a camera that follows it."""
    info, motion = _motion(job)
    _write_surface(job, info, motion, seen_by(job, info, motion))


def sdc(job: Job) -> None:
    """Draw SMPL's body where the person of the video is; black where nobody is to be replaced."""
    info, motion = _motion(job)
    camera = tables.read_camera(job.inputs[slots.CAMERA], info.num_frames)
    _write_sdc(job, info, motion, camera, find_presence(job, info))


def sdc_alone(job: Job) -> None:
    """Draw SMPL's body of a motion file, seen by a camera that follows it."""
    info, motion = _motion(job)
    _write_sdc(job, info, motion, seen_by(job, info, motion))


def read_shape(path: Path) -> NDArray:
    """Read the shape of the embedded body, (10,) float32, standard deviations.

    Raises:
        InputError: the file has no such ten numbers.
    """
    try:
        shape = np.array(tomllib.loads(path.read_text(encoding="utf-8"))["shape"], np.float32)
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} has no shape: {error}.", "delete it and mimo makes a new one.") from error
    if shape.shape != (10,) or not (np.abs(shape) < 100).all():
        raise InputError(f"{path}: shape is not ten numbers.", "delete it and mimo makes a new one.")
    return shape


def _motion(job: Job) -> tuple[ClipInfo, Motion]:
    info = tables.read_clip(job.inputs[slots.CLIP])
    motion = read_body(job, tables.read_frames(job.inputs[slots.FRAMES]).time_s)
    return info, replace(motion, shape=read_shape(job.inputs[slots.SHAPE]))


def seen_by(job: Job, info: ClipInfo, motion: Motion) -> Camera:
    """The project's camera, or one that sees the whole motion of the embedded body well."""
    if slots.CAMERA in job.inputs:
        return tables.read_camera(job.inputs[slots.CAMERA], info.num_frames)
    from engine.animator.stage_camera import far_points, frame_points
    from engine.conditions.surface import pose_body

    points = np.stack([far_points(vertices_m) for vertices_m in pose_body(motion, 0, len(motion))])
    return frame_points(points, motion.root_m * np.array([1, 0, 1], np.float32), motion, info.size)


def _write_surface(job: Job, info: ClipInfo, motion: Motion, camera: Camera, present: NDArray | None = None) -> None:
    from engine.conditions.surface import draw_surface

    def draw(start: int, stop: int) -> Iterator[NDArray]:
        return draw_surface(motion, camera, info.size, start, stop)

    _write(job, slots.SURFACE, info, draw, present)


def _write_sdc(job: Job, info: ClipInfo, motion: Motion, camera: Camera, present: NDArray | None = None) -> None:
    from engine.body.family import load_smpl
    from engine.conditions.color_table import read_colors
    from engine.conditions.sdc import check_body, draw_motion, find_betas
    from engine.weights import find

    body = load_smpl(find("smpl").files[0])
    check_body(body)
    colors = read_colors(find("sdc-colors").files[0])
    betas = find_betas(body, motion.rest_m)
    job.facts["betas"] = [round(float(beta), 3) for beta in betas]

    def draw(start: int, stop: int) -> Iterator[NDArray]:
        return draw_motion(
            motion, camera, body, colors, info.size, betas=betas, hands=job.params.hands, start=start, stop=stop
        )

    _write(job, slots.SDC, info, draw, present)


def _write(job: Job, slot: slots.Slot, info: ClipInfo, draw: Draw, present: NDArray | None) -> None:
    """Write a drawn video; frames without a person are black."""
    black = np.zeros((*info.size, 3), np.uint8)

    def frames(start: int, stop: int) -> Iterator[tuple[NDArray]]:
        for idx, rgb in enumerate(draw(start, stop), start):
            yield (rgb if present is None or present[idx] else black,)

    write_layers(job, info.num_frames, info.size, [(slot, "rgb")], frames)
