from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.errors import UsageError
from engine.video import container_for, encode_result, open_clip, open_layer


def smooth_planes(info, num_frames):
    """Gradients that move: what a codec keeps well."""
    from engine.video.color import rgb_to_planes

    y, x = np.mgrid[: info.height, : info.width]
    for idx in range(num_frames):
        rgb = np.dstack([(x * 3 + 9 * idx) % 200 + 20, y * 2 % 200 + 20, np.full_like(x, 90)]).astype(np.uint8)
        yield rgb_to_planes(cv2.blur(rgb, (5, 5)), info)


def test_times_sound_and_metadata_come_back_exactly(clip_with_sound, tmp_path, packets_of):
    source = open_clip(clip_with_sound)
    out = tmp_path / "out.mp4"
    notes = encode_result(
        (f.planes for f in source.read_frames()), source.info, source.times, out, audio_from=clip_with_sound
    )
    assert notes == []
    result = open_clip(out)
    want = [Fraction(p) * source.info.time_base for p in source.times.pts.tolist()]
    assert [Fraction(p) * result.info.time_base for p in result.times.pts.tolist()] == want
    assert result.times.duration_s[-1] == pytest.approx(source.times.duration_s[-1], abs=1e-9)
    assert packets_of(out, "audio") == packets_of(clip_with_sound, "audio")  # every byte and every time
    with av.open(str(out)) as container:
        assert container.metadata["title"] == "a title"
        assert container.streams.audio[0].metadata["language"] == "nor"


@pytest.mark.parametrize(
    "name", ["media/rot180_phone_vfr.mp4", "media/multi_stream_nasa.mp4", "media/no_duration.webm"]
)
def test_sample_sound_is_copied_byte_for_byte(sample_data, tmp_path, packets_of, name):
    source = open_clip(sample_data / name)
    info = replace(source.info, width=16, height=16, rotation_deg=0)
    black = [np.zeros((16, 16), np.uint8), np.full((8, 8), 128, np.uint8), np.full((8, 8), 128, np.uint8)]
    out = tmp_path / "out.mp4"
    notes = encode_result((black for _ in source.times.pts), info, source.times, out, audio_from=sample_data / name)
    assert notes == []
    assert packets_of(out, "audio") == packets_of(sample_data / name, "audio")
    assert packets_of(out, "subtitle") == packets_of(sample_data / name, "subtitle")
    assert_array_equal(open_clip(out).times.time_s, source.times.time_s)


def test_sound_the_container_cannot_hold_is_encoded_and_said(sample_data, tmp_path, packets_of, make_info, make_times):
    info = make_info(num_frames=2)
    planes = list(smooth_planes(info, 2))
    out = tmp_path / "out.mp4"
    times = make_times([0, 45000], info.time_base, 45000)
    notes = encode_result(iter(planes), info, times, out, audio_from=sample_data / "media/alpha_vp9.webm")
    assert len(notes) == 1
    assert "vorbis" in notes[0]
    assert "AAC" in notes[0]
    with av.open(str(out)) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name == "aac"
        samples = sum(f.samples for f in container.decode(sound))
    assert samples / 48000 == pytest.approx(4.943, abs=0.05)  # AAC works in steps of 1024 samples, 21 ms


