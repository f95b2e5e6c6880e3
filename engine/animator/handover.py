"""What one window of the diffusion animator leaves to the next."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.diffusion.drift import ColorAnchor, DriftMeter


@dataclass
class Handover:
    """What a window leaves to the next; it goes through the disk, so that a resumed run sees the same."""

    known: Tensor | None = None
    anchor: ColorAnchor = field(default_factory=ColorAnchor)
    pending: dict[int, NDArray] = field(default_factory=dict)
    """Frames that the next shot also has, (H, W, 4) uint8 straight RGBA."""
    colors: list[list[float]] = field(default_factory=list)
    """Time and mean colour of the figure, a row per frame of this window."""
    time_s: float = 0.0
    """Of the frame at work."""

    def note_color(self, rgb: NDArray, alpha: NDArray) -> None:
        """Note how the figure looks in the frame of `time_s`."""
        meter = DriftMeter()
        meter.add(self.time_s, rgb, alpha)
        self.colors += [[time, *mean] for time, mean in zip(meter.time_s, meter.rgb, strict=True)]

    def save(self, folder: Path) -> None:
        """Write it into a chunk."""
        tensors = {} if self.known is None else {"known": self.known.contiguous()}
        tensors |= {f"frame/{idx}": torch.from_numpy(rgba) for idx, rgba in self.pending.items()}
        if tensors:
            save_file(tensors, folder / "state.safetensors")
        text = json.dumps({"anchor": asdict(self.anchor), "colors": self.colors})
        (folder / "state.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Handover":
        """Read it back."""
        path = folder / "state.safetensors"
        tensors = load_file(path) if path.exists() else {}
        told = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        frames = {int(key.split("/")[1]): tensor.numpy() for key, tensor in tensors.items() if key != "known"}
        return cls(tensors.get("known"), ColorAnchor(**told["anchor"]), frames, told["colors"])
