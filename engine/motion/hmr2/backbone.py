"""The backbone of HMR 2.0: a plain vision transformer (ViT-H as in ViTPose) over a crop of one person.

Modules are named as in the published checkpoint, so that its keys are ours.
"""

# Shapes: B crops, L = 16 * 12 tokens, C width, A heads, D width of a head, H W pixels.

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from engine.motion.hmr2.crop import CROP, MARGIN

PATCH = 16
GRID = (CROP // PATCH, (CROP - 2 * MARGIN) // PATCH)
"""Rows and columns of tokens."""
NORM_EPS = 1e-6


class Backbone(nn.Module):
    """Crop to tokens."""

    def __init__(self, width: int = 1280, depth: int = 32, num_heads: int = 16, mlp_width: int = 5120) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(width)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID[0] * GRID[1], width))
        self.blocks = nn.ModuleList(Block(width, num_heads, mlp_width) for _ in range(depth))
        self.last_norm = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Look at crops.

        Args:
            x_B3HW: (B, 3, 256, 256) RGB, normalised.

        Returns:
            (B, 192, C) tokens, row by row.
        """
        x_BLC = self.patch_embed(x_B3HW[..., MARGIN:-MARGIN])
        # The table keeps a place for a class token that there is none of; it is added to every other.
        x_BLC = x_BLC + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            x_BLC = block(x_BLC)
        return self.last_norm(x_BLC)


class PatchEmbedding(nn.Module):
    """Patches of 16x16 pixels, shifted by two against the crop's corner."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH, padding=2)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """(B, 3, 256, 192) to (B, 192, C)."""
        return self.proj(x_B3HW).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Self-attention and feed-forward, normalised before."""

    def __init__(self, width: int, num_heads: int, mlp_width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = FeedForward(width, mlp_width)

    def forward(self, x_BLC: Tensor) -> Tensor:
        """(B, L, C) to (B, L, C)."""
        x_BLC = x_BLC + self.attn(self.norm1(x_BLC))
        return x_BLC + self.mlp(self.norm2(x_BLC))


class Attention(nn.Module):
    """Self-attention with one projection for queries, keys and values, in that order."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLC: Tensor) -> Tensor:
        """(B, L, C) to (B, L, C)."""
        q_BALD, k_BALD, v_BALD = self.qkv(x_BLC).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        y_BALD = scaled_dot_product_attention(q_BALD, k_BALD, v_BALD)
        return self.proj(y_BALD.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two layers with an exact GELU between them."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)

    def forward(self, x_BLC: Tensor) -> Tensor:
        """(B, L, C) to (B, L, C)."""
        return self.fc2(gelu(self.fc1(x_BLC)))