@pytest.mark.parametrize(
    ("pix_fmt", "tags"),
    [
        ("yuv420p", {"color_range": "pc", "color_primaries": 1, "color_trc": 1}),
        ("yuv420p10le", {"color_space": "bt2020", "color_primaries": 9, "color_trc": 16}),
        ("yuv422p", {"color_space": "bt601", "color_primaries": 6, "color_trc": 6}),
        ("yuv444p", {"pixel_aspect": Fraction(128, 117)}),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_h264_keeps_format_and_tags(tmp_path, pix_fmt, tags, suffix, make_info, make_times):
    info = make_info(num_frames=4, pix_fmt=pix_fmt, **tags)
    frames = list(smooth_planes(info, 4))
    out = tmp_path / f"out{suffix}"
    encode_result(iter(frames), info, make_times([0, 3600, 7200, 10800], info.time_base, 3600), out)
    clip = open_clip(out)
    for field in ("size", "pix_fmt", "color_range", "color_space", "color_primaries", "color_trc", "pixel_aspect"):
        assert getattr(clip.info, field) == getattr(info, field), field
    step = 4 if "10" in pix_fmt else 1
    for got, want in zip(clip.read_frames(), frames, strict=True):
        for a, b in zip(got.planes, want, strict=True):
            assert np.abs(a.astype(int) - b).mean() < 1.5 * step  # crf 18 on smooth pictures, in 8-bit levels


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p12le", "gbrp", "gray"])
def test_lossless_is_lossless(tmp_path, random_planes_of, pix_fmt, make_info, make_times):
    info = make_info((66, 70), num_frames=3, pix_fmt=pix_fmt, pixel_aspect=Fraction(4, 3))
    if pix_fmt == "gbrp":
        info = replace(info, color_space="rgb", color_range="pc")
    frames = random_planes_of(pix_fmt, (66, 70), 3)
    out = tmp_path / "out.mkv"
    encode_result(iter(frames), info, make_times([0, 90, 180], info.time_base, 90), out, mode="lossless")
    clip = open_clip(out)
    assert clip.info.pix_fmt == pix_fmt
    assert clip.info.pixel_aspect == Fraction(4, 3)
    for got, want in zip(clip.read_frames(), frames, strict=True):
        for a, b in zip(got.planes, want, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("size", [(1, 1), (27, 47), (33, 64), (64, 33)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gbrp", "gray"])
def test_odd_sizes_keep_their_size(tmp_path, size, pix_fmt, random_planes_of, make_info, make_times):
    info = make_info(size, num_frames=2, pix_fmt=pix_fmt, color_space="rgb" if pix_fmt == "gbrp" else "bt709")
    out = tmp_path / "out.mp4"
    frames = random_planes_of(pix_fmt, size, 2)
    encode_result(iter(frames), info, make_times([0, 3000], info.time_base, 3000), out)
    assert open_clip(out).size == size


@pytest.mark.parametrize(("mode", "name"), [("h264", "a.mp4"), ("lossless", "a.mkv"), ("h264", "a.mov")])
def test_equal_input_gives_equal_bytes(clip_with_sound, tmp_path, mode, name):
    source = open_clip(clip_with_sound)
    results = []
    for run in "12":
        out = tmp_path / (run + name)
        frames = (f.planes for f in source.read_frames())
        encode_result(frames, source.info, source.times, out, audio_from=clip_with_sound, mode=mode)
        results.append(out.read_bytes())
    assert results[0] == results[1]


def soft_disc(idx: int) -> np.ndarray:
    """A disc with a soft edge whose width is no multiple of 8, on nothing."""
    rgba = np.zeros((75, 101, 4), np.uint8)
    cv2.circle(rgba, (30 + 3 * idx, 40), 22, (200, 90, 40, 255), -1)
    alpha = cv2.GaussianBlur(rgba[..., 3], (0, 0), 2)
    return np.dstack([np.full((75, 101, 3), (200, 90, 40), np.uint8) * (alpha > 0)[..., None], alpha])


# worst alpha error and worst colour error where opaque: what the codecs do to a soft disc at their settings
@pytest.mark.parametrize(
    ("name", "alpha_error", "color_error"), [("a.mkv", 0, 0), ("a", 0, 0), ("a.mov", 1, 4), ("a.webm", 12, 12)]
)
def test_alpha_round_trip(tmp_path, name, alpha_error, color_error, make_info, make_times):
    frames = [soft_disc(i) for i in range(6)]
    pts = [0, 40, 80, 90, 160, 200]
    info = make_info((75, 101), num_frames=6, time_base=Fraction(1, 1000))
    out = tmp_path / name
    assert encode_result(iter(frames), info, make_times(pts, info.time_base, 40), out, mode="alpha") == []
    layer = open_layer(out, kind="rgba", ours=False, num_frames=6, size=(75, 101))
    for got, want in zip(layer.read(), frames, strict=True):
        error = np.abs(got.astype(int) - want)
        assert error[..., 3].max() <= alpha_error
        assert error[want[..., 3] == 255].max() <= max(color_error, alpha_error)
    if out.is_file():
        assert_array_equal(open_clip(out).times.time_s, np.array(pts) / 1000)


def test_gif_alpha(tmp_path, make_info, make_times):
    frames = [soft_disc(i) for i in range(4)]
    info = make_info((75, 101), num_frames=4, time_base=Fraction(1, 100))
    out = tmp_path / "a.gif"
    encode_result(iter(frames), info, make_times([0, 4, 10, 15], info.time_base, 9), out, mode="alpha")
    for got, want in zip(open_layer(out, kind="rgba", ours=False).read(), frames, strict=True):
        assert_array_equal(got[..., 3], np.where(want[..., 3] >= 128, 255, 0))  # GIF alpha is one bit
    clip = open_clip(out)
    assert clip.times.pts.tolist() == [0, 4, 10, 15]
    assert clip.times.duration_s[-1] == pytest.approx(0.09)


def test_temporary_name_and_final_name(tmp_path, make_info, make_times):
    info = make_info(num_frames=1)
    out = tmp_path / "work.part"
    encode_result(smooth_planes(info, 1), info, make_times([0], info.time_base, 3600), out, final_path="cat.mp4")
    assert b"ftyp" in out.read_bytes()[:16]
    assert out.read_bytes().index(b"moov") < out.read_bytes().index(b"mdat")  # plays while it loads


@pytest.mark.parametrize(
    ("name", "mode"), [("a.avi", "h264"), ("a", "h264"), ("a.mp4", "lossless"), ("a.mp4", "alpha"), ("a.txt", "alpha")]
)
def test_impossible_endings_say_what_is_possible(name, mode):
    with pytest.raises(UsageError) as caught:
        container_for(name, mode)
    assert ".mkv" in caught.value.fix


def test_sound_and_pictures_are_interleaved(clip_with_sound, tmp_path):
    source = open_clip(clip_with_sound)
    out = tmp_path / "out.mp4"
    encode_result((f.planes for f in source.read_frames()), source.info, source.times, out, audio_from=clip_with_sound)
    with av.open(str(out)) as container:
        kinds = [p.stream.type for p in container.demux() if p.size]
    assert sum(a != b for a, b in pairwise(kinds)) >= 8  # not all of one, then all of the other
