"""Which frames are denoised together: the network sees at most 32 frames, a clip has any number."""


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
