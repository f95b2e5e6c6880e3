"""Where the person of a video is, and where nobody is to be replaced."""

import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo
from mimo_cli import slots, tables
from mimo_cli.stage import Job

BRIDGED_S = 0.13
"""Longest gap in which the character stays though the person is not seen: a few frames that the tracker missed."""


def find_presence(job: Job, info: ClipInfo) -> NDArray:
    """Tell which frames get the character: where nobody is to be replaced, nobody is put.

    The person is there where the tracker saw them or the human mask (perhaps painted) shows them. Gaps of at most
    `BRIDGED_S` are bridged; in longer ones the person is hidden or out of the picture.

    Args:
        job: of a stage that reads tracks, human mask and frame times.
        info: of the clip of T frames.

    Returns:
        (T,) bool.
    """
    from engine.video import open_layer

    present = tables.read_tracks(job.inputs[slots.TRACKS], info.num_frames).score > 0
    if present.all():
        return present
    ours = job.ours(slots.HUMAN_MASK)
    mask = open_layer(job.inputs[slots.HUMAN_MASK], kind="gray8", ours=ours, num_frames=info.num_frames, size=info.size)
    for start, stop in _runs(~present):
        present[start:stop] = [bool(frame.any()) for frame in mask.read(start, stop)]
    duration_s = tables.read_frames(job.inputs[slots.FRAMES]).duration_s
    for start, stop in _runs(~present):
        inside = start > 0 and stop < info.num_frames
        present[start:stop] = inside and float(duration_s[start:stop].sum()) <= BRIDGED_S
    return present


def _runs(flags: NDArray) -> list[tuple[int, int]]:
    """Start and stop of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
