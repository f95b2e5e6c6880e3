"""The network's predictions as evidence: known bodies come back, and a clip is read in pieces that can be resumed."""

import shutil
from fractions import Fraction

import numpy as np
import pytest
from tiny_networks import write_tiny_hmr2

from engine.body.model import forward_kinematics, load_body
from engine.errors import InputError
from engine.geometry import project, rotvec_to_matrix
from engine.motion.camera import guess_intrinsics
from engine.motion.fit import FitParams, fit_motion
from engine.motion.hmr2.evidence import pose_prior
from engine.motion.hmr2.predict import Predictions, predict_bodies
from engine.motion.normal import NormalEquations
from engine.motion.posing import NUM_UNKNOWNS, Pose
from engine.motion.prior import add_prior
from engine.types import (
    BODY_JOINTS,
    ArraySource,
    BackgroundMotion,
    ClipInfo,
    FrameTimes,
    Landmarks,
    TempChunks,
    Tracks,
)

T, FPS = 40, 25
INFO = ClipInfo(width=1280, height=720, num_frames=T, time_base=Fraction(1, FPS), rate=Fraction(FPS))
WORLD_TO_CAM = np.diag([1.0, -1.0, -1.0])
CAMERA_M = np.array([-0.8, 1.0, 4.5])  # aside, so that the line of sight is not the optical axis


class Walker:
    """The steps of `walk`, seen by a camera that stands still."""

    def __init__(self, walk):
        body = load_body()
        rotvec, root = walk.rotvec.astype(np.float64), walk.root_m.astype(np.float64)
        self.joints_m, turned = forward_kinematics(rotvec, root, body.joints.astype(np.float64))
        self.K = guess_intrinsics(INFO)
        self.points_cam = (body.landmarks_of(self.joints_m, turned) - CAMERA_M) @ WORLD_TO_CAM.T
        self.pixels = project(self.K, self.points_cam)
        self.rotation = rotvec_to_matrix(rotvec)
        self.rotation[:, 0] = WORLD_TO_CAM @ self.rotation[:, 0]
        self.depth_m = ((root - CAMERA_M) @ WORLD_TO_CAM.T)[:, 2]

    def predictions(self, noise_rad: float = 0.0) -> Predictions:
        """What a perfect network says, or one that is off by so much at every joint in every frame."""
        low, high = self.pixels.min(1), self.pixels.max(1)
        center, side = (low + high) / 2, 1.1 * (high - low).max(1)
        rotation = np.tile(np.eye(3), (T, 24, 1, 1))
        rotation[:, :22] = self.rotation[:, :22]
        sight = np.concatenate([(center - self.K[:2, 2]) / self.K[0, 0], np.ones((T, 1))], axis=1)
        sight /= np.linalg.norm(sight, axis=1, keepdims=True)
        # Seen along the line of sight: the turn that brings it to the optical axis comes off.
        axis = np.cross([0.0, 0, 1], sight)
        angle = np.arccos(sight[:, 2:]) / np.linalg.norm(axis, axis=1, keepdims=True)
        rotation[:, 0] = rotvec_to_matrix(-axis * angle) @ rotation[:, 0]
        rotation = rotation @ rotvec_to_matrix(np.random.default_rng(3).normal(size=(T, 24, 3)) * noise_rad)
        camera = np.zeros((T, 3))
        camera[:, 0] = 2 * self.K[0, 0] / (side * self.depth_m)
        return Predictions(
            rotation.astype(np.float32), np.zeros((T, 10), np.float32), camera.astype(np.float32), center, side,
            np.ones(T, bool),
        )  # fmt: skip

    def landmarks(self) -> Landmarks:
        """Pixels are seen well (3 px of noise); the 3D landmarks are wrong: those of frame 0, seen from behind."""
        noise = np.random.default_rng(4).normal(size=self.pixels.shape) * 3
        behind = (self.points_cam[0] - self.points_cam[0].mean(0)) * [-1, 1, -1]
        return Landmarks(
            (self.pixels + noise).astype(np.float32), np.tile(behind, (T, 1, 1)).astype(np.float32),
            np.full((T, 33), 0.95, np.float32), np.ones(T, np.float32),
        )  # fmt: skip


@pytest.fixture(scope="module")
def walker(walk):
    return Walker(walk)


def test_a_perfect_prediction_comes_back(walker):
    prior = pose_prior(walker.predictions(), INFO)
    np.testing.assert_allclose(prior.rotation, walker.rotation[:, :22], atol=1e-5)  # float32 goes in
    np.testing.assert_allclose(prior.depth_m, walker.depth_m, rtol=1e-5)
    got = prior.landmarks_m - prior.landmarks_m.mean(1, keepdims=True)
    np.testing.assert_allclose(got, walker.points_cam - walker.points_cam.mean(1, keepdims=True), atol=1e-4)
    world = prior.rotvec(np.zeros((T, 22, 3)), np.tile(WORLD_TO_CAM, (T, 1, 1)))
    np.testing.assert_allclose(rotvec_to_matrix(world)[:, 1:], walker.rotation[:, 1:22], atol=1e-5)


