"""Checkpoints of a run: whole or not there, the newest few and the best."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import InputError


@dataclass(frozen=True)
class State:
    """All that a run needs to go on; chance needs nothing, it comes from (seed, step)."""

    step: int
    """Optimizer steps done."""
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, Any]
    best: float | None = None
    """Best validation PSNR so far, dB."""


def save(state: State, folder: Path, *, keep: int) -> Path:
    """Write `folder/step-000500`, then drop the oldest beyond `keep`.

    Args:
        state: of the run.
        folder: `checkpoints/` of the run.
        keep: newest ones that stay.

    Returns:
        The folder of the checkpoint.
    """
    final = folder / f"step-{state.step:06d}"
    part = final.with_suffix(".tmp")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file(_plain(state.model), part / "model.safetensors")
    save_file(_plain(state.ema), part / "ema.safetensors")
    torch.save(state.optimizer, part / "optimizer.pt")
    (part / "state.json").write_text(json.dumps({"step": state.step, "best": state.best}), encoding="utf-8")
    for path in part.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)
    for old in _steps(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def save_best(ema: dict[str, Tensor], folder: Path, facts: dict[str, Any]) -> None:
    """Keep the averaged weights that validated best, in `folder/best`."""
    part = folder / "best.tmp"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file(_plain(ema), part / "ema.safetensors")
    (part / "state.json").write_text(json.dumps(facts), encoding="utf-8")
    shutil.rmtree(folder / "best", ignore_errors=True)
    os.replace(part, folder / "best")


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    steps = _steps(folder)
    return steps[-1] if steps else None


def load(path: Path) -> State:
    """Read a checkpoint.

    Raises:
        InputError: a file of it is missing or damaged.
    """
    try:
        about = json.loads((path / "state.json").read_text(encoding="utf-8"))
        return State(
            step=about["step"],
            model=load_file(path / "model.safetensors"),
            ema=load_file(path / "ema.safetensors"),
            optimizer=torch.load(path / "optimizer.pt", weights_only=True, map_location="cpu"),
            best=about["best"],
        )
    except Exception as error:
        raise InputError(
            f"{path} is damaged: {error}.", fix=f"delete that folder; the one before it is taken: rm -r {path}"
        ) from error


def load_ema(run: Path) -> dict[str, Tensor]:
    """The averaged weights of a run: the best by validation, else the newest.

    Raises:
        InputError: the run has no checkpoint.
    """
    folder = run / "checkpoints"
    best = folder / "best" / "ema.safetensors"
    found = best if best.is_file() else None
    if found is None and (last := newest(folder)) is not None:
        found = last / "ema.safetensors"
    if found is None:
        raise InputError(f"{run} has no checkpoint.", fix="train it first: mimo train RECIPE --out RUN")
    return load_file(found)


def _steps(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.suffix != ".tmp" and (path / "state.json").is_file())


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
