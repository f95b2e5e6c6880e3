"""Where the pose sequences are in files of the SMPL family: AMASS, AIST++, and what HMR-like tools write.

Keys of each tool, as its published code writes them:
    AMASS, SMPL-X stage 2  poses (T, 156 | 165) | root_orient, pose_body, pose_hand; trans; betas; mocap_frame(_)rate
    AIST++, EDGE           smpl_poses (T, 72), smpl_trans, smpl_scaling
    WHAM, VIBE             {person: pose_world | pose (T, 72), trans_world | trans, betas, frame_ids}
    GVHMR                  smpl_params_global: body_pose (T, 63), global_orient, transl, betas
    4D-Humans, PHALP       {frame: tid [n], smpl [n]: global_orient, body_pose as matrices, betas; camera [n]; time}
    TRAM                   pred_rotmat (T, 24, 3, 3), pred_trans, pred_shape, frame
    SLAHMR                 root_orient (P, T, 3), pose_body, trans, betas, floor_plane
    others                 global_orient, body_pose, transl | trans, betas, left_hand_pose, right_hand_pose
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.geometry import matrix_to_rotvec, rotation_between, rotvec_to_matrix
from engine.types import BODY_JOINTS, HAND_JOINTS, JOINTS

_RATES = ("mocap_framerate", "mocap_frame_rate", "mocap_frame_rate_hz", "fps", "frame_rate", "framerate")
_TRANS = ("transl", "trans", "translation", "root_trans", "cam_trans", "trans_cam", "Th")
_MAX_FRAMES = 2_000_000
_MAX_TURN = 100.0  # radians; a vector that long is no rotation but a position
_MAX_WAY_M = 1e5


@dataclass(kw_only=True)
class PoseTrack:
    """One person's poses as a file has them."""

    layout: str
    """Which tool's layout it is."""
    who: str = ""
    """The person's name or number in the file."""
    rotvec: NDArray
    """(T, 52, 3) float64, radians, relative to the parent; the pelvis in the file's world."""
    trans: NDArray | None
    """(T, 3) float64, metres from the origin of SMPL's template, or None where the file has none."""
    frame_idx: NDArray
    """(T,) int64, strictly rising: frames of the video that are there."""
    up: str = "y"
    """Up axis of such files."""
    in_camera: bool = False
    """Places are in a camera's frame, not in the world."""
    betas: NDArray = field(default_factory=lambda: np.zeros(10))
    gender: str = "neutral"
    frame_rate: float = 0.0
    """Frames per second; 0 where the file says nothing."""
    notes: list[str] = field(default_factory=list)
    """What was left out."""


def find_tracks(data: Any, path: Path) -> list[PoseTrack]:
    """Find every person's poses in what a file holds.

    Args:
        data: dictionaries, lists and arrays, as read.
        path: for errors.

    Returns:
        At least one track; the longest first.

    Raises:
        InputError: there are none, or they have a wrong shape; says which key.
    """
    if not isinstance(data, dict):
        raise _wrong(path, f"it holds a {type(data).__name__}, not named arrays")
    try:
        tracks = _read(data, path)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise _wrong(path, f"its arrays do not fit together ({type(error).__name__}: {str(error)[:60]})") from None
    if tracks is None:
        keys = ", ".join(str(key) for key in list(data)[:8]) or "nothing"
        raise _wrong(path, f"there is no poses array (found {keys})")
    for track in tracks:
        _check(track, path)
    return sorted(tracks, key=lambda t: -len(t.rotvec))


def _read(data: dict, path: Path) -> list[PoseTrack] | None:
    """The tracks of the first layout that fits, or None."""
    for fits, read in _LAYOUTS:
        if fits(data):
            return read(data, path)
    inner = {key: value for key, value in data.items() if isinstance(value, dict)}
    for name in _WRAPPERS:
        if name in inner:
            return _read(inner[name], path)
    frames = {key: value for key, value in inner.items() if "smpl" in value and "tid" in value}
    if frames:
        return _phalp(frames, path)
    found: list[PoseTrack] = []
    for key, value in inner.items():
        for track in (_read(value, path) or ())[:1]:
            track.who = str(key)
            found.append(track)
    return found or None


