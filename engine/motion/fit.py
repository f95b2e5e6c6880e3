"""Video to structured motion: one body, one skeleton, all frames at once.

The walk: a lens is guessed; the camera's turns are read from the background; 3D landmarks give a first pose; then
rotations, root and shape are optimised together against 2D landmarks, 3D bone directions, smoothness and joint limits;
feet that stand still are found, put on the ground and held there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.body.model import Body, forward_kinematics, forward_kinematics_torch, load_body
from engine.geometry import matrix_to_rotvec, rotation_between, rotvec_to_matrix
from engine.motion.camera import camera_turns, guess_intrinsics, place_camera
from engine.motion.initial import initial_pose
from engine.motion.prior import PosePrior
from engine.types import (
    BODY_JOINTS,
    JOINTS,
    LANDMARKS,
    BackgroundMotion,
    Camera,
    ClipInfo,
    FrameTimes,
    Landmarks,
    Motion,
    Progress,
    quiet,
)

if TYPE_CHECKING:
    from engine.motion.energy import Evidence

BLOCK = 1024
"""Frames optimised at once; long clips are cut, each block sees `MARGIN` frames of its neighbours."""
MARGIN = 48
SHAPE_FRAMES = 64
"""Frames (evenly spread) that decide the shape of the body."""
_L = {name: idx for idx, name in enumerate(LANDMARKS)}
_FEET = tuple((_L[f"{side}_heel"], _L[f"{side}_foot_index"]) for side in ("left", "right"))
_LANDMARK_TRUST = np.array(
    [0.3 if any(part in name for part in ("eye", "mouth", "pinky", "thumb")) else 1.0 for name in LANDMARKS], np.float32
)
"""Small parts say little about the body; hips and shoulders of the network are where the joints are."""
_STILL_MPS = 0.45
"""A foot slower than this may stand."""
_GROUNDED_M = 0.10
"""A foot that stands is at most this far above the lowest one around."""
_LEVEL_RAD = np.radians(10)
"""People lean; only what tilts more than this is the camera's."""


@dataclass(frozen=True, kw_only=True)
class FitParams:
    """What can be set for the fit."""

    iterations: int = 140
    """Optimisation steps of each of the two rounds (before and after the feet are known)."""


@dataclass
class _State:
    """The unknowns, in numpy between the rounds."""

    rotvec: NDArray
    """(T, 22, 3)"""
    root_m: NDArray
    """(T, 3)"""
    shape: NDArray
    """(10,)"""


@dataclass(frozen=True)
class _View:
    """What is fixed before the fit: the evidence, the clock and the camera."""

    landmarks: Landmarks
    upright: NDArray
    """(T, 33, 3) the 3D landmarks in camera axes."""
    K: NDArray
    turns: NDArray
    first_to_world: NDArray
    time_s: NDArray
    prior: PosePrior | None = None

    @property
    def world_to_cam(self) -> NDArray:
        return self.turns @ self.first_to_world.T


@dataclass(frozen=True)
class _Ground:
    """Which feet stand, and how high the camera is above them."""

    planted: NDArray
    """(T, 2) float, 0 or 1: left and right."""
    camera_y_m: float


def fit_motion(
    landmarks: Landmarks,
    times: FrameTimes,
    background: BackgroundMotion,
    info: ClipInfo,
    *,
    prior: PosePrior | None = None,
    params: FitParams | None = None,
    progress: Progress = quiet,
) -> tuple[Motion, Camera]:
    """Fit the embedded body to what was seen of one person.

    Args:
        landmarks: evidence of T frames; frames with score 0 are bridged.
        times: the clock of the clip.
        background: how the background moves; gives the turns of the camera.
        info: size and pixel aspect of the clip.
        prior: what a network thinks of the pose; the fit starts from it, and it takes the place of the 3D landmarks.
        params: see `FitParams`.
        progress: called after every optimisation step.

    Returns:
        The motion in the world (y up, ground at y = 0) and the camera that sees it. The camera stands over the origin
        and turns; one camera cannot tell size from distance: the person is as tall as the body's prior says.
    """
    params = params or FitParams()
    body = load_body()
    K = guess_intrinsics(info)
    turns = camera_turns(background, K)
    rays = _rays(landmarks, K)
    upright = _camera_axes_points(landmarks, rays)
    if prior is not None:
        upright = np.where(prior.trust[:, None, None] > 0, prior.landmarks_m, upright)
    view = _View(landmarks, upright, K, turns, _level_camera(upright, landmarks, turns), times.time_s, prior)
    state = _initial_state(body, view)
    steps = _Steps(progress, params.iterations, len(landmarks.score))
    with _one_thread():
        state = _optimise_shape(body, state, view, steps)
        state = _optimise(body, state, view, steps)
        ground = _find_ground(body, state, view)
        state = replace(state, root_m=state.root_m + np.array([0, ground.camera_y_m, 0]))
        state = _optimise(body, state, view, steps, ground)
    camera = place_camera(view.turns, view.first_to_world, np.array([0, ground.camera_y_m, 0]), K)
    return _as_motion(body, state, times, ground), camera


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tensors here are small: more threads only wait for each other (measured: 3 s become 40 on a busy machine)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Steps:
    """Progress over both rounds and all blocks."""

    def __init__(self, progress: Progress, iterations: int, num_frames: int) -> None:
        blocks = len(_blocks(num_frames))
        self._progress, self._done = progress, 0
        self.iterations = iterations
        self._total = iterations * (2 * blocks + 1)

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _blocks(num_frames: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, num_frames)) for start in range(0, num_frames, BLOCK)]


