from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.errors import InputError
from engine.video import LayerWriter, concat_layers, encode_result, open_layer, write_png


def frames_of(kind: str, num_frames: int = 9, size=(70, 90)) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    depth = {"gray8": (), "gray16": (), "rgb": (3,), "rgba": (4,)}[kind]
    dtype = np.uint16 if kind == "gray16" else np.uint8
    return [rng.integers(0, np.iinfo(dtype).max + 1, (*size, *depth)).astype(dtype) for _ in range(num_frames)]


def write(path, frames, kind, **options):
    with LayerWriter(path, frames[0].shape[:2], kind, **options) as writer:
        for frame in frames:
            writer.write(frame)


@pytest.mark.parametrize("kind", ["gray8", "gray16", "rgb", "rgba"])
def test_layer_is_lossless_from_any_frame(tmp_path, kind):
    frames = frames_of(kind)
    write(tmp_path / "a.mkv", frames, kind)
    layer = open_layer(tmp_path / "a.mkv", kind=kind, num_frames=9, size=(70, 90))
    assert_array_equal(list(layer.read()), frames)
    for start in (1, 4, 8):
        assert_array_equal(list(layer.read(start)), frames[start:])
    assert list(layer.read(3, 3)) == []


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p12le", "gbrp", "gray10le"])
def test_planes_are_lossless(tmp_path, pix_fmt, random_planes_of):
    frames = random_planes_of(pix_fmt, (65, 71), 3)
    with LayerWriter(tmp_path / "a.mkv", (65, 71), pix_fmt) as writer:
        for frame in frames:
            writer.write(frame)
    got = list(open_layer(tmp_path / "a.mkv", kind=pix_fmt).read())
    for have, want in zip(got, frames, strict=True):
        for a, b in zip(have, want, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["gray8", "gray16", "rgba"])
def test_bytes_do_not_depend_on_threads_or_run(tmp_path, kind):
    frames = frames_of(kind)
    for name, threads in (("a", 1), ("b", 1), ("c", 4)):
        write(tmp_path / f"{name}.mkv", frames, kind, threads=threads)
    assert len({(tmp_path / f"{n}.mkv").read_bytes() for n in "abc"}) == 1


def test_joined_bytes_do_not_depend_on_the_cuts(tmp_path):
    frames = frames_of("gray8")
    joined = []
    for cuts in ([0, 9], [0, 2, 9], [0, 4, 5, 9]):
        parts = []
        for a, b in pairwise(cuts):
            parts.append(tmp_path / f"part{a}.mkv")
            write(parts[-1], frames[a:b], "gray8")
        concat_layers(parts, tmp_path / "joined.mkv")
        joined.append((tmp_path / "joined.mkv").read_bytes())
    assert joined[0] == joined[1] == joined[2]
    assert_array_equal(list(open_layer(tmp_path / "joined.mkv", kind="gray8").read(5)), frames[5:])


def test_any_file_name(tmp_path):
    path = tmp_path / "12:30 %03d täst?.mkv"  # FFmpeg would take the first word for a protocol
    write(path, frames_of("gray8"), "gray8")
    assert path.exists()
    assert open_layer(path, kind="gray8").num_frames == 9


def test_one_pixel(tmp_path):
    write(tmp_path / "a.mkv", [np.array([[7]], np.uint8)], "gray8")
    assert_array_equal(next(open_layer(tmp_path / "a.mkv", kind="gray8").read()), [[7]])


def test_truncated_layer_is_refused(tmp_path):
    path = tmp_path / "a.mkv"
    write(path, frames_of("gray8"), "gray8")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"has [0-8] frames; the clip has 9|holds no frames"):
        open_layer(path, kind="gray8", num_frames=9)


