"""Tables of colours, one per vertex of SMPL's mesh, from the user's files."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.body.pickles import read_npz, read_pickle
from engine.conditions.sdc import NUM_VERTICES
from engine.errors import InputError

_ENTRIES = ("smpl", "colors")


def read_colors(path: Path) -> NDArray:
    """Read a table of vertex colours.

    Args:
        path: the published `sdc_info.npy` (a pickled dictionary with an entry "smpl"; read without executing anything),
            an .npy of the array alone, or an .npz with an entry "smpl" (as `mimo weights recover-sdc` writes it).

    Returns:
        (6890, 3) float32 RGB, 0 ... 255; a fourth channel is left out.

    Raises:
        InputError: it cannot be read, or is no such table: says what its shape and range are.
    """
    data = read_npz(path, _ENTRIES) if path.suffix.lower() == ".npz" else read_pickle(path)
    if isinstance(data, dict):
        entry = next((key for key in _ENTRIES if key in data), None)
        if entry is None:
            names = ", ".join(sorted(map(str, data))[:8]) or "nothing"
            raise _wrong(path, f'it has no entry "smpl" (but {names})')
        data = data[entry]
    table = np.asarray(data)
    if (
        table.dtype.kind not in "uif"
        or table.ndim != 2
        or table.shape[0] != NUM_VERTICES
        or table.shape[1] not in (3, 4)
    ):
        raise _wrong(path, f"the table is {table.dtype} {table.shape}, not ({NUM_VERTICES}, 3) or ({NUM_VERTICES}, 4)")
    rgb = table[:, :3].astype(np.float64)
    top = 1.0 if table.dtype.kind == "f" else 255.0
    if not np.isfinite(rgb).all() or rgb.min() < 0 or rgb.max() > top:
        raise _wrong(path, f"its numbers run from {rgb.min():g} to {rgb.max():g}, not from 0 to {top:g}")
    return (rgb * (255.0 / top)).astype(np.float32)


def write_colors(path: Path, colors: NDArray, **more: NDArray) -> None:
    """Write a table of vertex colours, whole or not at all.

    Args:
        path: ends in .npz, or in .npy for the array alone.
        colors: (V, 3) float RGB, 0 ... 255.
        more: further arrays to keep in an .npz.
    """
    table = (np.asarray(colors) / 255.0).astype(np.float32)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, table)
        else:
            np.savez_compressed(file, smpl=table, **more)  # pyright: ignore[reportArgumentType]
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _wrong(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: {reason}.", "give the published sdc_info.npy, or one that mimo weights recover-sdc made."
    )
