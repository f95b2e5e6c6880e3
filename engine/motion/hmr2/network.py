"""The whole network, and its checkpoint: every tensor of it is accounted for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.diffusion.tensor_file import build_network, read_tensors
from engine.motion.hmr2.backbone import Backbone
from engine.motion.hmr2.head import BodyParameters, SmplHead

PREFIXES = ("backbone.", "smpl_head.")
"""What is used of the published file; the rest of it is training's (the discriminator) or the body model's."""


class Hmr2(nn.Module):
    """Crops of people to SMPL parameters."""

    def __init__(self, backbone: Mapping[str, int] | None = None, head: Mapping[str, int] | None = None) -> None:
        """Make it of the published size, but for what is given to `Backbone` and `SmplHead`."""
        super().__init__()
        self.backbone = Backbone(**(backbone or {}))
        self.smpl_head = SmplHead(**(head or {}))

    def forward(self, x_B3HW: Tensor) -> BodyParameters:
        """Predict the bodies of (B, 3, 256, 256) normalised RGB crops."""
        return self.smpl_head(self.backbone(x_B3HW))


def load_hmr2(path: Path, *, device: str = "cpu") -> Hmr2:
    """Load the published checkpoint (HMR2.0a or b), or its tensors as `.safetensors`.

    Args:
        path: a PyTorch Lightning checkpoint or `.safetensors` with the keys of `backbone.` and `smpl_head.`; keys of
            other names are ignored.
        device: where to compute; on the CPU the tensors stay mapped from the file.

    Returns:
        The network in evaluation mode, float32, sized as the file is.

    Raises:
        InputError: the file is missing or unreadable, or a tensor is missing, unexpected or misshapen.
    """
    tensors = {key: tensor for key, tensor in read_tensors(path).items() if key.startswith(PREFIXES)}
    return build_network(Hmr2, sizes_of, tensors, source=str(path), dtype=torch.float32).to(device)


def sizes_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes of the `Hmr2` that has these tensors; 16 and 8 heads leave no trace in them."""
    first, layer = "backbone.blocks.0.", "smpl_head.transformer.transformer.layers.0."
    return {
        "backbone": {
            "width": tensors["backbone.pos_embed"].shape[-1],
            "depth": _count(tensors, "backbone.blocks.{}.norm1.weight"),
            "mlp_width": tensors[f"{first}mlp.fc1.weight"].shape[0],
        },
        "head": {
            "width": tensors["smpl_head.decpose.weight"].shape[1],
            "depth": _count(tensors, "smpl_head.transformer.transformer.layers.{}.0.norm.weight"),
            "inner_width": tensors[f"{layer}1.fn.to_q.weight"].shape[0],
            "mlp_width": tensors[f"{layer}2.fn.net.0.weight"].shape[0],
            "context_width": tensors[f"{layer}1.fn.to_kv.weight"].shape[1],
        },
    }


def _count(tensors: Mapping[str, Tensor], name: str) -> int:
    count = 0
    while name.format(count) in tensors:
        count += 1
    return count
