from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from engine.compositor import compose
from engine.types import ClipInfo, Patch
from engine.video import to_overlay
from engine.video.color import plane_layout, planes_to_rgb, rgb_to_planes

FORMATS = [
    f"{name}{bits}"
    for name in ("yuv420p", "yuv422p", "yuv444p", "gbrp", "gray")
    for bits in ("", "10le", "12le")
]  # fmt: skip


@dataclass
class Source:
    planes: list[np.ndarray]


def make_info(size, pix_fmt, color_range="tv") -> ClipInfo:
    space = "rgb" if pix_fmt.startswith("gbr") else "bt709"
    return ClipInfo(
        height=size[0], width=size[1], num_frames=1, time_base=Fraction(1, 25), rate=Fraction(25), pix_fmt=pix_fmt,
        color_space=space, color_range=color_range,
    )  # fmt: skip


def noise_source(rng, info) -> Source:
    layout = plane_layout(info.pix_fmt)
    return Source([rng.integers(0, 1 << layout.bits, s).astype(layout.dtype) for s in layout.plane_sizes(info.size)])


def random_layers(rng, size):
    height, width = size
    scene = np.zeros((height, width, 4), np.uint8)
    y0, x0 = rng.integers(0, height), rng.integers(0, width)
    y1, x1 = rng.integers(y0, height + 1), rng.integers(x0, width + 1)
    scene[y0:y1, x0:x1] = rng.integers(0, 256, (y1 - y0, x1 - x0, 4))
    scene[scene[..., 3] == 0] = 0
    py, px = rng.integers(0, height), rng.integers(0, width)
    ph, pw = rng.integers(1, height - py + 1), rng.integers(1, width - px + 1)
    alpha = rng.integers(0, 256, (ph, pw, 1)) * rng.integers(0, 2, (ph, pw, 1))
    rgba = np.concatenate([rng.integers(0, 256, (ph, pw, 3)) * alpha // 255, alpha], -1).astype(np.uint8)
    shadow = (rng.integers(0, 256, (ph, pw)) * rng.integers(0, 2, (ph, pw))).astype(np.uint8)
    occlusion = (rng.integers(0, 256, (height, width)) * rng.integers(0, 2, (height, width))).astype(np.uint8)
    return scene, Patch(int(px), int(py), rgba, shadow), occlusion


def coverage(scene, patch, occlusion) -> np.ndarray:
    """Where any layer covers a pixel at all."""
    covered = scene[..., 3] > 0
    h, w = patch.shadow.shape
    covered[patch.y0 : patch.y0 + h, patch.x0 : patch.x0 + w] |= (patch.rgba[..., 3] > 0) | (patch.shadow > 0)
    return covered & (occlusion < 255)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    pix_fmt=st.sampled_from(FORMATS),
    size=st.tuples(st.integers(1, 23), st.integers(1, 23)),
    color_range=st.sampled_from(["tv", "pc"]),
)
def test_outside_the_edit_nothing_changes(seed, pix_fmt, size, color_range):
    rng = np.random.default_rng(seed)
    info, layout = make_info(size, pix_fmt, color_range), plane_layout(pix_fmt)
    source = noise_source(rng, info)
    before = [p.copy() for p in source.planes]
    scene, patch, occlusion = random_layers(rng, size)
    planes, num_changed = compose(source, scene=to_overlay(scene, info), patch=patch, occlusion=occlusion, info=info)
    edited = coverage(scene, patch, occlusion)
    changed = np.zeros(size, bool)
    for idx, (got, want, kept) in enumerate(zip(planes, before, source.planes, strict=True)):
        step_y, step_x = (layout.sub_y, layout.sub_x) if idx else (1, 1)
        grid = np.zeros((got.shape[0] * step_y, got.shape[1] * step_x), bool)
        grid[: size[0], : size[1]] = edited
        touched = grid.reshape(got.shape[0], step_y, got.shape[1], step_x).any((1, 3))
        assert got.dtype == want.dtype
        assert_array_equal(got[~touched], want[~touched])
        assert_array_equal(kept, want)  # the source is never written to
        changed |= (got != want).repeat(step_y, 0).repeat(step_x, 1)[: size[0], : size[1]]
    assert num_changed == changed.sum()


def test_no_layer_gives_the_very_same_arrays():
    rng = np.random.default_rng(0)
    info = make_info((20, 30), "yuv420p")
    source = noise_source(rng, info)
    empty = Patch(3, 4, np.zeros((5, 6, 4), np.uint8), np.zeros((5, 6), np.uint8))
    scene = np.zeros((20, 30, 4), np.uint8)
    for layers in ({"scene": None, "patch": None}, {"scene": to_overlay(scene, info), "patch": empty}):
        planes, num_changed = compose(source, occlusion=None, info=info, **layers)
        assert num_changed == 0
        assert all(a is b for a, b in zip(planes, source.planes, strict=True))


def slow_over(rgb, scene, patch, occlusion):
    """The layers laid one over the other in float64 RGB, back to front."""
    result = rgb.astype(float)
    alpha = scene[..., 3:] / 255
    result = result * (1 - alpha) + scene[..., :3] * alpha
    h, w = patch.shadow.shape
    there = (slice(patch.y0, patch.y0 + h), slice(patch.x0, patch.x0 + w))
    result[there] *= 1 - patch.shadow[..., None] / 255
    result[there] = result[there] * (1 - patch.rgba[..., 3:] / 255) + patch.rgba[..., :3]
    front = occlusion[..., None] / 255
    return result * (1 - front) + rgb * front


@pytest.mark.parametrize("pix_fmt", ["gbrp", "yuv444p", "yuv444p12le"])
@pytest.mark.parametrize("color_range", ["tv", "pc"])
def test_layers_lie_in_the_right_order(pix_fmt, color_range):
    rng = np.random.default_rng(5)
    size = (40, 50)
    info = make_info(size, pix_fmt, color_range)
    rgb = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    source = Source(rgb_to_planes(rgb, info))
    rgb = planes_to_rgb(source.planes, info)
    scene, patch, occlusion = random_layers(rng, size)
    planes, _ = compose(source, scene=to_overlay(scene, info), patch=patch, occlusion=occlusion, info=info)
    error = planes_to_rgb(planes, info) - slow_over(rgb, scene, patch, occlusion)
    # one rounding in 8-bit planes costs up to 0.5 levels of luma and of each chroma: 0.5 * 1.16 + 0.5 * 2.11 in blue,
    # and the source's own rounding to `rgb` the same again; 12 bits leave the rounding of the two RGB pictures
    limit = {"gbrp": 0.51, "yuv444p": 3.6, "yuv444p12le": 1.2}[pix_fmt]
    assert np.abs(error).max() <= limit


def test_each_layer_alone():
    info = make_info((4, 4), "gbrp")
    source = Source(rgb_to_planes(np.full((4, 4, 3), 100, np.uint8), info))

    def pixel(**layers):
        given_layers = {"scene": None, "patch": None, "occlusion": None, **layers}
        planes, _ = compose(source, info=info, **given_layers)
        return [int(planes[i][1, 1]) for i in (2, 0, 1)]

    picture = np.zeros((4, 4, 4), np.uint8)
    picture[1, 1] = (10, 20, 30, 255)
    scene = to_overlay(picture, info)
    figure = np.zeros((2, 2, 4), np.uint8)
    figure[0, 0] = (50, 0, 0, 128)  # premultiplied: full red 100 at half
    none, half = np.zeros((2, 2), np.uint8), np.full((2, 2), 51, np.uint8)
    front = np.zeros((4, 4), np.uint8)
    front[1, 1] = 255
    assert pixel(scene=scene) == [10, 20, 30]
    assert pixel(patch=Patch(1, 1, figure * 0, half)) == [80, 80, 80]  # a fifth of the light is gone
    assert pixel(patch=Patch(1, 1, figure, none)) == [100, 50, 50]
    assert pixel(scene=scene, patch=Patch(1, 1, figure, half)) == [54, 8, 12]  # 0.8 * 0.498 * scene + figure
    assert pixel(scene=scene, patch=Patch(1, 1, figure, half), occlusion=front) == [100, 100, 100]


def test_chroma_of_an_edge_block_is_its_mean():
    info = make_info((4, 4), "yuv420p")
    gray = Source(rgb_to_planes(np.full((4, 4, 3), 128, np.uint8), info))
    red = np.zeros((1, 1, 4), np.uint8)
    red[0, 0] = (255, 0, 0, 255)
    planes, num_changed = compose(
        gray, scene=None, patch=Patch(1, 1, red, np.zeros((1, 1), np.uint8)), occlusion=None, info=info
    )
    full = rgb_to_planes(np.full((4, 4, 3), (255, 0, 0), np.uint8), info)
    for got, want in zip(planes[1:], full[1:], strict=True):
        assert got[0, 0] == round(128 + (int(want[0, 0]) - 128) / 4)  # one pixel of four
        assert (got.ravel()[1:] == 128).all()
    assert num_changed == 4  # the pixel, and the three that share its chroma


def test_a_figure_in_720p_is_composed_fast():
    import time

    info = make_info((720, 1280), "yuv420p")
    rng = np.random.default_rng(0)
    source = noise_source(rng, info)
    scene = np.zeros((720, 1280, 4), np.uint8)
    scene[60:660, 480:780] = 200
    scene = to_overlay(scene, info)
    patch = Patch(480, 60, np.full((600, 300, 4), 90, np.uint8), np.full((600, 300), 30, np.uint8))
    took = []
    for _ in range(8):
        start = time.perf_counter()
        compose(source, scene=scene, patch=patch, occlusion=None, info=info)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.03  # about 5 ms on two idle cores; room for a machine that is busy
