"""A camera for a character that has no clip: it stands still while it can, and walks along when it must."""

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import facing, is_four_legged, read_source
from engine.animator.pose import PosedPuppet, pose_puppet
from engine.threads import map_in_order
from engine.types import Camera, Motion, Puppet, Size

_FOCAL_PER_HEIGHT = 2.0
"""Focal length over the longer side: 28 degrees, so that hands held out are not larger than they were drawn."""
_TILT_RAD = np.radians(7.0)
_MARGIN = 0.06
"""Share of the frame kept free on every side."""
_FOLLOW_FROM = 1.3
"""The camera follows when standing still would make the character smaller than 1/1.3 of its size."""
_FOLLOW_S = 0.7
"""Standard deviation of the smoothing of the path it follows."""
_ASIDE_RAD = np.radians(20.0)
"""How far beside its line of march a walking character is seen from."""
_ASIDE_FOUR_RAD = np.radians(70.0)
"""The same for a four-legged one, whose picture shows its side."""
_WALKS_M = 1.5


def frame_motion(
    motion: Motion,
    size: Size,
    puppet: Puppet,
    *,
    scale: float = 1.0,
    travel: str = "stride",
    posed: PosedPuppet | None = None,
) -> Camera:
    """Find a camera that sees a whole motion well.

    The camera is level and looks slightly down from the side the character mostly faces; someone who walks more than
    1.5 m is seen 20 degrees from the side, a four-legged body 70 degrees. It stands still if the whole motion fits at
    good size, else it follows the smoothed path of the pelvis at a constant distance. Nothing of the character leaves
    the frame.

    Args:
        motion: T frames.
        size: (height, width), pixels.
        puppet: the character.
        scale: as for `pose_puppet`.
        travel: as for `pose_puppet`.
        posed: the puppet in this motion, where it is already there.

    Returns:
        Camera of T frames.
    """
    posed = posed or pose_puppet(puppet, motion, scale=scale, travel=travel)
    points = np.stack(list(map_in_order(lambda frame: far_points(posed.points_m(frame).T), range(len(posed)))))
    at = puppet.joint_names.index("neck") if is_four_legged(puppet) else 0
    aside = facing(puppet)[0, 2] * _ASIDE_FOUR_RAD if at else None
    return frame_points(points, 0.5 * (posed.joints_m[:, 0] + posed.joints_m[:, at]) * (1, 0, 1), motion, size, aside)


def frame_points(points: NDArray, path: NDArray, motion: Motion, size: Size, aside_rad: float | None = None) -> Camera:
    """Find the camera of `frame_motion` for any figure.

    Args:
        points: (T, N, 3) float, metres, world: points that hold the figure in each frame.
        path: (T, 3) float, metres: where on the ground it is.
        motion: T frames; says where it faces.
        size: (height, width), pixels.
        aside_rad: how far beside where it faces it is seen from; None: as `frame_motion` says.

    Returns:
        Camera of T frames.
    """
    turn = _turn_to(_heading(motion, path, aside_rad))
    points, path = points @ turn.T, path @ turn.T
    low, high = points.min((0, 1)), points.max((0, 1))
    middle_y = (low[1] + high[1]) / 2
    still = np.tile([(low[0] + high[0]) / 2, middle_y, (low[2] + high[2]) / 2], (len(path), 1))
    follow = np.c_[_smooth(path[:, 0], motion.time_s), np.full(len(path), middle_y), _smooth(path[:, 2], motion.time_s)]
    focal = _FOCAL_PER_HEIGHT * max(size)
    distances = [_distance(points - target[:, None], focal, size) for target in (still, follow)]
    farthest = distances[0] + float((still - path)[:, 2].max())
    if farthest <= _FOLLOW_FROM * distances[1]:
        return _camera(still, distances[0], focal, size, turn)
    return _camera(follow, distances[1], focal, size, turn)


def _camera(target: NDArray, distance: float, focal: float, size: Size, turn: NDArray) -> Camera:
    rotation = _looking(_TILT_RAD)
    eye = target + distance * np.array([0.0, np.sin(_TILT_RAD), np.cos(_TILT_RAD)])
    world_to_cam = np.tile(np.eye(4), (len(target), 1, 1))
    world_to_cam[:, :3, :3] = rotation @ turn
    world_to_cam[:, :3, 3] = -eye @ rotation.T
    K = np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]])
    return Camera(np.tile(K, (len(target), 1, 1)).astype(np.float32), world_to_cam.astype(np.float32))


def _looking(tilt: float) -> NDArray:
    """(3, 3) world to camera for a camera that looks along -z, tilted down."""
    c, s = np.cos(tilt), np.sin(tilt)
    return np.array([[1, 0, 0], [0, -c, s], [0, -s, -c]])


def _distance(relative: NDArray, focal: float, size: Size) -> float:
    """Smallest distance from which points (T, N, 3) around the target stay inside the frame's margins."""
    seen = relative.reshape(-1, 3) @ _looking(_TILT_RAD).T
    half = np.array([size[1], size[0]]) * (0.5 - _MARGIN)
    return float(((np.abs(seen[:, :2]) * focal / half).max(1) - seen[:, 2]).max())


def far_points(vertices_m: NDArray) -> NDArray:
    """Points that hold a figure: of its vertices (V, 3), the farthest in 26 directions, (26, 3) float64."""
    grid = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1], indexing="ij"), -1).reshape(-1, 3)
    directions = grid[(grid != 0).any(1)].astype(np.float32)
    return vertices_m[np.argmax(directions @ vertices_m.T, axis=1)].astype(np.float64)


def _heading(motion: Motion, path: NDArray, aside_rad: float | None) -> NDArray:
    """(3,) level direction the camera looks back from: where the character faces, or beside where it walks."""
    source = read_source(motion)
    facing = (source.rotations[:, 0] @ np.array([0.0, 0.0, 1.0])) * (1, 0, 1)
    mean = facing.mean(0)
    if np.linalg.norm(mean) < 0.2:  # turns all the way round: as it starts
        mean = facing[0]
    if np.linalg.norm(mean) < 1e-6:
        return np.array([0.0, 0.0, 1.0])
    mean = mean / np.linalg.norm(mean)
    if aside_rad is None and np.linalg.norm(path[-1] - path[0]) > _WALKS_M:
        aside_rad = _ASIDE_RAD
    if aside_rad is not None:
        c, s = np.cos(aside_rad), np.sin(aside_rad)
        mean = np.array([c * mean[0] + s * mean[2], 0, c * mean[2] - s * mean[0]])
    return mean


def _turn_to(heading: NDArray) -> NDArray:
    """(3, 3) turn about the vertical that brings a heading to +z."""
    x, z = heading[0], heading[2]
    return np.array([[z, 0, -x], [0, 1, 0], [x, 0, z]])


def _smooth(values: NDArray, time_s: NDArray) -> NDArray:
    """Gaussian mean over time of what a straight line does not tell, so that a walk neither starts nor stops slowly."""
    if len(values) < 3:
        return values
    step_s = _FOLLOW_S / 8
    grid_s = np.arange(time_s[0], time_s[-1] + step_s, step_s)
    slope = (values[-1] - values[0]) / (time_s[-1] - time_s[0])
    line = values[0] + slope * (time_s - time_s[0])
    rest = np.interp(grid_s, time_s, values - line)
    kernel = np.exp(-0.5 * (np.arange(-24, 25) / 8) ** 2)
    smooth = np.convolve(np.pad(rest, 24, mode="edge"), kernel / kernel.sum(), mode="valid")
    return line + np.interp(time_s, grid_s, smooth)
