"""Videos outside the project, opened once a run: counting the frames of a long one takes a while."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mimo_cli import slots
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.video import Clip


def open_source(job: Job) -> "Clip":
    """Open the video of the project."""
    return open_video(job.inputs[slots.VIDEO])


def open_video(path: Path) -> "Clip":
    """Open a video, a picture or a folder of pictures; as `engine.video.open_clip`, but remembered while it stays the same."""
    stat = path.stat() if path.exists() else None
    return _open(path, (stat.st_size, stat.st_mtime_ns) if stat else None)


@lru_cache(maxsize=4)
def _open(path: Path, stamp: tuple[int, int] | None) -> "Clip":
    from engine.video import open_clip

    return open_clip(path)
