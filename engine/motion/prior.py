"""What a network thinks of every frame's pose: evidence for the fit that takes the place of the 3D landmarks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import matrix_to_rotvec


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
