"""Points of the posed body and how they move with every unknown: the forward model of the fit.

Shapes: T frames, J = 22 body joints, P points, C = 69 unknowns of a frame. The unknowns are changes: of the pelvis a
turn in the world (3), of the other joints' axis-angle vectors (63), of the pelvis's place (3), in this order.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.body.model import Body
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.types import BODY_JOINTS, JOINT_PARENTS

NUM_JOINTS = len(BODY_JOINTS)
NUM_UNKNOWNS = 3 * NUM_JOINTS + 3
_PARENTS = JOINT_PARENTS[:NUM_JOINTS]


@dataclass(frozen=True)
class Pose:
    """A skeleton over T frames."""

    rotvec: NDArray
    """(T, 22, 3) float64, radians, as in `Motion`."""
    root_m: NDArray
    """(T, 3) float64, metres."""

    def __len__(self) -> int:
        return len(self.rotvec)

    def part(self, frames: NDArray | slice) -> "Pose":
        """Some of its frames."""
        return Pose(self.rotvec[frames], self.root_m[frames])

    def moved(self, change: NDArray) -> "Pose":
        """Every frame after its change: (T, 69)."""
        turned = rotvec_to_matrix(change[:, :3]) @ rotvec_to_matrix(self.rotvec[:, 0])
        rotvec = self.rotvec + change[:, : 3 * NUM_JOINTS].reshape(-1, NUM_JOINTS, 3)
        rotvec[:, 0] = matrix_to_rotvec(turned)
        return Pose(rotvec, self.root_m + change[:, 3 * NUM_JOINTS :])


@dataclass(frozen=True)
class Points:
    """Points that ride on joints of one person: how they lie at rest is all that is known of the shape."""

    rest_m: NDArray
    """(22, 3) float64, metres: the joints of the T-pose."""
    joint: NDArray
    """(P,) int: the body joint each point rides on."""
    offset_m: NDArray
    """(P, 3) float64, metres: from that joint, at rest."""

    def with_joints(self, joints: NDArray) -> "Points":
        """These points and, after them, some joints (N,) themselves."""
        offset = np.concatenate([self.offset_m, np.zeros((len(joints), 3))])
        return replace(self, joint=np.concatenate([self.joint, joints]), offset_m=offset)


@dataclass(frozen=True)
class Posed:
    """Where points are, and what moves them."""

    joints_m: NDArray
    """(T, 22, 3)"""
    rotations: NDArray
    """(T, 22, 3, 3), world."""
    points_m: NDArray
    """(T, P, 3)"""
    slopes: NDArray | None
    """(T, P, 3, 69) float32: derivative of the points in the unknowns."""


def body_points(body: Body, shape: NDArray, landmarks_m: NDArray, joints: NDArray) -> Points:
    """Points that ride on the embedded body.

    Args:
        body: the body.
        shape: (10,), standard deviations.
        landmarks_m: (P, 3) float, metres: the points on a body of that shape at rest, on the axes of `body.joints`.
        joints: (P,) int: of `JOINTS`; points on fingers ride on the wrist.
    """
    rest = (body.joints + np.tensordot(shape, body.shape_joints, 1)).astype(np.float64)[:NUM_JOINTS]
    riding = np.array([_body_joint(int(joint)) for joint in joints])
    return Points(rest, riding, landmarks_m.astype(np.float64) - rest[riding])


def pose_points(pose: Pose, points: Points, *, slopes: bool = False) -> Posed:
    """Pose the skeleton and the points on it.

    Args:
        pose: T frames.
        points: P points.
        slopes: also give the derivative.

    Source: forward kinematics; a point p below joint j moves by w x (p - j) when j turns by w; the left Jacobian of
    SO(3) turns changes of axis-angle vectors into such w.
    """
    local = rotvec_to_matrix(pose.rotvec)
    rotations, joints = np.empty_like(local), np.empty_like(pose.rotvec)
    rotations[:, 0], joints[:, 0] = local[:, 0], pose.root_m
    for j in range(1, NUM_JOINTS):
        above = _PARENTS[j]
        rotations[:, j] = rotations[:, above] @ local[:, j]
        joints[:, j] = joints[:, above] + rotations[:, above] @ (points.rest_m[j] - points.rest_m[above])
    place = joints[:, points.joint] + (rotations[:, points.joint] @ points.offset_m[..., None])[..., 0]
    found = _slopes(pose, points, joints, rotations, place) if slopes else None
    return Posed(joints, rotations, place, found)


def _slopes(pose: Pose, points: Points, joints: NDArray, rotations: NDArray, place: NDArray) -> NDArray:
    found = np.zeros((*place.shape, NUM_UNKNOWNS), np.float32)
    axes = turn_axes(pose, rotations)
    for j in range(NUM_JOINTS):
        below = np.flatnonzero(is_moved_by(j)[points.joint])
        if len(below):
            lever = place[:, below] - joints[:, j, None]
            found[:, below, :, 3 * j : 3 * j + 3] = -_cross(lever) @ axes[:, j, None]
    found[..., 3 * NUM_JOINTS :] = np.eye(3, dtype=np.float32)
    return found


def turn_axes(pose: Pose, rotations: NDArray) -> NDArray:
    """(T, 22, 3, 3): about which axes of the world (columns) the three unknowns of a joint turn it."""
    axes = left_jacobian(pose.rotvec)
    axes[:, 0] = np.eye(3)
    axes[:, 1:] = rotations[:, list(_PARENTS[1:])] @ axes[:, 1:]
    return axes


@lru_cache(maxsize=NUM_JOINTS)
def is_moved_by(joint: int) -> NDArray:
    """(22,) bool: which body joints a joint carries along, itself too."""
    return np.array([joint in _chain(other) for other in range(NUM_JOINTS)])


def left_jacobian(rotvec: NDArray) -> NDArray:
    """(..., 3, 3): d(rotation)/d(axis-angle) as a turn in the parent's axes."""
    angle = np.maximum(np.linalg.norm(rotvec, axis=-1), 1e-6)[..., None, None]
    cross = _cross(rotvec)
    first = (1 - np.cos(angle)) / angle**2
    second = (angle - np.sin(angle)) / angle**3
    return np.eye(3) + first * cross + second * (cross @ cross)


def _cross(v: NDArray) -> NDArray:
    """(..., 3) to the (..., 3, 3) matrix of v x."""
    zero = np.zeros(v.shape[:-1])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*v.shape, 3)


def _chain(joint: int) -> tuple[int, ...]:
    chain = [joint]
    while _PARENTS[chain[-1]] >= 0:
        chain.append(_PARENTS[chain[-1]])
    return tuple(chain)


def _body_joint(joint: int) -> int:
    while joint >= NUM_JOINTS:
        joint = JOINT_PARENTS[joint]
    return joint
