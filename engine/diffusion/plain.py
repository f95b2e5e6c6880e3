"""The network as the releases describe it, step by step and without shortcuts: what the fast formulation is held to.

Differences in time, none in numbers: keys and values of the reference are projected again in every step for every
frame; the unconditional half first reads the reference and is then computed again without it; cross-attention over the
single image token runs in full; both halves of guidance are one batch. Benchmarks compare with this.
"""

# Shapes: N rows (halves x frames), V videos, L positions, S image tokens, C channels, A heads, D channels of a head,
#         B batch, T frames, H W latent size.

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from engine.diffusion.attention import AttentionLayer, ReferenceFeatures, join_heads, split_heads
from engine.diffusion.sampler import Conditions
from engine.diffusion.unet import DenoisingUNet


class PlainReaderAttention:
    """Self-attention over the frame's own positions and the reference's, concatenated before the projections."""

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
        """Attend; returns (N, L, C)."""
        if reference is None:
            return attend(attn, x_NLC, x_NLC)
        bank_VLC = reference.bank[self.block]
        bank_NLC = bank_VLC.repeat_interleave(len(x_NLC) // len(bank_VLC), dim=0)
        y_NLC = attend(attn, x_NLC, torch.cat([x_NLC, bank_NLC], dim=1))
        m = num_plain_rows
        return torch.cat([attend(attn, x_NLC[:m], x_NLC[:m]), y_NLC[m:]]) if m else y_NLC


class PlainTokenAttention:
    """Cross-attention in full, whatever the number of tokens."""

    def __call__(
        self,
        attn: AttentionLayer,
        x_NLC: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: None = None,
        *,
        reference: ReferenceFeatures | None = None,
        num_plain_rows: int = 0,
    ) -> Tensor:
        """Attend; returns (N, L, C)."""
        return attend(attn, x_NLC, encoder_hidden_states)


def attend(attn: AttentionLayer, x_NLC: Tensor, context_NSC: Tensor) -> Tensor:
    """Queries from one sequence, keys and values from another; returns (N, L, C)."""
    q_NALD = split_heads(attn.to_q(x_NLC), attn)
    k_NASD, v_NASD = split_heads(attn.to_k(context_NSC), attn), split_heads(attn.to_v(context_NSC), attn)
    return attn.to_out[0](join_heads(scaled_dot_product_attention(q_NALD, k_NASD, v_NASD)))


def use_plain_attention(unet: DenoisingUNet) -> None:
    """Give a denoiser the attention of this file, in place."""
    processors: dict = {}
    for name, processor in unet.attn_processors.items():
        block, attention, _ = name.rsplit(".", 2)
        if ".motion_modules." in name:
            processors[name] = processor
        else:
            processors[name] = PlainReaderAttention(block) if attention == "attn1" else PlainTokenAttention()
    unet.set_attn_processor(processors)


def plain_predict_v(
    unet: DenoisingUNet,
    latents_BCTHW: Tensor,
    timestep: Tensor | int,
    conditions: Conditions,
    frames: list[int],
    guidance_scale: float,
) -> Tensor:
    """`sampler.predict_v` with both halves of guidance as one batch, unconditional first."""
    sample_BCTHW = latents_BCTHW[:, :, frames]
    if conditions.scene_BCTHW is not None:
        sample_BCTHW = torch.cat([sample_BCTHW, conditions.scene_BCTHW[:, :, frames]], dim=1)
    tokens_BSC = torch.cat([torch.zeros_like(conditions.image_tokens_BSC), conditions.image_tokens_BSC])
    pose_BCTHW = conditions.pose_of(frames).repeat(2, 1, 1, 1, 1)
    both = unet(
        sample_BCTHW.repeat(2, 1, 1, 1, 1), timestep, tokens_BSC, pose_BCTHW, conditions.reference, num_unconditional=1
    )
    uncond, cond = both.chunk(2)
    return uncond + guidance_scale * (cond - uncond)
