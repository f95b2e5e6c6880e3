from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.animator.canonical import canonical_pictures
from engine.animator.light import Light, match_light, measure_scene
from engine.animator.pose import pose_puppet
from engine.animator.puppet import PuppetAnimator, seen_offset
from engine.animator.shadow import ground_shadow, project_ground
from engine.animator.skinning import dual_quaternions
from engine.animator.stage_camera import frame_motion
from engine.synth.motions import make_act
from engine.types import Camera

from .conftest import FACE, draw_doll, full_frame, pose

SIZE = (320, 320)


def is_face(rgba):
    return (rgba[..., 3] > 200) & (np.abs(rgba[..., :3].astype(int) - FACE).max(-1) < 60)


@pytest.fixture(scope="module")
def turning(doll, far_camera):
    motion = pose(5, pelvis=[(0, a, 0) for a in np.radians([0, 45, 90, 180, 270])])
    return PuppetAnimator(doll, motion, far_camera, SIZE, stiff=True)


def test_the_front_view_is_the_drawing(doll, far_camera):
    posed = pose_puppet(doll, pose())
    rest_m = doll.joints[None].astype(float) * posed.height_m
    still = np.tile(np.eye(3), (1, len(doll.joint_names), 1, 1))
    posed = replace(posed, transforms=dual_quaternions(doll, still, rest_m, posed.height_m))
    got, _ = full_frame(PuppetAnimator(doll, pose(), far_camera, SIZE, shadow=0, posed=posed).render(0), SIZE)
    drawing = draw_doll()
    drawing[..., :3] *= drawing[..., 3:] > 0
    rows = np.nonzero(drawing[..., 3].any(1))[0]
    # Feet at y = 0, the pelvis (150.5 px in the drawing) at x = 0; the figure is as many pixels tall as it is rows.
    scale = 150 * posed.height_m / (rows[-1] + 1 - rows[0])
    x0, y0 = 160 - 150 * scale, 160 + 150 * 0.9 - (rows[-1] + 1) * scale
    matrix = np.array([[scale, 0, x0 + 0.5 * scale - 0.5], [0, scale, y0 + 0.5 * scale - 0.5]])
    want = cv2.warpAffine(drawing, matrix, SIZE[::-1], flags=cv2.INTER_LINEAR)
    error = got.astype(float) - want
    solid = [cv2.erode((p[..., 3] == 255).astype(np.uint8), np.ones((3, 3))) for p in (got, want)]
    inner = (solid[0] & solid[1]) > 0
    assert inner.sum() > 0.9 * (want[..., 3] > 127).sum() - 2500
    assert 20 * np.log10(255 / np.sqrt((error[inner] ** 2).mean())) > 28  # two bilinear resamplings of hard edges
    seen = [p[..., 3] > 127 for p in (got, want)]
    assert (seen[0] & seen[1]).sum() > 0.975 * (seen[0] | seen[1]).sum()  # the mesh cuts round corners by a pixel


def test_a_full_turn_shows_the_back_and_not_the_face(turning):
    front, back = (full_frame(turning.render(frame), SIZE)[0] for frame in (0, 3))
    assert is_face(front).sum() > 100
    assert is_face(back).sum() == 0
    assert (back[..., 3] > 0).sum() > 0.9 * (front[..., 3] > 0).sum()


def test_the_drawing_is_not_seen_from_behind(doll, far_camera):
    """Not even along the edge, where its outline would come apart into dashes."""
    front = doll.front_rgba.copy()
    front[..., :3] = (250, 0, 250)
    motion = pose(2, pelvis=[(0, a, 0) for a in np.radians([0, 140])])
    animator = PuppetAnimator(replace(doll, front_rgba=front), motion, far_camera, SIZE, stiff=True)
    ahead, behind = (full_frame(animator.render(frame), SIZE)[0].astype(int) for frame in range(2))
    pink = [int(((p[..., 0] > 200) & (p[..., 1] < 60) & (p[..., 2] > 200)).sum()) for p in (ahead, behind)]
    assert pink[0] > 5000 and pink[1] == 0


