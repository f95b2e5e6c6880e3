"""AMASS and other npz files of the SMPL family, both ways, exact to float32. Never unpickled.

Their world is z up; ours is y up: (x, y, z) -> (x, z, -y). A published translation is counted from the origin of
SMPL's template, 0.22 m above its pelvis. Rotations of body joints are the same in both, the pelvis's is turned with
the world.
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.body.smpl import PELVIS_M, smpl_rest
from engine.errors import InputError
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.motion.contact import find_contact, leg_length
from engine.types import BODY_JOINTS, HAND_JOINTS, JOINT_PARENTS, JOINTS, Motion

_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")


@dataclass(frozen=True, kw_only=True)
class SmplFacts:
    """What an AMASS file says about the person beside the motion; kept for writing it again."""

    betas: NDArray
    """(N,) float64: SMPL's own shape, which only SMPL's model can use."""
    gender: str = "neutral"
    frame_rate: float = 30.0


def read_amass(path: str | os.PathLike, *, up: str = "z") -> tuple[Motion, SmplFacts]:
    """Read poses, translation, betas, gender and frame rate.

    Args:
        path: npz with `poses` (T, 66 | 72 | 156 | 165) or `root_orient`, `pose_body` and optionally `pose_hand`;
            `trans` (T, 3).
        up: "z" as in AMASS, or "y".

    Returns:
        The motion on SMPL's neutral rest skeleton (or the one we wrote), and the facts.

    Raises:
        InputError: it is no such file; says what is missing or has which shape.
    """
    path = Path(path)
    data = _load(path)
    poses = _poses(path, data)
    trans = data.get("trans", data.get("transl"))
    if trans is None or trans.shape != (len(poses), 3):
        shape = "missing" if trans is None else f"{trans.shape}"
        raise _wrong(path, f"trans is {shape}, not ({len(poses)}, 3)")
    if not (np.isfinite(poses).all() and np.isfinite(trans).all()):
        raise _wrong(path, "a pose or translation is not a finite number")
    rate = next((float(data[k]) for k in _RATES if k in data and data[k].size == 1), 30.0)
    if not 0 < rate < 1e5:
        raise _wrong(path, f"a frame rate of {rate:g} makes no sense")
    turn = _TO_Y_UP if up == "z" else np.eye(3)
    rotvec = poses.astype(np.float64)
    if up == "z":
        rotvec[:, 0] = matrix_to_rotvec(turn @ rotvec_to_matrix(rotvec[:, 0]))
    root_m = (trans.astype(np.float64) + PELVIS_M) @ turn.T
    motion = Motion(
        rotvec=rotvec.astype(np.float32),
        root_m=root_m.astype(np.float32),
        time_s=_ours(path, data, "mimo_time_s", np.arange(len(poses)) / rate),
        rest_m=_ours(path, data, "mimo_rest_m", _smplh_rest()),
        shape=_ours(path, data, "mimo_shape", np.zeros(10, np.float32)),
    )
    facts = SmplFacts(
        betas=np.asarray(data.get("betas", np.zeros(10)), np.float64).reshape(-1),
        gender=_text(data.get("gender", "neutral")),
        frame_rate=rate,
    )
    contact = find_contact(motion)
    return Motion(**{**vars(motion), "contact": contact}), facts


def write_amass(motion: Motion, path: str | os.PathLike, facts: SmplFacts | None = None) -> None:
    """Write an npz that AMASS tools read (SMPL-H layout: 156 pose numbers), whole or not at all.

    Args:
        motion: T frames.
        path: ends in .npz.
        facts: betas and gender to write; None writes zero betas and a frame rate from the median frame time.
    """
    path = Path(path)
    steps = np.diff(motion.time_s)
    rate = 1 / float(np.median(steps)) if len(steps) else 30.0
    facts = facts or SmplFacts(betas=np.zeros(16), frame_rate=rate)
    poses = motion.rotvec.astype(np.float64)
    poses[:, 0] = matrix_to_rotvec(_TO_Y_UP.T @ rotvec_to_matrix(poses[:, 0]))
    trans = motion.root_m.astype(np.float64) @ _TO_Y_UP - PELVIS_M
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        np.savez_compressed(
            file,
            poses=poses.reshape(len(motion), -1),
            trans=trans,
            betas=facts.betas,
            gender=np.array(facts.gender),
            mocap_framerate=np.array(facts.frame_rate),
            # Our own additions, so that a motion of ours survives the way through; other readers pass over them.
            mimo_rest_m=motion.rest_m,
            mimo_time_s=motion.time_s,
            mimo_shape=motion.shape,
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _smplh_rest() -> NDArray:
    """SMPL's neutral skeleton with our fingers, (52, 3) float32, metres, soles on y = 0."""
    body = load_body().joints.astype(np.float64)
    rest = np.zeros((len(JOINTS), 3))
    rest[: len(BODY_JOINTS)] = smpl_rest()
    size = leg_length(rest) / leg_length(body)
    for j in range(len(BODY_JOINTS), len(JOINTS)):
        parent = JOINT_PARENTS[j]
        rest[j] = rest[parent] + size * (body[j] - body[parent])
    return (rest - [rest[0, 0], 0, rest[0, 2]]).astype(np.float32)


