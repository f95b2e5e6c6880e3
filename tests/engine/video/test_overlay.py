from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.types import ClipInfo
from engine.video import LayerWriter, open_layer, overlay_kind, read_overlays, to_overlay
from engine.video.color import plane_layout, planes_to_rgb, rgb_to_planes

FORMATS = ["yuv420p", "yuv422p", "yuv444p", "gbrp", "gray", "yuv420p10le"]


def info_of(pix_fmt, size, num_frames=3, color_space="bt601", color_range="pc") -> ClipInfo:
    rgb = pix_fmt.startswith("gbr")
    return ClipInfo(
        height=size[0], width=size[1], num_frames=num_frames, time_base=Fraction(1, 25), rate=Fraction(25),
        pix_fmt=pix_fmt, color_space="rgb" if rgb else color_space, color_range="pc" if rgb else color_range,
    )  # fmt: skip


def pictures(size, num_frames=3):
    rng = np.random.default_rng(4)
    for k in range(num_frames):
        rgba = rng.integers(0, 256, (*size, 4)).astype(np.uint8)
        rgba[: 3 + k, :, 3] = 0
        rgba[-5:, :, 3] = 255
        yield rgba


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("size", [(70, 90), (65, 71)])
def test_ours_comes_back_as_it_was(tmp_path, pix_fmt, size):
    info = info_of(pix_fmt, size)
    kind, frames = overlay_kind(info), list(pictures(size))
    wanted = [to_overlay(rgba, info) for rgba in frames]
    with LayerWriter(tmp_path / "a.mkv", size, kind, info=info) as writer:
        for rgba, overlay in zip(frames, wanted):
            writer.write(rgba if kind == "rgba" else overlay)
    for got, want in zip(read_overlays(tmp_path / "a.mkv", info, ours=True), wanted, strict=True):
        for a, b in zip(got, want, strict=True):
            assert_array_equal(a, b)


def test_the_same_file_is_read_as_colours_by_its_own_tags(tmp_path):
    size = (64, 80)
    info = info_of("yuv444p", size)
    rgba = np.full((*size, 4), (200, 40, 90, 255), np.uint8)
    with LayerWriter(tmp_path / "a.mkv", size, overlay_kind(info), info=info) as writer:
        for _ in range(3):
            writer.write(to_overlay(rgba, info))
    seen = next(iter(open_layer(tmp_path / "a.mkv", kind="rgba").read()))
    assert np.abs(seen[..., :3].astype(int) - rgba[..., :3]).max() <= 2  # half a level of luma and 0.9 of each chroma
    assert (seen[..., 3] == 255).all()
    other = info_of("yuv444p", size, color_space="bt709", color_range="tv")
    planes = next(read_overlays(tmp_path / "a.mkv", other, ours=False))
    assert np.abs(planes_to_rgb(planes[:3], other).astype(int) - rgba[..., :3]).max() <= 4  # the same twice


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_full_picture_has_the_planes_of_its_colours(pix_fmt):
    info = info_of(pix_fmt, (33, 47))
    rgba = next(pictures((33, 47)))
    rgba[..., 3] = 255
    *planes, alpha = to_overlay(rgba, info)
    for got, want in zip(planes, rgb_to_planes(rgba[..., :3].copy(), info), strict=True):
        assert np.abs(got.astype(int) - want).max() <= 1  # a rounding in another order
    assert (alpha == 255).all()


def test_chroma_is_the_mean_of_what_is_shown():
    info = info_of("yuv420p", (4, 4))
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[0, 0], rgba[0, 1], rgba[1, 0] = (255, 0, 0, 255), (0, 0, 255, 51), (0, 255, 0, 0)
    _, blue, red, _ = to_overlay(rgba, info)
    mean = np.full((2, 2, 3), np.rint((np.array([255, 0, 0]) * 255 + np.array([0, 0, 255]) * 51) / 306), np.uint8)
    _, want_blue, want_red = rgb_to_planes(mean, info)
    assert (blue[0, 0], red[0, 0]) == (want_blue[0, 0], want_red[0, 0])
    assert (blue[1:] == 128).all()
    assert (red[1:] == 128).all()


def test_nothing_shown_is_black():
    info = info_of("yuv420p", (6, 8), color_range="tv")
    *planes, alpha = to_overlay(np.zeros((6, 8, 4), np.uint8), info)
    layout = plane_layout(info.pix_fmt)
    assert layout is not None
    assert [plane.shape for plane in planes] == layout.plane_sizes((6, 8))
    assert [np.unique(plane).tolist() for plane in (*planes, alpha)] == [[16], [128], [128], [0]]
