"""What a network thinks of every frame's pose: evidence for the fit that takes the place of the 3D landmarks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.motion.normal import NormalEquations
from engine.motion.posing import NUM_JOINTS, NUM_UNKNOWNS, Pose, left_jacobian

TURN_RAD = 0.15
"""Deviation of a predicted rotation about each axis: 15 degrees in all, and alike from frame to frame."""
OUTLIER_RAD = 0.6
"""A joint turned further from the prediction than this says ever less."""
DEPTH = 0.15
"""Deviation of a predicted distance, as a share of it: people are taken to be as tall as most."""


@dataclass(frozen=True, kw_only=True)
class PosePrior:
    """The posed body of T frames, each seen for itself, in the axes of its frame's camera (x right, y down)."""

    rotation: NDArray
    """(T, 22, 3, 3): the pelvis's in camera axes, the other body joints' relative to their parents."""
    landmarks_m: NDArray
    """(T, 33, 3) metres: BlazePose's landmarks on the body so posed, camera axes, any origin."""
    depth_m: NDArray
    """(T,) metres before the camera of `guess_intrinsics`: the pelvis; 0 where not known."""
    trust: NDArray
    """(T,) 0 ... 1; 0 where the person was not seen."""

    def part(self, frames: NDArray | slice) -> "PosePrior":
        """Some of its frames."""
        return PosePrior(**{name: value[frames] for name, value in vars(self).items()})

    def rotvec(self, otherwise: NDArray, world_to_cam: NDArray) -> NDArray:
        """The pose as the fit holds it.

        Args:
            otherwise: (T, 22, 3) radians: taken in frames of no trust.
            world_to_cam: (T, 3, 3) rotations.

        Returns:
            (T, 22, 3) float64, radians, the pelvis's in the world.
        """
        local = self.rotation.astype(np.float64)
        local[:, 0] = np.swapaxes(world_to_cam, -1, -2) @ local[:, 0]
        return np.where(self.trust[:, None, None] > 0, matrix_to_rotvec(local), otherwise)


def add_prior(
    equations: NormalEquations, pose: Pose, prior: PosePrior, world_to_cam: NDArray, camera_m: NDArray
) -> None:
    """Put into the equations how far a pose is from what a network predicts.

    Args:
        equations: of T frames and the unknowns of `posing`.
        pose: T frames.
        prior: of the same frames.
        world_to_cam: (T, 3, 3) rotations.
        camera_m: (3,) where the camera is in the world.

    Source: the residual of a joint is the axis-angle of its rotation against the predicted one; Geman-McClure's weight.
    """
    wanted = prior.rotation.astype(np.float64)
    wanted[:, 0] = np.swapaxes(world_to_cam, -1, -2) @ wanted[:, 0]
    turned = rotvec_to_matrix(pose.rotvec)
    off = matrix_to_rotvec(np.swapaxes(wanted, -1, -2) @ turned)
    off[:, 0] = matrix_to_rotvec(turned[:, 0] @ np.swapaxes(wanted[:, 0], -1, -2))  # its unknown turns in the world
    slope = np.swapaxes(left_jacobian(pose.rotvec), -1, -2)  # the right Jacobian: of turns in the joint's own axes
    slope[:, 0] = np.eye(3)
    square = np.square(off).sum(-1)
    weight = np.sqrt(prior.trust)[:, None] * OUTLIER_RAD**2 / (square + OUTLIER_RAD**2) / TURN_RAD
    rows = np.zeros((len(pose), NUM_JOINTS, 3, NUM_UNKNOWNS), np.float32)
    for joint in range(NUM_JOINTS):
        rows[:, joint, :, 3 * joint : 3 * joint + 3] = weight[:, joint, None, None] * slope[:, joint]
    equations.add((weight[..., None] * off).reshape(len(pose), -1), rows.reshape(len(pose), -1, NUM_UNKNOWNS))

    depth_m = np.einsum("ti,ti->t", world_to_cam[:, 2], pose.root_m - camera_m)
    known = prior.depth_m > 0
    share = np.where(known, prior.trust, 0) ** 0.5 / (DEPTH * np.where(known, prior.depth_m, 1))
    rows = np.zeros((len(pose), 1, NUM_UNKNOWNS), np.float32)
    rows[:, 0, 3 * NUM_JOINTS :] = share[:, None] * world_to_cam[:, 2]
    equations.add((share * (depth_m - prior.depth_m))[:, None], rows)
