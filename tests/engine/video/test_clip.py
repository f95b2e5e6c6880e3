from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.errors import InputError
from engine.threads import run_ahead
from engine.types import FrameTimes
from engine.video import LayerWriter, open_clip, read_image, write_png

# file: (height, width), frames, clockwise turn, pixel format, time base, last time in ticks
CLIPS = {
    "media/alpha_vp9.webm": ((200, 200), 150, 0, "yuv420p", Fraction(1, 1000), 4967),
    "media/corrupt_tail.mp4": ((720, 1280), 28, 0, "yuv420p", Fraction(1, 10240), 27 * 1024),
    "media/full_range_709.mp4": ((720, 1280), 30, 0, "yuv420p", Fraction(1, 15360), 29 * 512),
    "media/gif_47x26.gif": ((26, 47), 8, 0, "gbrp", Fraction(1, 100), 70),
    "media/gif_odd_height.gif": ((273, 314), 30, 0, "gbrp", Fraction(1, 100), 290),
    "media/h264_10bit.mp4": ((200, 200), 30, 0, "yuv420p10le", Fraction(1, 15360), 29 * 512),
    "media/multi_stream_nasa.mp4": ((270, 480), 390, 0, "yuv420p", Fraction(1, 30000), 389 * 1001),
    "media/no_duration.webm": ((720, 1280), 74, 0, "yuv420p", Fraction(1, 1000), 4872),
    "media/one_pixel.mp4": ((1, 1), 5, 0, "yuv444p", Fraction(1, 16384), 65536),
    "media/rot180_phone_vfr.mp4": ((720, 1280), 25, 180, "yuv420p", Fraction(1, 90000), 205186),
    "media/rot90_3frames.mov": ((568, 320), 3, 90, "yuv420p", Fraction(1, 19200), 1280),
    "media/sar_carphone_qcif.mp4": ((144, 176), 120, 0, "yuv420p", Fraction(1, 30000), 119119),
    "media/unordered_4frames.mov": ((50, 50), 4, 0, "yuv420p", Fraction(1, 16384), 1536),
    "media/peers/animateddrawings_result.gif": ((600, 600), 220, 0, "gbrp", Fraction(1, 100), 2190),
    "media/peers/propainter_video_completion4.gif": ((240, 432), 26, 0, "gbrp", Fraction(1, 100), 211),
    "media/images/iss634.webp": ((245, 245), 42, 0, "gbrp", Fraction(1, 1000), 2700),
    "media/images/mode_16bit.png": ((64, 128), 3, 0, "gbrp", Fraction(1, 1000), 140),
    "videos/chaplin_two_men.mp4": ((360, 640), 241, 0, "yuv420p", Fraction(1, 12800), 240 * 512),
    "videos/davis_bmx-trees.mp4": ((480, 854), 80, 0, "yuv420p", Fraction(1, 12288), 79 * 512),
    "videos/davis_dance-twirl.mp4": ((480, 854), 90, 0, "yuv420p", Fraction(1, 12288), 89 * 512),
    "videos/mmpose_street_5frames.mp4": ((540, 960), 5, 0, "yuv420p", Fraction(1, 10240), 8192),
    "videos/musepose_dance_vertical.mp4": ((1920, 1080), 288, 0, "yuv420p", Fraction(1, 12288), 287 * 512),
    "videos/sam2_juggle.mp4": ((720, 1280), 247, 0, "yuv420p", Fraction(1, 12288), 246 * 512),
}
REFUSED = (
    "media/images/broken.png", "media/images/broken_data_stream.png", "media/images/decompression_bomb.gif",
    "media/images/png_decompression_dos.png", "media/images/truncated_image.png", "media/images/zero_width.gif",
    "README.md", "media",
)  # fmt: skip


