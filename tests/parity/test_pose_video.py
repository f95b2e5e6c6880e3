"""What the two releases drive the figure with: the coloured body mesh (MIMO) and the drawn skeleton (Moore)."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.conditions.sdc import draw_sdc, published_camera
from engine.diffusion import clips, sdc, skeleton_drawing
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix

SIZE = (120, 160)


@pytest.fixture(scope="module")
def golden(mimo):
    return {key: tensor.numpy() for key, tensor in mimo.tensors("sdc_render").items()}


@pytest.fixture(scope="module")
def facts(mimo):
    return mimo.table("sdc_render")


def draw(vertices, faces, colors):
    return draw_sdc(vertices, faces, colors[:, :3], published_camera(SIZE), SIZE)


def placed(golden, facts, case):
    pred = facts["cam_cases"][case]
    t = sdc.person_translation(np.array(pred["pred_cam"]), np.array(pred["box_center"]), pred["box_size"], SIZE)
    return golden["mesh.vertices"] + t


def test_camera(golden, facts):
    """float32 there, float64 here: 2 ulp."""
    assert sdc.focal_px(SIZE) == facts["focal_length"]
    for case in facts["cam_cases"]:
        got = sdc.person_translation(np.array(case["pred_cam"]), np.array(case["box_center"]), case["box_size"], SIZE)
        assert_allclose(got, case["cam_t"], rtol=2.4e-7, atol=1e-7)
    uv = sdc.project_vertices(placed(golden, facts, 0), SIZE)
    assert_allclose(uv, golden["mesh.projected_uv.0"], atol=2e-5)  # pixels; float32 at 160


@pytest.mark.parametrize("case", [0, 1, 2])
def test_drawing(golden, facts, case):
    """All but the few pixels where surfaces are so near that the published renderer's 24 bits of depth decide."""
    got = draw(placed(golden, facts, case), golden["mesh.faces"], golden["mesh.colors_rgba_u8"])
    want = golden[f"render.full.{case}"]
    levels = np.abs(got.astype(int) - want).max(axis=2)
    body = (want > 0).any(axis=2) | (got > 0).any(axis=2)
    assert body.sum() > 500
    assert (levels[body] <= 1).mean() > 0.999
    assert (levels <= 1).mean() > 0.9998


def test_drawing_without_a_hand(golden, facts):
    faces = sdc.cut_off(golden["mesh.faces"], np.array(facts["removed_vertex_indices"]))
    assert len(faces) == facts["removed_counts"]["faces_after"]
    assert len(np.unique(faces)) == facts["removed_counts"]["vertices_after"]
    got = draw(placed(golden, facts, 0), faces, golden["mesh.colors_rgba_u8"])
    levels = np.abs(got.astype(int) - golden["render.part_removed.0"]).max(axis=2)
    assert (levels <= 1).mean() > 0.9998


def test_coverage(golden, facts):
    """Levels 0, 64, 128, 191, 255: which samples are covered is fixed-point arithmetic, and the same at every pixel."""
    white = np.full_like(golden["mesh.colors_rgba_u8"], 255)
    got = draw(placed(golden, facts, 0), golden["mesh.faces"], white)[..., 0]
    assert set(np.unique(got)) == {0, 64, 128, 191, 255}
    assert_array_equal(got, golden["render.white.0"])


def test_rotations_of_hands(golden):
    rotvec = matrix_to_rotvec(golden["rot.matrix"].astype(float))
    # The last of the cases is within 3e-6 of half a turn, where the sign of the axis is arbitrary.
    assert_allclose(rotvec[:-1], golden["rot.axis_angle"][:-1], atol=2e-5)  # float32 there, angles up to pi
    assert_allclose(rotvec_to_matrix(rotvec), golden["rot.back_to_matrix"], atol=2e-5)
    assert_array_equal(sdc.mirror_hand(golden["hand.axis_angle"]), golden["hand.mirrored"])
    got = sdc.wrist_rotation(golden["wrist.root"], golden["wrist.chain"], golden["wrist.hand_global"])
    assert_allclose(got, golden["wrist.local"], atol=1e-6)  # eight float32 products of entries below 1


def test_person_mask(golden):
    assert_array_equal(clips.clean_mask(golden["mask.in"]), golden["mask.clean"])


@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_skeleton(moore, case):
    golden = {key: tensor.numpy() for key, tensor in moore.tensors("pose_drawing").items()}
    facts = moore.table("pose_drawing")
    assert [list(edge) for edge in skeleton_drawing.HAND_EDGES] == facts["hand_edges"]
    assert [list(limb) for limb in skeleton_drawing.LIMBS] == facts["limbs"]
    want = golden[f"{case if case != '2' else '0'}.image_u8"]  # case 2: a second, less certain person changes nothing
    got = skeleton_drawing.draw_skeleton(golden[f"{case}.keypoints133_xy"], golden[f"{case}.scores133"], want.shape[:2])
    assert_array_equal(got, want)
