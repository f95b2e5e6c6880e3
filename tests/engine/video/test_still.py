import struct
import zlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from engine.errors import InputError
from engine.video import read_image, write_png

PICTURES = {
    "1_trns.png": (64, 64), "hopper_gray.jpg": (128, 128), "hopper_orientation_3.jpg": (128, 128),
    "hopper_orientation_6.jpg": (128, 128), "iss634.webp": (245, 245), "mode_16bit.png": (64, 128),
    "p_trns_single.png": (64, 64), "pil123rgba.png": (150, 162), "pil_sample_cmyk.jpg": (100, 100),
    "transparent.webp": (150, 200),
}  # fmt: skip
REFUSED = (
    "broken.png", "broken_data_stream.png", "decompression_bomb.gif", "png_decompression_dos.png",
    "truncated_image.png", "zero_width.gif",
)  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_sample_picture(sample_data, name):
    rgba = read_image(sample_data / "media/images" / name)
    assert rgba.shape == (*PICTURES[name], 4)
    assert rgba.dtype == np.uint8


@pytest.mark.parametrize("name", REFUSED)
def test_sample_is_refused_in_one_sentence(sample_data, name):
    with pytest.raises(InputError) as caught:
        read_image(sample_data / "media/images" / name)
    assert name in caught.value.what
    assert "\n" not in str(caught.value)


def test_every_sample_is_covered(sample_data):
    assert {p.name for p in (sample_data / "media/images").iterdir()} == {*PICTURES, *REFUSED}


def test_orientation_makes_the_same_picture(sample_data):
    folder = sample_data / "media/images"
    upright = [read_image(folder / f"hopper_orientation_{n}.jpg")[..., :3].astype(int) for n in (3, 6)]
    assert np.abs(upright[0] - upright[1]).mean() < 4  # one photo, two JPEGs: blocks lie differently
    gray = read_image(folder / "hopper_gray.jpg")[..., 0]
    assert np.abs(upright[0].mean(-1) - gray).mean() < 20  # it is the upright one; on its side or head it is > 60


def test_cmyk_is_not_inverted(sample_data):
    rgb = read_image(sample_data / "media/images/pil_sample_cmyk.jpg")[..., :3].astype(int)
    red = (rgb[..., 0] > 180) & (rgb[..., 1] < 80) & (rgb[..., 2] < 80)
    assert red.mean() > 0.05  # the word RED ...
    assert (rgb.max(-1) < 40).mean() > 0.6  # ... on black


def test_alpha_kinds(sample_data):
    folder = sample_data / "media/images"
    assert set(np.unique(read_image(folder / "1_trns.png")[..., 3])) == {0, 255}
    assert (read_image(folder / "p_trns_single.png")[32, 32, 3]) == 0
    assert len(np.unique(read_image(folder / "pil123rgba.png")[..., 3])) > 100
    assert (read_image(folder / "hopper_gray.jpg")[..., 3] == 255).all()


def test_sixteen_bit_gray_keeps_its_levels(tmp_path):
    levels = (np.arange(256, dtype=np.uint16) * 257)[None].repeat(3, 0)
    write_png(tmp_path / "a.png", levels)
    assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], np.arange(256))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_png_round_trip(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write_png(tmp_path / "a.png", array)
    write_png(tmp_path / "b.png", array)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    got = np.asarray(Image.open(tmp_path / "a.png"))
    assert_array_equal(got, array)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]  # no leftovers


def test_huge_picture_is_refused_from_its_header(tmp_path):
    import resource

    path = tmp_path / "bomb.png"
    Image.new("L", (1, 1)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 40000, 40000)  # the size in the header, and its checksum
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="claims 40000x40000"):
        read_image(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; its pixels would take 6 GB


@pytest.mark.parametrize("make", ["missing", "empty", "folder", "text"])
def test_no_picture_is_refused(tmp_path, make):
    path = tmp_path / "a.png"
    if make == "folder":
        path.mkdir()
    elif make != "missing":
        path.write_bytes(b"" if make == "empty" else b"not a picture\n")
    with pytest.raises(InputError):
        read_image(path)
