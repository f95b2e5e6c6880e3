"""How a clip is cut for the network: shots, each with one crop, and the windows in which they are made."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.diffusion import clips
from engine.diffusion.clips import Box
from engine.diffusion.windows import SamplingConfig, StreamWindow, stream_windows
from engine.types import FrameSource

LONGEST_GAP = 8
"""Frames without a person that are still generated with their neighbours; a longer gap is left out."""


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """How a clip is generated."""

    sampling: SamplingConfig
    seed: int = 42
    streaming: bool = True
    """False: the published closed loop of windows, for which a crop has to fit into memory from its first to its last
    frame."""
    anchor: bool = True
    """Keep the figure's colours where the reference put them."""
    whole_box: bool = False
    """Show the whole crop with a faded border, as the published code, instead of what differs from the scene."""
    alone: bool = False
    """The scene that is shown is not the one that will be behind the figure."""


@dataclass(frozen=True)
class Shot:
    """Frames that follow each other and share one crop."""

    start: int
    stop: int
    box: Box


@dataclass(frozen=True)
class Task:
    """One window to make: frames `start ... stop - 1` of the clip, the first `num_known` of them finished."""

    shot_idx: int
    start: int
    stop: int
    num_known: int
    num_wanted: int
    """How many of its last frames the next window will have to know."""

    @property
    def name(self) -> str:
        """Of its chunk."""
        return f"shot{self.shot_idx:03d}-{self.start:06d}-{self.stop - 1:06d}"


def find_shots(pose: FrameSource) -> list[Shot]:
    """Decide where to cut the clip into crops.

    Args:
        pose: T frames of the drawn body on black; a black frame shows nobody.

    Returns:
        Shots in order; neighbours share up to four frames, and long stretches without anybody are in none.
    """
    boxes = [clips.square_box(clips.body_box(rgb), pose.size) for rgb in pose.read()]
    shots = []
    for start, stop in _stretches([box != clips.EMPTY for box in boxes]):
        seen = [boxes[idx] for idx in range(start, stop) if boxes[idx] != clips.EMPTY]
        last = seen[0]
        filled = [last := box if box != clips.EMPTY else last for box in boxes[start:stop]]
        for part in clips.split_clip(filled):
            shots.append(Shot(start + part.frames[0], start + part.frames[-1] + 1, part.box))
    return shots


def list_tasks(shots: Sequence[Shot], config: RenderConfig) -> list[Task]:
    """List the windows of all shots, in the order in which they are made."""
    tasks = []
    for idx, shot in enumerate(shots):
        length = shot.stop - shot.start
        sampling = config.sampling
        if config.streaming:
            windows = stream_windows(length, length=sampling.window, overlap=sampling.overlap)
        else:
            windows = [StreamWindow(0, length, 0)]
        wanted = [window.num_known for window in windows[1:]] + [0]
        for window, num_wanted in zip(windows, wanted, strict=True):
            start, stop = shot.start + window.start, shot.start + window.stop
            tasks.append(Task(idx, start, stop, window.num_known, num_wanted))
    return tasks


def _stretches(present: Sequence[bool]) -> list[tuple[int, int]]:
    """Runs of frames with a person, joined over short gaps: start and stop of each."""
    runs: list[tuple[int, int]] = []
    for idx, is_there in enumerate(present):
        if not is_there:
            continue
        if runs and idx - runs[-1][1] <= LONGEST_GAP:
            runs[-1] = (runs[-1][0], idx + 1)
        else:
            runs.append((idx, idx + 1))
    return runs
