"""The source video of a project."""

from typing import TYPE_CHECKING

from mimo_cli import slots
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.video import Clip


def open_source(job: Job) -> "Clip":
    """Open the video of the project; the engine remembers it, so that every stage may ask."""
    from engine.video import open_clip

    return open_clip(job.inputs[slots.VIDEO])