def _rays(landmarks: Landmarks, K: NDArray) -> NDArray:
    """(T, 33, 2) landmarks on the plane z = 1 of their camera."""
    return (landmarks.image_px - K[:2, 2]) / np.array([K[0, 0], K[1, 1]])


def _camera_axes_points(landmarks: Landmarks, rays: NDArray) -> NDArray:
    """3D landmarks in camera axes.

    The network sees a crop as if the camera looked at it: its axes are turned by the angle between the optical axis and
    the line of sight of the hips.
    """
    hips = rays[:, [_L["left_hip"], _L["right_hip"]]].mean(1)
    sight = np.concatenate([hips, np.ones((len(hips), 1))], axis=1)
    turn = rotation_between(np.array([0.0, 0.0, 1.0]), sight)
    return landmarks.world_m.astype(np.float64) @ np.swapaxes(turn, -1, -2)


def _level_camera(points: NDArray, landmarks: Landmarks, turns: NDArray) -> NDArray:
    """Which way is up: against how people stand, unless they lean no more than people do.

    Returns:
        (3, 3) rotation: axes of frame 0's camera to axes of the world.
    """
    top = points[:, [_L["left_shoulder"], _L["right_shoulder"]]].mean(1)
    bottom = points[:, [_L["left_ankle"], _L["right_ankle"]]].mean(1)
    up = np.einsum("tji,tj->ti", turns, top - bottom)  # into the axes of frame 0
    up /= np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-6)
    seen = up[landmarks.score > 0]
    level = np.array([0.0, -1.0, 0.0])
    if len(seen):
        mean = np.median(seen, axis=0)
        mean /= max(np.linalg.norm(mean), 1e-6)
        lean = np.arccos(np.clip(mean @ level, -1, 1))
        if _LEVEL_RAD < lean < np.radians(45):  # more than that is a handstand, not a camera
            axis = matrix_to_rotvec(rotation_between(level, mean))
            level = rotvec_to_matrix(axis * (1 - _LEVEL_RAD / lean)) @ level
    # World axes in camera axes: y against gravity, z towards the camera, x to the right.
    y = level
    z = np.array([0.0, 0.0, -1.0])
    z = z - (z @ y) * y
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z])


def _initial_state(body: Body, view: _View) -> _State:
    world = np.einsum("tji,tlj->tli", view.world_to_cam, view.upright)
    shape = np.zeros(10)
    rest = body.rest(shape)[1]
    rotvec = initial_pose(world, rest)[:, : len(BODY_JOINTS)]
    if view.prior is not None:
        rotvec = view.prior.rotvec(rotvec, view.world_to_cam)
    state = _State(rotvec, np.zeros((len(rotvec), 3)), shape)
    state.root_m = _place_roots(body, state, view)
    return state


