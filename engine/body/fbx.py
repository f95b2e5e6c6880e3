"""FBX animation, of Mixamo and others, binary or text, by the optional ufbx package: bones, bind pose, one take."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.body import fbx_child
from engine.body.curves import nearest_turns
from engine.body.skeleton import Animation, animation_of
from engine.errors import InputError, MissingError

MAX_BYTES = 1 << 30
TIMEOUT_S = 300


def read_fbx(path: str | os.PathLike, *, clip: str = "") -> tuple[Animation, list[str]]:
    """Read the animation of an FBX file, in a process of its own.

    Args:
        path: the file, FBX 6 or 7.
        clip: name of one of its takes; "" takes the longest.

    Returns:
        The animation in the file's own axes and units, turns counted from its bind pose, sampled at the file's frame
        rate; and notes on what was chosen.

    Raises:
        MissingError: ufbx is not installed.
        InputError: it is no FBX, or has no bones or no animation.
    """
    path = Path(path)
    if importlib.util.find_spec("ufbx") is None:
        raise MissingError("reading FBX needs the package ufbx.", "pip install 'mimo[fbx]'")
    _check(path)
    with tempfile.TemporaryDirectory(prefix="mimo-fbx-") as folder:
        out = Path(folder) / "take.npz"
        data = _extracted(path, clip, out)
    rest, world = data["rest"], data["world"]
    animation = animation_of(
        tuple(str(name) for name in data["names"]),
        tuple(int(parent) for parent in data["parents"]),
        rest=(rest[:, :3, 3], nearest_turns(rest[:, :3, :3])),
        world=(world[..., :3, 3], nearest_turns(world[..., :3, :3])),
        time_s=data["time_s"],
        ends=tuple((int(k), place) for k, place in zip(data["end_joints"], data["end_places"])),
    )
    note = str(data["note"])
    return animation, [note] if note else []


def _check(path: Path) -> None:
    """Refuse what is no FBX before a process is started for it."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "check the path.") from None
    if size > MAX_BYTES:
        raise _wrong(path, f"it has {size >> 20} MiB")
    if b"FBX" not in start:
        raise _wrong(path, "it does not begin as FBX does")


def _extracted(path: Path, clip: str, out: Path) -> dict[str, NDArray]:
    command = [sys.executable, "-P", fbx_child.__file__, str(path.resolve()), clip, str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise _wrong(path, f"ufbx has not read it after {TIMEOUT_S} s") from None
    if done.returncode == 3 and done.stdout.strip():
        raise _wrong(path, done.stdout.strip().splitlines()[-1])
    if done.returncode != 0 or not out.is_file():
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:120]
        raise _wrong(path, f"ufbx broke down over it ({last})")
    with np.load(out, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def _wrong(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: {reason}.", "export it again with its skeleton and animation, or as .glb or .bvh.")
