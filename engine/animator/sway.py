"""Secondary motion: tails and ears lag behind what carries them, swing on, and come to rest."""

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import is_free, place_joints
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.types import Puppet

_HERTZ = 2.4
_DAMPING = 0.32
"""Natural frequency and damping ratio of the spring: two visible swings after a stop."""
_STEP_S = 1 / 240
_LIMIT_RAD = np.radians(28.0)
_TILT_PER_MS2 = 0.035
"""Radians a part tilts against each m/s^2 of its root, before the spring."""
_TILT_LIMIT_RAD = np.radians(16.0)


def sway(puppet: Puppet, rotations: NDArray, root_m: NDArray, height_m: float, time_s: NDArray) -> NDArray:
    """Let the free joints swing.

    Args:
        puppet: the character.
        rotations: (T, K, 3, 3) stiff rotations.
        root_m: (T, 3) metres.
        height_m: metres per figure height.
        time_s: (T,) seconds.

    Returns:
        (T, K, 3, 3): the same where joints are not free. Frame 0 is at rest.
    """
    free = np.flatnonzero(is_free(puppet))
    if not len(free) or len(time_s) < 3:
        return rotations
    joints = place_joints(puppet, rotations, root_m, height_m)
    out = rotations.copy()
    ends = _ends(puppet)
    for k in free:
        velocity = np.gradient(joints[:, k], time_s, axis=0)
        push = -_smooth(np.gradient(velocity, time_s, axis=0))
        bone = rotations[:, k] @ (ends[k] - puppet.joints[k].astype(np.float64))
        bone /= np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-9)
        tilt = _limited(np.cross(bone, push) * _TILT_PER_MS2, _TILT_LIMIT_RAD)
        out[:, k] = _spring(rotations[:, k], tilt, time_s, _HERTZ * 0.9 ** _depth(puppet, int(k)))
    return out


def _spring(target: NDArray, tilt: NDArray, time_s: NDArray, hertz: float) -> NDArray:
    """Follow rotations through a damped spring in each component of the offset from them."""
    stiffness = (2 * np.pi * hertz) ** 2
    damping = 2 * _DAMPING * 2 * np.pi * hertz
    step_back = matrix_to_rotvec(target[:-1] @ np.swapaxes(target[1:], -1, -2))
    offset, speed = np.zeros(3), np.zeros(3)
    offsets = np.zeros((len(target), 3))
    for t in range(1, len(target)):
        offset = offset + step_back[t - 1]  # the target has moved on; the part has not
        num_steps = max(int(np.ceil((time_s[t] - time_s[t - 1]) / _STEP_S)), 1)
        dt = (time_s[t] - time_s[t - 1]) / num_steps
        for _ in range(min(num_steps, 240)):
            speed = speed + dt * (stiffness * (tilt[t] - offset) - damping * speed)
            offset = offset + dt * speed
        offset = _limited(offset[None], _LIMIT_RAD)[0]
        offsets[t] = offset
    return rotvec_to_matrix(offsets) @ target


def _limited(rotvec: NDArray, limit: float) -> NDArray:
    """Bend long vectors smoothly down to a limit."""
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    return rotvec * (limit * np.tanh(angle / limit) / np.maximum(angle, 1e-9))


def _smooth(values: NDArray) -> NDArray:
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, axis], kernel, mode="valid") for axis in range(3)], -1)


def _ends(puppet: Puppet) -> NDArray:
    """(K, 3) where each joint's bone ends: its first child, or what hangs on it, or one step on from its parent."""
    joints = puppet.joints.astype(np.float64)
    ends = joints.copy()
    for k, parent in enumerate(puppet.joint_parents):
        children = [c for c, p in enumerate(puppet.joint_parents) if p == k]
        weight = puppet.weights[:, k].astype(np.float64)
        if children:
            ends[k] = joints[children[0]]
        elif weight.sum() > 1e-6:
            ends[k] = weight @ puppet.vertices / weight.sum()
        elif parent >= 0:
            ends[k] = 2 * joints[k] - joints[parent]
    return ends


def _depth(puppet: Puppet, k: int) -> int:
    free, depth = is_free(puppet), 0
    while puppet.joint_parents[k] >= 0 and free[puppet.joint_parents[k]]:
        k, depth = puppet.joint_parents[k], depth + 1
    return depth