# ---------------------------------------------------------------------------------------------------- the layouts


def _gvhmr(data: dict, path: Path) -> list[PoseTrack]:
    track = _parts(data["smpl_params_global"], path, "GVHMR")
    track.frame_rate = 30.0  # GVHMR turns every video into one of 30 frames per second
    return [track]


def _plain(data: dict, path: Path) -> list[PoseTrack]:
    track = _parts(data, path, "SMPL parameters")
    if _text(data.get("mimo_up", "")) == "y":
        track.layout = "mimo"
        return [track]
    track.up, track.in_camera = "-y", True  # tools that write these keys alone see from the camera
    return [track]


def _amass(data: dict, path: Path) -> list[PoseTrack]:
    poses = data.get("poses")
    if poses is None:
        keys = [key for key in ("root_orient", "pose_body", "pose_hand") if key in data]
        parts = [_array(data[key], key, path) for key in keys]
        if len({len(part) for part in parts}) != 1 or min(part.ndim for part in parts) < 1:
            shapes = ", ".join(f"{key} {part.shape}" for key, part in zip(keys, parts))
            raise _wrong(path, f"their frames differ in number: {shapes}")
        poses = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    rotvec = _vectors(_array(poses, "poses", path), "poses", path)
    trans = _trans(data, len(rotvec), path)
    if trans is None:
        raise _wrong(path, f"trans is missing, not ({len(rotvec)}, 3)")
    return [_track(data, path, "AMASS", rotvec, trans, up="z")]


def _aist(data: dict, path: Path) -> list[PoseTrack]:
    rotvec = _vectors(_array(data["smpl_poses"], "smpl_poses", path), "smpl_poses", path)
    size = _array(data.get("smpl_scaling", 1.0), "smpl_scaling", path).reshape(-1)
    trans = _trans({"trans": data.get("smpl_trans")}, len(rotvec), path)
    if size.size != 1 or not 1e-3 < size[0] < 1e6:
        raise _wrong(path, f"smpl_scaling is {size[:3]}")
    track = _track(data, path, "AIST++", rotvec, None if trans is None else trans / size[0])
    track.frame_rate = track.frame_rate or (60.0 if size[0] != 1 else 30.0)  # EDGE writes 30, and a scale of one
    return [track]


def _wham(data: dict, path: Path) -> list[PoseTrack]:
    world = "pose_world" in data
    key = "pose_world" if world else "pose" if "pose" in data else "thetas"
    rotvec = _vectors(_array(data[key], key, path), key, path)
    trans = _trans({"trans": data.get("trans_world")} if world else data, len(rotvec), path)
    track = _track(data, path, "WHAM" if world else "WHAM or VIBE", rotvec, trans, up="y" if world else "-y")
    track.in_camera = not world
    track.frame_idx = _frames(data, ("frame_ids", "frame_id", "frames"), len(rotvec), path)
    return [track]


def _parts(data: dict, path: Path, layout: str) -> PoseTrack:
    root = _array(data.get("global_orient"), "global_orient", path)
    body = _array(data.get("body_pose"), "body_pose", path)
    if not root.ndim or not body.ndim or len(root) != len(body):
        raise _wrong(path, f"global_orient is {root.shape}, body_pose is {body.shape}")
    num = len(root)
    rotvec = np.zeros((num, len(JOINTS), 3))
    rotvec[:, :1] = _turns(root, 1, "global_orient", path)
    count = _count(body, "body_pose", path, (21, 23))
    rotvec[:, 1 : len(BODY_JOINTS)] = _turns(body, count, "body_pose", path)[:, :21]
    track = _track(data, path, layout, rotvec, _trans(data, num, path))
    half = len(HAND_JOINTS) // 2
    for key, start in (("left_hand_pose", 22), ("right_hand_pose", 22 + half)):
        if data.get(key) is None:
            continue
        hand = _array(data[key], key, path)
        if hand.size in (num * half * 3, num * half * 9):
            rotvec[:, start : start + half] = _turns(hand, half, key, path)
        else:
            track.notes.append(f"{key} {hand.shape} counts in components of a hand model; the fingers stay straight")
    return track


