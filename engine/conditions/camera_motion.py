"""SMPL parameters before a camera, as HMR-like tools write them: what a published pose video was drawn from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.body.pickles import read_npz, read_pickle
from engine.errors import InputError
from engine.geometry import matrix_to_rotvec

if TYPE_CHECKING:
    from engine.body.family import SmplBody

_MOVES = ("transl", "trans", "cam_t", "pred_cam_t")
_BATCH = 8


@dataclass(frozen=True)
class CameraMotion:
    """A body of the SMPL family before a camera: x right, y down, z forward."""

    rotvec: NDArray
    """(T, K, 3) float32, radians: the file's joints, the global orientation first."""
    transl_m: NDArray
    """(T, 3) float32, metres, added to the posed body."""
    betas: NDArray
    """(T, S) float32."""

    def __len__(self) -> int:
        return len(self.rotvec)


def read_camera_motion(path: Path) -> CameraMotion:
    """Read SMPL parameters of every frame.

    Args:
        path: .npz, .pkl or .npy (read without executing anything) with `poses` (T, 72 or more), or `global_orient` and
            `body_pose` as axis-angle or matrices; a translation (`transl`, `trans`, `cam_t`) (T, 3); `betas` (T, 10) or
            (10,), zero where absent.

    Returns:
        The first 22 or 24 joints of each frame.

    Raises:
        InputError: it is no such file; says what is missing or has which shape.
    """
    data = read_npz(path) if path.suffix.lower() == ".npz" else read_pickle(path)
    if not isinstance(data, dict):
        raise _wrong(path, "it holds no named arrays")
    rotvec = _rotvec(path, data)
    move = next((key for key in _MOVES if key in data), None)
    if move is None:
        raise _wrong(path, f"it has no translation ({', '.join(_MOVES[:3])})")
    transl = _floats(path, data, move)
    if transl.shape != (len(rotvec), 3):
        raise _wrong(path, f"{move} is {transl.shape}, not ({len(rotvec)}, 3)")
    betas = _floats(path, data, "betas") if "betas" in data else np.zeros(10)
    betas = np.atleast_2d(betas).reshape(-1, betas.shape[-1] if betas.ndim else 1)
    if len(betas) not in (1, len(rotvec)):
        raise _wrong(path, f"betas is {betas.shape}, not ({len(rotvec)}, 10)")
    betas = np.broadcast_to(betas[:, :10], (len(rotvec), min(betas.shape[1], 10)))
    return CameraMotion(*(np.ascontiguousarray(a, np.float32) for a in (rotvec, transl, betas)))


def pose_camera_motion(motion: CameraMotion, body: "SmplBody") -> Iterator[NDArray]:
    """Pose a body frame by frame.

    Args:
        motion: T frames.
        body: of the SMPL family; joints that the motion has not stay unturned.

    Yields:
        (V, 3) float32, metres, before the camera.
    """
    num_own = len(body.joint_names)
    for first in range(0, len(motion), _BATCH):
        batch = slice(first, first + _BATCH)
        rotvec = np.zeros((len(motion.rotvec[batch]), num_own, 3), np.float32)
        given = motion.rotvec[batch, : min(22, num_own)]  # the body: what follows has another order in every model
        rotvec[:, : given.shape[1]] = given
        if num_own == motion.rotvec.shape[1]:
            rotvec = motion.rotvec[batch]
        pelvis = np.stack([body.shaped(betas)[1][0] for betas in motion.betas[batch]])
        yield from body.pose(rotvec, pelvis + motion.transl_m[batch], motion.betas[batch])


def _rotvec(path: Path, data: dict[str, Any]) -> NDArray:
    """(T, K, 3) of any layout."""
    if "poses" in data:
        poses = _floats(path, data, "poses")
        flat = poses.reshape(len(poses), -1) if poses.ndim >= 2 and len(poses) else np.zeros((0, 1))
        if not len(flat) or flat.shape[1] % 3 or flat.shape[1] < 66:
            raise _wrong(path, f"poses is {poses.shape}, not (T, 72)")
        return flat.reshape(len(flat), -1, 3)
    missing = [key for key in ("global_orient", "body_pose") if key not in data]
    if missing:
        raise _wrong(path, f"it has neither poses nor {' and '.join(missing)}")
    parts = []
    for key in ("global_orient", "body_pose"):
        value = _floats(path, data, key)
        if value.ndim < 2 or not len(value):
            raise _wrong(path, f"{key} is {value.shape}")
        if value.shape[-2:] == (3, 3):
            value = matrix_to_rotvec(value.reshape(len(value), -1, 3, 3))
        if value.size % (3 * len(value)):
            raise _wrong(path, f"{key} is {value.shape}")
        parts.append(value.reshape(len(value), -1, 3))
    if len(parts[0]) != len(parts[1]) or parts[0].shape[1] != 1 or parts[1].shape[1] < 21:
        shapes = " and ".join(str(part.shape) for part in parts)
        raise _wrong(path, f"global_orient and body_pose are {shapes}, not (T, 1, 3) and (T, 23, 3)")
    return np.concatenate(parts, axis=1)


def _floats(path: Path, data: dict[str, Any], key: str) -> NDArray:
    value = np.asarray(data[key])
    if value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise _wrong(path, f"{key} ({value.dtype} {value.shape}) holds something else than numbers")
    return value.astype(np.float64)


def _wrong(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: {reason}.", "give SMPL parameters before the camera: poses (T, 72), transl (T, 3), betas (T, 10)."
    )