def test_a_picture_from_behind_is_seen_from_behind(doll, far_camera):
    flip = np.array([-1, 1, -1], np.float32)
    behind = replace(doll, vertices=doll.vertices * flip, joints=doll.joints * flip, joint_names=tuple(
        name.replace("left", "?").replace("right", "left").replace("?", "right") for name in doll.joint_names
    ))  # fmt: skip
    motion = pose(2, pelvis=[(0, 0, 0), (0, np.pi, 0)])
    animator = PuppetAnimator(behind, motion, far_camera, SIZE, stiff=True)
    front, back = (is_face(full_frame(animator.render(frame), SIZE)[0]).sum() for frame in (0, 1))
    assert front == 0 < 100 < back  # the red patch of the doll stands for anything drawn on that side


def test_a_quarter_turn_is_thinner(turning):
    widths = [np.ptp(np.nonzero(full_frame(turning.render(f), SIZE)[0][..., 3].any(0))[0]) for f in (0, 2)]
    assert widths[1] < 0.6 * widths[0]


def test_patches_lie_in_the_frame_and_are_premultiplied(turning, doll):
    for frame in range(5):
        patch = turning.render(frame)
        height, width = patch.rgba.shape[:2]
        assert patch.shadow.shape == (height, width)
        assert 0 <= patch.x0 <= patch.x0 + width <= SIZE[1]
        assert 0 <= patch.y0 <= patch.y0 + height <= SIZE[0]
        assert (patch.rgba[..., :3] <= patch.rgba[..., 3:]).all()


@pytest.mark.parametrize("shift", [(0.7, 0.9, 40), (-1.0, 1.6, 40), (30, 0.9, 40), (0, 0.9, 0.3), (0, 0.9, -5)])
def test_figures_at_the_border_are_cut_and_outside_are_empty(doll, far_camera, shift):
    world_to_cam = far_camera.world_to_cam.copy()
    world_to_cam[0, :3, 3] = shift
    patch = PuppetAnimator(doll, pose(), Camera(far_camera.K, world_to_cam), SIZE).render(0)
    height, width = patch.rgba.shape[:2]
    assert patch.x0 + width <= SIZE[1]
    assert patch.y0 + height <= SIZE[0]
    assert (patch.rgba[..., 3].any()) == (abs(shift[0]) < 2 and shift[2] > 0.2)


def test_edges_are_smooth(turning):
    alpha = turning.render(0).rgba[..., 3]
    assert set(np.unique(alpha)) == {0, 64, 128, 191, 255}


def test_frames_are_the_same_bytes_in_any_order(turning):
    forward = list(turning.render_range())
    assert len(forward) == 5
    assert [p.x0 for p in turning.render_range(1, 3)] == [p.x0 for p in forward[1:3]]
    for frame in (3, 0, 4):
        again = turning.render(frame)
        assert_array_equal(again.rgba, forward[frame].rgba)
        assert_array_equal(again.shadow, forward[frame].shadow)


def test_the_shadow_is_under_the_feet(doll):
    motion = pose(2)
    motion.root_m[1, 1] += 0.5
    camera = frame_motion(motion, SIZE, doll)
    animator = PuppetAnimator(doll, motion, camera, SIZE)
    (rgba, standing), (_, jumping) = (full_frame(animator.render(frame), SIZE) for frame in (0, 1))
    row, column = np.unravel_index(np.argmax(standing), SIZE)
    feet_row = np.nonzero(rgba[..., 3].any(1))[0][-1]
    assert abs(row - feet_row) < 12
    assert abs(column - SIZE[1] / 2) < 40
    assert standing.max() > 1.5 * jumping.max() > 0
    none = PuppetAnimator(doll, motion, camera, SIZE, shadow=0.0).render(0)
    assert not none.shadow.any()


def test_a_shadow_on_the_ground_projects_where_the_camera_sees_it():
    x, z = np.meshgrid(np.linspace(0.8, 1.2, 60), np.linspace(1.8, 2.2, 60))
    vertices = np.stack([x.ravel(), np.zeros(3600), z.ravel()]).astype(np.float32)
    shadow, place = ground_shadow(vertices, 0.5, (0, 1, 0))
    world_to_cam = np.eye(4)
    world_to_cam[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]  # looks straight down, world z is down in the picture
    world_to_cam[:3, 3] = (0, 0, 5)
    K = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
    x0, y0, image = project_ground(shadow, place, K, world_to_cam, (200, 200))
    rows, columns = np.nonzero(image > 0.9 * image.max())
    assert abs(columns.mean() + x0 + 0.5 - 70) < 0.6  # 50 + 100 * 1 / 5, to half a pixel
    assert abs(rows.mean() + y0 + 0.5 - 90) < 0.6  # 50 + 100 * 2 / 5


