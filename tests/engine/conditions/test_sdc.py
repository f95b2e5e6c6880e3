import pickle
from dataclasses import replace

import numpy as np
import pytest
import stand_in_smpl
from numpy.testing import assert_allclose, assert_array_equal

from engine.body.family import load_smpl
from engine.body.model import load_body
from engine.conditions import sdc
from engine.conditions.color_table import read_colors, write_colors
from engine.conditions.surface import draw_surface
from engine.diffusion.sdc import person_translation
from engine.errors import InputError
from engine.types import JOINTS, Camera, Motion

SIZE = (160, 120)


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return load_smpl(stand_in_smpl.write(tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.npz"))


@pytest.fixture(scope="module")
def motion():
    """Three frames of someone who lifts an arm and turns, of a shape of their own."""
    shape = np.zeros(10, np.float32)
    shape[:3] = 1.2, -0.8, 0.5
    rest = load_body().rest(shape)[1]
    rotvec = np.zeros((3, len(JOINTS), 3), np.float32)
    rotvec[:, JOINTS.index("left_shoulder"), 2] = 0, -0.6, -1.2
    rotvec[:, 0, 1] = 0, 0.3, 0.9
    root_m = np.tile(rest[0], (3, 1)) + np.array([[0, 0, 0], [0.1, 0, 0.1], [-0.3, 0, -0.2]], np.float32)
    return Motion(rotvec=rotvec, root_m=root_m, time_s=np.arange(3) / 30, rest_m=rest, shape=shape)


def level_camera(distance_m=3.2, focal_px=200.0):
    world_to_cam = np.diag([1.0, -1, -1, 1])
    world_to_cam[:3, 3] = 0, 0.85, distance_m
    K = np.array([[focal_px, 0, 60], [0, focal_px, 80], [0, 0, 1]])
    return Camera(np.tile(K, (3, 1, 1)), np.tile(world_to_cam, (3, 1, 1)))


@pytest.mark.parametrize("distance_m", [3.2, 30.0])
def test_it_stands_where_the_surface_stands(distance_m, body, motion):
    """The same person before another camera: only perspective differs, and is gone from afar."""
    camera = level_camera(distance_m, focal_px=200 * distance_m / 3.2)
    colors = stand_in_smpl.smooth_colors()
    pairs = zip(draw_surface(motion, camera, SIZE), sdc.draw_motion(motion, camera, body, colors, SIZE))
    for surface, drawn in pairs:
        ours, theirs = surface.any(-1), drawn.any(-1)
        overlap = (ours & theirs).sum() / (ours | theirs).sum()
        # 1,600 pixels with some 700 of edge: a quarter of a pixel all round is a tenth; the vertices were merged too.
        assert overlap > (0.80 if distance_m < 10 else 0.88)


def test_the_published_camera_changes_nothing_before_itself(body):
    rng = np.random.default_rng(0)
    vertices = rng.normal(0, 0.4, (50, 3)) + person_translation(
        np.array([0.9, 0.1, -0.2]), np.array([30, 90]), 100, SIZE
    )
    got = sdc.before_published_camera(vertices, vertices[0], sdc.published_camera(SIZE), SIZE)
    assert_allclose(got, vertices, atol=1e-9)


def test_the_pelvis_keeps_its_pixel_and_its_size(body):
    K = np.array([[300.0, 0, 50], [0, 300.0, 90], [0, 0, 1]])
    pelvis = np.array([0.6, -0.4, 2.5])
    step = np.array([0.0, 0.01, 0])
    vertices = np.stack([pelvis, pelvis + step])
    got = sdc.before_published_camera(vertices, pelvis, K, SIZE)
    far = sdc.published_camera(SIZE)
    before, after = ((camera @ points.T).T for camera, points in ((K, vertices), (far, got)))
    before, after = (p[:, :2] / p[:, 2:] for p in (before, after))
    assert_allclose(after[0], before[0], atol=1e-9)
    # 16 degrees aside: the turn towards the other camera shortens by the cosine of some degrees.
    assert_allclose(np.linalg.norm(after[1] - after[0]), np.linalg.norm(before[1] - before[0]), rtol=0.05)


def test_betas_come_from_the_bones(body):
    betas = np.array([1.0, -0.7, 0.6, 0, 0, 0, 0, 0, 0, 0], np.float32)
    rest = body.rest(betas)[1]
    got = body.rest(sdc.find_betas(body, rest))[1]
    plain = np.abs(np.diff(body.rest()[1] - rest, axis=0)).max()
    assert np.abs(np.diff(got - rest, axis=0)).max() < 0.35 * plain  # the prior holds it to ordinary shapes
    assert_allclose(sdc.find_betas(body, body.rest()[1]), 0, atol=1e-3)


def test_hands_are_cut_off(body):
    kept = sdc.faces_of(body, hands=False)
    gone = set(map(tuple, body.faces)) - set(map(tuple, kept))
    assert 500 < len(gone) < len(body.faces) / 2
    centres = body.vertices[np.array(sorted(gone))].mean(1)
    wrists = body.joints[[JOINTS.index("left_wrist"), JOINTS.index("right_wrist")]]
    nearest = np.linalg.norm(centres[:, None] - wrists, axis=2).min(1)
    assert nearest.max() < 0.25  # a hand is 19 cm long
    assert_array_equal(sdc.faces_of(body), body.faces)


def test_only_the_mesh_of_smpl_will_do(body):
    sdc.check_body(body)
    with pytest.raises(InputError, match="6890"):
        sdc.check_body(replace(body, template=body.template[:-1]))


def test_tables_of_every_form(tmp_path):
    colors = stand_in_smpl.smooth_colors()
    alpha = np.concatenate([colors, np.full((6890, 1), 255, np.uint8)], 1)
    np.save(tmp_path / "sdc_info.npy", np.array({"smpl": alpha, "mano": [1, 2]}, dtype=object), allow_pickle=True)
    np.save(tmp_path / "floats.npy", colors / 255.0)
    np.save(tmp_path / "bytes.npy", colors)
    write_colors(tmp_path / "ours.npz", colors, seen=np.ones(6890, bool))
    write_colors(tmp_path / "ours.npy", colors)
    for name in ("sdc_info.npy", "floats.npy", "bytes.npy", "ours.npz", "ours.npy"):
        assert_allclose(read_colors(tmp_path / name), colors, atol=2e-5)  # float32 of 0 ... 1


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (np.zeros((6889, 3), np.uint8), "6889"),
        (np.zeros((6890, 2)), "6890, 2"),
        (np.full((6890, 3), 200.0), "200"),
        (np.full((6890, 3), np.nan), "nan"),
        (np.array({"mano": 1}, dtype=object), "mano"),
        (np.array(["red"] * 6890), "<U3"),
    ],
)
def test_wrong_tables_are_refused(table, says, tmp_path):
    np.save(tmp_path / "a.npy", table, allow_pickle=True)
    with pytest.raises(InputError, match=says):
        read_colors(tmp_path / "a.npy")


def test_a_table_that_runs_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    with open(tmp_path / "sdc_info.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"shape": (), "fortran_order": False, "descr": "|O"})
        pickle.dump(Attack(), file)
    with pytest.raises(InputError):
        read_colors(tmp_path / "sdc_info.npy")
    assert not (tmp_path / "owned").exists()
