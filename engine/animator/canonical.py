"""The canonical pictures of a character: front and back in the A-pose, whatever pose its own picture has."""

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import facing, is_four_legged
from engine.animator.pose import pose_puppet, rest_motion
from engine.animator.puppet import PuppetAnimator
from engine.animator.stage_camera import frame_motion
from engine.geometry import rotvec_to_matrix
from engine.types import JOINTS, Camera, Patch, Puppet, Size

ARM_DOWN_RAD = np.radians(50.0)
_ROOM = 1.15
"""How much farther away a four-legged body is seen: its head is farther from its middle than its tail is."""


def canonical_pictures(puppet: Puppet, size: Size = (1024, 768)) -> tuple[NDArray, NDArray]:
    """Draw a puppet in the A-pose.

    Args:
        puppet: the character.
        size: (height, width), pixels.

    Returns:
        front and back, each (height, width, 4) uint8 straight RGBA on nothing, at the same scale; of a four-legged
        body its two sides.
    """
    motion = rest_motion(2)
    for side, sign in (("left", -1), ("right", 1)):
        motion.rotvec[:, JOINTS.index(f"{side}_shoulder"), 2] = sign * ARM_DOWN_RAD
    motion.rotvec[1, 0, 1] = np.pi
    four = is_four_legged(puppet)
    if four:
        motion.rotvec[:, 0, 1] -= facing(puppet)[0, 2] * np.pi / 2
        for side, sign in (("left", -1), ("right", 1)):
            motion.rotvec[:, JOINTS.index(f"{side}_shoulder"), 2] = sign * np.pi / 2
    posed = pose_puppet(puppet, motion, stiff=True)
    seen = frame_motion(motion, size, puppet, posed=posed)
    level = seen.world_to_cam.copy()
    # The same distance, but level: no perspective in a reference picture that it can do without.
    eye = -np.swapaxes(seen.world_to_cam[:, :3, :3], 1, 2) @ seen.world_to_cam[:, :3, 3:]
    middle_y = posed.standing_m / 2
    level[:, :3, :3] = rotvec_to_matrix(np.array([np.pi, 0, 0], np.float32))
    level[:, :3, 3] = np.stack(
        [-eye[:, 0, 0] * 0, np.full(2, middle_y), (_ROOM if four else 1) * np.linalg.norm(eye[:, :, 0], axis=1)], 1
    )
    animator = PuppetAnimator(puppet, motion, Camera(seen.K, level), size, shadow=0.0, posed=posed)
    front, back = (_on_nothing(patch, size) for patch in animator.render_range())
    return front, back


def _on_nothing(patch: Patch, size: Size) -> NDArray:
    out = np.zeros((*size, 4), np.uint8)
    height, width = patch.rgba.shape[:2]
    rgba = patch.rgba.astype(np.uint16)
    alpha = np.maximum(rgba[..., 3:], 1)
    rgba[..., :3] = np.minimum((rgba[..., :3] * 255 + alpha // 2) // alpha, 255)
    out[patch.y0 : patch.y0 + height, patch.x0 : patch.x0 + width] = rgba
    return out