def test_unreadable_packet_is_refused(tmp_path):
    path = tmp_path / "a.mkv"
    frames = frames_of("gray8")
    write(path, frames, "gray8")
    data = bytearray(path.read_bytes())
    room = len(data) // len(frames)
    data[room * 4 : room * 6] = bytes(room * 2)  # a hole as a lost disk block leaves it: a whole frame and its marks
    path.write_bytes(data)
    with pytest.raises(InputError):
        list(open_layer(path, kind="gray8", num_frames=9).read())


def test_wrong_size_is_refused(tmp_path):
    write(tmp_path / "a.mkv", frames_of("gray8"), "gray8")
    with pytest.raises(InputError, match="is 90x70; the clip is 64x48"):
        open_layer(tmp_path / "a.mkv", kind="gray8", size=(48, 64))


def disc(size=(96, 128)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    cv2.circle(mask, (60, 50), 30, 255, -1)
    return mask


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_mask_from_an_editor_is_black_and_white_again(tmp_path, suffix, make_info, make_times):
    # limited-range H.264, as an editor exports it: luma 16 ... 235
    info = make_info((96, 128), num_frames=3, time_base=Fraction(1, 25))
    luma = (16 + disc().astype(float) * 219 / 255).round().astype(np.uint8)
    planes = [luma, np.full((48, 64), 128, np.uint8), np.full((48, 64), 128, np.uint8)]
    path = tmp_path / f"human.mask{suffix}"
    encode_result([planes] * 3, info, make_times([0, 1, 2], info.time_base, 1), path)
    for mask in open_layer(path, kind="gray8", ours=False, num_frames=3).read():
        inner = cv2.erode(disc(), np.ones((9, 9))) > 0
        outer = cv2.dilate(disc(), np.ones((9, 9))) == 0
        assert (mask[inner] == 255).all()  # 4 pixels from the edge, where no ringing of H.264 reaches 6 levels
        assert (mask[outer] == 0).all()


@pytest.mark.parametrize("pix_fmt", ["yuv422p10le", "yuva444p10le"])
def test_mask_of_prores_is_black_and_white_again(tmp_path, pix_fmt):
    with av.open(str(tmp_path / "human.mask.mov"), "w") as out:
        video = out.add_stream("prores_ks", rate=25)
        video.height, video.width, video.pix_fmt = *disc().shape, pix_fmt
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(cv2.cvtColor(disc(), cv2.COLOR_GRAY2RGB), format="rgb24")
            out.mux(video.encode(frame.reformat(format=pix_fmt)))
        out.mux(video.encode())
    masks = list(open_layer(tmp_path / "human.mask.mov", kind="gray8", ours=False, num_frames=3).read())
    assert len(masks) == 3
    inner, outer = cv2.erode(disc(), np.ones((5, 5))) > 0, cv2.dilate(disc(), np.ones((5, 5))) == 0
    for mask in masks:  # 2 pixels from the edge, where no ringing of ProRes reaches 6 levels
        assert (mask[inner] == 255).all() and (mask[outer] == 0).all()


def test_mask_from_a_folder(tmp_path):
    gray = disc()
    write_png(tmp_path / "000001.png", cv2.cvtColor(255 - gray, cv2.COLOR_GRAY2RGB))
    write_png(tmp_path / "000000.png", np.where(gray > 0, 252, 4).astype(np.uint8))
    write_png(tmp_path / "000010.png", gray.astype(np.uint16) * 257)
    layer = open_layer(tmp_path, kind="gray8", ours=False, num_frames=3)
    assert_array_equal(list(layer.read()), [gray, 255 - gray, gray])
    assert_array_equal(list(layer.read(2)), [gray])


def test_opaque_video_serves_as_rgba(tmp_path):
    frames = frames_of("rgb", 2)
    write(tmp_path / "plate.mkv", frames, "rgb")
    for got, want in zip(open_layer(tmp_path / "plate.mkv", kind="rgba", ours=False).read(), frames, strict=True):
        assert_array_equal(got[..., :3], want)
        assert (got[..., 3] == 255).all()
