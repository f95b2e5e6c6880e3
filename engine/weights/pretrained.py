"""Networks of diffusers and transformers, read from a folder: strictly, quietly, and never from the net."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InputError

_HARMLESS = ("position_ids",)
"""Ends of names of buffers in older files that hold nothing but 0, 1, 2 ..."""
_NUM_NAMED = 8


def load_pretrained(
    network: Any,
    folder: Path,
    *,
    dtype: Any = None,
    twins: Mapping[str, str] | None = None,
    is_whole: bool = False,
    pull: str = "",
) -> Any:
    """Load a network whose folder holds `config.json` and its tensors, as `save_pretrained` writes them.

    Args:
        network: a class of diffusers' or transformers' models.
        folder: its tensors are `.safetensors`, or `.bin` of which tensors alone are read.
        dtype: of torch, of the loaded network; None: float32.
        twins: name of a tensor to the name of another that always has the same values; a file may hold only that one.
        is_whole: refuse tensors that the network does not have, which are else left alone.
        pull: what `mimo weights pull` calls it; else the folder's name.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        InputError: the folder cannot be read, or a tensor is missing, misshapen or too much.
    """
    fix = f"get it again: mimo weights pull {pull or folder.name}; mimo weights verify tells what is wrong"
    import torch

    loaded, told = _read(network, folder, fix)
    twins = twins or {}
    missing, misshapen, unexpected = (
        {key if isinstance(key, str) else key[0] for key in told.get(f"{kind}_keys") or ()}
        for kind in ("missing", "mismatched", "unexpected")
    )
    lonely = {key for key in missing if key in twins and twins[key] not in missing}
    unexpected = {key for key in unexpected if is_whole and not key.endswith(_HARMLESS)}
    wrong = {"missing": missing - lonely, "misshapen": misshapen, "unexpected": unexpected}
    if any(wrong.values()):
        lists = [f"{len(keys)} {kind}: {_some(sorted(keys))}" for kind, keys in wrong.items() if keys]
        raise InputError(f"{folder} does not fit {network.__name__}. {'; '.join(lists)}.", fix=fix)
    state = loaded.state_dict()
    for key in lonely:
        state[key].copy_(state[twins[key]])
    torch.nn.Module.to(loaded, dtype or torch.float32)  # the libraries' own warns of what is not the case
    return loaded.eval().requires_grad_(False)


def _read(network: Any, folder: Path, fix: str) -> tuple[Any, dict[str, Any]]:
    """The network, and what of it was not in the files."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    bars, loud = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        return network.from_pretrained(
            str(folder),
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told, with what is missing
        )
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, EOFError, SafetensorError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder} cannot be read as {network.__name__}: {first}", fix=fix) from error
    finally:
        logging.set_verbosity(loud)
        if bars:
            logging.enable_progress_bar()


def _some(keys: list[str]) -> str:
    more = len(keys) - _NUM_NAMED
    return ", ".join(keys[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
