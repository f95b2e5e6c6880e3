"""The motion module: the only place where the frames of a clip see each other.

AnimateDiff's temporal transformer (Guo et al. 2023) as the MIMO and Moore releases use it: group norm per frame, and a
position table for each of its two self-attentions. Drop-in for diffusers' `AnimateDiffTransformer3D`, which normalises
over all frames and has one table.
"""

# Shapes: B batch, T frames, N = B*T rows, C channels, H W latent size, P = B*H*W positions.

from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from torch import Tensor, nn

NUM_GROUPS = 32  # fixed in the release, independent of the UNet's own setting


class MotionModule(nn.Module):
    """Group norm per frame, a temporal transformer over the frames of each position, residual."""

    def __init__(self, channels: int, *, num_heads: int, max_frames: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NUM_GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels, num_heads=num_heads, max_frames=max_frames)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(
        self,
        x_NCHW: Tensor,
        encoder_hidden_states: None = None,
        timestep: None = None,
        class_labels: None = None,
        num_frames: int = 1,
        cross_attention_kwargs: None = None,
    ) -> Tensor:
        """Mix the frames of each clip; the arguments between are diffusers' and not used. (N, C, H, W) both ways."""
        _, _, h, w = x_NCHW.shape
        y_PTC = self.norm(x_NCHW).unflatten(0, (-1, num_frames)).permute(0, 3, 4, 1, 2).flatten(0, 2)
        y_PTC = self.proj_in(y_PTC)
        for block in self.transformer_blocks:
            y_PTC = block(y_PTC)
        y_PTC = self.proj_out(y_PTC)
        return x_NCHW + y_PTC.unflatten(0, (-1, h, w)).permute(0, 3, 4, 1, 2).flatten(0, 1)


class TemporalBlock(nn.Module):
    """Two self-attentions over time, each with its own norm and position table, and a GEGLU feed-forward."""

    def __init__(self, channels: int, *, num_heads: int, max_frames: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.pos_embed1 = SinusoidalPositionalEmbedding(channels, max_seq_length=max_frames)
        self.attn1 = Attention(channels, heads=num_heads, dim_head=channels // num_heads)
        self.norm2 = nn.LayerNorm(channels)
        self.pos_embed2 = SinusoidalPositionalEmbedding(channels, max_seq_length=max_frames)
        self.attn2 = Attention(channels, heads=num_heads, dim_head=channels // num_heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, activation_fn="geglu")

    def forward(self, x_PTC: Tensor) -> Tensor:
        """(P, T, C) both ways; positions are added to what the attention reads, not to what it is added to."""
        x_PTC = x_PTC + self.attn1(self.pos_embed1(self.norm1(x_PTC)))
        x_PTC = x_PTC + self.attn2(self.pos_embed2(self.norm2(x_PTC)))
        return x_PTC + self.ff(self.norm3(x_PTC))


def replace_motion_modules(unet: nn.Module, *, num_heads: int, max_frames: int) -> None:
    """Put `MotionModule`s where a diffusers `UNetMotionModel` has its `AnimateDiffTransformer3D`s, in place."""
    for module in list(unet.modules()):
        modules = getattr(module, "motion_modules", None)
        if modules is not None:
            new = [MotionModule(old.in_channels, num_heads=num_heads, max_frames=max_frames) for old in modules]
            module.motion_modules = nn.ModuleList(new)


def fresh_positions(channels: int, num_frames: int) -> Tensor:
    """The position table of an untrained module: (1, num_frames, channels) float32, sines at even columns."""
    return SinusoidalPositionalEmbedding(channels, max_seq_length=num_frames).get_buffer("pe")