@pytest.mark.parametrize("name", CLIPS)
def test_sample_opens_with_its_true_facts(sample_data, name):
    size, num_frames, turn, pix_fmt, time_base, last_pts = CLIPS[name]
    clip = open_clip(sample_data / name)
    assert (clip.size, clip.num_frames, clip.info.rotation_deg) == (size, num_frames, turn)
    assert (clip.info.pix_fmt, clip.info.time_base) == (pix_fmt, time_base)
    assert clip.times.pts[-1] == last_pts
    assert len(clip.times.pts) == len(clip.times.time_s) == len(clip.times.duration_s) == num_frames
    assert (np.diff(clip.times.pts) > 0).all()
    assert_allclose(clip.times.time_s[:-1] + clip.times.duration_s[:-1], clip.times.time_s[1:], atol=1e-9)  # no gaps
    last = list(clip.read(num_frames - 1))
    assert len(last) == 1
    assert last[0].shape == (*size, 3)
    assert last[0].dtype == np.uint8


def test_every_sample_is_covered(sample_data):
    present = {str(p.relative_to(sample_data)) for p in sample_data.glob("media/*.*")}
    present |= {str(p.relative_to(sample_data)) for p in sample_data.glob("videos/*")}
    present |= {str(p.relative_to(sample_data)) for p in sample_data.glob("media/peers/*")}
    assert present <= {*CLIPS, *REFUSED}


@pytest.mark.parametrize("name", REFUSED)
def test_sample_is_refused_in_one_sentence(sample_data, name):
    with pytest.raises(InputError) as caught:
        open_clip(sample_data / name)
    assert name.rsplit("/", 1)[-1] in caught.value.what
    assert caught.value.fix
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["media/multi_stream_nasa.mp4", "media/rot180_phone_vfr.mp4", "media/h264_10bit.mp4"])
def test_reading_from_the_middle_gives_the_same_frames(sample_data, name):
    clip = open_clip(sample_data / name)
    frames = [f.planes for f in clip.read_frames(0, 25)]
    for start in (1, 7, 13, 24):
        got = list(clip.read_frames(start, start + 1))
        assert [f.idx for f in got] == [start]
        for plane, want in zip(got[0].planes, frames[start], strict=True):
            assert_array_equal(plane, want)


def test_damage_is_said_and_the_good_frames_are_kept(sample_data):
    clip = open_clip(sample_data / "media/corrupt_tail.mp4")
    assert "first 28 frames" in clip.warning
    assert sum(1 for _ in clip.read()) == 28
    assert open_clip(sample_data / "media/unordered_4frames.mov").warning is None


def test_tags(sample_data):
    assert open_clip(sample_data / "media/sar_carphone_qcif.mp4").info.pixel_aspect == Fraction(128, 117)
    full = open_clip(sample_data / "media/full_range_709.mp4").info
    assert (full.color_range, full.color_space) == ("pc", "bt709")
    assert open_clip(sample_data / "media/multi_stream_nasa.mp4", stream=0).size == (180, 320)
    with pytest.raises(InputError, match="no number 2"):
        open_clip(sample_data / "media/multi_stream_nasa.mp4", stream=2)


def test_rotation_is_undone(sample_data):
    # The stored picture lies on its side; upright, the digit row of the keyboard is the top row and reads rightwards:
    # turning the upright picture back must give the stored one exactly.
    import av

    path = sample_data / "media/rot90_3frames.mov"
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0))
        luma = np.frombuffer(stored.planes[0], np.uint8).reshape(stored.height, -1)[:, : stored.width]
        upright = next(open_clip(path).read_frames(0, 1)).planes[0]
        assert_array_equal(np.rot90(luma, -1), upright)


def test_variable_rate_and_late_start(clip_with_sound):
    clip = open_clip(clip_with_sound)
    want = [27000, 30000, 33003, 36000, 45000, 45001, 50000, 60000, 61234, 70000, 80000, 81000]
    assert clip.times.pts.tolist() == want
    assert clip.info.time_base == Fraction(1, 90000)
    assert_array_equal(clip.times.time_s, [p / 90000 for p in want])
    assert [int(f.planes[0].mean()) for f in clip.read_frames(4, 6)] == [
        int(f.planes[0].mean()) for f in list(clip.read_frames())[4:6]
    ]


