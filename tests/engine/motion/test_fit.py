"""The fit against motions that are known: landmarks are projected from a posed body, with noise, and fitted again."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from engine.body.model import forward_kinematics, load_body
from engine.geometry import rotvec_to_matrix
from engine.motion.camera import camera_turns, guess_intrinsics
from engine.motion.fit import FitParams, fit_motion
from engine.types import BODY_JOINTS, JOINTS, LANDMARKS, BackgroundMotion, ClipInfo, FrameTimes, Landmarks

T = 48
FPS = 25
_J = {name: idx for idx, name in enumerate(JOINTS)}
INFO = ClipInfo(width=1280, height=720, num_frames=T, time_base=Fraction(1, FPS), rate=Fraction(FPS))


@dataclass
class Truth:
    joints_m: np.ndarray
    joints_px: np.ndarray
    landmarks: Landmarks
    background: BackgroundMotion
    turns: np.ndarray


def marching_person(pan_rad: float = 0.0, lens: float = 1.2) -> Truth:
    """Someone marches on the spot, swings the arms and turns a little, before a camera that pans."""
    t = np.arange(T) / FPS
    rotvec = np.zeros((T, len(JOINTS), 3))
    for side, sign in (("left", 1), ("right", -1)):
        lift = np.maximum(0, sign * np.sin(3 * t))
        rotvec[:, _J[f"{side}_hip"], 0] = -1.0 * lift
        rotvec[:, _J[f"{side}_knee"], 0] = 1.4 * lift
        rotvec[:, _J[f"{side}_shoulder"], 2] = sign * (-1.0 + 0.5 * np.sin(3 * t))
        rotvec[:, _J[f"{side}_elbow"], 1] = sign * (-0.8 - 0.5 * np.sin(4 * t))
    rotvec[:, 0, 1] = 0.5 * np.sin(t)
    body = load_body()
    shape = np.linspace(-0.6, 0.6, 10)
    rest = body.rest(shape)[1].astype(np.float64)
    root = np.stack([0.3 * np.sin(0.7 * t), np.full(T, rest[0, 1]), -4 + 0.2 * np.cos(t)], axis=1)
    joints, rotations = forward_kinematics(rotvec, root, rest)
    points = body.landmarks_of(joints, rotations, shape)
    lift = points[:, 29:33, 1].min(axis=1) - 0.02
    joints[..., 1] -= lift[:, None]
    points[..., 1] -= lift[:, None]
    turns = rotvec_to_matrix(np.stack([np.zeros(T), pan_rad * t, np.zeros(T)], axis=1))
    K = guess_intrinsics(INFO)
    K[[0, 1], [0, 1]] *= lens
    world_to_cam = turns @ np.diag([1.0, -1.0, -1.0])
    position = np.array([0, 1.1, 0])
    joints_cam = np.einsum("tij,tnj->tni", world_to_cam, joints - position)
    points_cam = np.einsum("tij,tnj->tni", world_to_cam, points - position)
    noise = np.random.default_rng(5)
    pixels = _project(K, points_cam) + noise.normal(size=(T, 33, 2)) * 3
    world = points_cam - points_cam[:, [23, 24]].mean(axis=1, keepdims=True)
    world += noise.normal(size=world.shape) * [0.02, 0.02, 0.05]
    landmarks = Landmarks(
        pixels.astype(np.float32), world.astype(np.float32), np.full((T, 33), 0.95, np.float32), np.ones(T, np.float32)
    )
    to_first = np.linalg.inv(K @ turns @ np.linalg.inv(K))
    background = BackgroundMotion(to_first, np.ones(T, np.float32))
    return Truth(joints, _project(K, joints_cam), landmarks, background, turns)


def _project(K: np.ndarray, points: np.ndarray) -> np.ndarray:
    image = points @ K.T
    return image[..., :2] / image[..., 2:]


def fitted(truth: Truth):
    times = FrameTimes(np.arange(T), np.arange(T) / FPS, np.full(T, 1 / FPS))
    motion, camera = fit_motion(truth.landmarks, times, truth.background, INFO, params=FitParams())
    joints, rotations = forward_kinematics(
        motion.rotvec.astype(np.float64), motion.root_m.astype(np.float64), motion.rest_m.astype(np.float64)
    )
    in_camera = np.einsum("tij,tnj->tni", camera.world_to_cam[:, :3, :3], joints) + camera.world_to_cam[:, None, :3, 3]
    image = np.einsum("tij,tnj->tni", camera.K, in_camera)
    return motion, joints, rotations, image[..., :2] / image[..., 2:]


def procrustes_error(got: np.ndarray, want: np.ndarray) -> float:
    """Mean distance after the best similarity, metres (PA-MPJPE of one frame)."""
    a, b = got - got.mean(axis=0), want - want.mean(axis=0)
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = np.trace(np.diag(s) @ flip) / np.square(a).sum()
    return float(np.linalg.norm(scale * a @ u @ flip @ vt - b, axis=1).mean())


@pytest.mark.parametrize("pan_rad", [0.0, 0.2])
def test_fit_finds_the_motion(pan_rad):
    truth = marching_person(pan_rad)
    motion, joints, rotations, pixels = fitted(truth)
    body = len(BODY_JOINTS)
    errors = [procrustes_error(joints[t, :body], truth.joints_m[t, :body]) for t in range(T)]
    # 3 px and 20 to 50 mm of noise per landmark go in; measured 20 mm with a lens that is 20 % off.
    assert np.mean(errors) < 0.035
    height_px = np.ptp(truth.joints_px[:, :body, 1], axis=1)[:, None]
    off = np.linalg.norm(pixels - truth.joints_px, axis=-1)[:, :body] / height_px
    assert off.mean() < 0.015  # measured 0.0075
    planted = motion.contact[1:] & motion.contact[:-1]
    assert planted.any(axis=0).all()  # both feet stand at times
    points = load_body().landmarks_of(joints, rotations, motion.shape)
    steps = np.linalg.norm(np.diff(points[:, [29, 30]], axis=0), axis=-1)
    assert steps[planted].mean() < 0.008  # metres a frame; a free foot moves 0.03


def test_unseen_frames_are_bridged():
    truth = marching_person()
    gap = slice(20, 25)
    score, pixels = truth.landmarks.score.copy(), truth.landmarks.image_px.copy()
    score[gap], pixels[gap] = 0, 0  # carried garbage must not be believed
    truth.landmarks = Landmarks(pixels, truth.landmarks.world_m, truth.landmarks.visibility, score)
    _, joints, _, _ = fitted(truth)
    errors = [procrustes_error(joints[t, :22], truth.joints_m[t, :22]) for t in range(20, 25)]
    assert np.mean(errors) < 0.09  # a fifth of a second of marching is guessed from both ends


def test_camera_turns_are_read_from_the_background():
    truth = marching_person(0.2, lens=1.0)
    turns = camera_turns(truth.background, guess_intrinsics(INFO))
    np.testing.assert_allclose(turns, truth.turns, atol=1e-6)


def test_landmark_names_match_the_network():
    assert LANDMARKS[23:25] == ("left_hip", "right_hip")
    assert LANDMARKS[29:33] == ("left_heel", "right_heel", "left_foot_index", "right_foot_index")
