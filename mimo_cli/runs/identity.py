"""encode-id: a picture becomes a cutout, joints and a solid figure."""

import numpy as np

from mimo_cli import slots
from mimo_cli.stage import Job


def cutout(job: Job) -> None:
    """Cut the character out of its picture."""
    from engine.identity import cut_out
    from engine.video import read_image, write_png

    mask = read_image(job.inputs[slots.MASK])[..., 0] if slots.MASK in job.inputs else None
    write_png(job.outputs[slots.CUTOUT], cut_out(read_image(job.inputs[slots.REFERENCE]), mask))


def joints(job: Job) -> None:
    """Find the joints of the character in its cutout."""
    from engine.identity import find_joints, write_joints
    from engine.video import read_image

    found = find_joints(read_image(job.inputs[slots.CUTOUT]))
    write_joints(found, job.outputs[slots.JOINTS])
    job.facts.update(confidence=round(found.confidence, 2), source=found.source)
    if found.confidence < 0.5:
        job.note("the joints are a guess; look at canonical.png, and correct joints.toml if the limbs are wrong")


def lift(job: Job) -> None:
    """Make a solid, textured, rigged figure of the cutout."""
    from engine.animator.canonical import canonical_pictures
    from engine.identity import lift as lift_figure
    from engine.identity import read_joints, save_puppet
    from engine.video import read_image, write_png

    puppet = lift_figure(read_image(job.inputs[slots.CUTOUT]), read_joints(job.inputs[slots.JOINTS]))
    save_puppet(puppet, job.outputs[slots.PUPPET])
    write_png(job.outputs[slots.CANONICAL], np.concatenate(canonical_pictures(puppet), axis=1))