def test_unseen_frames_and_odd_cameras_are_not_trusted(walker):
    perfect = walker.predictions()
    seen, camera = perfect.seen.copy(), perfect.camera.copy()
    seen[:5], camera[7, 0] = False, -0.3
    prior = pose_prior(Predictions(**{**vars(perfect), "seen": seen, "camera": camera}), INFO)
    assert not prior.trust[:5].any() and prior.trust[5:].all()
    assert (prior.depth_m == 0).nonzero()[0].tolist() == [0, 1, 2, 3, 4, 7]
    other = np.full((T, 22, 3), 0.25)
    got = prior.rotvec(other, np.tile(WORLD_TO_CAM, (T, 1, 1)))
    assert (got[:5] == 0.25).all() and not (got[5:] == 0.25).all(axis=(1, 2)).any()


def test_the_pull_of_a_prediction_leads_to_it(walker):
    """Nothing but the prior: from 0.3 radians off at every joint, steps along its slopes end at it, at its depth."""
    prior = pose_prior(walker.predictions(), INFO)
    world_to_cam = np.tile(WORLD_TO_CAM, (T, 1, 1))
    wanted = rotvec_to_matrix(prior.rotvec(np.zeros((T, 22, 3)), world_to_cam))
    start = prior.rotvec(np.zeros((T, 22, 3)), world_to_cam) + np.random.default_rng(6).normal(size=(T, 22, 3)) * 0.3
    pose = Pose(start, np.tile(CAMERA_M + np.array([0, 0, -3]), (T, 1)))
    for _ in range(8):
        equations = NormalEquations(T, NUM_UNKNOWNS)
        add_prior(equations, pose, prior, world_to_cam, CAMERA_M)
        pose = pose.moved(equations.solve(1e-3))
    np.testing.assert_allclose(rotvec_to_matrix(pose.rotvec), wanted, atol=1e-3)
    np.testing.assert_allclose(((pose.root_m - CAMERA_M) @ WORLD_TO_CAM.T)[:, 2], walker.depth_m, rtol=1e-2)


def test_the_fit_follows_the_network(walker):
    """A network that is 8 degrees off at every joint of every frame (38 mm); measured 17 mm, without it 113 mm."""
    times = FrameTimes(np.arange(T), np.arange(T) / FPS, np.full(T, 1 / FPS))
    background = BackgroundMotion(np.tile(np.eye(3), (T, 1, 1)), np.ones(T, np.float32))
    prior = pose_prior(walker.predictions(noise_rad=0.14 / np.sqrt(3)), INFO)
    motion, _ = fit_motion(walker.landmarks(), times, background, INFO, prior=prior, params=FitParams())
    joints, _ = forward_kinematics(
        motion.rotvec.astype(np.float64), motion.root_m.astype(np.float64), motion.rest_m.astype(np.float64)
    )
    body = len(BODY_JOINTS)
    errors = [procrustes_error(joints[t, :body], walker.joints_m[t, :body]) for t in range(T)]
    assert np.mean(errors) < 0.03


def procrustes_error(got: np.ndarray, want: np.ndarray) -> float:
    """Mean distance after the best similarity, metres (PA-MPJPE of one frame)."""
    a, b = got - got.mean(axis=0), want - want.mean(axis=0)
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = np.trace(np.diag(s) @ flip) / np.square(a).sum()
    return float(np.linalg.norm(scale * a @ u @ flip @ vt - b, axis=1).mean())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_hmr2(tmp_path_factory.mktemp("weights") / "tiny.ckpt", sway=0.3)


@pytest.fixture
def chunks():
    chunks = TempChunks()
    yield chunks
    chunks.close()


def small_clip(num_frames: int) -> tuple[ArraySource, Tracks]:
    noise = np.random.default_rng(1)
    frames = noise.integers(0, 255, (num_frames, 96, 128, 3), dtype=np.uint8)
    boxes = np.tile(np.array([30, 10, 70, 90], np.float32), (num_frames, 1)) + noise.normal(size=(num_frames, 4))
    score = np.ones(num_frames, np.float32)
    score[3:6] = 0
    return ArraySource(frames), Tracks(boxes.astype(np.float32), score)


def test_a_clip_is_read_in_pieces_that_can_be_resumed(checkpoint, chunks):
    clip, tracks = small_clip(70)  # a full piece and a short one
    told = []
    whole = predict_bodies(clip, tracks, checkpoint, chunks=chunks, progress=lambda done, total: told.append(done))
    assert told == sorted(told) and told[-1] == 70
    assert whole.seen.sum() == 67 and not whole.seen[3:6].any()
    assert (whole.rotation[3:6] == np.eye(3)).all()
    assert np.abs(np.linalg.det(whole.rotation) - 1).max() < 1e-5
    assert len({row.tobytes() for row in whole.camera[6:]}) == 64  # every frame has its own
    done = predict_bodies(clip, tracks, checkpoint.with_name("gone.ckpt"), chunks=chunks)
    shutil.rmtree(chunks.get("hmr2-000064-000069"))
    resumed = predict_bodies(clip, tracks, checkpoint, chunks=chunks)
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(done, name))
        np.testing.assert_array_equal(value, getattr(resumed, name))


def test_a_checkpoint_of_nonsense_is_refused(checkpoint, chunks, tmp_path):
    import torch

    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["smpl_head.deccam.bias"][:] = float("nan")
    torch.save(content, tmp_path / "nan.ckpt")
    clip, tracks = small_clip(4)
    with pytest.raises(InputError, match="no numbers"):
        predict_bodies(clip, tracks, tmp_path / "nan.ckpt", chunks=chunks)
    assert chunks.get("hmr2-000000-000003") is None