def _tram(data: dict, path: Path) -> list[PoseTrack]:
    matrices = _array(data["pred_rotmat"], "pred_rotmat", path)
    rotvec = np.zeros((len(matrices) if matrices.ndim else 0, len(JOINTS), 3))
    rotvec[:, : len(BODY_JOINTS)] = _turns(matrices, 24, "pred_rotmat", path)[:, : len(BODY_JOINTS)]
    trans = _trans({"trans": data.get("pred_trans")}, len(rotvec), path)
    track = _track(data | {"betas": data.get("pred_shape")}, path, "TRAM", rotvec, trans, up="-y")
    track.in_camera = True
    track.frame_idx = _frames(data, ("frame",), len(rotvec), path)
    return [track]


def _slahmr(data: dict, path: Path) -> list[PoseTrack]:
    root, body = (_array(data[key], key, path) for key in ("root_orient", "pose_body"))
    trans = _array(data.get("trans"), "trans", path)
    if body.shape[:2] != root.shape[:2] or trans.shape != root.shape:
        raise _wrong(path, f"root_orient is {root.shape}, pose_body {body.shape}, trans {trans.shape}")
    level = _level(data.get("floor_plane"))
    tracks = []
    for person in range(len(root)):
        one = {"root_orient": root[person], "pose_body": body[person], "trans": trans[person] @ level.T}
        track = _amass(one | {key: data[key] for key in _RATES if key in data}, path)[0]
        track.rotvec[:, 0] = _turned(level, track.rotvec[:, 0])
        track.layout, track.who, track.up = "SLAHMR", str(person), "-y"
        betas = data.get("betas")
        if isinstance(betas, np.ndarray) and betas.ndim == 2 and len(betas) == len(root):
            track.betas = betas[person].astype(np.float64)
        tracks.append(track)
    return tracks


def _has_people(data: dict) -> bool:
    """SLAHMR's arrays have an axis of persons before that of frames."""
    return (
        np.ndim(data["root_orient"]) == 3 and np.ndim(data["pose_body"]) == 3 and np.shape(data["pose_body"])[2] == 63
    )


def _level(plane: Any) -> NDArray:
    """The turn that makes SLAHMR's floor level: its normal goes to -y, up in its world."""
    numbers = np.asarray(plane, np.float64).reshape(-1)[:3] if isinstance(plane, np.ndarray) else np.zeros(0)
    if numbers.size != 3 or not np.isfinite(numbers).all() or np.linalg.norm(numbers) < 1e-6:
        return np.eye(3)
    normal = numbers / np.linalg.norm(numbers) * (-1 if numbers[1] > 0 else 1)
    return rotation_between(normal, np.array([0.0, -1.0, 0.0]))


def _phalp(frames: dict, path: Path) -> list[PoseTrack]:
    seen: dict[str, list[tuple[int, dict, Any]]] = {}
    for number, (name, frame) in enumerate(frames.items()):
        time = frame.get("time", number)
        bodies, cameras, late = frame["smpl"], frame.get("camera", ()), frame.get("tracked_time", ())
        for k, who in enumerate(frame["tid"]):
            if k >= len(bodies) or not isinstance(bodies[k], dict):
                raise _wrong(path, f"{str(name)[-40:]}: person {who} has no smpl")
            if k < len(late) and late[k]:
                continue  # kept alive by the tracker, not seen in this frame
            seen.setdefault(str(who), []).append((int(time), bodies[k], cameras[k] if k < len(cameras) else None))
    tracks = []
    for who, poses in seen.items():
        poses.sort(key=lambda p: p[0])
        keys = ("global_orient", "body_pose", "betas")
        try:
            stacked = {key: np.stack([np.asarray(p[1][key], np.float64) for p in poses]) for key in keys}
            if all(p[2] is not None for p in poses):
                stacked["transl"] = np.stack([np.asarray(p[2], np.float64).reshape(3) for p in poses])
        except (KeyError, ValueError, TypeError) as error:
            raise _wrong(path, f"the poses of person {who} do not fit together ({error})") from None
        track = _parts(stacked, path, "4D-Humans")
        track.who, track.up, track.in_camera = who, "-y", True
        track.frame_idx = np.array([p[0] for p in poses], np.int64)
        tracks.append(track)
    if not tracks:
        raise _wrong(path, "nobody is seen in any frame")
    return tracks