def test_light_changes_colour_and_nothing_else(doll, far_camera):
    plain = PuppetAnimator(doll, pose(), far_camera, SIZE).render(0)
    warm = PuppetAnimator(doll, pose(), far_camera, SIZE, light=Light(gain_rgb=(1.0, 0.8, 0.5))).render(0)
    assert_array_equal(warm.rgba[..., 3], plain.rgba[..., 3])
    inner = plain.rgba[..., 3] == 255
    ratio = warm.rgba[inner][:, :3].mean(0) / plain.rgba[inner][:, :3].mean(0)
    np.testing.assert_allclose(ratio, (1.0, 0.8, 0.5), atol=0.01)  # rounding to bytes
    grey = PuppetAnimator(doll, pose(), far_camera, SIZE, light=Light(saturation=0.0)).render(0)
    assert np.ptp(plain.rgba[..., :3].astype(int), axis=2).max() > 50
    assert np.ptp(grey.rgba[..., :3].astype(int), axis=2).max() <= 1  # rounding
    soft = PuppetAnimator(doll, pose(), far_camera, SIZE, light=Light(blur_px=1.0)).render(0)
    edge = (soft.rgba[..., 3] > 0) & (soft.rgba[..., 3] < 255)
    assert edge.sum() > ((plain.rgba[..., 3] > 0) & (plain.rgba[..., 3] < 255)).sum()


def test_light_is_estimated_gently(doll):
    rng = np.random.default_rng(0)
    scene = np.full((200, 300, 3), 110.0)
    dark_blue = [np.clip(scene * (0.25, 0.3, 0.5) + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)] * 3
    light = match_light(measure_scene(dark_blue, [None] * 3), doll)
    assert light.gain_rgb[2] > light.gain_rgb[0] >= 0.72
    assert light.saturation == 1
    assert 1.2 < light.grain < 2.3  # grey of three channels with 3 each: 3 * sqrt(.299^2 + .587^2 + .114^2) = 2.0
    neutral = match_light(measure_scene([scene.astype(np.uint8)] * 2, [None] * 2), doll)
    np.testing.assert_allclose(neutral.gain_rgb, 1, atol=0.05)
    assert neutral.grain == 0
    assert neutral.saturation == 0  # a film without colours


@pytest.mark.parametrize("size", [(256, 256), (180, 320), (320, 180)])
@pytest.mark.parametrize("name", ["walk", "jack"])
def test_the_stage_camera_keeps_everything_in_the_frame(doll, name, size):
    motion = make_act(name, pose().rest_m, np.arange(0, 90, 3) / 30.0).motion
    animator = PuppetAnimator(doll, motion, frame_motion(motion, size, doll), size, travel="stride", shadow=0)
    for frame in range(0, 30, 4):
        patch = animator.render(frame)
        rows, columns = np.nonzero(patch.rgba[..., 3])
        assert rows.min() + patch.y0 > 1
        assert rows.max() + patch.y0 < size[0] - 2
        assert columns.min() + patch.x0 > 1
        assert columns.max() + patch.x0 < size[1] - 2
        assert np.ptp(rows) > 0.3 * min(size)


def test_canonical_pictures_show_front_and_back(doll):
    front, back = canonical_pictures(doll, (256, 192))
    assert front.shape == back.shape == (256, 192, 4)
    assert is_face(front).sum() > 50
    assert is_face(back).sum() == 0
    rows = [np.nonzero(p[..., 3].any(1))[0] for p in (front, back)]
    assert abs(rows[0][0] - rows[1][0]) <= 2
    assert np.ptp(rows[0]) > 150


def test_an_offset_is_as_seen(doll, far_camera):
    here = PuppetAnimator(doll, pose(), far_camera, SIZE, shadow=0)
    shift = seen_offset(far_camera, (0.3, 0.1, 0.0))
    there = PuppetAnimator(doll, pose(), far_camera, SIZE, shadow=0, offset_m=shift, posed=here.posed)
    pair = [full_frame(animator.render(0), SIZE)[0][..., 3] > 127 for animator in (here, there)]
    before, after = (np.argwhere(seen).mean(0) for seen in pair)
    assert after[1] > before[1] + 5 and after[0] < before[0] - 1  # right and up
