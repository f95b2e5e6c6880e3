"""Long videos are written in pieces that survive a kill, and joined by copying packets."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mimo_cli.artifacts import Slot
from mimo_cli.stage import Job

FRAMES_PER_CHUNK = 64
"""Small enough that a kill loses seconds, large enough that opening files costs nothing."""


def write_layers(job: Job, num_frames: int, size, kinds: Sequence[tuple[Slot, str]], render) -> None:
    """Write one or more videos of the same clip, chunk by chunk.

    Args:
        job: gives chunks, outputs and progress.
        num_frames: frames of the clip.
        size: (height, width), pixels.
        kinds: slot and kind of each video ("gray8", "rgba" or a planar pixel format).
        render: `render(start, stop)` yields, for each frame, one item per video.
    """
    from engine.video import concat_layers

    bounds = [(start, min(start + FRAMES_PER_CHUNK, num_frames)) for start in range(0, num_frames, FRAMES_PER_CHUNK)]
    for start, stop in bounds:
        if job.chunks.get(_name(start, stop)) is None:
            with job.chunks.make(_name(start, stop)) as folder:
                _write_chunk(job, folder, size, kinds, render(start, stop), start, num_frames)
        job.progress(stop, num_frames)
    parts = [job.chunks.get(_name(start, stop)) for start, stop in bounds]
    for place, (slot, _) in enumerate(kinds):
        concat_layers([folder / f"{place}.mkv" for folder in parts if folder], job.outputs[slot])


def _name(start: int, stop: int) -> str:
    return f"{start:06d}-{stop - 1:06d}"


def _write_chunk(job: Job, folder: Path, size, kinds, frames: Iterator, start: int, num_frames: int) -> None:
    from engine.video import LayerWriter

    writers = [LayerWriter(folder / f"{place}.mkv", size, kind) for place, (_, kind) in enumerate(kinds)]
    for done, items in enumerate(frames, start=start + 1):
        for writer, item in zip(writers, items, strict=True):
            writer.write(item)
        job.progress(done, num_frames)
    for writer in writers:
        writer.close()
