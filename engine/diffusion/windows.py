"""Which frames are denoised together: the network sees at most 32 frames, a clip has any number."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How a clip is denoised; the defaults are the release's."""

    num_steps: int = 25
    """DDIM steps."""
    guidance_scale: float = 3.5
    """How far to go from the unconditional prediction past the conditional one; at most 1: only the latter is made."""
    window: int = 24
    """Frames denoised together, at most 32."""
    overlap: int = 4
    """Frames that neighbouring windows share."""


@dataclass(frozen=True)
class StreamWindow:
    """Frames that are denoised together."""

    start: int
    stop: int
    num_known: int
    """The first so many are finished, by earlier windows."""


def stream_windows(num_frames: int, *, length: int = 24, overlap: int = 4) -> list[StreamWindow]:
    """List the windows over a clip, in the order in which they are made.

    Args:
        num_frames: frames of the clip, at least 1.
        length: frames in a window.
        overlap: frames that two neighbouring windows share, at least 1.

    Returns:
        One window for a clip of at most `length`; else windows of exactly `length` frames, the last one ending with the
        clip and sharing as many frames as that takes.
    """
    assert num_frames >= 1
    assert 0 < overlap < length
    windows, done = [], 0
    while done < num_frames:
        start = max(0, min(done - overlap, num_frames - length)) if done else 0
        stop = min(start + length, num_frames)
        windows.append(StreamWindow(start, stop, done - start))
        done = stop
    return windows


def context_windows(num_frames: int, *, length: int = 24, overlap: int = 4) -> list[list[int]]:
    """List the windows over a clip, the same in every step.

    Args:
        num_frames: frames of the clip, at least 1.
        length: frames in a window.
        overlap: frames that two neighbouring windows share.

    Returns:
        One window of all frames for a clip of at most `length`; else windows of exactly `length` frames that begin
        every `length - overlap` frames, the last ones going on with the first frames again (a closed loop, as the
        release has it). Every frame is in at least one window.
    """
    assert num_frames >= 1
    assert 0 <= overlap < length
    if num_frames <= length:
        return [list(range(num_frames))]
    starts = range(0, num_frames, length - overlap)
    return [[frame_idx % num_frames for frame_idx in range(start, start + length)] for start in starts]
