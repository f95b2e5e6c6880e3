"""encode-id: a picture becomes a cutout, joints and a solid figure."""

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.types import PictureJoints
from mimo_cli import slots
from mimo_cli.artifacts import Slot
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.identity import Cutout

SURE = 0.65
"""Joints found with less confidence than this are worth a look."""


def cutout(job: Job) -> None:
    """Cut the character out of its picture."""
    from engine.video import write_png

    write_png(job.outputs[slots.CUTOUT], _place(job).rgba)


def _place(job: Job) -> "Cutout":
    from engine.identity import place_cutout
    from engine.video import read_image

    mask = read_image(job.inputs[slots.MASK])[..., 0] if slots.MASK in job.inputs else None
    return place_cutout(read_image(job.inputs[slots.REFERENCE]), mask)


def joints(job: Job) -> None:
    """Find the joints of the character in its cutout."""
    from engine.identity import find_joints, write_joints
    from engine.identity.skeleton import on_all_fours
    from engine.video import read_image

    found = find_joints(read_image(job.inputs[slots.CUTOUT]))
    write_joints(found, job.outputs[slots.JOINTS])
    job.facts.update(confidence=round(found.confidence, 2), source=found.source)
    if on_all_fours(dict(zip(found.names, found.xy_px))):
        job.note("taken for a body on four legs, seen from its side; the front legs are its arms in joints.toml")
    if found.confidence < SURE:
        job.note("the joints are a guess; look at canonical.png, and correct joints.toml if the limbs are wrong")


def lift(job: Job) -> None:
    """Make a solid, textured, rigged figure of the cutout."""
    from engine.identity import lift as lift_figure
    from engine.identity import save_puppet
    from engine.video import read_image, write_png

    cutout = read_image(job.inputs[slots.CUTOUT])
    back, side = _view(job, slots.BACK), _view(job, slots.PROFILE)
    with ThreadPoolExecutor(1, thread_name_prefix="save") as beside:
        animator = beside.submit(import_module, "engine.animator.canonical")  # while OpenCV works
        puppet = lift_figure(cutout, _joints_of(job, cutout), back=back, side=side)
        canonical_pictures = animator.result().canonical_pictures
        saved = beside.submit(save_puppet, puppet, job.outputs[slots.PUPPET])
        write_png(job.outputs[slots.CANONICAL], np.concatenate(canonical_pictures(puppet), axis=1))
        saved.result()


def _view(job: Job, slot: Slot) -> NDArray | None:
    """The cutout of another picture of the character, where there is one."""
    from engine.identity import cut_out
    from engine.video import read_image

    return cut_out(read_image(job.inputs[slot])) if slot in job.inputs else None


def _joints_of(job: Job, cutout: NDArray) -> PictureJoints:
    """The joints in pixels of the cutout. A char_cfg.yaml counts pixels of the picture it was made for, which the
    cutout may have cropped and resized."""
    from engine.identity import read_joints
    from engine.identity.rig_file import move_joints, picture_size

    path = job.inputs[slots.JOINTS]
    joints, size = read_joints(path), picture_size(path)
    if size is None or size == cutout.shape[:2]:
        return joints
    place = _place(job) if slots.REFERENCE in job.inputs else None
    if place is None or place.rgba.shape != cutout.shape or place.source_size != size:
        raise InputError(
            f"{path} is for a picture of {size[1]}x{size[0]} pixels; that is neither the character's picture nor its "
            f"cutout of {cutout.shape[1]}x{cutout.shape[0]}.",
            "give the joints of this picture, or delete them and mimo finds its own.",
        )
    return move_joints(joints, place.from_source)
