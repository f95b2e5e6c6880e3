"""`sdc`: SMPL's body as the published network was shown it, every vertex in its fixed colour, unlit, on black.

Facts of the published code: its camera, culling, four samples a pixel with the colour taken at the pixel's centre.
Not reproduced: its depth buffer of 24 bits, which cannot tell surfaces apart that are within a centimetre at 90 m.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.conditions.surface import leg_m, to_camera
from engine.diffusion.sdc import cut_off, focal_px
from engine.errors import InputError
from engine.geometry import rotation_between, rotvec_to_matrix
from engine.raster import draw_samples
from engine.types import BODY_JOINTS, JOINT_PARENTS, JOINTS, Camera, Motion, Size

if TYPE_CHECKING:
    from engine.body.family import SmplBody

NUM_VERTICES = 6890
"""Of SMPL and SMPL-H, whose mesh the colours belong to."""
_LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
_BONES = ("spine1", "spine2", "spine3", "neck", *(f"{side}_{name}" for side in ("left", "right") for name in _LIMBS))
"""Joints whose bones, from their parents, tell a person's shape."""
_BONE_SD_M = 0.02
"""How well a bone's length is known, against shapes of one standard deviation."""
_BATCH = 8


def published_camera(size: Size) -> NDArray:
    """(3, 3) float64: the camera the published code puts before a picture (height, width)."""
    focal = focal_px(size)
    return np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]])


def draw_sdc(vertices_m: NDArray, faces: NDArray, colors: NDArray, K: NDArray, size: Size) -> NDArray:
    """Draw a mesh as the release's renderer does: unlit, back faces culled, four samples per pixel.

    Args:
        vertices_m: (V, 3) float, camera axes (x right, y down, z forward), in front of the camera.
        faces: (F, 3) int, counter-clockwise seen from outside.
        colors: (V, 3) float or uint8 RGB, 0 ... 255.
        K: (3, 3) float, pixels; the published code's is `published_camera`.
        size: (height, width).

    Returns:
        (height, width, 3) uint8: per sample, the nearest triangle's colour at the pixel's centre (perspective-correct,
        clamped); edge pixels are mixed with black in quarters.
    """
    levels = draw_samples(colors, vertices_m, faces, K, size, value_at="centre", low=0, high=255)
    # Weights sum to 1 within 1e-6; without the 1e-3 two samples of white were sometimes 127.49999 and not 127.5.
    return np.floor(levels + (0.5 + 1e-3)).astype(np.uint8)


def check_body(body: "SmplBody") -> None:
    """Raise InputError unless a body has the mesh that the colours belong to."""
    if len(body.template) != NUM_VERTICES:
        raise InputError(
            f"the {body.kind} body has {len(body.template)} vertices; the published network's has {NUM_VERTICES}.",
            fix="use a file of SMPL or SMPL-H, which share that mesh.",
        )


def faces_of(body: "SmplBody", *, hands: bool = True) -> NDArray:
    """The faces that are drawn, (F, 3) int32; without hands, those whose corners all follow a wrist or a hand most."""
    if hands:
        return body.faces
    ends = [j for j, name in enumerate(body.joint_names) if name.split("_")[-1].rstrip("123") in _HAND_PARTS]
    return cut_off(body.faces, np.flatnonzero(np.isin(body.skin.argmax(1), ends)))


_HAND_PARTS = ("wrist", "hand", "index", "middle", "pinky", "ring", "thumb")


def find_betas(body: "SmplBody", rest_m: NDArray) -> NDArray:
    """The most ordinary shape whose bones are those of a motion's skeleton.

    Args:
        body: of the SMPL family.
        rest_m: (J, 3) float, metres: the motion's rest joints.

    Returns:
        (10,) float32 betas, or fewer where the file has fewer.
    """
    own = {name: j for j, name in enumerate(body.joint_names)}
    pairs = [(JOINTS.index(name), JOINT_PARENTS[JOINTS.index(name)]) for name in _BONES]
    rows = np.array([own[JOINTS[j]] for j, _ in pairs]), np.array([own[JOINTS[p]] for _, p in pairs])
    dirs = np.einsum("kv,svc->skc", body.regressor, body.shape_dirs[:10])
    mean = body.regressor @ body.template
    effect = (dirs[:, rows[0]] - dirs[:, rows[1]]).reshape(len(dirs), -1).T / _BONE_SD_M
    wanted = np.array([rest_m[j] - rest_m[p] for j, p in pairs])
    missing = ((wanted - (mean[rows[0]] - mean[rows[1]])) / _BONE_SD_M).ravel()
    return np.linalg.solve(effect.T @ effect + np.eye(len(dirs)), effect.T @ missing).astype(np.float32)


