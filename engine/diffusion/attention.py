"""Reference attention: what the denoiser sees of the reference picture, as processors of diffusers' `Attention`.

Every spatial transformer block of the reference net keeps the input of its self-attention (its *bank*); the block of
the same name in the denoiser reads it as additional keys and values. Hu et al. 2023 (Animate Anyone), figure 2.
"""

# Shapes: N rows (videos x frames), V videos, L positions of the latent, S image tokens, C channels,
#         A heads, D channels of a head.

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class AttentionLayer(Protocol):
    """What we use of diffusers' `Attention`: it calls a processor with itself."""

    heads: int
    to_q: nn.Module
    to_k: nn.Module
    to_v: nn.Module
    to_out: nn.ModuleList


class Bank(dict[str, Tensor]):
    """Transformer block ("mid_block.attentions.0.transformer_blocks.0") to the (V, L, C) input of its self-attention.

    A class of its own: a plain dictionary among its arguments is copied by a sharded network, and what is written into
    it lost.
    """


@dataclass(frozen=True)
class ReferenceFeatures:
    """What the denoiser reads of the reference picture, in every step and for every frame."""

    bank: Mapping[str, Tensor]
    """Block to (V, L, C), in the denoiser's precision."""
    keys_values: Mapping[str, tuple[Tensor, Tensor]] | None = None
    """Block to the bank's keys and values in the denoiser's own projections, (V, A, L, D) each; None: project them
    again in every step."""

    def to(self, device: torch.device) -> "ReferenceFeatures":
        """The same on another device."""
        bank = {block: x_VLC.to(device) for block, x_VLC in self.bank.items()}
        pairs = {block: (k.to(device), v.to(device)) for block, (k, v) in (self.keys_values or {}).items()}
        return ReferenceFeatures(bank, pairs if self.keys_values is not None else None)


def round_bank(bank: Bank, dtype: torch.dtype) -> ReferenceFeatures:
    """Hand a bank over as the release does: rounded to float16, whatever the computing precision.

    Args:
        bank: block to (V, L, C) floating tensors.
        dtype: the denoiser's precision.

    Returns:
        The rounded bank in `dtype`, nothing projected yet.
    """
    return ReferenceFeatures({block: x_VLC.half().to(dtype) for block, x_VLC in bank.items()})


def project_features(features: ReferenceFeatures, attentions: Mapping[str, AttentionLayer]) -> ReferenceFeatures:
    """Compute the bank's keys and values once, instead of in every step and for every frame.

    Args:
        features: the bank.
        attentions: block to its self-attention in the denoiser.

    Returns:
        The same bank with `keys_values`; the numbers are those that concatenating before projecting gives.
    """
    keys_values = {
        block: (split_heads(attn.to_k(features.bank[block]), attn), split_heads(attn.to_v(features.bank[block]), attn))
        for block, attn in attentions.items()
    }
    return replace(features, keys_values=keys_values)


class WriterAttention:
    """Self-attention of the reference net: keeps its input in the bank, and otherwise runs unchanged."""

    def __init__(self, block: str) -> None:
        self.block = block

    def __call__(
        self,
        attn: AttentionLayer,
        x_NLC: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        *,
        bank: Bank | None = None,
    ) -> Tensor:
        """Attend over the positions of one picture; returns (N, L, C)."""
        if bank is not None:
            bank[self.block] = x_NLC
        return attend(attn, x_NLC)


class ReaderAttention:
    """Self-attention of the denoiser: queries from its own frame, keys and values also from the reference picture.

    The first `num_plain_rows` rows (the unconditional half under guidance) do not see the reference.
    """

    def __init__(self, block: str) -> None:
        self.block = block

    def __call__(
        self,
        attn: AttentionLayer,
        x_NLC: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        *,
        reference: ReferenceFeatures | None = None,
        num_plain_rows: int = 0,
    ) -> Tensor:
        """Attend over the positions of each frame and of the reference; returns (N, L, C)."""
        if reference is None:
            return attend(attn, x_NLC)
        return attend(attn, x_NLC, *self._reference_keys_values(reference, attn), num_plain_rows=num_plain_rows)

    def _reference_keys_values(self, reference: ReferenceFeatures, attn: AttentionLayer) -> tuple[Tensor, Tensor]:
        if reference.keys_values is not None:
            return reference.keys_values[self.block]
        x_VLC = reference.bank[self.block]
        return split_heads(attn.to_k(x_VLC), attn), split_heads(attn.to_v(x_VLC), attn)


