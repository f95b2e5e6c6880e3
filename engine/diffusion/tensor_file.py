"""Reading and writing files of named tensors, and networks made of them.

A file is data: nothing in it is ever executed. Every tensor is accounted for: nothing stays random in silence.
"""

import os
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.errors import InputError

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")

Network = TypeVar("Network", bound=nn.Module)

_STAND_INS: list[Any] = [(OrderedDict, "yacs.config.CfgNode")]
"""Harmless classes that files of Lightning name beside their tensors, to what they are read as: plain dictionaries."""

_NUM_NAMED = 8  # names of each kind in a message


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
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise InputError(
            f"{path} holds more than tensors{f' ({named[1]})' if named else ''}, and opening it could run its code.",
            fix="get the file from its publisher again, or convert it to .safetensors where you trust it.",
        ) from error
    except Exception as error:  # damaged bytes make torch raise whatever they like, assertions too
        raise _unreadable(path, error) from error
    if isinstance(tensors, dict) and isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path} is not a state dict of tensors.", fix="give the checkpoint of one network.")
    return tensors


def tensor_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of one tensor of a file, without reading the others where the format allows it.

    Raises:
        InputError: the file cannot be read, or has no such tensor.
    """
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as file:
                return tuple(file.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} has no {name}: {error}.", fix="check that each file has its own name.") from error
    tensors = read_tensors(path)
    if name not in tensors:
        raise InputError(f"{path} has no {name}.", fix="check that each file has its own name.")
    return tuple(tensors[name].shape)


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


def build_network(
    network: Callable[..., Network],
    config_of: Callable[[Mapping[str, Tensor]], dict[str, Any]],
    tensors: Mapping[str, Tensor],
    *,
    source: str,
    dtype: torch.dtype,
) -> Network:
    """Make a network of the size of its tensors, holding exactly these; nothing is initialised and thrown away.

    Raises:
        InputError: a tensor is missing, not the network's, or of another shape.
    """
    try:
        config = config_of(tensors)
    except (KeyError, IndexError, StopIteration) as error:
        raise InputError(
            f"{source} does not look like a {network.__name__}: it has {len(tensors)} tensors, but not {error}.",
            fix="check that each file has its own name; they are not interchangeable.",
        ) from error
    with torch.device("meta"):
        empty = network(**config)
    check_tensors({key: tuple(tensor.shape) for key, tensor in empty.state_dict().items()}, tensors, source=source)
    empty.load_state_dict({key: tensor.to(dtype) for key, tensor in tensors.items()}, assign=True)
    return empty.eval().requires_grad_(False)


def check_tensors(shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Account for every tensor.

    Args:
        shapes: what the network has.
        tensors: what the file has.
        source: the file, for the message.

    Raises:
        InputError: with the names of what is missing, unexpected or misshapen, and how many.
    """
    wrong = {
        "missing": [key for key in shapes if key not in tensors],
        "unexpected": [key for key in tensors if key not in shapes],
        "misshapen": [
            f"{key} {tuple(tensors[key].shape)} instead of {shape}"
            for key, shape in shapes.items()
            if key in tensors and tuple(tensors[key].shape) != shape
        ],
    }
    if any(wrong.values()):
        lists = [f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in wrong.items() if keys]
        raise InputError(
            f"{source} does not fit the network. {'; '.join(lists)}.",
            fix="use files that belong together; nothing was loaded.",
        )


def _unreadable(path: Path, why: object) -> InputError:
    return InputError(f"{path} ({path.stat().st_size} bytes) cannot be read: {why}.", fix="download it again.")


def _read_pickle(path: Path) -> dict:
    with path.open("rb") as file:
        if file.read(1) not in (b"P", b"\x80"):  # of a ZIP archive, of a pickle
            raise ValueError("it is no file of PyTorch")
    with torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript, which is refused here
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            # The format before PyTorch 1.6 cannot be mapped.
            return torch.load(path, map_location="cpu", weights_only=True)


def _some(keys: list[str]) -> str:
    more = len(keys) - _NUM_NAMED
    return ", ".join(keys[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