_WRAPPERS = ("smplx", "smpl", "smplh", "smpl_params", "smplx_params", "smpl_param", "params", "pred")
_LAYOUTS: tuple[tuple[Callable[[dict], bool], Callable[[dict, Path], list[PoseTrack]]], ...] = (
    (lambda d: isinstance(d.get("smpl_params_global"), dict), _gvhmr),
    (lambda d: "smpl_poses" in d, _aist),
    (lambda d: "pred_rotmat" in d, _tram),
    (
        lambda d: "poses" not in d and {"root_orient", "pose_body"} <= d.keys() and np.ndim(d["root_orient"]) == 3,
        _slahmr,
    ),
    (lambda d: "poses" in d or {"root_orient", "pose_body"} <= d.keys(), _amass),
    (lambda d: {"global_orient", "body_pose"} <= d.keys(), _plain),
    (lambda d: not d.keys().isdisjoint(("pose_world", "pose", "thetas")), _wham),
)
"""Which keys tell a layout, and who reads it; the first that fits."""

# ------------------------------------------------------------------------------------------------------ the pieces


def _track(data: dict, path: Path, layout: str, rotvec: NDArray, trans: NDArray | None, up: str = "y") -> PoseTrack:
    track = PoseTrack(layout=layout, rotvec=rotvec, trans=trans, frame_idx=np.arange(len(rotvec)), up=up)
    betas = data.get("betas")
    if isinstance(betas, np.ndarray) and betas.dtype.kind == "f" and betas.size and np.isfinite(betas).all():
        track.betas = (betas if betas.ndim < 2 else betas.reshape(-1, betas.shape[-1]).mean(0)).astype(np.float64)
        track.betas = track.betas.reshape(-1)
    track.gender = _text(data.get("gender", "neutral"))
    for key in _RATES:
        value = np.asarray(data[key]) if key in data else np.zeros(0)
        if value.size == 1 and value.dtype.kind in "iuf":
            track.frame_rate = float(value.reshape(-1)[0])
            if not 0 < track.frame_rate < 1e5:
                raise _wrong(path, f"a frame rate of {track.frame_rate:g} makes no sense")
            break
    return track


def _array(value: Any, key: str, path: Path) -> NDArray:
    array = np.asarray(value) if value is not None and not isinstance(value, dict) else np.zeros(0, object)
    if array.dtype.kind not in "fiu":
        raise _wrong(path, f"{key} is {array.dtype} {array.shape}, not numbers")
    return array.astype(np.float64)


def _vectors(poses: NDArray, key: str, path: Path) -> NDArray:
    """(T, 52, 3) from whole pose vectors of any model: 22, 24 (SMPL), 52 (SMPL-H) or 55 (SMPL-X) joints."""
    flat = poses.reshape(len(poses), -1) if poses.ndim >= 2 and len(poses) else np.zeros((0, 0))
    hands = {66: None, 72: None, 156: 66, 165: 75}
    if not len(flat) or flat.shape[1] not in hands:
        raise _wrong(path, f"{key} is {poses.shape}, not (T, 66), (T, 72), (T, 156) or (T, 165)")
    rotvec = np.zeros((len(flat), len(JOINTS), 3))
    rotvec[:, : len(BODY_JOINTS)] = flat[:, : 3 * len(BODY_JOINTS)].reshape(len(flat), -1, 3)
    start = hands[flat.shape[1]]
    if start is not None:
        rotvec[:, len(BODY_JOINTS) :] = flat[:, start : start + 3 * len(HAND_JOINTS)].reshape(len(flat), -1, 3)
    return rotvec