class ImageTokenAttention:
    """Cross-attention over image tokens. Over a single token the softmax is 1, so its value is the whole answer."""

    def __call__(
        self,
        attn: AttentionLayer,
        x_NLC: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: None = None,
        *,
        bank: Bank | None = None,
        reference: ReferenceFeatures | None = None,
        num_plain_rows: int = 0,
    ) -> Tensor:
        """Attend over the tokens; returns (N, L, C), or (N, 1, C) to be broadcast where there is one token."""
        tokens_NSC = encoder_hidden_states
        if tokens_NSC.shape[1] == 1:
            return attn.to_out[0](attn.to_v(tokens_NSC))
        q_NALD = split_heads(attn.to_q(x_NLC), attn)
        k_NASD, v_NASD = (split_heads(to(tokens_NSC), attn) for to in (attn.to_k, attn.to_v))
        return attn.to_out[0](join_heads(scaled_dot_product_attention(q_NALD, k_NASD, v_NASD)))


class ConstantTokenAttention(nn.Module):
    """Cross-attention over one token that is known beforehand: linear in it, hence a direction and a bias.

    Its tokens are (N, 1, 1): 1 where the token is shown, 0 where it is not.
    """

    direction: Tensor
    bias: Tensor

    def __init__(self, attn: AttentionLayer, token_C: Tensor) -> None:
        super().__init__()
        out: Any = attn.to_out[0]
        self.register_buffer("direction", out(attn.to_v(token_C)) - out.bias)
        self.register_buffer("bias", out.bias.detach().clone())

    def forward(self, x_NLC: Tensor, encoder_hidden_states: Tensor, **unused: object) -> Tensor:
        """(N, 1, C), to be broadcast over the positions."""
        return self.bias + encoder_hidden_states * self.direction


@torch.no_grad()
def fix_token(unet: nn.Module, tokens_BSC: Tensor) -> Tensor:
    """Fold a single image token into the cross-attentions of a denoiser, in place: their weights and norms go.

    Args:
        unet: a `DenoisingUNet`; from now on good for this token and for none.
        tokens_BSC: (1, 1, C), on its device and in its precision.

    Returns:
        (1, 1, 1) ones: what to show it as token from now on; zeros stand for the unconditional half.
    """
    for name, block in list(unet.named_modules()):
        attn = getattr(block, "attn2", None)
        if attn is not None and ".motion_modules." not in name:
            block.attn2 = ConstantTokenAttention(attn, tokens_BSC[0, 0])  # type: ignore[assignment]
            block.norm2 = nn.Identity()  # type: ignore[assignment]
    return torch.ones_like(tokens_BSC[:, :, :1])


def attend(attn: AttentionLayer, x_NLC: Tensor, *reference: Tensor, num_plain_rows: int = 0) -> Tensor:
    """Attend over the positions of each frame, and of the reference where it is given.

    Args:
        attn: whose projections.
        x_NLC: its input.
        reference: nothing, or its keys and values, (V, A, L, D) each.
        num_plain_rows: the first rows do not see the reference.

    Returns:
        (N, L, C).
    """
    q_NALD, k_NALD, v_NALD = (split_heads(to(x_NLC), attn) for to in (attn.to_q, attn.to_k, attn.to_v))
    if not reference:
        return attn.to_out[0](join_heads(scaled_dot_product_attention(q_NALD, k_NALD, v_NALD)))
    m, (k_ref_VALD, v_ref_VALD) = num_plain_rows, reference
    k_cond = torch.cat([k_NALD[m:], rows_of(k_ref_VALD, len(k_NALD) - m)], dim=2)
    v_cond = torch.cat([v_NALD[m:], rows_of(v_ref_VALD, len(v_NALD) - m)], dim=2)
    y_NALD = scaled_dot_product_attention(q_NALD[m:], k_cond, v_cond)
    if m:
        y_plain = scaled_dot_product_attention(q_NALD[:m], k_NALD[:m], v_NALD[:m])
        y_NALD = torch.cat([y_plain, y_NALD])
    return attn.to_out[0](join_heads(y_NALD))


def split_heads(x_NLC: Tensor, attn: AttentionLayer) -> Tensor:
    """(N, L, C) to (N, A, L, D)."""
    return x_NLC.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


def join_heads(x_NALD: Tensor) -> Tensor:
    """(N, A, L, D) to (N, L, C)."""
    return x_NALD.transpose(1, 2).flatten(2)


def rows_of(x_VALD: Tensor, num_rows: int) -> Tensor:
    """Show each video's reference to all its frames: (V, A, L, D) to (num_rows, A, L, D), a video's frames adjacent."""
    num_videos = len(x_VALD)
    return x_VALD[:, None].expand(-1, num_rows // num_videos, -1, -1, -1).flatten(0, 1)
