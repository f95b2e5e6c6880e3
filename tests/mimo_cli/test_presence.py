"""The character is there when the person is: a clip in which they come late, are hidden, and leave early."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from engine.types import ClipInfo, FrameTimes, Tracks
from engine.video import LayerWriter
from mimo_cli import slots, tables
from mimo_cli.runs.presence import find_presence

FPS, SIZE = 25, (16, 16)


@pytest.mark.parametrize(
    ("seen", "painted", "wanted"),
    [
        ("1111111111", "", "1111111111"),
        ("0011111100", "", "0011111100"),  # comes late, leaves early: nobody before and after
        ("1110001111", "", "1111111111"),  # 3 frames of 40 ms: the tracker blinked
        ("1110000111", "", "1110000111"),  # 4 frames: hidden
        ("0001111111", "0010000000", "0011111111"),  # a person painted them into the mask
        ("0000000000", "", "0000000000"),
    ],
)
def test_nobody_is_put_where_nobody_is(seen, painted, wanted, tmp_path):
    flags = np.array([sign == "1" for sign in seen])
    total = len(flags)
    info = ClipInfo(width=SIZE[1], height=SIZE[0], num_frames=total, time_base=Fraction(1, FPS), rate=Fraction(FPS))
    mask = LayerWriter(tmp_path / "mask.mkv", SIZE, "gray8")
    for idx in range(total):
        mask.write(np.full(SIZE, 255 if flags[idx] or painted[idx : idx + 1] == "1" else 0, np.uint8))
    mask.close()
    boxes = np.tile(np.float32([2, 2, 9, 14]), (total, 1))
    tables.write_tracks(Tracks(boxes, flags.astype(np.float32)), tmp_path / "tracks.csv")
    times = FrameTimes(np.arange(total), np.arange(total) / FPS, np.full(total, 1 / FPS))
    tables.write_frames(times, tmp_path / "frames.csv")
    files = {slots.TRACKS: "tracks.csv", slots.FRAMES: "frames.csv", slots.HUMAN_MASK: "mask.mkv"}
    job = SimpleNamespace(inputs={slot: tmp_path / name for slot, name in files.items()}, ours=lambda _: True)
    found = find_presence(job, info)
    assert "".join("1" if flag else "0" for flag in found) == wanted
