"""ingest: what the video is, and its clock."""

from mimo_cli import slots, tables
from mimo_cli.runs.source import open_source
from mimo_cli.stage import Job


def ingest(job: Job) -> None:
    """Read size, colour and times of the source video."""
    clip = open_source(job)
    if clip.warning:
        job.note(clip.warning)
    tables.write_clip(clip.info, job.outputs[slots.CLIP])
    tables.write_frames(clip.times, job.outputs[slots.FRAMES])
    job.facts["frames"] = clip.info.num_frames
    job.facts["size"] = f"{clip.info.width}x{clip.info.height}"
