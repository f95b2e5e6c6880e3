"""AMASS and other files of the SMPL family, in and out; AMASS both ways exact to float32.

AMASS's world is z up; ours is y up: (x, y, z) -> (x, z, -y). A published translation is counted from the origin of
SMPL's template, 0.22 m above its pelvis. Rotations of body joints are the same in both, the pelvis's is turned with
the world. Files are read without executing anything (`engine.body.pickles`).
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics, load_body
from engine.body.pickles import read_npz, read_pickle
from engine.body.smpl import PELVIS_M, smpl_rest
from engine.errors import InputError
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.motion.alignment import axis_name, to_y_up
from engine.motion.contact import find_contact, leg_length
from engine.motion.given import Mapping
from engine.motion.ground import sole_height
from engine.motion.layouts import PoseTrack, find_tracks
from engine.motion.retarget import grounded
from engine.types import BODY_JOINTS, JOINT_PARENTS, JOINTS, Motion

if TYPE_CHECKING:
    from engine.body.family import SmplBody

MAX_LIFT_M = 0.1
"""A floor of an AMASS file, or ours, that is farther off than this is taken for a mistake and levelled."""


@dataclass(frozen=True, kw_only=True)
class SmplFacts:
    """What a file of the family says beside the motion; `write_amass` puts it back."""

    betas: NDArray
    """(N,) float64: SMPL's own shape, which only SMPL's model can use."""
    gender: str = "neutral"
    frame_rate: float = 30.0
    pelvis_m: tuple[float, float, float] = PELVIS_M
    """Where the model's pelvis is, from the origin that translations are counted from."""
    lift_m: float = 0.0
    """How far the floor was lowered to y = 0."""
    root_rotvec: NDArray | None = None
    """(T, 3) float64: the pelvis's vectors of a z-up file, as they were."""
    layout: str = "AMASS"
    up: str = "z"
    in_camera: bool = False
    who: str = ""
    people: tuple[str, ...] = ()
    """Everybody in the file, with the number of frames."""
    notes: tuple[str, ...] = ()

    def lines(self, name: str) -> list[str]:
        """What was found, as text for a person."""
        space = ", in the camera's frame, taken as level" if self.in_camera else ""
        others = [f"people     {', '.join(self.people)}; {self.who} is taken"] if len(self.people) > 1 else []
        return [
            f"{name}: poses as {self.layout} writes them, on SMPL's joints, which are ours",
            f"world      {self.up} up{space}",
            f"time       {self.frame_rate:g} frames per second",
            *others,
            *(f"note       {note}" for note in self.notes),
        ]


def read_amass(
    path: str | os.PathLike, mapping: Mapping | None = None, *, body: "SmplBody | None" = None
) -> tuple[Motion, SmplFacts]:
    """Read a person's poses from a file of the SMPL family, in any layout of `engine.motion.layouts`.

    Args:
        path: .npz, .pkl, .pickle, .joblib, .npy, .pt or .pth.
        mapping: what is known better: `up`, `frame_rate`, `person`, `level_floor`.
        body: the model the file's betas are for; gives the person's own skeleton.

    Returns:
        The motion on that skeleton, else on SMPL's neutral one (or the one we wrote into the file), and the facts.
        Places of AMASS and of mimo's own files are kept; of other tools the soles are put on the ground.

    Raises:
        InputError: it is no such file; says what is missing or has which shape.
    """
    path, mapping = Path(path), mapping or Mapping()
    data = _load(path)
    tracks = find_tracks(data, path)
    track = _chosen(tracks, mapping.person, path)
    rate = mapping.frame_rate or track.frame_rate or 30.0
    notes = list(track.notes)
    if not (mapping.frame_rate or track.frame_rate):
        notes.append("the file says no frame rate; 30 is taken (frame_rate in a mapping file sets it)")
    up = mapping.up or _found_up(track)
    turn = to_y_up(up)
    rotvec = track.rotvec.copy()
    if up != "y":
        rotvec[:, 0] = matrix_to_rotvec(turn @ rotvec_to_matrix(rotvec[:, 0]))
    betas = track.betas if body is None else track.betas[: body.num_shapes]
    pelvis = np.array(PELVIS_M) if body is None else body.shaped(betas)[1][0].astype(np.float64)
    motion = Motion(
        rotvec=rotvec.astype(np.float32),
        root_m=np.zeros((len(rotvec), 3), np.float32),
        time_s=_ours(path, data, "mimo_time_s", (track.frame_idx - track.frame_idx[0]) / rate),
        rest_m=_ours(path, data, "mimo_rest_m", _smplh_rest() if body is None else body.rest(betas)[1]),
        shape=_ours(path, data, "mimo_shape", np.zeros(10, np.float32)),
    )
    motion, lift = _on_ground(motion, track, pelvis, turn, mapping)
    facts = SmplFacts(
        betas=track.betas, gender=track.gender, frame_rate=rate,
        pelvis_m=(float(pelvis[0]), float(pelvis[1]), float(pelvis[2])), lift_m=lift,
        root_rotvec=track.rotvec[:, 0] if up == "z" else None,
        layout=track.layout, up=up, in_camera=track.in_camera, who=track.who,
        people=tuple(f"{t.who} ({len(t.rotvec)} frames)" for t in tracks), notes=tuple(notes),
    )  # fmt: skip
    return motion, facts


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
    poses[:, 0] = matrix_to_rotvec(to_y_up("z").T @ rotvec_to_matrix(poses[:, 0]))
    given = facts.root_rotvec
    if given is not None and given.shape == poses[:, 0].shape:
        # The same turn has other vectors, of more than pi; what came in that way goes out that way.
        apart = np.abs(rotvec_to_matrix(given) - rotvec_to_matrix(poses[:, 0])).max((1, 2))
        poses[:, 0] = np.where((apart < 1e-5)[:, None], given, poses[:, 0])
    root_m = motion.root_m.astype(np.float64) + np.array([0.0, facts.lift_m, 0.0])
    trans = root_m @ to_y_up("z") - facts.pelvis_m
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


