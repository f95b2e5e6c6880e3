"""A table of colours goes through H.264 and comes back; motions that are not the video's are refused."""

import numpy as np
import pose_video
import pytest
import stand_in_smpl
from numpy.testing import assert_allclose

from engine.body.family import load_smpl
from engine.conditions.camera_motion import pose_camera_motion, read_camera_motion
from engine.conditions.recover import recover_colors
from engine.conditions.sdc import draw_sdc, published_camera
from engine.errors import InputError
from engine.geometry import rotvec_to_matrix
from engine.video import open_clip

NUM_FRAMES = 30
K = published_camera(pose_video.SIZE)
ASIDE_M = np.array([3.0, 0, 0])


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return load_smpl(stand_in_smpl.write(tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.npz"))


@pytest.fixture(scope="module")
def motion():
    return pose_video.turning(NUM_FRAMES)


@pytest.fixture(scope="module")
def clip(body, motion, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "sdc.mp4"
    pose_video.write(path, motion, body, stand_in_smpl.smooth_colors())
    return open_clip(path)


@pytest.fixture(scope="module")
def found(body, motion, clip):
    return recover(clip.read(), pose_camera_motion(motion, body), body)


def recover(frames, posed, body):
    return recover_colors(frames, posed, body.faces, K, pose_video.SIZE, num_frames=NUM_FRAMES)


def test_the_table_comes_back(found):
    """H.264 at 4:2:0 leaves 4 levels of noise on a pixel; a vertex is seen some ten times, and smoothly joined."""
    apart = np.abs(found.colors - stand_in_smpl.smooth_colors()).max(1)
    seen = found.seen_px >= 1
    assert seen.sum() > 3500 and found.num_used == NUM_FRAMES
    assert np.median(apart[seen]) < 4 and np.percentile(apart[seen], 95) < 12
    assert found.residual < 6 and found.overlap > 0.9


def test_what_no_frame_shows_is_filled_smoothly(found):
    faces = stand_in_smpl.tables()["f"]
    hidden = (found.seen_px < 0.01) & np.isin(np.arange(6890), faces)
    assert 100 < hidden.sum() < 3000  # hands and armpits
    apart = np.abs(found.colors - stand_in_smpl.smooth_colors()).max(1)
    assert np.median(apart[hidden]) < 25  # a hand is 19 cm, over which a channel runs through a third of its range
    assert found.coverage == np.mean(found.seen_px >= 1)


def test_it_draws_the_video_again(found, body):
    """Another motion, drawn in both tables, looks the same."""
    posed = next(iter(pose_camera_motion(pose_video.turning(1, seed=9), body)))
    want, got = (draw_sdc(posed, body.faces, table, K, pose_video.SIZE).astype(int)
                 for table in (stand_in_smpl.smooth_colors(), found.colors))  # fmt: skip
    inside = (want > 0).any(-1)
    assert np.abs(want - got)[inside].mean() < 4  # levels; the noise of H.264 by then averaged


def test_another_motion_is_refused(body, motion, clip):
    aside = (posed + ASIDE_M for posed in pose_camera_motion(motion, body))
    with pytest.raises(InputError, match="overlap by"):
        recover(clip.read(), aside, body)


def test_frames_that_do_not_fit_are_left_out(body, motion, clip):
    posed = (p + (ASIDE_M if frame % 3 == 0 else 0) for frame, p in enumerate(pose_camera_motion(motion, body)))
    found = recover(clip.read(), posed, body)
    assert found.num_used == 20 and found.num_frames == 30
    assert found.residual < 6


def test_parameters_of_other_tools_are_read(body, motion, tmp_path):
    flat = motion.rotvec.reshape(NUM_FRAMES, -1)
    np.savez(tmp_path / "poses.npz", poses=flat, transl=motion.transl_m, betas=motion.betas)
    matrices = rotvec_to_matrix(motion.rotvec.astype(np.float64))
    parts = {"global_orient": matrices[:, :1], "body_pose": matrices[:, 1:], "cam_t": motion.transl_m}
    np.savez(tmp_path / "matrices.npz", **parts, betas=motion.betas[0])
    for name in ("poses.npz", "matrices.npz"):
        read = read_camera_motion(tmp_path / name)
        for got, want in zip(pose_camera_motion(read, body), pose_camera_motion(motion, body)):
            assert_allclose(got, want, atol=2e-4)  # float32 at 70 m


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"transl": np.zeros((2, 3))}, "neither poses nor global_orient"),
        ({"poses": np.zeros((2, 72))}, "no translation"),
        ({"poses": np.zeros((2, 72)), "transl": np.zeros((3, 3))}, r"\(3, 3\), not \(2, 3\)"),
        ({"poses": np.zeros((2, 7)), "transl": np.zeros((2, 3))}, r"\(2, 7\)"),
        ({"poses": np.full((2, 72), np.nan), "transl": np.zeros((2, 3))}, "poses"),
        ({"poses": np.zeros((3, 72)), "transl": np.zeros((3, 3)), "betas": np.zeros((2, 10))}, "betas"),
    ],
)
def test_other_files_are_refused(arrays, says, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=says):
        read_camera_motion(tmp_path / "a.npz")