def test_truncated_file_keeps_its_beginning(tmp_path):
    path = tmp_path / "whole.mkv"
    rng = np.random.default_rng(0)
    with LayerWriter(path, (64, 64), "gray8") as writer:
        for _ in range(10):
            writer.write(rng.integers(0, 256, (64, 64)).astype(np.uint8))
    part = tmp_path / "part.mkv"
    part.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    clip = open_clip(part)
    assert 4 <= clip.num_frames <= 6  # each frame of noise takes the same room
    assert sum(1 for _ in clip.read()) == clip.num_frames


def test_folder_of_pictures_in_numeric_order(tmp_path):
    for number in (2, 10, 1):
        write_png(tmp_path / f"shot{number}.png", np.full((4, 6, 3), number, np.uint8))
    clip = open_clip(tmp_path)
    assert [int(f[0, 0, 0]) for f in clip.read()] == [1, 2, 10]


@pytest.mark.parametrize(
    ("content", "what"), [(b"", "is empty"), (b"hello\n" * 100, "not a video"), (None, "does not exist")]
)
def test_no_video_is_refused(tmp_path, content, what):
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=what):
        open_clip(path)


def test_sound_without_pictures_is_refused(tmp_path):
    import av

    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video in it"):
        open_clip(path)


def test_still_picture_is_a_clip_of_one_frame(tmp_path):
    write_png(tmp_path / "a.png", np.full((5, 7, 3), 9, np.uint8))
    clip = open_clip(tmp_path / "a.png")
    assert clip.num_frames == 1
    assert_array_equal(next(clip.read()), read_image(tmp_path / "a.png")[..., :3])


def test_run_ahead_passes_errors_on_and_stops():
    closed = []

    def numbers():
        try:
            for n in range(1000):
                if n == 5:
                    raise ValueError("five")
                yield n
        finally:
            closed.append(True)

    got = []
    with pytest.raises(ValueError, match="five"):
        for n in run_ahead(numbers(), depth=2):
            got.append(n)
    assert got == [0, 1, 2, 3, 4]

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    walk = run_ahead(endless(), depth=2)
    next(walk)
    walk.close()
    assert closed == [True, True]


def test_a_video_that_was_opened_before_is_not_decoded_again(clip_with_sound, monkeypatch):
    fresh = open_clip(clip_with_sound)
    later = FrameTimes(fresh.times.pts + 1, fresh.times.time_s, fresh.times.duration_s)
    assert open_clip(clip_with_sound, known=later) is fresh  # not its times: opened as if nothing were known
    with monkeypatch.context() as patch:
        patch.setattr("engine.video.clip.index_stream", None)
        again = open_clip(clip_with_sound, known=fresh.times)
    assert again.info == fresh.info
    for name in ("pts", "time_s", "duration_s"):
        assert_array_equal(getattr(again.times, name), getattr(fresh.times, name))
    assert_array_equal(list(again.read(3)), list(fresh.read(3)))


@pytest.mark.parametrize("name", CLIPS)
def test_a_sample_that_was_opened_before_is_the_same(sample_data, name):
    fresh = open_clip(sample_data / name)
    again = open_clip(sample_data / name, known=fresh.times)
    assert (again.info, again.warning) == (fresh.info, fresh.warning)
    assert_array_equal(again.times.pts, fresh.times.pts)
    assert_array_equal(again.times.duration_s, fresh.times.duration_s)
    if name.endswith("corrupt_tail.mp4"):
        assert again is fresh


@pytest.mark.parametrize("picks", [[0, 3, 4, 11], [7], [5, 10, 2]], ids=str)
def test_picked_frames_are_those_of_a_walk(clip_with_sound, picks):
    clip = open_clip(clip_with_sound)
    walked = list(clip.read())
    for idx, frame in zip(picks, clip.pick(picks), strict=True):
        assert_array_equal(frame, walked[idx])
