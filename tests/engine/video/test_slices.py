from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.errors import InputError
from engine.types import ClipInfo
from engine.video import LayerWriter, open_layer, slices, to_overlay
from engine.video.planes import copy_planes
from engine.video.slices import SliceDecoder, SlicePlan, choose_grid, find_headers, find_used, open_encoder, split

SIZES = [(288, 384), (360, 640)]


def layer_frames(kind, size, num_frames=4) -> list:
    """A noisy figure that walks over nothing; a full and an empty frame among them."""
    rng = np.random.default_rng(2)
    info = ClipInfo(
        height=size[0], width=size[1], num_frames=num_frames, time_base=Fraction(1, 25), rate=Fraction(25)
    )  # fmt: skip
    frames = []
    for k in range(num_frames):
        rgba = np.zeros((*size, 4), np.uint8)
        if k != 1:
            part = np.s_[:, :] if k == 2 else np.s_[40 + 20 * k : 220, 10 + 30 * k : 140 + 30 * k]
            rgba[part] = rng.integers(0, 256, rgba[part].shape)
        frames.append({"rgba": rgba, "gray8": rgba[..., 0]}.get(kind, to_overlay(rgba, info)))
    return frames


def write(path, frames, kind, size):
    info = ClipInfo(height=size[0], width=size[1], num_frames=4, time_base=Fraction(1, 25), rate=Fraction(25))
    with LayerWriter(path, size, kind, info=info) as writer:
        for frame in frames:
            writer.write(frame)


@pytest.mark.parametrize("kind", ["gray8", "rgba", "yuva420p"])
@pytest.mark.parametrize("size", SIZES)
def test_slice_by_slice_gives_the_bytes_of_ffmpeg(tmp_path, monkeypatch, kind, size):
    frames = layer_frames(kind, size)
    write(tmp_path / "slices.mkv", frames, kind, size)
    monkeypatch.setattr(slices, "MOST_USED", -1.0)  # every frame as a whole
    write(tmp_path / "whole.mkv", frames, kind, size)
    assert (tmp_path / "slices.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


@pytest.mark.parametrize("kind", ["gray8", "rgba", "yuva420p"])
def test_slices_are_read_as_ffmpeg_reads_them(tmp_path, kind):
    size = SIZES[0]
    frames = layer_frames(kind, size)
    write(tmp_path / "a.mkv", frames, kind, size)
    for start in (0, 1, 3):
        for got, want in zip(open_layer(tmp_path / "a.mkv", kind=kind).read(start), frames[start:], strict=True):
            for a, b in zip(got, want, strict=True):
                assert_array_equal(a, b)
    with av.open(str(tmp_path / "a.mkv")) as container:
        for picture, frame in zip(container.decode(video=0), frames, strict=True):
            if kind == "yuva420p":
                for a, b in zip(copy_planes(picture, np.uint8), frame, strict=True):
                    assert_array_equal(a, b)
            else:
                assert_array_equal(picture.to_ndarray(), frame if kind == "gray8" else frame[..., [2, 1, 0, 3]])


def test_the_grid_is_the_one_ffmpeg_makes():
    """One used pixel changes one slice, the one the grid has it in."""
    size = (360, 640)
    grid = choose_grid(size, (1, 1))
    assert grid is not None
    assert grid.rows * grid.tile[0] == size[0]
    assert grid.columns * grid.tile[1] == size[1]
    encoder = open_encoder(size, "gray", grid.num_slices)

    def pieces(gray):
        frame = av.VideoFrame.from_ndarray(gray, format="gray")
        return split(bytes(encoder.encode(frame)[0]))

    blank = pieces(np.zeros(size, np.uint8))
    for idx in (0, 3, grid.num_slices - 1):
        gray = np.zeros(size, np.uint8)
        top, left = grid.place(idx)
        gray[top, left] = gray[top + grid.tile[0] - 1, left + grid.tile[1] - 1] = 9
        assert find_used([gray], grid, (0,)).tolist() == [idx]
        assert [k for k, (a, b) in enumerate(zip(pieces(gray), blank, strict=True)) if a != b] == [idx]


def test_8k_has_no_more_slices_than_ffmpeg_makes():
    grid = choose_grid((4320, 7680), (2, 2))
    assert grid is not None
    open_encoder((4320, 7680), "gray", grid.num_slices).open()


@pytest.mark.parametrize("size", [(67, 71), (90, 90), (1000, 701)])
def test_what_does_not_divide_is_written_whole(tmp_path, size):
    assert choose_grid(size, (1, 1)) is None
    frame = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    with LayerWriter(tmp_path / "a.mkv", size, "gray8") as writer:
        writer.write(frame)
    assert_array_equal(next(iter(open_layer(tmp_path / "a.mkv", kind="gray8").read())), frame)


def test_a_damaged_slice_is_told():
    size = SIZES[0]
    grid = choose_grid(size, (1, 1))
    assert grid is not None
    plan = SlicePlan(grid, (0,))
    headers = find_headers(size, "gray", plan)
    assert headers is not None
    encoder = open_encoder(size, "gray", grid.num_slices)
    gray = layer_frames("gray8", size)[0]
    packet = bytes(encoder.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), format="gray"))[0])
    decoder = SliceDecoder(size, "gray", plan, headers)
    assert_array_equal(decoder.decode(packet)[0], gray)
    for place in (10, len(packet) // 2, len(packet) - 2):
        broken = bytearray(packet)
        broken[place] ^= 0x55
        with pytest.raises(ValueError, match=r"checksum|slices|header"):
            decoder.decode(bytes(broken))
    with pytest.raises(ValueError, match="slices"):
        decoder.decode(packet[:-40])


def test_a_damaged_layer_is_refused(tmp_path):
    size = SIZES[0]
    write(tmp_path / "a.mkv", layer_frames("rgba", size), "rgba", size)
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.mkv").write_bytes(data)
    with pytest.raises(InputError, match=r"damaged"):
        list(open_layer(tmp_path / "a.mkv", kind="rgba").read())
