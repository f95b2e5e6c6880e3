"""From the network's parameters to what the fit takes as evidence."""

import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics, load_body
from engine.geometry import matrix_to_rotvec, rotation_between
from engine.motion.camera import guess_intrinsics
from engine.motion.hmr2.camera import full_translation
from engine.motion.hmr2.predict import Predictions
from engine.motion.prior import PosePrior
from engine.types import BODY_JOINTS, JOINTS, ClipInfo

_SMALLEST_SCALE = 0.05
"""A person is about 0.9 of these in a crop of their own height; less is no prediction of a camera."""


def pose_prior(predictions: Predictions, info: ClipInfo) -> PosePrior:
    """Pose the embedded body as the network says, in camera axes.

    SMPL's rotations drive it unchanged: both rest in the same T-pose, joint for joint. SMPL's two hands, which are one
    joint each, are left out.

    Args:
        predictions: of T frames.
        info: the clip, for its lens.
    """
    K = guess_intrinsics(info)
    rotation = predictions.rotation[:, : len(BODY_JOINTS)].astype(np.float64)
    # The network looks along the middle of its crop and takes that for the optical axis.
    rotation[:, 0] = _sights(predictions.center_px, K) @ rotation[:, 0]
    usable = predictions.seen & (predictions.camera[:, 0] > _SMALLEST_SCALE)
    depth_m = np.zeros(len(usable))
    depth_m[usable] = full_translation(
        predictions.camera[usable], predictions.center_px[usable], predictions.side_px[usable], K
    )[:, 2]
    return PosePrior(
        rotation=rotation,
        landmarks_m=_landmarks(rotation),
        depth_m=depth_m,
        trust=predictions.seen.astype(np.float64),
    )


def _sights(center_px: NDArray, K: NDArray) -> NDArray:
    """(T, 3, 3) rotations of the optical axis to the lines of sight through pixels (T, 2)."""
    rays = np.concatenate([(center_px - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones((len(center_px), 1))], axis=1)
    return rotation_between(np.array([0.0, 0.0, 1.0]), rays)


def _landmarks(rotation: NDArray) -> NDArray:
    """(T, 33, 3) metres: landmarks of the mean body, posed, the pelvis at the origin."""
    body = load_body()
    rotvec = np.zeros((len(rotation), len(JOINTS), 3))
    rotvec[:, : len(BODY_JOINTS)] = matrix_to_rotvec(rotation)
    joints, turned = forward_kinematics(rotvec, np.zeros((len(rotation), 3)), body.joints.astype(np.float64))
    return body.landmarks_of(joints, turned)