def _count(value: NDArray, key: str, path: Path, known: tuple[int, ...]) -> int:
    """How many joints an array of rotations turns."""
    per_frame = value.size // max(len(value), 1)
    matrices = value.ndim >= 3 and value.shape[-2:] == (3, 3)
    count = per_frame // (9 if matrices else 3)
    if count not in known:
        raise _wrong(path, f"{key} is {value.shape}; {' or '.join(map(str, known))} joints are wanted")
    return count


def _turns(value: NDArray, count: int, key: str, path: Path) -> NDArray:
    """(T, count, 3) rotation vectors from vectors or matrices with any axes of one between."""
    num = len(value)
    if value.ndim >= 3 and value.shape[-2:] == (3, 3) and value.size == num * count * 9:
        matrices = value.reshape(num, count, 3, 3)
        if not np.isfinite(matrices).all() or np.abs(matrices @ np.swapaxes(matrices, -1, -2) - np.eye(3)).max() > 0.02:
            raise _wrong(path, f"{key} holds matrices that are no rotations")
        return matrix_to_rotvec(matrices)
    if value.size != num * count * 3 or not num:
        raise _wrong(path, f"{key} is {value.shape}, not ({num or 'T'}, {3 * count})")
    return value.reshape(num, count, 3)


def _trans(data: dict, num: int, path: Path) -> NDArray | None:
    key = next((key for key in _TRANS if data.get(key) is not None), None)
    if key is None:
        return None
    trans = _array(data[key], key, path)
    if trans.size != 3 * num or trans.shape[-1] != 3 or len(trans) != num:
        raise _wrong(path, f"{key} is {trans.shape}, not ({num}, 3)")
    return trans.reshape(num, 3)


def _frames(data: dict, keys: tuple[str, ...], num: int, path: Path) -> NDArray:
    key = next((key for key in keys if data.get(key) is not None), None)
    if key is None:
        return np.arange(num)
    frames = _array(data[key], key, path).reshape(-1)
    if len(frames) != num or not np.isfinite(frames).all() or (np.diff(frames) <= 0).any():
        raise _wrong(path, f"{key} has {len(frames)} numbers that do not rise, for {num} frames")
    return frames.astype(np.int64)


def _turned(turn: NDArray, rotvec: NDArray) -> NDArray:
    return matrix_to_rotvec(turn @ rotvec_to_matrix(rotvec))


def _check(track: PoseTrack, path: Path) -> None:
    if not 0 < len(track.rotvec) <= _MAX_FRAMES:
        raise _wrong(path, f"it has {len(track.rotvec)} frames")
    if not np.isfinite(track.rotvec).all() or (track.trans is not None and not np.isfinite(track.trans).all()):
        bad = ~np.isfinite(track.rotvec).all((1, 2))
        bad |= False if track.trans is None else ~np.isfinite(track.trans).all(1)
        raise _wrong(path, f"a pose or translation is not a finite number (frame {int(np.flatnonzero(bad)[0])})")
    if np.abs(track.rotvec).max() > _MAX_TURN:
        raise _wrong(path, f"a rotation of {np.abs(track.rotvec).max():.0f} radians makes no sense")
    if track.trans is not None and np.abs(track.trans).max() > _MAX_WAY_M:
        raise _wrong(path, f"a translation of {np.abs(track.trans).max():.3g} m makes no sense")


def _text(value: Any) -> str:
    value = np.asarray(value).reshape(-1)[0] if np.asarray(value).size else "neutral"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)[:40]


def _wrong(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: {reason}.", "docs/motion.md lists the files of AMASS, SMPL and HMR-like tools mimo reads."
    )
