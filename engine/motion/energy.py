"""What a posed body costs: how far it is from the evidence, from smooth, and from what joints can do.

All terms are squared residuals in units of their own standard deviation, so that weights are the deviations below.
Shapes: T frames, J 22 body joints, L 33 landmarks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.types import BODY_JOINTS, LANDMARKS

_J = {name: idx for idx, name in enumerate(BODY_JOINTS)}
_L = {name: idx for idx, name in enumerate(LANDMARKS)}

REPROJECTION_M = 0.02
"""Noise of a landmark in the picture, metres at the person's distance."""
OUTLIER_M = 0.10
"""A landmark further off than this says ever less (Geman-McClure)."""
DIRECTION = 0.30
"""Noise of the direction of a bone among the 3D landmarks (length of the difference of unit vectors)."""
ACCELERATION = 30.0
"""Usual acceleration of a joint, m/s^2; a kick reaches 100."""
DEPTH_ACCELERATION = 10.0
"""The same along the line of sight, where the evidence is weak."""
PLANTED_M = 0.004
"""How far a planted foot may move between frames, metres."""
GROUND_M = 0.02
"""How far a planted sole may be off the ground, metres."""

_BONES = (*(
    (_L[a], _L[b])
    for side in ("left", "right")
    for a, b in (
        (f"{side}_shoulder", f"{side}_elbow"), (f"{side}_elbow", f"{side}_wrist"), (f"{side}_wrist", f"{side}_index"),
        (f"{side}_hip", f"{side}_knee"), (f"{side}_knee", f"{side}_ankle"), (f"{side}_heel", f"{side}_foot_index"),
        (f"{side}_hip", f"{side}_shoulder"), (f"{side}_ear", "nose"),
    )
), *((_L[f"right_{part}"], _L[f"left_{part}"]) for part in ("hip", "shoulder", "ear")))  # fmt: skip

_SPREAD_RAD = {
    "pelvis": (9, 9, 9), "spine": (0.35, 0.25, 0.2), "neck": (0.35, 0.4, 0.3), "head": (0.35, 0.4, 0.3),
    "collar": (0.15, 0.2, 0.2), "shoulder": (0.9, 1.6, 1.6), "elbow": (0.5, 9, 0.25), "wrist": (0.5, 0.35, 0.5),
    "hip": (1.8, 0.6, 0.7), "knee": (9, 0.2, 0.15), "ankle": (0.5, 0.3, 0.25), "foot": (0.2, 0.1, 0.1),
}  # fmt: skip
"""How far joints usually turn about the body's x, y, z axes; 9 is free."""


def _spread() -> NDArray:
    return np.array([next(v for key, v in _SPREAD_RAD.items() if key in name) for name in BODY_JOINTS], np.float32)


@dataclass
class Evidence:
    """What the fit knows about some frames; tensors are float32."""

    frames: NDArray
    """(T,) which frames of the clip these are."""
    pixels_TL2: Tensor
    """Landmarks as points of the plane z = 1 in front of the camera (inverse intrinsics applied)."""
    trust_TL: Tensor
    """0 ... 1; 0 where the person was not seen."""
    bones_TB3: Tensor
    """Unit directions of the bones among the 3D landmarks, camera axes."""
    world_to_cam_T33: Tensor
    camera_m_T3: Tensor
    """Where the camera is in the world."""
    dt_s: Tensor
    """(T-1,) seconds between frames."""
    planted_T2: Tensor
    """0 ... 1: left and right foot on the ground."""
    sole_m_22: Tensor
    """How high heel and toe of the left and right foot are above the ground when the foot stands on it."""

    def bone_trust(self) -> Tensor:
        """(T, B): a bone is trusted as far as its less visible end."""
        starts, ends = zip(*_BONES)
        return torch.minimum(self.trust_TL[:, list(starts)], self.trust_TL[:, list(ends)])


def bone_directions(points: NDArray | Tensor) -> NDArray | Tensor:
    """(T, 33, 3) points to (T, B, 3) unit vectors along the bones."""
    starts, ends = zip(*_BONES)
    bones = points[:, list(ends)] - points[:, list(starts)]
    length = (bones**2).sum(-1)[..., None] ** 0.5
    return bones / (length + 1e-6)


def evidence_cost(landmarks_TL3: Tensor, evidence: Evidence) -> Tensor:
    """Reprojection and bone directions, summed over frames."""
    camera_TL3 = torch.einsum("tij,tlj->tli", evidence.world_to_cam_T33, landmarks_TL3 - evidence.camera_m_T3[:, None])
    depth_TL1 = camera_TL3[..., 2:].clamp(min=0.1)
    distance_T11 = depth_TL1.detach().mean(1, keepdim=True)
    off_TL = ((camera_TL3[..., :2] / depth_TL1 - evidence.pixels_TL2) * distance_T11).square().sum(-1)
    robust_TL = off_TL * OUTLIER_M**2 / (off_TL + OUTLIER_M**2) / REPROJECTION_M**2
    turned_TB = (bone_directions(camera_TL3) - evidence.bones_TB3).square().sum(-1) / DIRECTION**2
    robust_TB = turned_TB * 9 / (turned_TB + 9)  # three deviations
    return (evidence.trust_TL * robust_TL).sum() + (evidence.bone_trust() * robust_TB).sum()


def smoothness_cost(joints_TJ3: Tensor, evidence: Evidence) -> Tensor:
    """Accelerations of all joints, those along the line of sight dearer."""
    if len(joints_TJ3) < 3:
        return joints_TJ3.new_zeros(())
    velocity = (joints_TJ3[1:] - joints_TJ3[:-1]) / evidence.dt_s[:, None, None]
    acceleration = (velocity[1:] - velocity[:-1]) / ((evidence.dt_s[1:] + evidence.dt_s[:-1]) / 2)[:, None, None]
    sight = joints_TJ3[1:-1].detach() - evidence.camera_m_T3[1:-1, None]
    sight = sight / sight.norm(dim=-1, keepdim=True)
    along = (acceleration * sight).sum(-1)
    return acceleration.square().sum() / ACCELERATION**2 + along.square().sum() / DEPTH_ACCELERATION**2


def limit_cost(rotvec_TJ3: Tensor) -> Tensor:
    """Joints that turn further than joints do; knees and elbows that bend backwards."""
    usual = (rotvec_TJ3 / torch.from_numpy(_spread())).square().sum()
    knees = rotvec_TJ3[:, [_J["left_knee"], _J["right_knee"]], 0]
    elbows = rotvec_TJ3[:, [_J["left_elbow"], _J["right_elbow"]], 1] * torch.tensor([-1.0, 1.0])
    backwards = torch.relu(-knees).square().sum() + torch.relu(-elbows).square().sum()
    return 0.3 * usual + backwards / 0.05**2


def ground_cost(landmarks_TL3: Tensor, evidence: Evidence) -> Tensor:
    """Planted feet that move, or that are off the ground."""
    total = landmarks_TL3.new_zeros(())
    for foot, side in enumerate(("left", "right")):
        sole_T23 = landmarks_TL3[:, [_L[f"{side}_heel"], _L[f"{side}_foot_index"]]]
        planted_T = evidence.planted_T2[:, foot]
        both = torch.minimum(planted_T[1:], planted_T[:-1])
        total = total + (both[:, None] * (sole_T23[1:] - sole_T23[:-1]).square().sum(-1)).sum() / PLANTED_M**2
        off_T2 = sole_T23[..., 1] - evidence.sole_m_22[foot]
        total = total + (planted_T[:, None] * off_T2.square()).sum() / GROUND_M**2
    return total
