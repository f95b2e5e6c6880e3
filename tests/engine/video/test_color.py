import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.video.color import LUMA_WEIGHTS, block_mean, plane_layout, planes_to_rgb, rgb_to_planes


def slow_rgb(planes, info):
    """BT.601/709/2020 as the standards write it, sample by sample in float64."""
    layout = plane_layout(info.pix_fmt)
    step = 1 << (layout.bits - 8)
    top = (1 << layout.bits) - 1
    full = info.color_range == "pc"
    height, width = planes[0].shape
    y = (planes[0] / top) if full else (planes[0].astype(float) - 16 * step) / (219 * step)
    cb, cr = (
        p.repeat(layout.sub_y, 0).repeat(layout.sub_x, 1)[:height, :width].astype(float) - 128 * step
        for p in planes[1:]
    )
    cb, cr = (c / (top if full else 224 * step) for c in (cb, cr))
    kr, kb = LUMA_WEIGHTS[info.color_space]
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.dstack([r, g, b]) * 255, 0, 255)


@pytest.mark.parametrize("color_range", ["tv", "pc"])
@pytest.mark.parametrize("space", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le"])
def test_rgb_equals_the_standard(pix_fmt, space, color_range, make_info, random_planes_of):
    info = make_info((15, 21), pix_fmt=pix_fmt, color_space=space, color_range=color_range)
    planes = random_planes_of(pix_fmt, (15, 21), 1)[0]
    # rounding; in 8 bits OpenCV also holds the three factors in steps of 1/1024: 3 * 255 / 2048 = 0.37
    limit = 0.88 if info.pix_fmt.endswith("p") else 0.51
    assert np.abs(planes_to_rgb(planes, info) - slow_rgb(planes, info)).max() <= limit


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p", "yuv422p10le", "gbrp", "gbrp10le", "yuv444p10le"])
def test_flat_colours_survive(pix_fmt, make_info):
    rng = np.random.default_rng(0)
    info = make_info((6, 6), pix_fmt=pix_fmt, color_space="rgb" if "gbr" in pix_fmt else "bt709")
    for color in rng.integers(0, 256, (50, 3)):
        rgb = np.full((6, 6, 3), color, np.uint8)
        back = planes_to_rgb(rgb_to_planes(rgb, info), info)
        assert np.abs(back.astype(int) - rgb).max() <= 2  # 8-bit limited range has 219 steps for 255 levels


def test_gray_is_exact_in_full_range(make_info):
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(2, 0)
    info = make_info((2, 256), pix_fmt="gray", color_range="pc")
    assert_array_equal(planes_to_rgb([ramp], info), np.dstack([ramp] * 3))
    assert_array_equal(rgb_to_planes(np.dstack([ramp] * 3), info)[0], ramp)


def test_block_mean_at_odd_edges():
    values = np.arange(15, dtype=np.float32).reshape(3, 5)
    got = block_mean(values, plane_layout("yuv420p"))
    assert_array_equal(got, [[3, 5, 6.5], [10.5, 12.5, 14]])


def test_close_to_swscale(sample_data):
    # FFmpeg's own conversion rounds down where ours rounds to nearest: at most 3 levels (swscale's fast path)
    import av

    from engine.video import open_clip

    path = sample_data / "media/full_range_709.mp4"
    with av.open(str(path)) as container:
        want = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(next(open_clip(path).read()).astype(int) - want).max() <= 3
