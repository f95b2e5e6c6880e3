"""Puppets on disk."""

from pathlib import Path

import numpy as np

from engine.errors import InputError
from engine.types import Puppet

FORMAT = 2
"""Raised when the arrays of the file change their meaning."""

_ARRAYS = ("vertices", "faces", "uv", "is_back", "front_rgba", "fill_rgba", "back_rgba", "weights", "joints")


def save_puppet(puppet: Puppet, path: Path) -> None:
    """Write a puppet as npz without pickles; equal puppets have equal bytes."""
    arrays = {name: np.ascontiguousarray(getattr(puppet, name)) for name in _ARRAYS}
    arrays |= {
        "format": np.array(FORMAT),
        "joint_names": np.array(puppet.joint_names, dtype=np.str_),
        "joint_parents": np.array(puppet.joint_parents, np.int32),
        "joint_drivers": np.array(puppet.joint_drivers, dtype=np.str_),
        "stroke_rgb": np.array(puppet.stroke_rgb if puppet.stroke_rgb is not None else (), np.uint8),
        "stroke_px": np.array(puppet.stroke_px, np.float64),
    }
    with Path(path).open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_puppet(path: Path) -> Puppet:
    """Read a puppet that `save_puppet` wrote.

    Raises:
        InputError: the file is missing, broken, or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            if int(data["format"]) != FORMAT:
                raise InputError(f"{path} has format {int(data['format'])}; this mimo reads {FORMAT}.", _AGAIN)
            stroke = data["stroke_rgb"]
            return Puppet(
                **{name: data[name] for name in _ARRAYS},
                joint_names=tuple(str(name) for name in data["joint_names"]),
                joint_parents=tuple(int(parent) for parent in data["joint_parents"]),
                joint_drivers=tuple(str(name) for name in data["joint_drivers"]),
                stroke_rgb=(int(stroke[0]), int(stroke[1]), int(stroke[2])) if len(stroke) == 3 else None,
                stroke_px=float(data["stroke_px"]),
            )
    except InputError:
        raise
    except Exception as error:  # damaged archives and headers end in a dozen kinds of errors
        raise InputError(f"{path} is not a puppet: {error}.", _AGAIN) from error


_AGAIN = "delete it to have it made again."
