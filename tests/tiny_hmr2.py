"""A small HMR 2.0 of random weights in the layout of the published file: everybody stands in a T-pose, nearly."""

from pathlib import Path

import torch

from engine.motion.hmr2.network import Hmr2


def write_tiny_hmr2(path: Path, *, seed: int = 0, sway: float = 1e-2) -> Path:
    """Write a checkpoint.

    Args:
        path: of the file; folders are made.
        seed: of the weights.
        sway: how much the picture moves the body, against the mean.
    """
    torch.manual_seed(seed)
    network = Hmr2(
        {"width": 64, "depth": 2, "num_heads": 16, "mlp_width": 128},
        {"width": 32, "depth": 2, "inner_width": 32, "mlp_width": 48, "context_width": 64},
    )
    state = network.state_dict()
    for name in ("decpose", "decshape", "deccam"):
        state[f"smpl_head.{name}.weight"].mul_(sway)
    state["smpl_head.init_body_pose"][:] = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(24)
    state["smpl_head.init_body_pose"][0, :6] = torch.tensor([1.0, 0, 0, 0, -1, 0])  # upright: the camera's y is down
    state["smpl_head.init_cam"][:] = torch.tensor([0.9, 0, 0])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 35, "global_step": 1000000, "state_dict": state}, path)
    return path
