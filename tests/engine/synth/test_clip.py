"""A synthetic clip's layers, geometry and frames agree with each other."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.synth.clip import ClipSpec, make_clip
from engine.types import Motion

SPEC = ClipSpec(size=(120, 168), num_frames=12, fps=12, noise=1.5)


@pytest.fixture(scope="module")
def clip():
    return make_clip(SPEC)


def compose(frame) -> np.ndarray:
    """Back to front: scene, shadow, human, occluder."""
    rgb = frame.scene * (1 - frame.shadow[..., None] / 255.0)
    human, occluder = frame.human / 255.0, frame.occluder / 255.0
    rgb = rgb * (1 - human[..., 3:] - occluder[..., 3:])
    return rgb + 255 * (human[..., :3] * human[..., 3:] + occluder[..., :3] * occluder[..., 3:])


@pytest.mark.parametrize(
    ("camera", "occluder"), [("static", "ball"), ("pan", "pole"), ("handheld", "ball"), ("zoom", "none")]
)
def test_layers_compose_to_the_picture(camera, occluder):
    clip = make_clip(replace(SPEC, camera=camera, occluder=occluder, num_frames=5, noise=0.0))
    for idx in (0, 3):
        frame = clip.frame(idx)
        # every layer is rounded to 8 bit: scene, shadow (x scene), two colours and two alphas add up to about 3 steps
        assert np.abs(compose(frame) - frame.rgb).max() <= 3.5


def test_noise_and_exposure_are_as_asked():
    clip = make_clip(replace(SPEC, occluder="none", noise=2.0, exposure=(1.0, 0.8)))
    still = make_clip(replace(SPEC, occluder="none", noise=0.0))
    last = SPEC.num_frames - 1
    # scenes are rounded once each: half a step, and one more where 0.8 x a rounded value is rounded again
    assert np.abs(clip.frame(last).scene - 0.8 * still.frame(last).scene.astype(float)).max() <= 1
    frame = clip.frame(last)
    inside = (frame.rgb > 10) & (frame.rgb < 245)  # not clipped
    residual = (frame.rgb - compose(frame))[inside]
    assert abs(residual.std() - 2.0) < 0.1  # 1e5 samples: 0.5 % of sampling error, 2 % of rounding


def test_the_ball_hides_part_of_the_human(clip):
    hidden = [(f.human_full.astype(int) - f.human[..., 3]) for f in map(clip.frame, range(SPEC.num_frames))]
    assert min(h.min() for h in hidden) >= -1  # what is seen is never more than all there is (rounding)
    assert max((h > 200).sum() for h in hidden) > 30  # a ball of 7 px radius has 150 px; some of it lies on the body
    frame = clip.frame(int(np.argmax([(h > 200).sum() for h in hidden])))
    covered = (frame.human_full > 250) & (frame.human[..., 3] < 5)
    assert (frame.occluder[..., 3][covered] > 245).all()


def test_joints_lie_inside_the_human(clip):
    for idx in range(SPEC.num_frames):
        mask = cv2.dilate(
            clip.frame(idx).human_full, np.ones((3, 3))
        )  # a joint near the skin may round to the next pixel
        cols, rows = np.floor(clip.joints_px[idx]).astype(int).T
        assert (mask[rows, cols] > 128).all(), idx


@pytest.mark.parametrize("camera", ["pan", "handheld", "zoom"])
def test_homographies_map_the_still_world(camera):
    clip = make_clip(replace(SPEC, camera=camera, occluder="none", noise=0.0, supersample=3))
    first, last = clip.frame(0), clip.frame(SPEC.num_frames - 1)
    assert_allclose(clip.background_motion.to_first[0], np.eye(3), atol=1e-4)  # float32 cameras, in pixels
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # pixel indices to pixel coordinates
    matrix = np.linalg.inv(centre) @ clip.background_motion.to_first[-1] @ centre
    size = (SPEC.size[1], SPEC.size[0])
    moved = cv2.warpPerspective(last.scene, matrix, size, flags=cv2.INTER_CUBIC).astype(float)
    inside = cv2.erode(cv2.warpPerspective(np.full(SPEC.size, 255, np.uint8), matrix, size), np.ones((7, 7))) > 250
    aligned = np.abs(moved - first.scene)[inside].mean()
    unaligned = np.abs(last.scene.astype(float) - first.scene)[inside].mean()
    # resampling sharp bricks once more costs about 3 steps; a wrong homography costs what no homography costs
    assert aligned < 4.5 and aligned < 0.4 * unaligned


def test_depth_orders_the_layers(clip):
    frame = clip.frame(5)
    human, ball = frame.human[..., 3] == 255, frame.occluder[..., 3] == 255
    pelvis_z = (clip.camera.world_to_cam[5] @ np.append(clip.joints_world_m[5, 0], 1))[2]
    assert_allclose(np.median(frame.depth_m[human]), pelvis_z, atol=0.25)  # a body is less than half a metre thick
    assert frame.depth_m[ball].max() < pelvis_z
    empty = (frame.human_full == 0) & (frame.occluder[..., 3] == 0)
    assert frame.depth_m[empty].min() > 3.0  # ground in the nearest row


def test_frames_do_not_depend_on_the_order_they_are_drawn_in(clip):
    alone = make_clip(SPEC)
    for idx in (7, 2):
        want, got = clip.frame(idx), alone.frame(idx)
        for name in vars(want):
            assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)
    sequence = list(make_clip(SPEC).rgb.read(1, 4))
    assert_array_equal(sequence[1], clip.frame(2).rgb)


def test_seeds_change_what_they_name():
    first, place, actor = (make_clip(replace(SPEC, **kw)).frame(0) for kw in ({}, {"seed": 5}, {"actor_seed": 5}))
    assert np.abs(first.scene.astype(int) - place.scene).mean() > 5
    assert_array_equal(first.human_full, place.human_full)
    assert_array_equal(first.scene, actor.scene)
    assert (first.human_full != actor.human_full).any()


def test_sources_are_frame_sources(clip):
    for source in (clip.rgb, clip.scene, clip.human_mask, clip.human_full_mask, clip.occluder_mask, clip.shadow):
        assert (source.num_frames, source.size) == (12, SPEC.size)
        frames = list(source.read(10))
        assert len(frames) == 2 and frames[0].shape[:2] == SPEC.size and frames[0].dtype == np.uint8
    assert next(clip.rgb.read()).shape == (*SPEC.size, 3)
    with pytest.raises(IndexError):
        clip.frame(12)


def test_a_given_motion_is_filmed(clip):
    still = replace(clip.motion, rotvec=np.zeros_like(clip.motion.rotvec))
    assert isinstance(still, Motion)
    mask = make_clip(replace(SPEC, motion=still, occluder="none")).frame(0).human_full
    rows, cols = np.nonzero(mask > 128)
    # a T-pose is about as wide as it is high
    assert np.ptp(cols) == pytest.approx(np.ptp(rows), rel=0.15)