def _place_roots(body: Body, state: _State, view: _View) -> NDArray:
    """Put the posed body where its landmarks project to what was seen: linear least squares per frame.

    Returns:
        (T, 3) metres, world, the camera at the origin; unseen frames are interpolated.
    """
    points = _pose_landmarks(body, state)
    camera = np.einsum("tij,tlj->tli", view.world_to_cam, points)
    rays = _rays(view.landmarks, view.K)
    weight = view.landmarks.visibility.astype(np.float64) + 0.01
    rows = np.zeros((*rays.shape, 3))
    rows[..., 0, 0], rows[..., 1, 1], rows[..., 2] = 1, 1, -rays
    target = rays * camera[..., 2:] - camera[..., :2]
    normal = np.einsum("tl,tlri,tlrj->tij", weight, rows, rows)
    right = np.einsum("tl,tlri,tlr->ti", weight, rows, target)
    root = np.linalg.solve(normal, right[..., None])[..., 0]
    seen = np.flatnonzero((view.landmarks.score > 0) & (root[:, 2] > 0.2))
    if len(seen) == 0:
        root[:] = 0, 0, 4
        seen = np.arange(len(root))
    frames = np.arange(len(root))
    root = np.stack([np.interp(frames, seen, root[seen, axis]) for axis in range(3)], axis=1)
    return np.einsum("tji,tj->ti", view.world_to_cam, root)


def _pose_landmarks(body: Body, state: _State) -> NDArray:
    """(T, 33, 3) landmarks of the posed body, metres, world."""
    rotvec = np.zeros((len(state.rotvec), len(JOINTS), 3))
    rotvec[:, : len(BODY_JOINTS)] = state.rotvec
    joints, turns = forward_kinematics(rotvec, state.root_m, body.rest(state.shape)[1].astype(np.float64))
    return body.landmarks_of(joints, turns, state.shape)


def _optimise_shape(body: Body, state: _State, view: _View, steps: _Steps) -> _State:
    """Find the shape on frames spread over the clip; from then on it stays."""
    count = len(state.rotvec)
    frames = np.unique(np.linspace(0, count - 1, min(count, SHAPE_FRAMES)).astype(int))
    seen = frames[view.landmarks.score[frames] > 0]
    found = _descend(body, state, _evidence(body, state, view, seen if len(seen) else frames), steps, free_shape=True)
    return replace(state, shape=found.shape)


def _optimise(body: Body, state: _State, view: _View, steps: _Steps, ground: _Ground | None = None) -> _State:
    """Optimise every frame, block by block."""
    count = len(state.rotvec)
    rotvec, root = np.empty_like(state.rotvec), np.empty_like(state.root_m)
    for start, stop in _blocks(count):
        first, last = max(0, start - MARGIN), min(count, stop + MARGIN)
        found = _descend(body, state, _evidence(body, state, view, np.arange(first, last), ground), steps)
        rotvec[start:stop] = found.rotvec[start - first : stop - first]
        root[start:stop] = found.root_m[start - first : stop - first]
    return _State(rotvec, root, state.shape)


def _descend(body: Body, state: _State, evidence: "Evidence", steps: _Steps, *, free_shape: bool = False) -> _State:
    """Adam on the frames of the evidence; they are neighbours unless only the shape is asked for."""
    import torch

    from engine.motion import energy

    frames = evidence.frames
    unknown = [
        torch.from_numpy(a.astype(np.float32)) for a in (state.rotvec[frames], state.root_m[frames], state.shape)
    ]
    rotvec, root, shape = (tensor.requires_grad_() for tensor in unknown)
    pose = _Poser(body)
    groups = [{"params": [rotvec], "lr": 0.03}, {"params": [root], "lr": 0.01}]
    optimiser = torch.optim.Adam(groups + ([{"params": [shape], "lr": 0.05}] if free_shape else []))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps.iterations, eta_min=1e-4)
    for _ in range(steps.iterations):
        optimiser.zero_grad()
        joints, points = pose(rotvec, root, shape)
        cost = energy.evidence_cost(points, evidence) + energy.limit_cost(rotvec)
        if free_shape:
            cost = cost / len(frames) + 0.1 * shape.square().sum()
        else:
            cost = cost + energy.smoothness_cost(joints[:, : len(BODY_JOINTS)], evidence)
        if evidence.planted_T2.any():
            cost = cost + energy.ground_cost(points, evidence)
        cost.backward()
        optimiser.step()
        schedule.step()
        steps()
    return _State(*(value.detach().numpy().astype(np.float64) for value in (rotvec, root, shape)))


