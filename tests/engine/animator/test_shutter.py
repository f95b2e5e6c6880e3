import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.animator.pose import pose_puppet, rest_motion
from engine.animator.puppet import PuppetAnimator
from engine.animator.shutter import SmearedAnimator, estimate_shutter, mean_patch
from engine.types import JOINTS, Patch

SIZE = (320, 320)


def filmed(shutter: float, speed: float, frames: int = 4):
    """A bright arm before a darker wall, moved to the side by `speed` pixels a frame, and one that hangs still."""
    pictures, limbs, steps = [], [], []
    for frame in range(frames):
        moments = frame + shutter * ((np.arange(40) + 0.5) / 40 - 0.5)
        rgb, mask = np.zeros((240, 400)), np.zeros((240, 400))
        for moment in moments:
            for x in (60 + speed * moment, 320):
                alone = np.zeros((240, 400), np.uint8)
                cv2.rectangle(alone, (round((x - 20) * 16), 50 * 16), (round((x + 20) * 16), 180 * 16), 255, -1, 8, 4)
                rgb += alone / 40
        mask = np.where(rgb > 127, 255, 0).astype(np.uint8)
        grey = cv2.GaussianBlur(70 + 110 * rgb / 255, (0, 0), 0.8) + np.random.default_rng(frame).normal(
            0, 1.5, rgb.shape
        )
        pictures.append((np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2), mask))
        limbs.append(np.array([[60 + speed * frame, 115.0], [320, 115]]))
        steps.append(np.array([[speed, 0.0], [0.5, 0]]))
    return pictures, limbs, steps


@pytest.mark.parametrize("shutter", [0.25, 0.5])
def test_the_shutter_is_read_from_fast_limbs(shutter: float):
    # ramps of 7 and 14 px are read to about a pixel each, of 28 px a frame
    assert estimate_shutter(*filmed(shutter, 28.0), radius_px=60.0) == pytest.approx(shutter, abs=0.07)


def test_a_sharp_source_has_none():
    assert estimate_shutter(*filmed(0.0, 28.0), radius_px=60.0) == 0.0
    assert estimate_shutter(*filmed(0.5, 4.0), radius_px=60.0) == 0.0  # nothing moves fast


@pytest.fixture(scope="module")
def waving():
    motion = rest_motion(5)
    motion.rotvec[:, JOINTS.index("left_shoulder"), 2] = [0.0, 0.0, 0.5, 1.0, 1.0]
    return motion


def test_only_what_moves_is_smeared(doll, far_camera, waving):
    posed = pose_puppet(doll, waving, stiff=True)
    sharp = list(PuppetAnimator(doll, waving, far_camera, SIZE, posed=posed, shadow=0).render_range())
    animator = SmearedAnimator(doll, waving, far_camera, SIZE, shutter=0.5, posed=posed, shadow=0)
    smeared = list(animator.render_range())
    assert len(smeared) == 5
    soft = [int(((patch.rgba[..., 3] > 0) & (patch.rgba[..., 3] < 255)).sum()) for patch in (*sharp, *smeared)]
    assert soft[5 + 2] > 2 * soft[2]
    whole = full(smeared[2]) - full(sharp[2])
    assert np.abs(whole[200:, :160]).max() <= 1  # the legs stand; rounding of a mean


def test_a_part_is_as_the_whole(doll, far_camera, waving):
    posed = pose_puppet(doll, waving, stiff=True)
    animator = SmearedAnimator(doll, waving, far_camera, SIZE, shutter=0.5, posed=posed)
    again, part = list(animator.render_range())[2:4], list(animator.render_range(2, 4))
    for one, two in zip(again, part, strict=True):
        assert_array_equal(one.rgba, two.rgba)
        assert_array_equal(one.shadow, two.shadow)


def test_the_mean_of_patches_covers_them_all():
    white = np.full((2, 2, 4), 200, np.uint8)
    both = mean_patch([Patch(0, 0, white, white[..., 0]), Patch(4, 1, white, white[..., 0])])
    assert (both.x0, both.y0, both.rgba.shape) == (0, 0, (3, 6, 4))
    assert both.rgba[0, 0, 0] == both.rgba[1, 4, 0] == 100
    assert not both.rgba[:, 2:4].any()


def full(patch: Patch) -> np.ndarray:
    out = np.zeros((*SIZE, 4))
    height, width = patch.shadow.shape
    out[patch.y0 : patch.y0 + height, patch.x0 : patch.x0 + width] = patch.rgba
    return out
