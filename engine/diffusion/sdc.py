"""Facts of the published code about its pose videos: the camera HMR2's body is seen with, how hands are put on it.

It is drawn in `engine/conditions/sdc.py`.
"""

import numpy as np
from numpy.typing import NDArray

from engine.types import Size

FOCAL_OVER_PATCH = 5000 / 256  # HMR2's focal length and patch size
RIGHT_ARM = (2, 5, 8, 13, 16, 18)  # spine1, spine2, spine3, collar, shoulder, elbow in SMPL's body pose
LEFT_ARM = (2, 5, 8, 12, 15, 17)


def focal_px(size: Size) -> float:
    """Focal length of the release's camera for a picture (height, width), pixels."""
    return FOCAL_OVER_PATCH * max(size)


def person_translation(pred_cam: NDArray, box_center_px: NDArray, box_side_px: float, size: Size) -> NDArray:
    """Where HMR2's body stands before the camera.

    Args:
        pred_cam: (3,) s, tx, ty: weak perspective in the person's square box.
        box_center_px: (2,) centre of the box in the picture.
        box_side_px: max(h, 4w/3) of the person's box.
        size: (height, width) of the picture.

    Returns:
        (3,) metres, camera axes (x right, y down, z forward).
    """
    scale, tx, ty = pred_cam
    side = box_side_px * scale + 1e-9
    x_px, y_px = box_center_px[0] - size[1] / 2, box_center_px[1] - size[0] / 2
    return np.array([tx + 2 * x_px / side, ty + 2 * y_px / side, 2 * focal_px(size) / side])


def project_vertices(vertices_m: NDArray, size: Size) -> NDArray:
    """(V, 3) metres in camera axes to (V, 2) pixels; the centre of the picture is the principal point."""
    centre = np.array([size[1] / 2, size[0] / 2])
    return focal_px(size) * vertices_m[:, :2] / vertices_m[:, 2:] + centre


def mirror_hand(rotvec: NDArray) -> NDArray:
    """HaMeR sees left hands as mirrored right ones: (..., 3) axis-angle, y and z change sign."""
    return rotvec * np.array([1, -1, -1], rotvec.dtype)


def wrist_rotation(root: NDArray, arm: NDArray, hand: NDArray) -> NDArray:
    """The wrist's rotation relative to its forearm.

    Args:
        root: (..., 3, 3) global orientation of the body.
        arm: (..., 6, 3, 3) rotations of spine1, spine2, spine3, collar, shoulder, elbow (`LEFT_ARM`, `RIGHT_ARM`).
        hand: (..., 3, 3) global rotation of the hand.
    """
    forearm = root
    for joint in range(arm.shape[-3]):
        forearm = forearm @ arm[..., joint, :, :]
    return np.swapaxes(forearm, -1, -2) @ hand


def cut_off(faces: NDArray, vertex_idx: NDArray) -> NDArray:
    """Remove a hand that was not seen: the faces all of whose three vertices are among the given ones."""
    return faces[~np.isin(faces, vertex_idx).all(axis=1)]
