"""The denoising UNet: SD 1.5's UNet over frames, with motion modules, reading pose and reference features."""

# Shapes: B batch, T frames, N = B*T rows, C channels, H W latent size, S image tokens, E time embedding.

from dataclasses import dataclass
from typing import Any

from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_motion_model import UNetMotionModel
from torch import Tensor, as_tensor
from torch.nn.functional import silu

from engine.diffusion.attention import ImageTokenAttention, ReaderAttention, ReferenceFeatures, project_features
from engine.diffusion.motion_module import replace_motion_modules

__all__ = ["DenoisingUNet", "ModelMixin"]  # diffusers looks for ModelMixin beside a class that it loads by name


@dataclass
class DeepFeatures:
    """What the deep layers said in one step, for the next one to reuse."""

    reuse: bool = False
    """Run the outermost blocks alone, on `features`."""
    features: Tensor | None = None
    """(N, C, H, W) input of the last up block."""


class DenoisingUNet(UNetMotionModel):
    """Predicts v from noisy latents, scene latents, pose features, reference features and an image token.

    Defaults are the published MIMO network; Moore-AnimateAnyone's has `in_channels` 4.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 8,
        out_channels: int = 4,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        cross_attention_dim: int = 768,
        norm_num_groups: int = 32,
        num_attention_heads: int = 8,
        motion_max_seq_length: int = 32,
        layers_per_block: int = 2,
    ) -> None:
        levels = len(block_out_channels)
        bare_init = UNetMotionModel.__init__.__wrapped__  # undecorated: the config is to hold our own arguments only
        bare_init(
            self,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=("CrossAttnDownBlockMotion",) * (levels - 1) + ("DownBlockMotion",),
            up_block_types=("UpBlockMotion",) + ("CrossAttnUpBlockMotion",) * (levels - 1),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            cross_attention_dim=cross_attention_dim,
            norm_num_groups=norm_num_groups,
            num_attention_heads=num_attention_heads,
            motion_num_attention_heads=num_attention_heads,
            motion_max_seq_length=motion_max_seq_length,
        )
        replace_motion_modules(self, num_heads=num_attention_heads, max_frames=motion_max_seq_length)
        processors: dict[str, Any] = dict(self.attn_processors)
        for name in processors:
            if ".motion_modules." not in name:
                processors[name] = _processor(name.removesuffix(".processor"))
        self.set_attn_processor(processors)

    def forward(
        self,
        sample_BCTHW: Tensor,
        timestep: Tensor | int,
        image_tokens_BSC: Tensor,
        pose_BCTHW: Tensor | None = None,
        reference: ReferenceFeatures | None = None,
        num_unconditional: int = 0,
        deep: DeepFeatures | None = None,
    ) -> Tensor:
        """Predict v for one window of frames.

        Args:
            sample_BCTHW: noisy latents, then scene latents, on the channel axis; at most 32 frames.
            timestep: 0 ... 999, one for all or (B,).
            image_tokens_BSC: projected CLIP image embedding, one token (zeros: unconditional).
            pose_BCTHW: pose features, `block_out_channels[0]` channels; batch B or 1.
            reference: what the reference net kept; None: plain self-attention.
            num_unconditional: the first rows of the batch do not read the reference.
            deep: keeps what the deep layers say, or stands in for them; see `engine.diffusion.fast`.

        Returns:
            (B, out_channels, T, H, W), same precision as the sample.
        """
        b, _, t, h, w = sample_BCTHW.shape
        timesteps_B = as_tensor(timestep, device=sample_BCTHW.device).expand(b)
        time_BE = self.time_embedding(self.time_proj(timesteps_B).to(sample_BCTHW.dtype))
        time_NE = time_BE.repeat_interleave(t, dim=0)
        attend = {
            "encoder_hidden_states": image_tokens_BSC.repeat_interleave(t, dim=0),
            "cross_attention_kwargs": {"reference": reference, "num_plain_rows": num_unconditional * t},
        }

        x_NCHW = self.conv_in(sample_BCTHW.transpose(1, 2).flatten(0, 1))
        if pose_BCTHW is not None:
            x_NCHW = x_NCHW + pose_BCTHW.expand(b, -1, -1, -1, -1).transpose(1, 2).flatten(0, 1)

        skips = [x_NCHW]  # the first skip is taken after the pose
        is_shallow = deep is not None and deep.reuse
        for block in self.down_blocks[:1] if is_shallow else self.down_blocks:
            x_NCHW, block_skips = block(x_NCHW, time_NE, num_frames=t, **(attend if attends(block) else {}))
            skips += block_skips

        if is_shallow:
            del skips[len(self.up_blocks[-1].resnets) :]  # type: ignore[arg-type]  # of the first block, what its downsampler made is not used
        else:
            x_NCHW = self.mid_block(x_NCHW, time_NE, num_frames=t, **attend)

        doubles = all(side % 2**self.num_upsamplers == 0 for side in (h, w))
        for block in self.up_blocks[-1:] if is_shallow else self.up_blocks:
            if deep is not None and block is self.up_blocks[-1]:
                x_NCHW = deep.features if is_shallow else x_NCHW
                deep.features = x_NCHW
            block_skips = take_skips(skips, block)
            size = None if doubles or not skips else skips[-1].shape[2:]  # odd latents: nearest to the next skip's size
            x_NCHW = block(
                x_NCHW,
                res_hidden_states_tuple=block_skips,
                temb=time_NE,
                upsample_size=size,
                num_frames=t,
                **(attend if attends(block) else {}),
            )

        x_NCHW = self.conv_out(silu(self.conv_norm_out(x_NCHW)))  # type: ignore[misc]
        return x_NCHW.unflatten(0, (b, t)).transpose(1, 2)

    def project_reference(self, features: ReferenceFeatures) -> ReferenceFeatures:
        """Compute the keys and values of a bank once per video; the weights must not change afterwards."""
        blocks: dict[str, Any] = {name: self.get_submodule(f"{name}.attn1") for name in features.bank}
        return project_features(features, blocks)


def take_skips(skips: list[Tensor], block: Any) -> tuple[Tensor, ...]:
    """Take what an up block will read off the end of the list: one skip for each of its resnets."""
    taken = skips[-len(block.resnets) :]
    del skips[-len(block.resnets) :]
    return tuple(taken)


def attends(block: object) -> bool:
    """Whether a block of a diffusers UNet has spatial transformers."""
    return getattr(block, "has_cross_attention", False)


def _processor(name: str) -> ReaderAttention | ImageTokenAttention:
    block, attention = name.rsplit(".", 1)
    return ReaderAttention(block) if attention == "attn1" else ImageTokenAttention()
