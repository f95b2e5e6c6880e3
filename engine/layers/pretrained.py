"""Networks of the transformers library, read from a folder: strictly, quietly, and never from the net."""

from pathlib import Path
from typing import Any

from engine.errors import InputError

_NUM_NAMED = 8


def load_pretrained(network: Any, folder: Path) -> Any:
    """Load a network whose folder holds `config.json` and `model.safetensors`.

    Args:
        network: a class of transformers' models.
        folder: as `save_pretrained` writes it.

    Returns:
        The network in evaluation mode, float32, on CUDA where there is one.

    Raises:
        InputError: the folder cannot be read, or its tensors are not exactly those of the network.
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
    lists = []
    for kind in ("missing", "unexpected", "mismatched"):
        keys = sorted(key if isinstance(key, str) else str(key[0]) for key in told[f"{kind}_keys"])
        if keys:
            more = f" and {len(keys) - _NUM_NAMED} more" if len(keys) > _NUM_NAMED else ""
            lists.append(f"{len(keys)} {kind}: {', '.join(keys[:_NUM_NAMED])}{more}")
    if lists:
        raise InputError(f"{folder} does not fit {network.__name__}. {'; '.join(lists)}.", fix=_fix(folder))
    return loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)


def _fix(folder: Path) -> str:
    return f"get it again: mimo weights pull {folder.name}; mimo weights verify tells what is wrong"
