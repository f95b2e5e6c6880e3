"""Networks of the transformers library, read from a folder: strictly, quietly, and never from the net."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InputError

_NUM_NAMED = 8


def load_pretrained(network: Any, folder: Path, *, twins: Mapping[str, str] | None = None) -> Any:
    """Load a network whose folder holds `config.json` and `model.safetensors`.

    Args:
        network: a class of transformers' models.
        folder: as `save_pretrained` writes it. Tensors that the network does not have are left alone.
        twins: name of a tensor to the name of another that always has the same values; a file may hold only that one.

    Returns:
        The network in evaluation mode, float32, on CUDA where there is one.

    Raises:
        InputError: the folder cannot be read, or a tensor is missing or misshapen.
    """
    import torch
    from safetensors import SafetensorError
    from transformers.utils import logging

    bars, loud = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        loaded, told = network.from_pretrained(
            str(folder),
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, with what is missing
        )
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, EOFError, SafetensorError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder} cannot be read as {network.__name__}: {first}", fix=_fix(folder)) from error
    finally:
        logging.set_verbosity(loud)
        if bars:
            logging.enable_progress_bar()
    twins = twins or {}
    missing, misshapen = (
        told["missing_keys"],
        [key if isinstance(key, str) else key[0] for key in told["mismatched_keys"]],
    )
    lonely = {key for key in missing if key in twins and twins[key] not in missing}
    wrong = {"missing": sorted(set(missing) - lonely), "misshapen": sorted(misshapen)}
    if any(wrong.values()):
        lists = [f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in wrong.items() if keys]
        raise InputError(f"{folder} does not fit {network.__name__}. {'; '.join(lists)}.", fix=_fix(folder))
    state = loaded.state_dict()
    for key in lonely:
        state[key].copy_(state[twins[key]])
    return loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)


def _some(keys: list[str]) -> str:
    more = len(keys) - _NUM_NAMED
    return ", ".join(keys[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")


def _fix(folder: Path) -> str:
    return f"get it again: mimo weights pull {folder.name}; mimo weights verify tells what is wrong"
