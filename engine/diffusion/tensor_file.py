"""Reading and writing files of named tensors. A file is data: nothing in it is ever executed."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import InputError

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


def find_tensors(folder: Path, stem: str) -> Path | None:
    """The file of that stem in a folder, safetensors before pickles; None where there is none."""
    return next((path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file, mapped from disk where the format allows it.

    Args:
        path: `.safetensors`, or a PyTorch file (`.pth`, `.pt`, `.ckpt`, `.bin`) of which only tensors are read.

    Returns:
        Name to tensor, on the CPU, in the precision of the file. A dictionary that only wraps another one under
        "state_dict" is opened.

    Raises:
        InputError: no such file, damaged, or a PyTorch file that holds more than tensors.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there.", fix="check the path; `mimo weights list` names the files.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = _read_pickle(path)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors, and opening it could run its code.",
            fix="get the file from its publisher again, or convert it to .safetensors where you trust it.",
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) cannot be read: {error}.", fix="download it again."
        ) from error
    if isinstance(tensors, dict) and isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path} is not a state dict of tensors.", fix="give the checkpoint of one network.")
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a `.safetensors` file: complete, or not at all.

    Args:
        path: where; the folder exists. A file there is replaced.
        tensors: any precision and device; equal tensors give equal bytes.
    """
    part = path.with_name(path.name + ".part")
    save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _read_pickle(path: Path) -> dict:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # the format before PyTorch 1.6 cannot be mapped
