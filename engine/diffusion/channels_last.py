"""The denoiser on a GPU: every layer keeps channels last, and nothing is laid out anew between two layers.

Convolutions of half precision want it, linear layers need it; PyTorch's group norm, diffusers' transformer and a motion
module that puts positions before frames each copy the picture there and back. The numbers stay, but for the order of
sums; for inference alone.
"""

# Shapes: N rows (frames), T frames of a clip, P positions (H*W), C channels, G groups, A heads, D channels of a head,
#         H W latent size.

from typing import Any

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from engine.diffusion.attention import attend
from engine.diffusion.motion_module import MotionModule, TemporalBlock


class LastGroupNorm(nn.Module):
    """Group norm of a picture whose channels are last; sums in float32 at least, as in PyTorch's own."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.num_groups, self.eps, self.weight, self.bias = norm.num_groups, norm.eps, norm.weight, norm.bias

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) both ways."""
        x_NPGC = positions_of(x_NCHW).unflatten(2, (self.num_groups, -1))
        count, dtype = x_NPGC.shape[1] * x_NPGC.shape[3], torch.promote_types(x_NPGC.dtype, torch.float32)
        mean_NG1 = x_NPGC.sum((1, 3), dtype=dtype)[..., None] / count
        squares_NG1 = torch.linalg.vector_norm(x_NPGC, dim=(1, 3), dtype=dtype)[..., None] ** 2 / count
        inverse_NG1 = ((squares_NG1 - mean_NG1**2).clamp_min(0) + self.eps).rsqrt()
        scale_NGC = inverse_NG1 * self.weight.to(dtype).view(self.num_groups, -1)
        shift_NGC = self.bias.to(dtype).view(self.num_groups, -1) - mean_NG1 * scale_NGC
        scale, shift = (s.flatten(1)[:, :, None, None].to(x_NCHW.dtype) for s in (scale_NGC, shift_NGC))
        return torch.addcmul(shift, x_NCHW, scale)


class LastTransformer(nn.Module):
    """A spatial transformer of diffusers over positions as they lie; shows its layers their part of the reference."""

    def __init__(self, transformer: Transformer2DModel) -> None:
        super().__init__()
        (block,) = transformer.transformer_blocks
        processor: Any = block.attn1.processor  # type: ignore[union-attr]
        self.block = processor.block
        self.layers = LastTransformerLayers(transformer, block)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = False,
        **unused: None,
    ) -> tuple[Tensor]:
        """Arguments are diffusers'; (N, C, H, W) to ((N, C, H, W),)."""
        reference = (cross_attention_kwargs or {}).get("reference")
        keys_values = () if reference is None else reference.keys_values[self.block]
        return (self.layers(hidden_states, encoder_hidden_states, *keys_values),)


class LastTransformerLayers(nn.Module):
    """What a spatial transformer computes; its 1x1 convolutions are linear layers."""

    def __init__(self, transformer: Transformer2DModel, block: Any) -> None:
        super().__init__()
        self.norm = LastGroupNorm(transformer.norm)
        self.proj_in, self.proj_out, self.block = transformer.proj_in, transformer.proj_out, block

    def forward(self, x_NCHW: Tensor, tokens_NSC: Tensor, *keys_values: Tensor) -> Tensor:
        """(N, C, H, W) both ways; of the reference its keys and values (1, A, P, D), or nothing."""
        block, y_NPC = self.block, pointwise(self.proj_in, positions_of(self.norm(x_NCHW)))
        y_NPC = y_NPC + attend(block.attn1, block.norm1(y_NPC), *keys_values)
        y_NPC = y_NPC + block.attn2(block.norm2(y_NPC), encoder_hidden_states=tokens_NSC)
        y_NPC = y_NPC + block.ff(block.norm3(y_NPC))
        return x_NCHW + picture_of(pointwise(self.proj_out, y_NPC), x_NCHW)


class LastMotionModule(nn.Module):
    """A motion module over (frames, positions, channels): only its attention looks across the frames."""

    def __init__(self, module: MotionModule) -> None:
        super().__init__()
        self.norm = LastGroupNorm(module.norm)
        self.proj_in, self.proj_out = module.proj_in, module.proj_out
        self.transformer_blocks = nn.ModuleList([LastTemporalBlock(block) for block in module.transformer_blocks])  # type: ignore[arg-type]

    def forward(self, x_NCHW: Tensor, *unused: None, num_frames: int = 1, **also_unused: None) -> Tensor:
        """One clip; (N, C, H, W) both ways."""
        y_TPC = self.proj_in(positions_of(self.norm(x_NCHW)))
        for block in self.transformer_blocks:
            y_TPC = block(y_TPC)
        return x_NCHW + picture_of(self.proj_out(y_TPC), x_NCHW)


class LastTemporalBlock(nn.Module):
    """A `TemporalBlock` whose frames come first."""

    def __init__(self, block: TemporalBlock) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = block.norm1, block.norm2, block.norm3
        self.pos_embed1, self.pos_embed2 = block.pos_embed1, block.pos_embed2
        self.attn1, self.attn2, self.ff = block.attn1, block.attn2, block.ff

    def forward(self, x_TPC: Tensor) -> Tensor:
        """(T, P, C) both ways."""
        x_TPC = x_TPC + self._attend(self.attn1, self.norm1(x_TPC) + self._places(self.pos_embed1, x_TPC))
        x_TPC = x_TPC + self._attend(self.attn2, self.norm2(x_TPC) + self._places(self.pos_embed2, x_TPC))
        return x_TPC + self.ff(self.norm3(x_TPC))

    def _places(self, table: Any, x_TPC: Tensor) -> Tensor:
        return table.pe[0, : len(x_TPC), None]

    def _attend(self, attn: Any, x_TPC: Tensor) -> Tensor:
        q_PATD, k_PATD, v_PATD = (
            to(x_TPC).unflatten(2, (attn.heads, -1)).permute(1, 2, 0, 3) for to in (attn.to_q, attn.to_k, attn.to_v)
        )
        y_PATD = scaled_dot_product_attention(q_PATD, k_PATD, v_PATD)
        return attn.to_out[0](y_PATD.permute(2, 0, 1, 3).flatten(2))


ROWWISE = (FeedForward, LastTransformer)
"""Layers whose frames do not see each other."""


def keep_channels_last(network: nn.Module) -> None:
    """Lay a denoiser out with channels last and have its layers keep them there, in place.

    Args:
        network: a `DenoisingUNet` that will only infer, one clip at a time.
    """
    nn.Module.to(network, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _replace(network)


def _replace(network: nn.Module) -> None:
    kinds = {Transformer2DModel: LastTransformer, MotionModule: LastMotionModule, nn.GroupNorm: LastGroupNorm}
    for name, child in network.named_children():
        kind: Any = kinds.get(type(child))
        if kind is None:
            _replace(child)
        else:
            setattr(network, name, kind(child))


def positions_of(x_NCHW: Tensor) -> Tensor:
    """(N, C, H, W) with channels last to (N, P, C): the same memory."""
    return x_NCHW.permute(0, 2, 3, 1).flatten(1, 2)


def picture_of(x_NPC: Tensor, like_NCHW: Tensor) -> Tensor:
    """(N, P, C) to (N, C, H, W) of the size of another picture: the same memory."""
    return x_NPC.unflatten(1, like_NCHW.shape[2:]).permute(0, 3, 1, 2)


def pointwise(layer: Any, x_NPC: Tensor) -> Tensor:
    """A 1x1 convolution, or the linear layer that it is."""
    return linear(x_NPC, layer.weight.flatten(1), layer.bias)
