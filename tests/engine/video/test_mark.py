"""The visible mark and the note in the metadata."""

import av
import numpy as np
import pytest

from engine.compositor import compose
from engine.types import ClipInfo
from engine.video import Frame, draw_mark, encode_result
from engine.video.encode import NOTE_KEYS


def gray_frame(info: ClipInfo) -> Frame:
    chroma = (info.height // 2, info.width // 2)
    return Frame(0, [np.full(info.size, 110, np.uint8), *(np.full(chroma, 128, np.uint8) for _ in range(2))], info)


@pytest.mark.parametrize("size", [(64, 96), (240, 320), (720, 1280), (1280, 720)])
def test_mark_is_small_readable_and_in_its_corner(size, make_info):
    info = make_info(size, num_frames=1)
    frame = gray_frame(info)
    planes, changed = compose(frame, scene=draw_mark(info), patch=None, occlusion=None, info=info)
    rows, columns = np.nonzero(planes[0] != frame.planes[0])
    assert rows.min() > size[0] / 2 and columns.min() > 0  # lower right
    assert changed < 0.15 * size[0] * size[1]
    # light letters on a dark plate; in tiny pictures their lines are thinner than a pixel
    assert int(planes[0].max()) - int(planes[0].min()) > 90 and planes[0].min() < 70
    np.testing.assert_array_equal(frame.planes[0], 110)  # the source is not written to


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        (".mp4", "h264"),
        (".mov", "h264"),
        (".mkv", "lossless"),
        (".mov", "alpha"),
        (".webm", "alpha"),
        (".mkv", "alpha"),
    ],
)
def test_a_note_is_in_every_container_that_holds_one(tmp_path, make_info, make_times, suffix, mode):
    info = make_info((64, 64), num_frames=1)
    times = make_times([0], info.time_base, 3600)
    frames = [np.full((64, 64, 4), 255, np.uint8)] if mode == "alpha" else [gray_frame(info).planes]
    out = tmp_path / f"out{suffix}"
    encode_result(iter(frames), info, times, out, mode=mode, note='the character "cat"')
    with av.open(str(out)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert found["comment"] == 'the character "cat"'


def test_what_the_source_says_stays(clip_with_sound, tmp_path):
    """A source with a comment keeps it; the note goes to the next place."""
    from engine.video import open_clip

    commented = tmp_path / "commented.mp4"
    source = open_clip(clip_with_sound)
    planes = [frame.planes for frame in source.read_frames()]
    encode_result(
        iter(planes), source.info, source.times, commented, audio_from=clip_with_sound, note="the person's own"
    )
    again = tmp_path / "again.mp4"
    encode_result(iter(planes), source.info, source.times, again, audio_from=commented, note="ours")
    full = tmp_path / "full.mp4"
    encode_result(iter(planes), source.info, source.times, full, audio_from=again, note="third")
    encode_result(iter(planes), source.info, source.times, tmp_path / "none.mp4", audio_from=full, note="no room")
    for path, want in ((again, "ours"), (full, "ours"), (tmp_path / "none.mp4", "ours")):
        with av.open(str(path)) as container:
            assert container.metadata["title"] == "a title"
            assert [container.metadata[key] for key in NOTE_KEYS[:2]] == ["the person's own", want]
    with av.open(str(tmp_path / "none.mp4")) as container:
        assert container.metadata["synopsis"] == "third"


def test_no_note_leaves_the_bytes_alone(clip_with_sound, tmp_path):
    from engine.video import open_clip

    source = open_clip(clip_with_sound)
    planes = [frame.planes for frame in source.read_frames()]
    for name in ("a", "b", "c"):
        note = "a note" if name == "c" else ""
        encode_result(iter(planes), source.info, source.times, tmp_path / f"{name}.mp4", note=note)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert (tmp_path / "a.mp4").read_bytes() != (tmp_path / "c.mp4").read_bytes()
