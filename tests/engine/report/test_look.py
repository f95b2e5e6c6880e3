"""The look at a result: pictures that show it, measures by hand, a size that does not grow with the clip."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from engine.errors import InputError
from engine.report import LookWriter, read_look
from engine.report.bones import foot_slide_mm, joints_in_picture
from engine.report.look import BUDGET_BYTES, MAX_PICTURES, SIDE_PX
from engine.report.measures import Measures
from engine.types import Camera, ClipInfo, Patch
from engine.video import Frame


def make_info(size, num_frames, pix_fmt="yuv420p") -> ClipInfo:
    rate = Fraction(25)
    return ClipInfo(
        width=size[1], height=size[0], num_frames=num_frames, time_base=1 / rate, rate=rate, pix_fmt=pix_fmt
    )


def flat(info: ClipInfo, level: int, idx: int = 0) -> Frame:
    chroma = (-(-info.height // 2), -(-info.width // 2))
    return Frame(idx, [np.full(info.size, level, np.uint8), *(np.full(chroma, 128, np.uint8) for _ in "uv")], info)


def square(x0, y0, side, color=(255, 0, 0)) -> Patch:
    rgba = np.zeros((side, side, 4), np.uint8)
    rgba[...] = (*color, 255)
    return Patch(x0, y0, rgba, np.zeros((side, side), np.uint8))


def test_measures_by_hand():
    """A square of 10 x 10 on 40 x 60 pixels; the middle frame of three is 30 levels brighter than its neighbours."""
    info = make_info((40, 60), 3)
    measures = Measures(info)
    for idx, lift in enumerate((0, 30, 0)):
        source = flat(info, 100, idx).planes
        result = [source[0].copy(), *source[1:]]
        result[0][10:20, 20:30] = 150 + lift
        edited = measures.add(source, result, scene=None, patch=square(20, 10, 10), num_changed=100, has_source=True)
        assert edited.sum() == 255 * 100
    series = measures.finish()
    np.testing.assert_allclose(series["changed"], 100 / 2400)
    np.testing.assert_array_equal(series["outside"], 0)
    np.testing.assert_allclose(series["flicker"], [0, 30, 0])  # |150 - 2 * 180 + 150| / 2
    np.testing.assert_array_equal(series["flicker_source"], 0)
    np.testing.assert_allclose(series["color"], [[255, 0, 0]] * 3)


@pytest.mark.parametrize("plane", [0, 1])
def test_a_pixel_outside_the_edit_is_found(plane):
    info = make_info((40, 60), 1)
    measures, source = Measures(info), flat(info, 100).planes
    result = [layer.copy() for layer in source]
    result[plane][2, 3] += 1
    measures.add(source, result, scene=None, patch=square(20, 10, 10), num_changed=1, has_source=True)
    # one pixel; a sample of chroma stands for four
    np.testing.assert_allclose(measures.finish()["outside"], (4 if plane else 1) / 2400)


def test_chroma_at_the_edge_of_the_edit_is_inside():
    """An edit of odd place shares its chroma samples with the pixels beside it."""
    info = make_info((40, 60), 1)
    measures, source = Measures(info), flat(info, 100).planes
    result = [layer.copy() for layer in source]
    result[1][5:11, 10:16] += 9
    measures.add(source, result, scene=None, patch=square(21, 11, 10), num_changed=1, has_source=True)
    assert measures.finish()["outside"] == [0]


@pytest.mark.parametrize(
    ("size", "small"), [((720, 1280), (240, 426)), ((1280, 720), (426, 240)), ((90, 101), (90, 101))]
)
def test_pictures_show_the_result(tmp_path, size, small):
    info = make_info(size, 2)
    writer = LookWriter(info)
    for idx in range(2):
        frame = flat(info, 110, idx)
        result = [plane.copy() for plane in frame.planes]
        result[0][size[0] // 2 :, size[1] // 2 :] = 200
        half = (size[0] - size[0] // 2, size[1] - size[1] // 2)
        patch = Patch(size[1] // 2, size[0] // 2, np.full((*half, 4), 255, np.uint8), np.zeros(half, np.uint8))
        front = np.zeros(size, np.uint8)
        front[: size[0] // 2] = 255
        writer.add(frame, result, patch=patch, front=front)
    writer.save(tmp_path / "a.npz")
    writer.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    look = read_look(tmp_path / "a.npz")
    assert look.size == small and max(look.size) <= SIDE_PX and look.frames == [0, 1]
    whole = decode(look.lanes["source"].pictures[1])
    x, y, width, height = look.lanes["result"].boxes[1]
    whole[y : y + height, x : x + width] = decode(look.lanes["result"].pictures[1])
    want = decode(look.lanes["source"].pictures[1]).astype(float).mean()
    assert whole[: small[0] // 2 - 16].mean() == pytest.approx(want, abs=2)  # JPEG
    assert whole[small[0] // 2 + 4 :, small[1] // 2 + 4 :].mean() == pytest.approx((200 - 16) * 255 / 219, abs=2)
    x, y, width, height = look.lanes["front"].boxes[1]
    assert (x, y, width) == (0, 0, small[1]) and abs(height - small[0] / 2) <= 1
    assert decode(look.lanes["front"].pictures[1])[: height - 1, :, -1].min() == 255


def test_a_long_clip_of_noise_stays_within_its_budget():
    """What JPEG can do least about, 40 times as long as there are pictures."""
    info = make_info((480, 480), 40 * MAX_PICTURES)
    writer, rng = LookWriter(info), np.random.default_rng(0)
    planes = [rng.integers(0, 256, (480, 480), np.uint8), *(rng.integers(0, 256, (240, 240), np.uint8) for _ in "uv")]
    for idx in range(0, info.num_frames, 40):
        assert writer.pictures(idx)
        writer.add_layers(Frame(idx, planes, info), scene=None, front=None)
    assert not writer.pictures(1)
    pictures = writer.finish().lanes["source"].pictures
    assert len(pictures) == MAX_PICTURES
    assert sum(map(len, pictures)) < 2 * BUDGET_BYTES  # noise at the lowest quality; two thirds of it for films
    assert len(pictures[-1]) < 0.7 * len(pictures[0])  # the quality fell


def test_a_backdrop_has_no_source(tmp_path):
    info = make_info((64, 64), 3)
    writer = LookWriter(info)
    for idx in range(3):
        frame = flat(info, 100, idx)
        writer.add(frame, frame.planes, patch=square(8, 8, 16), has_source=False)
    writer.save(tmp_path / "look.npz")
    look = read_look(tmp_path / "look.npz")
    assert set(look.lanes) == {"result"} and look.frames == [0, 1, 2]
    assert "flicker_source" not in look.series


def test_what_is_no_look_is_said(tmp_path):
    (tmp_path / "look.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_look(tmp_path / "look.npz")


def test_foot_slide_by_hand():
    """The left foot stands and moves 3 mm in 1/30 s; the right one swings."""
    joints_m = np.zeros((4, 22, 3))
    joints_m[:, 7, 0] = joints_m[:, 10, 0] = 0.003 * np.arange(4)
    joints_m[:, 8, 0] = joints_m[:, 11, 0] = 0.2 * np.arange(4)
    contact = np.array([[True, False]] * 4)
    np.testing.assert_allclose(foot_slide_mm(joints_m, contact, np.arange(4) / 30), [0, 3, 3, 3], atol=1e-4)
    np.testing.assert_allclose(foot_slide_mm(joints_m, contact, np.arange(4) / 60), [0, 6, 6, 6], atol=1e-4)
    joints_m[:, 10, 0] = 0  # the ball stands still: the foot rolls
    assert not foot_slide_mm(joints_m, contact, np.arange(4) / 30).any()


def test_joints_in_the_picture_by_hand():
    joints_m = np.array([[[0.5, -0.25, 2.0]] * 22, [[0.0, 0.0, -1.0]] * 22])
    K = np.tile(np.array([[100, 0, 50], [0, 100, 40], [0, 0, 1]], np.float32), (2, 1, 1))
    camera = Camera(K, np.tile(np.eye(4, dtype=np.float32), (2, 1, 1)))
    seen = joints_in_picture(joints_m, camera, (80, 100))
    np.testing.assert_allclose(seen[0], [[75, 27.5]] * 22)
    assert np.isnan(seen[1]).all()  # behind the camera


def decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