def _on_ground(
    motion: Motion, track: PoseTrack, pelvis: NDArray, turn: NDArray, mapping: Mapping
) -> tuple[Motion, float]:
    """Put the body in its places; returns the motion and by how much it was lowered, metres."""
    rotvec = motion.rotvec.astype(np.float64)
    if track.trans is None:  # a body without a way stands where it is, the lower sole on the ground
        joints, _ = forward_kinematics(rotvec, np.zeros((len(rotvec), 3)), motion.rest_m)
        root = np.zeros((len(rotvec), 3))
        root[:, 1] = -sole_height(joints, motion.rest_m)
        return _placed(motion, root), 0.0
    root = (track.trans + pelvis) @ turn.T
    if track.layout not in ("AMASS", "mimo"):
        found, _ = grounded(rotvec, root, motion.time_s, motion.rest_m, mapping.level_floor)
        return replace(found, shape=motion.shape), 0.0
    joints, _ = forward_kinematics(rotvec, root, motion.rest_m)
    lift = float(np.percentile(sole_height(joints, motion.rest_m), 2))
    lift = lift if abs(lift) > MAX_LIFT_M and mapping.level_floor else 0.0
    return _placed(motion, root - [0, lift, 0]), lift


def _placed(motion: Motion, root: NDArray) -> Motion:
    motion = replace(motion, root_m=root.astype(np.float32))
    return replace(motion, contact=find_contact(motion))


def _found_up(track: PoseTrack) -> str:
    """The axis bodies stand along, where it is clear and not the layout's own."""
    thin = track.rotvec[:: max(1, len(track.rotvec) // 200)]
    rest = load_body().joints.astype(np.float64)
    joints, _ = forward_kinematics(thin, np.zeros((len(thin), 3)), rest)
    body = joints[:, JOINTS.index("neck")] - joints[:, [JOINTS.index("left_ankle"), JOINTS.index("right_ankle")]].mean(
        1
    )
    mean = (body / np.linalg.norm(body, axis=1, keepdims=True)).mean(0)
    usual = to_y_up(track.up)[1]
    return axis_name(mean) if mean @ usual < 0.5 < np.abs(mean).max() else track.up


def _chosen(tracks: list[PoseTrack], person: str, path: Path) -> PoseTrack:
    if not person:
        return tracks[0]
    track = next((t for t in tracks if t.who == person), None)
    if track is None:
        there = ", ".join(t.who or "only one, without a name" for t in tracks)
        raise InputError(f'{path} has no person "{person}".', f"persons in it: {there}.")
    return track


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


def _load(path: Path) -> Any:
    """What a file of any form holds, as plain values."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path)
    if suffix in (".pt", ".pth"):
        try:
            with open(path, "rb") as file:
                by_torch = file.read(2) == b"PK"
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.", "check the path.") from None
        if by_torch:
            return _load_torch(path)
    return read_pickle(path)


def _load_torch(path: Path) -> Any:
    """A file of torch.save, tensors as arrays; torch's own reader that executes nothing."""
    import torch

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    try:
        return plain(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises whatever its reader meets
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise _wrong(path, f"it is no file of plain tensors ({reason})") from None


def _ours(path: Path, data: Any, key: str, otherwise: NDArray) -> NDArray:
    """One of our own additions, if it is there."""
    value = data.get(key)
    if value is None:
        return otherwise
    if not isinstance(value, np.ndarray) or value.shape != otherwise.shape or not np.isfinite(value).all():
        raise _wrong(path, f"{key} is {np.shape(value)}, not {otherwise.shape}")
    return value.astype(otherwise.dtype)


def _wrong(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: {reason}.", "docs/motion.md lists the files of AMASS, SMPL and HMR-like tools mimo reads."
    )
