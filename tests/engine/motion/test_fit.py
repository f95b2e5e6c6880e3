"""The fit against motions that are known: landmarks are projected from a posed body, with noise, and fitted again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from engine.body.model import forward_kinematics, load_body
from engine.geometry import rotvec_to_matrix
from engine.motion.camera import camera_turns, find_intrinsics, guess_intrinsics
from engine.motion.cut import find_trust
from engine.motion.fit import FitParams, fit_motion
from engine.motion.initial import initial_pose
from engine.raster import rasterize
from engine.types import (
    BODY_JOINTS,
    JOINTS,
    LANDMARKS,
    ArraySource,
    BackgroundMotion,
    ClipInfo,
    FrameSource,
    FrameTimes,
    Landmarks,
)

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
    masks: Callable[[], ArraySource]
    """Where the body is in the picture; drawn when asked for."""
    rotations: np.ndarray


SHAPE = np.linspace(-0.6, 0.6, 10)


def marching_person(pan_rad: float = 0.0, lens: float = 1.2, shape: np.ndarray = SHAPE, wave_rad: float = 0.0) -> Truth:
    """Someone marches on the spot, swings the arms and turns a little, before a camera that pans."""
    t = np.arange(T) / FPS
    rotvec = np.zeros((T, len(JOINTS), 3))
    for side, sign in (("left", 1), ("right", -1)):
        lift = np.maximum(0, sign * np.sin(3 * t))
        rotvec[:, _J[f"{side}_hip"], 0] = -1.0 * lift
        rotvec[:, _J[f"{side}_knee"], 0] = 1.4 * lift
        rotvec[:, _J[f"{side}_shoulder"], 2] = sign * (-1.0 + 0.5 * np.sin(3 * t))
        rotvec[:, _J[f"{side}_elbow"], 1] = sign * (-0.8 - 0.5 * np.sin(4 * t))
        rotvec[:, _J[f"{side}_wrist"], 2] = wave_rad * np.sin(5 * t)
    rotvec[:, 0, 1] = 0.5 * np.sin(t)
    body = load_body()
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

    def masks() -> ArraySource:
        place = root - [0, 1, 0] * lift[:, None]
        skin = body.pose(rotvec.astype(np.float32), place.astype(np.float32), shape.astype(np.float32))
        seen = np.einsum("tij,tvj->tvi", world_to_cam, skin - position).astype(np.float32)
        return ArraySource((rasterize(seen, body.faces, K, INFO.size, cull_back=True).face_idx >= 0) * np.uint8(255))

    return Truth(joints, _project(K, joints_cam), landmarks, background, turns, masks, rotations)


def _project(K: np.ndarray, points: np.ndarray) -> np.ndarray:
    image = points @ K.T
    return image[..., :2] / image[..., 2:]


def fitted(truth: Truth, masks: FrameSource | None = None, time_s: np.ndarray | None = None):
    times = FrameTimes(np.arange(T), np.arange(T) / FPS if time_s is None else time_s, np.full(T, 1 / FPS))
    motion, camera = fit_motion(truth.landmarks, times, truth.background, INFO, masks=masks, params=FitParams())
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


def test_somebody_who_comes_late():
    """Nothing is seen of a whole window: float32 has no answer for it."""
    late, num = 120, 124
    arrays = vars(marching_person().landmarks)
    arrays = {
        name: np.concatenate([value[:1].repeat(late, axis=0), value[: num - late]]) for name, value in arrays.items()
    }
    arrays["score"][:late] = 0
    background = BackgroundMotion(np.tile(np.eye(3), (num, 1, 1)), np.ones(num, np.float32))
    times = FrameTimes(np.arange(num), np.arange(num) / FPS, np.full(num, 1 / FPS))
    motion, _ = fit_motion(Landmarks(**arrays), times, background, INFO, params=FitParams())
    assert np.isfinite(motion.rotvec).all() and np.isfinite(motion.root_m).all()


def test_frames_close_in_time():
    """Slow motion of a telephone, 240 frames/s, each frame twice within 0.1 ms: float32 cannot tell them apart."""
    truth = marching_person()
    time_s = np.arange(T) // 2 * 2 / 240 + np.arange(T) % 2 * 1e-4
    _, joints, _, _ = fitted(truth, time_s=time_s)
    errors = [procrustes_error(joints[t, :22], truth.joints_m[t, :22]) for t in range(T)]
    assert np.mean(errors) < 0.05  # five times as fast as it was, so smoothed more: measured 0.037


def test_camera_turns_are_read_from_the_background():
    truth = marching_person(0.2, lens=1.0)
    turns = camera_turns(truth.background, guess_intrinsics(INFO))
    np.testing.assert_allclose(turns, truth.turns, atol=1e-6)


def test_landmark_names_match_the_network():
    assert LANDMARKS[23:25] == ("left_hip", "right_hip")
    assert LANDMARKS[29:33] == ("left_heel", "right_heel", "left_foot_index", "right_foot_index")


def swapped_sides(landmarks: Landmarks, frames: slice) -> Landmarks:
    """Left and right exchanged in some frames, as networks do when limbs cross."""
    other = [LANDMARKS.index(_other_side(name)) for name in LANDMARKS]
    image, world = landmarks.image_px.copy(), landmarks.world_m.copy()
    image[frames], world[frames] = image[frames][:, other], world[frames][:, other]
    return Landmarks(image, world, landmarks.visibility, landmarks.score)


def _other_side(name: str) -> str:
    return name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")


def test_sides_exchanged_for_a_moment_do_not_turn_the_body():
    truth = marching_person()
    truth.landmarks = swapped_sides(truth.landmarks, slice(15, 22))
    motion, joints, _, _ = fitted(truth)
    errors = [procrustes_error(joints[t, :22], truth.joints_m[t, :22]) for t in range(15, 22)]
    assert np.mean(errors) < 0.045  # exchanged legs alone would cost 0.15
    facing = rotvec_to_matrix(motion.rotvec[:, 0].astype(float))[:, 2, 2]
    assert (facing > 0.5).all()  # towards the camera throughout; turned about it would be -1


def test_a_hidden_arm_is_believed_less():
    truth = marching_person()
    arm = [LANDMARKS.index(f"left_{part}") for part in ("elbow", "wrist", "pinky", "index", "thumb")]
    frames = slice(18, 26)
    image, visibility = truth.landmarks.image_px.copy(), truth.landmarks.visibility.copy()
    image[frames, arm] += 150  # nonsense, said to be unseen
    visibility[frames, arm] = 0.02
    world = truth.landmarks.world_m.copy()
    world[frames, arm] += [0.3, 0.3, 0.3]
    truth.landmarks = Landmarks(image, world, visibility, truth.landmarks.score)
    _, joints, _, _ = fitted(truth)
    wrist = _J["left_wrist"]
    root = lambda points: points[frames, wrist] - points[frames, 0]  # noqa: E731
    assert np.linalg.norm(root(joints) - root(truth.joints_m), axis=-1).mean() < 0.2  # the nonsense is 0.5 away


def test_hips_over_legs_that_leave_the_picture():
    """Legs are cut off at the end; the network draws them into the picture, hips too high and the trunk leaning, and is
    sure of the hips."""
    truth = marching_person()
    image, world, visibility = (a.copy() for a in (truth.landmarks.image_px, truth.landmarks.world_m, seen_well()))
    frames = slice(T - 6, T)
    image[frames, 23:, 1] = np.minimum(image[frames, 23:, 1] - 75, 700)  # 18 cm higher, and inside the picture
    world[frames, :23, 2] -= 0.6 * np.maximum(-world[frames, :23, 1], 0)  # 31 degrees towards the camera
    visibility[frames, 25:27], visibility[frames, 27:] = 0.4, 0.1
    truth.landmarks = Landmarks(image, world, visibility, truth.landmarks.score)
    _, joints, _, _ = fitted(truth)
    trunk = [points[frames, _J["neck"]] - points[frames, 0] for points in (joints, truth.joints_m)]
    found, true = (np.degrees(np.arctan2(t[:, 2], t[:, 1])) for t in trunk)
    assert np.abs(found - true).max() < 12  # it is unseen for a quarter of a second; with full trust 41


def seen_well() -> np.ndarray:
    return np.full((T, len(LANDMARKS)), 0.95, np.float32)


def test_trust_where_the_picture_ends():
    truth = marching_person(lens=0.7).landmarks  # all of the body is in the picture, but its feet near the edge
    visibility = seen_well()
    visibility[:, 25:] = 0.3
    half = Landmarks(truth.image_px + np.float32([0, 400]), truth.world_m, visibility, truth.score)
    directions, places = find_trust(half, INFO.size)
    np.testing.assert_allclose(directions[:, 23:25], 0.95)  # legs that are never seen: hips are all there is
    assert (places[:, 25:] < 0.05).all()  # 0.3 seen: 7 times the noise
    whole = Landmarks(truth.image_px * np.float32(0.6) + 130, truth.world_m, visibility, truth.score)
    np.testing.assert_allclose(find_trust(whole, INFO.size)[1], visibility)  # far from any edge they are only hidden


def test_an_arm_near_the_edge_counts_by_how_well_it_is_seen_wherever_it_is_drawn():
    """A network draws a wrist that is above the picture before the face."""
    truth = marching_person().landmarks
    wrist, elbow, face = (LANDMARKS.index(name) for name in ("left_wrist", "left_elbow", "nose"))
    pixels, visibility = truth.image_px.copy(), np.full((T, 33), 0.99, np.float32)
    pixels[:, wrist], visibility[:, wrist] = pixels[:, face], 0.3
    whole = Landmarks(pixels * np.float32(0.5) + 160, truth.world_m, visibility, truth.score)
    directions, places = find_trust(whole, INFO.size)
    np.testing.assert_allclose((directions[:, wrist], places[:, wrist]), 0.3, rtol=1e-6)  # only hidden: 1 m to any edge
    head_px = whole.image_px[:, face, 1].min()
    at_top = Landmarks(whole.image_px - np.float32([0, head_px - 20]), truth.world_m, visibility, truth.score)
    directions, places = find_trust(at_top, INFO.size)
    assert (places[:, wrist] < 0.01).all()  # 0.3 seen: 14 times the noise
    assert (directions[:, wrist] < 0.05).all()  # 5 times
    assert (directions[:, elbow] > 0.95).all()  # it is seen


@pytest.mark.parametrize("side", ["left", "right"])
def test_limbs_begin_bent_the_way_they_can(side):
    """A hand behind the head, a raised knee: the smallest turns alone would bend the elbow about a wrong axis."""
    sign = 1 if side == "left" else -1
    rotvec = np.zeros((1, len(JOINTS), 3))
    rotvec[0, _J[f"{side}_shoulder"]] = np.array([-1.2, -0.8 * sign, 0.5 * sign])
    rotvec[0, _J[f"{side}_elbow"], 1] = -2.0 * sign
    rotvec[0, _J[f"{side}_hip"]] = np.array([-1.0, 0.5 * sign, 0.2 * sign])
    rotvec[0, _J[f"{side}_knee"], 0] = 1.4
    body = load_body()
    rest = body.rest(SHAPE)[1].astype(np.float64)
    points = body.landmarks_of(*forward_kinematics(rotvec, np.zeros((1, 3)), rest), SHAPE)
    found = initial_pose(points, rest)[0]
    # Landmarks lie 1 to 3 cm beside the joints: 0.1 rad on a bone of 0.25 m.
    np.testing.assert_allclose(found[_J[f"{side}_elbow"]], rotvec[0, _J[f"{side}_elbow"]], atol=0.25)
    np.testing.assert_allclose(found[_J[f"{side}_knee"]], rotvec[0, _J[f"{side}_knee"]], atol=0.25)


@pytest.mark.parametrize("visibility", [0.3, 0.95])
def test_a_hand_at_the_head_that_cannot_be_seen_is_behind_it(visibility):
    """The network draws both before the face: it errs most in depth, and of what it does not see it only guesses."""
    truth = marching_person()
    shown = truth.landmarks
    image, world, seen = shown.image_px.copy(), shown.world_m.copy(), shown.visibility.copy()
    hand = [LANDMARKS.index(f"left_{part}") for part in ("wrist", "pinky", "index", "thumb")]
    ears = [LANDMARKS.index(f"{side}_ear") for side in ("left", "right")]
    shoulder, elbow, other = (LANDMARKS.index(name) for name in ("left_shoulder", "left_elbow", "right_shoulder"))
    aside = 0.45 * (world[:, shoulder] - world[:, other])
    scale = np.ptp(image[..., 1], axis=1) / np.ptp(world[..., 1], axis=1)
    world[:, elbow] = world[:, shoulder] + aside + [0, -0.2, 0]
    world[:, hand] = world[:, ears].mean(1, keepdims=True) - np.array([0, 0, 0.15])
    for row in (elbow, *hand):
        image[:, row] = image[:, shoulder] + scale[:, None] * (world[:, row] - world[:, shoulder])[:, :2]
    seen[:, hand] = visibility
    posed = replace(truth, landmarks=Landmarks(image, world, seen, shown.score))
    _, joints, _, _ = fitted(posed)
    behind = joints[:, _J["head"], 2] - joints[:, _J["left_wrist"], 2]  # the camera looks along -z
    # Before the face as it was drawn, a nose's length less what the usual arm allows; or past the middle of the head.
    assert behind.mean() > 0.02 if visibility < 0.6 else behind.mean() < -0.02


def test_upside_down_stays_upside_down():
    """A handstand: everything turned about the line of sight; the ground is under the hands."""
    truth = marching_person()
    size = np.array([INFO.width, INFO.height])
    landmarks = truth.landmarks
    truth.landmarks = Landmarks(
        (size - landmarks.image_px).astype(np.float32),
        landmarks.world_m * np.array([-1, -1, 1], np.float32),
        landmarks.visibility,
        landmarks.score,
    )
    motion, joints, _, _ = fitted(truth)
    up = rotvec_to_matrix(motion.rotvec[:, 0].astype(float))[:, 1, 1]
    assert (up < -0.8).all()
    turned = truth.joints_m * [-1, -1, 1]
    errors = [procrustes_error(joints[t, :22], turned[t, :22]) for t in range(T)]
    assert np.mean(errors) < 0.035
    assert joints[..., 1].min() > -0.1  # hands and head are on the ground, not below it
    assert not motion.contact.any()  # feet in the air stand on nothing


def test_a_turning_camera_shows_its_lens():
    truth = marching_person(0.2, lens=1.35)
    K = find_intrinsics(truth.background, INFO)
    assert K[0, 0] == pytest.approx(1.35 * guess_intrinsics(INFO)[0, 0], rel=0.02)  # steps of the search: 1.4 %
    still = marching_person(0.0, lens=1.35)
    np.testing.assert_allclose(find_intrinsics(still.background, INFO), guess_intrinsics(INFO), rtol=0.01)


def test_windows_agree_with_the_whole(monkeypatch):
    """A long clip is solved window by window: near where it is cut, nothing may show."""
    from engine.motion import fit

    truth = marching_person()
    whole = fitted(truth)[1]
    monkeypatch.setattr(fit, "WINDOW", 20)
    cut = fitted(truth)[1]
    assert np.abs(whole - cut).max() < 0.01  # metres; the noise of the evidence is 0.02 to 0.05


def test_knuckles_turn_the_hand():
    truth = marching_person(wave_rad=0.7)
    rotations = fitted(truth)[2]
    for wrist, elbow in (("left_wrist", "left_elbow"), ("right_wrist", "right_elbow")):
        along = [r[:, _J[wrist], :, 0] for r in (rotations, truth.rotations)]  # of the hand, in the T-pose along x
        still = truth.rotations[:, _J[elbow], :, 0]
        found, without = (np.arccos((a * along[1]).sum(-1)).mean() for a in (along[0], still))
        assert without > 0.35  # radians: a hand that stayed straight
        assert found < 0.6 * without  # 3 pixels of noise on a hand of 25; measured 0.22 of 0.44


def waist_m(shape: np.ndarray) -> float:
    vertices, joints = load_body().rest(shape)
    ring = (np.abs(vertices[:, 1] - joints[_J["spine1"], 1]) < 0.03) & (np.abs(vertices[:, 0]) < 0.3)
    return float(np.ptp(vertices[ring, 0]))


def test_the_outline_shows_how_broad_a_body_is():
    """Landmarks lie inside the body: only its outline tells that somebody is broad."""
    broad = SHAPE + np.array([0, 0, -2, 0, -2, 0, 0, 0, 0, 0])
    truth = marching_person(lens=1.0, shape=broad)
    without, found = (waist_m(broad) - waist_m(fitted(truth, masks)[0].shape) for masks in (None, truth.masks()))
    assert without > 0.025  # metres too slim: landmarks alone give a mean adult's waist
    assert 0 < found < 0.75 * without  # the prior still holds; measured 0.020 of 0.031


def test_the_same_evidence_gives_the_same_motion():
    (first, joints, _, _), second = fitted(marching_person()), fitted(marching_person())[0]
    assert first.rotvec.tobytes() == second.rotvec.tobytes()
    knee, ankle = _J["left_knee"], _J["left_ankle"]
    length = np.linalg.norm(joints[:, ankle] - joints[:, knee], axis=-1)  # one person: bones do not grow
    np.testing.assert_allclose(length, np.linalg.norm(first.rest_m[ankle] - first.rest_m[knee]), rtol=1e-5)