def pose_smpl(
    motion: Motion, body: "SmplBody", betas: NDArray | None = None, start: int = 0, stop: int | None = None
) -> Iterator[tuple[NDArray, NDArray]]:
    """Pose a body of the SMPL family as a motion says.

    Args:
        motion: T frames.
        body: of the SMPL family.
        betas: (S,) shape; None finds one with the motion's bones.
        start: first frame.
        stop: frame after the last; None: all.

    Yields:
        (V, 3) float32 vertices and (3,) pelvis, metres, world. The hips are where the motion's are, the legs as long.
    """
    betas = find_betas(body, motion.rest_m) if betas is None else betas
    stop = len(motion) if stop is None else stop
    rest_m = body.rest(betas)[1]
    scale = leg_m(motion.rest_m) / leg_m(rest_m)
    aside = _hips_from_pelvis(motion.rest_m) - scale * _hips_from_pelvis(rest_m)
    for first in range(start, stop, _BATCH):
        batch = slice(first, min(first + _BATCH, stop))
        turned = rotvec_to_matrix(motion.rotvec[batch, 0].astype(np.float64)) @ aside
        root_m = (motion.root_m[batch] + turned).astype(np.float32)
        posed = body.pose(motion.rotvec[batch], root_m, betas)
        yield from zip(root_m[:, None] + np.float32(scale) * (posed - root_m[:, None]), root_m)


def before_published_camera(vertices_m: NDArray, pelvis_m: NDArray, K: NDArray, size: Size) -> NDArray:
    """Move a body seen by any camera before the published one, so that it looks as alike as it can.

    The pelvis stays at its pixel, the body is as large there and is seen from the same side. The published camera is
    some 20 times as far away as its picture is wide: what perspective the other camera had is lost. A body that is
    before the published camera already stays as it is.

    Args:
        vertices_m: (V, 3) float, camera frame of `K`.
        pelvis_m: (3,) float, the same frame, in front of the camera.
        K: (3, 3) float, pixels.
        size: (height, width).

    Returns:
        (V, 3) float64, before `published_camera(size)`.
    """
    pelvis_m, focal = np.asarray(pelvis_m, np.float64), focal_px(size)
    x_px, y_px = (K[:2] @ pelvis_m) / pelvis_m[2]
    depth_m = pelvis_m[2] * focal / K[1, 1]
    moved = np.array([(x_px - size[1] / 2) * depth_m / focal, (y_px - size[0] / 2) * depth_m / focal, depth_m])
    turn = rotation_between(pelvis_m / np.linalg.norm(pelvis_m), moved / np.linalg.norm(moved))
    return (vertices_m - pelvis_m) @ turn.T + moved


def draw_motion(
    motion: Motion,
    camera: Camera,
    body: "SmplBody",
    colors: NDArray,
    size: Size,
    *,
    betas: NDArray | None = None,
    hands: bool = True,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[NDArray]:
    """Draw a motion as `sdc`.

    Args:
        motion: T frames.
        camera: T frames.
        body: SMPL or SMPL-H.
        colors: (6890, 3) float RGB, 0 ... 255.
        size: (height, width), pixels.
        betas: (S,) shape; None finds one with the motion's bones.
        hands: draw them.
        start: first frame.
        stop: frame after the last; None: all.

    Yields:
        (H, W, 3) uint8 RGB on black; black where the pelvis is behind the camera.
    """
    faces, K = faces_of(body, hands=hands), published_camera(size)
    for placed in place_smpl(motion, camera, body, size, betas=betas, start=start, stop=stop):
        black = np.zeros((*size, 3), np.uint8)
        yield black if placed is None else draw_sdc(placed, faces, colors, K, size)


def place_smpl(
    motion: Motion,
    camera: Camera,
    body: "SmplBody",
    size: Size,
    *,
    betas: NDArray | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[NDArray | None]:
    """Pose a body and place it before the published camera; arguments as for `draw_motion`.

    Yields:
        (V, 3) float64, metres; None where the pelvis is behind the camera.
    """
    for frame, (vertices_m, pelvis_m) in enumerate(pose_smpl(motion, body, betas, start, stop), start):
        world_to_cam = camera.world_to_cam[frame].astype(np.float64)
        seen, pelvis = to_camera(vertices_m, world_to_cam), to_camera(pelvis_m, world_to_cam)
        K = camera.K[frame].astype(np.float64)
        yield before_published_camera(seen, pelvis, K, size) if pelvis[2] > 0 else None


def _hips_from_pelvis(rest_m: NDArray) -> NDArray:
    hips = [rest_m[BODY_JOINTS.index(f"{side}_hip")] for side in ("left", "right")]
    return (hips[0] + hips[1]).astype(np.float64) / 2 - rest_m[0]