class _Poser:
    """Joints and landmarks of the embedded body as a differentiable function of pose and shape."""

    def __init__(self, body: Body) -> None:
        import torch

        tables = (body.joints, body.shape_joints, body.landmarks, body.shape_landmarks)
        self._joints, self._shape_joints, self._landmarks, self._shape_landmarks = map(torch.from_numpy, tables)
        self._ride = torch.from_numpy(body.landmark_joints)

    def __call__(self, rotvec, root, shape):
        import torch

        rest = self._joints + torch.tensordot(shape, self._shape_joints, 1)
        offsets = self._landmarks + torch.tensordot(shape, self._shape_landmarks, 1) - rest[self._ride]
        fingers = rotvec.new_zeros(len(rotvec), len(JOINTS) - rotvec.shape[1], 3)
        joints, turns = forward_kinematics_torch(torch.cat([rotvec, fingers], dim=1), root, rest)
        return joints, joints[:, self._ride] + (turns[:, self._ride] @ offsets[..., None])[..., 0]


def _evidence(body: Body, state: _State, view: _View, frames: NDArray, ground: _Ground | None = None) -> "Evidence":
    import torch

    from engine.motion import energy

    def tensor(array: NDArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32))

    landmarks = view.landmarks
    trust = landmarks.visibility[frames] * (landmarks.score[frames] > 0)[:, None] * _LANDMARK_TRUST
    camera_m = [0.0, ground.camera_y_m if ground else 0.0, 0.0]
    return energy.Evidence(
        frames=frames,
        pixels_TL2=tensor(_rays(landmarks, view.K)[frames]),
        trust_TL=tensor(trust),
        bones_TB3=tensor(energy.bone_directions(view.upright[frames])),
        world_to_cam_T33=tensor(view.world_to_cam[frames]),
        camera_m_T3=tensor(np.tile(camera_m, (len(frames), 1))),
        dt_s=tensor(np.maximum(np.diff(view.time_s[frames]), 1e-3)),
        planted_T2=tensor(ground.planted[frames] if ground else np.zeros((len(frames), 2))),
        sole_m_22=tensor(_sole_heights(body, state.shape)),
    )


def _sole_heights(body: Body, shape: NDArray) -> NDArray:
    """(2, 2) metres: heel and toe landmark of the left and right foot above the sole, at rest."""
    ground = (body.joints + np.tensordot(shape, body.shape_joints, 1) - body.rest(shape)[1])[0, 1]
    heights = (body.landmarks + np.tensordot(shape, body.shape_landmarks, 1))[:, 1] - ground
    return heights[np.array(_FEET)]


def _find_ground(body: Body, state: _State, view: _View) -> _Ground:
    """Which feet stand, and how high the ground is.

    The camera is at the origin before, and above the ground after.
    """
    soles = _pose_landmarks(body, state)[:, np.array(_FEET)]  # (T, foot, heel or toe, 3)
    dt = np.gradient(view.time_s) if len(view.time_s) > 1 else np.ones(1)
    speed = (
        np.linalg.norm(np.gradient(soles, axis=0), axis=-1) / dt[:, None, None] if len(dt) > 1 else np.zeros((1, 2, 2))
    )
    speed = _running(speed.min(axis=-1), 2, np.median)
    height = (soles[..., 1] - _sole_heights(body, state.shape)).min(axis=-1)
    half = max(3, round(0.7 / float(np.median(dt)))) if len(dt) > 1 else 1
    lowest = _running(height.min(axis=1, keepdims=True), half, lambda window, axis: np.quantile(window, 0.2, axis=axis))
    planted = (speed < _STILL_MPS) & (height < lowest + _GROUNDED_M) & (view.landmarks.score > 0)[:, None]
    on_ground = height[planted]
    ground = float(np.median(on_ground)) if len(on_ground) else float(np.quantile(height.min(axis=1), 0.1))
    return _Ground(planted.astype(np.float64), -ground)


def _running(values: NDArray, half: int, statistic) -> NDArray:
    """A statistic over a window of 2 * half + 1 frames, edges repeated."""
    padded = np.concatenate([values[:1].repeat(half, 0), values, values[-1:].repeat(half, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
    return statistic(windows, axis=-1)


def _as_motion(body: Body, state: _State, times: FrameTimes, ground: _Ground) -> Motion:
    rotvec = np.zeros((len(state.rotvec), len(JOINTS), 3), np.float32)
    rotvec[:, : len(BODY_JOINTS)] = state.rotvec
    return Motion(
        rotvec=rotvec,
        root_m=state.root_m.astype(np.float32),
        time_s=times.time_s,
        rest_m=body.rest(state.shape)[1].astype(np.float32),
        shape=state.shape.astype(np.float32),
        contact=ground.planted > 0,
    )
