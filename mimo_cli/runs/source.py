"""What several stages ask of their job: the source video, and progress of their parts."""

from typing import TYPE_CHECKING

from engine.types import Progress
from mimo_cli import slots, tables
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.video import Clip


def open_source(job: Job) -> "Clip":
    """Open the video of the project; the engine remembers it, so that every stage may ask."""
    from engine.video import open_clip

    known = slots.FRAMES in job.inputs and job.ours(slots.FRAMES)
    return open_clip(job.inputs[slots.VIDEO], known=tables.read_frames(job.inputs[slots.FRAMES]) if known else None)


def part_of(job: Job, start: float, stop: float, num_frames: int) -> Progress:
    """Return a `Progress` of one part of a stage, which is from `start` to `stop` (0 ... 1) of the stage."""

    def progress(done: int, total: int) -> None:
        share = start + (stop - start) * done / max(total, 1)
        job.progress(round(share * num_frames), num_frames)

    return progress
