"""The head of HMR 2.0: one query token reads the backbone's tokens, and becomes pose, shape and camera.

Modules are named as in the published checkpoint, so that its keys are ours.
"""

# Shapes: B crops, N query tokens (one), M context tokens, C width of the query, A heads, D width of a head.

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention

NUM_JOINTS = 24
NUM_BETAS = 10


class BodyParameters(NamedTuple):
    """SMPL parameters of B crops."""

    rotation_BJ33: Tensor
    """(B, 24, 3, 3): joint 0 in camera axes (x right, y down, z forward), the others relative to their parents."""
    betas_B10: Tensor
    """(B, 10) SMPL's shape."""
    camera_B3: Tensor
    """(B, 3) scale, x, y of the weak-perspective camera of the crop; see `engine.motion.hmr2.camera`."""


class SmplHead(nn.Module):
    """Tokens of the backbone to SMPL parameters, as a correction of the mean ones."""

    init_body_pose: Tensor
    init_betas: Tensor
    init_cam: Tensor

    def __init__(
        self,
        width: int = 1024,
        depth: int = 6,
        num_heads: int = 8,
        inner_width: int = 512,
        mlp_width: int = 1024,
        context_width: int = 1280,
    ) -> None:
        super().__init__()
        self.transformer = QueryDecoder(width, depth, num_heads, inner_width, mlp_width, context_width)
        self.decpose = nn.Linear(width, 6 * NUM_JOINTS)
        self.decshape = nn.Linear(width, NUM_BETAS)
        self.deccam = nn.Linear(width, 3)
        self.register_buffer("init_body_pose", torch.zeros(1, 6 * NUM_JOINTS))
        self.register_buffer("init_betas", torch.zeros(1, NUM_BETAS))
        self.register_buffer("init_cam", torch.zeros(1, 3))

    def forward(self, context_BMC: Tensor) -> BodyParameters:
        """Read (B, M, C) tokens of the backbone."""
        query_BN1 = context_BMC.new_zeros(len(context_BMC), 1, 1)
        token_BC = self.transformer(query_BN1, context_BMC)[:, 0]
        # The mean pose is stored in another order of the six numbers; the network was trained on this very sum.
        pose_B144 = self.decpose(token_BC) + self.init_body_pose
        return BodyParameters(
            rotation_from_6d(pose_B144.unflatten(-1, (NUM_JOINTS, 6))),
            self.decshape(token_BC) + self.init_betas,
            self.deccam(token_BC) + self.init_cam,
        )


class QueryDecoder(nn.Module):
    """Query tokens that attend to each other and to a context."""

    def __init__(
        self, width: int, depth: int, num_heads: int, inner_width: int, mlp_width: int, context_width: int
    ) -> None:
        super().__init__()
        self.to_token_embedding = nn.Linear(1, width)
        self.pos_embedding = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer = DecoderLayers(width, depth, num_heads, inner_width, mlp_width, context_width)

    def forward(self, query_BN1: Tensor, context_BMC: Tensor) -> Tensor:
        """(B, N, 1) and (B, M, C) to (B, N, C)."""
        return self.transformer(self.to_token_embedding(query_BN1) + self.pos_embedding, context_BMC)


class DecoderLayers(nn.Module):
    """Layers of self-attention, cross-attention and feed-forward; no norm after the last."""

    def __init__(
        self, width: int, depth: int, num_heads: int, inner_width: int, mlp_width: int, context_width: int
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    Normed(width, SelfAttention(width, num_heads, inner_width)),
                    Normed(width, CrossAttention(width, num_heads, inner_width, context_width)),
                    Normed(width, FeedForward(width, mlp_width)),
                ]
            )
            for _ in range(depth)
        )

    def forward(self, x_BNC: Tensor, context_BMC: Tensor) -> Tensor:
        """(B, N, C) and (B, M, C) to (B, N, C)."""
        for attend, read, think in self.layers:  # pyright: ignore[reportGeneralTypeIssues]
            x_BNC = x_BNC + attend(x_BNC)
            x_BNC = x_BNC + read(x_BNC, context_BMC)
            x_BNC = x_BNC + think(x_BNC)
        return x_BNC


class Normed(nn.Module):
    """A part of a layer behind its norm; a context passes it by."""

    def __init__(self, width: int, part: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = part

    def forward(self, x_BNC: Tensor, *context: Tensor) -> Tensor:
        """(B, N, C) to (B, N, C)."""
        return self.fn(self.norm(x_BNC), *context)


class SelfAttention(nn.Module):
    """Attention among the query tokens; with a single one only its values count."""

    def __init__(self, width: int, num_heads: int, inner_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_qkv = nn.Linear(width, 3 * inner_width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner_width, width))

    def forward(self, x_BNC: Tensor) -> Tensor:
        """(B, N, C) to (B, N, C)."""
        q_BAND, k_BAND, v_BAND = (_split(part, self.num_heads) for part in self.to_qkv(x_BNC).chunk(3, dim=-1))
        return self.to_out(_join(scaled_dot_product_attention(q_BAND, k_BAND, v_BAND)))


class CrossAttention(nn.Module):
    """Attention of the query tokens to the context."""

    def __init__(self, width: int, num_heads: int, inner_width: int, context_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(width, inner_width, bias=False)
        self.to_kv = nn.Linear(context_width, 2 * inner_width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner_width, width))

    def forward(self, x_BNC: Tensor, context_BMC: Tensor) -> Tensor:
        """(B, N, C) and (B, M, C) to (B, N, C)."""
        q_BAND = _split(self.to_q(x_BNC), self.num_heads)
        k_BAMD, v_BAMD = (_split(part, self.num_heads) for part in self.to_kv(context_BMC).chunk(2, dim=-1))
        return self.to_out(_join(scaled_dot_product_attention(q_BAND, k_BAMD, v_BAMD)))


class FeedForward(nn.Module):
    """Two layers with an exact GELU between them."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        # The published layers are numbers 0 and 3: a dropout stood between them.
        self.net = nn.Sequential(nn.Linear(width, mlp_width), nn.GELU(), nn.Identity(), nn.Linear(mlp_width, width))

    def forward(self, x_BNC: Tensor) -> Tensor:
        """(B, N, C) to (B, N, C)."""
        return self.net(x_BNC)


def rotation_from_6d(six: Tensor) -> Tensor:
    """Two vectors to the rotation whose first columns they span.

    Args:
        six: (..., 6): the first vector, then the second; any lengths.

    Returns:
        (..., 3, 3); zero or parallel vectors give zero columns, never NaN.

    Source: Zhou et al. 2019, "On the Continuity of Rotation Representations in Neural Networks".
    """
    first, second = six[..., :3], six[..., 3:]
    x = normalize(first, dim=-1)
    y = normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def _split(x_BNE: Tensor, num_heads: int) -> Tensor:
    return x_BNE.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def _join(x_BAND: Tensor) -> Tensor:
    return x_BAND.transpose(1, 2).flatten(2)
