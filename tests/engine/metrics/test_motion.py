"""Each measure against a case whose answer is known on paper."""

import numpy as np
import pytest

from engine.geometry import rotvec_to_matrix
from engine.metrics.motion import (
    acceleration_error_m_s2,
    foot_slide_m,
    jitter_m_s3,
    mask_iou,
    mpjpe_m,
    pa_mpjpe_m,
    pck,
    procrustes_align,
    world_mpjpe_m,
)

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])


def test_procrustes_undoes_a_similarity():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(5, 7, 3))
    turned = 2.5 * points @ rotvec_to_matrix(np.array([0.3, -1.0, 2.0])).T + [1, 2, 3]
    np.testing.assert_allclose(procrustes_align(turned, points), points, atol=1e-12)
    assert pa_mpjpe_m(turned, points) < 1e-12


def test_procrustes_does_not_mirror():
    hand = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]])
    assert pa_mpjpe_m(hand * [-1, 1, 1], hand) > 0.2


def test_pa_mpjpe_of_a_square_made_a_rectangle():
    # 1 x 1 against 1 x 3, both about the origin: no turn helps, the best scale is <a, b> / <a, a> = (0.25 + 0.75) / 0.5
    # = 2, which leaves every corner (0.5, -0.5) away: half the root of two.
    want = (SQUARE * [1, 3, 0])[None]
    assert pa_mpjpe_m(SQUARE[None], want) == pytest.approx(np.sqrt(0.5))


def test_mpjpe_keeps_size_and_facing_but_not_place():
    want = np.repeat(SQUARE[None], 2, 0)
    assert mpjpe_m(want + 5, want) == pytest.approx(0)
    # Twice as large about joint 0: joints 1 and 3 are 1 m off, joint 2 the root of two.
    assert mpjpe_m(2 * want, want) == pytest.approx((0 + 1 + np.sqrt(2) + 1) / 4)
    assert mpjpe_m(2 * want, want, root=(0, 2)) == pytest.approx(4 * np.sqrt(0.5) / 4)  # about the centre


def test_acceleration_error_of_a_falling_point():
    time = np.arange(6) / 25
    falls = np.zeros((6, 1, 3))
    falls[:, 0, 1] = -9.81 / 2 * time**2
    assert acceleration_error_m_s2(falls, np.zeros((6, 1, 3)), 25) == pytest.approx(9.81)
    drifts = falls + (time * 3)[:, None, None] + 7  # speed and place do not count
    assert acceleration_error_m_s2(drifts, falls, 25) == pytest.approx(0, abs=1e-9)


def test_jitter_of_a_cube():
    time = np.arange(7) / 30
    points = np.zeros((7, 2, 3))
    points[:, 0, 2] = time**3  # third derivative 6
    assert jitter_m_s3(points, 30) == pytest.approx(3)  # the other point rests


def test_foot_slide_counts_standing_feet_only():
    want = np.zeros((4, 2, 3))
    want[:, 1, 0] = np.arange(4) * 0.05  # 1.5 m/s at 30 frames/s: swings
    got = want.copy()
    got[:, 0, 2] = np.arange(4) * 0.004
    assert foot_slide_m(got, want, 30) == pytest.approx(0.004)
    assert foot_slide_m(got, want, 60) == pytest.approx(0.008)  # the same step in half the time
    assert np.isnan(foot_slide_m(got[:, 1:], want[:, 1:], 30))


def test_pck_is_relative_to_the_box_of_what_counts():
    want = np.array([[[0.0, 0], [100, 0], [0, 200], [900, 900]]])
    seen = np.array([[True, True, True, False]])
    got = want + np.array([[[10.0, 0], [10.1, 0], [0, 0], [0, 0]]])  # 5 % of 200 is 10
    assert pck(got, want, seen) == pytest.approx(2 / 3)
    assert pck(got, want, seen, share=0.06) == 1
    assert np.isnan(pck(got, want, np.zeros_like(seen)))


def test_mask_iou():
    a, b = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    assert mask_iou(a, b) == 1
    a[:2], b[1:3] = 255, 200
    b[3] = 100  # less than half
    assert mask_iou(a, b) == pytest.approx(1 / 3)


def test_world_error_by_hand():
    """A square that walks along x, seen to walk too far: after its first two frames are laid on the truth it drifts."""
    steps = np.arange(4.0)[:, None, None] * [1, 0, 0]
    want, got = SQUARE + steps, SQUARE + steps
    got[2:] += [0, 0, 0.3]  # aside from frame 2 on
    assert world_mpjpe_m(got, want, align=2) == pytest.approx(0.15)
    assert 0 < world_mpjpe_m(got, want, align=None) < 0.15  # the best of all frames is nearer
    turned = 2.5 * got @ rotvec_to_matrix(np.array([0.3, -1.0, 2.0])).T + [1, 2, 3]
    assert world_mpjpe_m(turned, want, align=2) == pytest.approx(0.15)  # another world, another scale


def test_world_error_begins_anew_every_hundred_frames():
    way = np.repeat(SQUARE[None], 201, 0) + np.arange(201.0)[:, None, None] * [0.1, 0, 0]
    got = way.copy()
    got[100:] += [5, 0, 0]
    assert world_mpjpe_m(got, way, align=2) == pytest.approx(0, abs=1e-12)  # and the lone last frame is left out
