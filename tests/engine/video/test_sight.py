import numpy as np
import pytest

from engine.types import ArraySource, ClipInfo, glimpse
from engine.video.color import plane_layout, planes_to_rgb
from engine.video.sight import Sight


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp", "gray"])
def test_a_part_is_what_the_whole_frame_has_there(pix_fmt):
    rng, size, layout = (
        np.random.default_rng(2),
        (37, 51),
        plane_layout(pix_fmt),
    )  # odd: the last sample of chroma stands for one pixel
    info = ClipInfo(
        width=size[1],
        height=size[0],
        num_frames=1,
        time_base=1,
        rate=25,
        pix_fmt=pix_fmt,
        color_range="pc" if pix_fmt == "gbrp" else "tv",
        color_space="rgb" if pix_fmt == "gbrp" else "bt709",
    )
    planes = [rng.integers(16, 235 << (layout.bits - 8), s).astype(layout.dtype) for s in layout.plane_sizes(size)]
    sight, whole = Sight(planes, info), planes_to_rgb(planes, info)
    assert sight.shape == whole.shape
    for window in (np.s_[:], np.s_[3:20], np.s_[5:37, 7:51], np.s_[0:1, 2:3], np.s_[4:4, 0:9]):
        if whole[window].size:  # OpenCV knows no empty pictures
            np.testing.assert_array_equal(sight[window], whole[window])
    mean = whole.reshape(-1, 3).mean(0)
    np.testing.assert_allclose(sight.shrunk((4, 5)).reshape(-1, 3).mean(0), mean, atol=12)  # what clips is averaged


def test_other_sources_give_their_frames():
    frames = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    assert all((one[:] == frame).all() for one, frame in zip(glimpse(ArraySource(frames)), frames, strict=True))