def _load(path: Path) -> dict[str, NDArray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise _wrong(path, "it is a single array")
            data = {}
            for key in file.files:
                try:
                    data[key] = file[key]
                except ValueError:  # an object array (some tools pickle the gender); nothing we need may be one
                    continue
            return data
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "check the path.") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _wrong(path, f"it is no npz file ({error})") from None


def _poses(path: Path, data: dict[str, NDArray]) -> NDArray:
    """(T, 52, 3) from any layout of the family."""
    poses = data.get("poses")
    if poses is None and "root_orient" in data and "pose_body" in data:
        parts = [data[k].reshape(len(data["root_orient"]), -1) for k in ("root_orient", "pose_body")]
        if "pose_hand" in data:
            parts.append(data["pose_hand"].reshape(len(parts[0]), -1))
        poses = np.concatenate(parts, axis=1)
    if poses is None:
        raise _wrong(path, f"there is no poses array (found {', '.join(sorted(data)[:8]) or 'nothing'})")
    flat = poses.reshape(len(poses), -1) if poses.ndim >= 2 and len(poses) else np.zeros((0, 0))
    out = np.zeros((len(flat), len(JOINTS), 3))
    num_body = 3 * len(BODY_JOINTS)
    hands = {66: None, 72: None, 156: 66, 165: 75}
    if not len(flat) or flat.shape[1] not in hands or flat.dtype.kind != "f":
        raise _wrong(path, f"poses is {poses.dtype} {poses.shape}, not (T, 66), (T, 72), (T, 156) or (T, 165)")
    out[:, : len(BODY_JOINTS)] = flat[:, :num_body].reshape(len(flat), -1, 3)
    start = hands[flat.shape[1]]
    if start is not None:
        fingers = flat[:, start : start + 3 * len(HAND_JOINTS)]
        out[:, len(BODY_JOINTS) :] = fingers.reshape(len(flat), -1, 3)
    return out


def _ours(path: Path, data: dict[str, NDArray], key: str, otherwise: NDArray) -> NDArray:
    """One of our own additions, if it is there."""
    value = data.get(key)
    if value is None:
        return otherwise
    if value.shape != otherwise.shape or not np.isfinite(value).all():
        raise _wrong(path, f"{key} is {value.shape}, not {otherwise.shape}")
    return value.astype(otherwise.dtype)


def _text(value) -> str:
    value = np.asarray(value).reshape(-1)[0] if np.asarray(value).size else "neutral"
    return value.decode() if isinstance(value, bytes) else str(value)


def _wrong(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: {reason}.", "mimo reads AMASS, SMPL-H and SMPL-X npz files with poses and trans.")
