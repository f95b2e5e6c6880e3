"""The conditioning video of the MIMO release: a body mesh with a fixed colour per vertex, unlit, on black.

Facts of the published code: the camera that HMR2's body is seen with, how hands are put on it, how it is drawn.
"""

import numpy as np
from numpy.typing import NDArray

from engine.types import Size

FOCAL_OVER_PATCH = 5000 / 256  # HMR2's focal length and patch size
SAMPLES_PX = np.array([(0.375, 0.875), (0.875, 0.625), (0.125, 0.375), (0.625, 0.125)])
"""Where coverage is tested in a pixel: x right, y down, from its corner."""
NEAR_M = 0.05
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


def draw_body(vertices_m: NDArray, faces: NDArray, colors: NDArray, size: Size) -> NDArray:
    """Draw a mesh as the release's renderer does: unlit, back faces culled, four samples per pixel.

    Args:
        vertices_m: (V, 3) float, camera axes (x right, y down, z forward), in front of the camera.
        faces: (F, 3) int, counter-clockwise seen from outside.
        colors: (V, 3 or 4) uint8 RGB(A).
        size: (height, width).

    Returns:
        (height, width, 3) uint8: per sample, the nearest triangle's colour at the pixel's centre (perspective-correct,
        clamped); edge pixels are mixed with black in quarters.
    """
    uv = project_vertices(vertices_m, size)
    faces = faces[(vertices_m[faces, 2] > NEAR_M).all(axis=1)]
    corner_a, corner_b, corner_c = (uv[faces[:, k]] for k in range(3))
    signed_area = _cross(corner_b - corner_a, corner_c - corner_a)
    faces, corners = faces[signed_area < 0], np.stack([corner_a, corner_b, corner_c], 1)[signed_area < 0]
    face_idx, pixel = _candidates(corners, size)
    centre = np.stack([pixel % size[1], pixel // size[1]], 1)
    inverse_z = 1 / vertices_m[faces, 2]
    levels = np.zeros((size[0] * size[1], 3))
    for sample in SAMPLES_PX:
        bary = _barycentric(corners, face_idx, centre + sample)
        inside = (bary >= 0).all(axis=1)
        nearness = (bary * inverse_z[face_idx]).sum(axis=1)[inside]
        order = np.argsort(nearness, kind="stable")  # the nearest is written last
        winner = np.full(len(levels), -1)
        winner[pixel[inside][order]] = np.flatnonzero(inside)[order]
        hit = winner[winner >= 0]
        weights = _barycentric(corners, face_idx[hit], centre[hit] + 0.5) * inverse_z[face_idx[hit]]
        weights /= weights.sum(axis=1, keepdims=True)
        rgb = np.einsum("nk,nkc->nc", weights, colors[faces[face_idx[hit]], :3].astype(float))
        levels[winner >= 0] += np.clip(rgb, 0, 255) / len(SAMPLES_PX)
    # weights sum to 1 within 1e-15; without the 1e-9 two samples of white were sometimes 127.4999 and not 127.5
    return np.floor(levels + 0.5 + 1e-9).astype(np.uint8).reshape(*size, 3)


def _candidates(corners: NDArray, size: Size) -> tuple[NDArray, NDArray]:
    """Every (face, pixel) pair of the faces' bounding boxes: indices of faces, and of pixels in reading order."""
    limit = np.array([size[1], size[0]])
    low = np.clip(np.floor(corners.min(axis=1)).astype(int), 0, limit)
    high = np.clip(np.ceil(corners.max(axis=1)).astype(int), 0, limit)
    width, count = (high - low)[:, 0], (high - low).prod(axis=1)
    face_idx = np.repeat(np.arange(len(corners)), count)
    place = np.arange(len(face_idx)) - np.repeat(np.cumsum(count) - count, count)
    x = low[face_idx, 0] + place % np.maximum(width[face_idx], 1)
    y = low[face_idx, 1] + place // np.maximum(width[face_idx], 1)
    return face_idx, y * size[1] + x


def _barycentric(corners: NDArray, face_idx: NDArray, points: NDArray) -> NDArray:
    """(N, 3) weights of each point in the plane of its triangle, in the picture."""
    a, b, c = (corners[face_idx, k] for k in range(3))
    whole = _cross(b - a, c - a)
    return (
        np.stack([_cross(b - points, c - points), _cross(c - points, a - points), _cross(a - points, b - points)], 1)
        / (whole[:, None])
    )


def _cross(a: NDArray, b: NDArray) -> NDArray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
