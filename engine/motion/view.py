"""What is fixed before a fit: the evidence in camera axes, the clock, the lens and the turns of the camera."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import matrix_to_rotvec, rotation_between, rotvec_to_matrix
from engine.motion.camera import camera_turns, find_intrinsics
from engine.motion.cut import find_trust
from engine.motion.hidden import hidden_share, put_behind
from engine.motion.outline import Outline, find_outlines
from engine.motion.prior import PosePrior
from engine.people.settle import repair_sides
from engine.types import LANDMARKS, BackgroundMotion, ClipInfo, FrameSource, FrameTimes, Landmarks

_L = {name: idx for idx, name in enumerate(LANDMARKS)}
_LEVEL_RAD = np.radians(10)
"""People lean; only what tilts more than this is the camera's."""


@dataclass(frozen=True)
class View:
    """The evidence of T frames, float64."""

    rays: NDArray
    """(T, 33, 2) landmarks on the plane z = 1 of their camera."""
    upright: NDArray
    """(T, 33, 3) the 3D landmarks in camera axes, metres."""
    trust: NDArray
    """(T, 33) 0 ... 1, in directions between landmarks; 0 where the person was not seen."""
    place_trust: NDArray
    """(T, 33) 0 ... 1, in where they are in the picture."""
    unseen: NDArray
    """(T, 2) 0 ... 1: whether the left and the right wrist cannot be seen."""
    K: NDArray
    """(3, 3) pixels."""
    turns: NDArray
    """(T, 3, 3) directions of frame 0's camera to directions of frame t's."""
    first_to_world: NDArray
    """(3, 3)"""
    time_s: NDArray
    """(T,) seconds."""
    prior: PosePrior | None = None
    outline: Outline | None = None

    @property
    def world_to_cam(self) -> NDArray:
        """(T, 3, 3) rotations."""
        return self.turns @ self.first_to_world.T

    @property
    def seen(self) -> NDArray:
        """(T,) bool."""
        return self.trust.max(1) > 0


def make_view(
    landmarks: Landmarks,
    times: FrameTimes,
    background: BackgroundMotion,
    info: ClipInfo,
    prior: PosePrior | None = None,
    masks: FrameSource | None = None,
) -> View:
    """Bring the evidence of a clip into camera axes; see `fit_motion` for the arguments."""
    landmarks = _with_sides(landmarks)
    K = find_intrinsics(background, info)
    turns = camera_turns(background, K)
    rays = (landmarks.image_px.astype(np.float64) - K[:2, 2]) / np.array([K[0, 0], K[1, 1]])
    upright = put_behind(_camera_axes_points(landmarks, rays), rays, landmarks.visibility)
    if prior is not None:
        upright = np.where(prior.trust[:, None, None] > 0, prior.landmarks_m, upright)
    trust, place_trust = find_trust(landmarks, info.size)
    outline = None if masks is None else find_outlines(masks, K)
    first_to_world = _level_camera(upright, landmarks, turns)
    wrists = landmarks.visibility[:, [_L["left_wrist"], _L["right_wrist"]]]
    unseen = hidden_share(wrists) * (trust.max(1, keepdims=True) > 0)
    return View(rays, upright, trust, place_trust, unseen, K, turns, first_to_world, times.time_s, prior, outline)


def _with_sides(landmarks: Landmarks) -> Landmarks:
    """The landmarks, with sides that are exchanged for a moment put right."""
    seen = np.flatnonzero(landmarks.score > 0)
    if len(seen) < 3:
        return landmarks
    image, world, visibility = landmarks.image_px.copy(), landmarks.world_m.copy(), landmarks.visibility.copy()
    image[seen], world[seen], visibility[seen] = repair_sides(seen, image[seen], world[seen], visibility[seen])
    return Landmarks(image, world, visibility, landmarks.score)


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
