"""The reference net: SD 1.5's UNet run once over the reference picture, for what its self-attentions see."""

# Shapes: V videos, C channels, H W latent size, S image tokens, E time embedding, L = H*W positions.

from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, as_tensor, nn

from engine.diffusion.attention import Bank, ImageTokenAttention, WriterAttention
from engine.diffusion.unet import attends, take_skips

__all__ = ["ModelMixin", "ReferenceNet"]  # diffusers looks for ModelMixin beside a class that it loads by name


class ReferenceNet(UNet2DConditionModel):
    """A UNet without an output layer: what is wanted of it is its bank."""

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        cross_attention_dim: int = 768,
        norm_num_groups: int = 32,
        num_attention_heads: int = 8,
        layers_per_block: int = 2,
    ) -> None:
        levels = len(block_out_channels)
        bare_init = UNet2DConditionModel.__init__.__wrapped__  # undecorated: the config holds our own arguments only
        bare_init(
            self,
            in_channels=in_channels,
            down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            cross_attention_dim=cross_attention_dim,
            norm_num_groups=norm_num_groups,
            attention_head_dim=num_attention_heads,  # SD 1.5's configuration calls the number of heads so
        )
        self.conv_norm_out = None
        self.conv_out = nn.Identity()
        self.set_attn_processor(
            {name: _processor(name.removesuffix(".processor")) for name in self.attn_processors}  # type: ignore[arg-type]
        )

    def forward(
        self, latents_VCHW: Tensor, image_tokens_VSC: Tensor, timestep: Tensor | int = 0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Look at the reference pictures.

        Args:
            latents_VCHW: (V, 4, H, W) latents of the pictures, without noise.
            image_tokens_VSC: projected CLIP image embedding, one token each.
            timestep: 0 in the releases.

        Returns:
            The features of the last block, (V, C, H, W), and the bank: block to (V, L, C), not rounded.
        """
        timesteps_V = as_tensor(timestep, device=latents_VCHW.device).expand(len(latents_VCHW))
        time_VE = self.time_embedding(self.time_proj(timesteps_V).to(latents_VCHW.dtype))
        bank = Bank()
        attend = {"encoder_hidden_states": image_tokens_VSC, "cross_attention_kwargs": {"bank": bank}}

        x_VCHW = self.conv_in(latents_VCHW)
        skips = [x_VCHW]
        for block in self.down_blocks:
            x_VCHW, block_skips = block(x_VCHW, time_VE, **(attend if attends(block) else {}))
            skips += block_skips

        x_VCHW = self.mid_block(x_VCHW, time_VE, **attend)

        doubles = all(side % 2**self.num_upsamplers == 0 for side in latents_VCHW.shape[2:])
        for block in self.up_blocks:
            block_skips = take_skips(skips, block)
            size = None if doubles or not skips else skips[-1].shape[2:]  # odd latents: nearest to the next skip's size
            x_VCHW = block(
                x_VCHW,
                res_hidden_states_tuple=block_skips,
                temb=time_VE,
                upsample_size=size,
                **(attend if attends(block) else {}),
            )
        return x_VCHW, dict(bank)


def _processor(name: str) -> WriterAttention | ImageTokenAttention:
    block, attention = name.rsplit(".", 1)
    return WriterAttention(block) if attention == "attn1" else ImageTokenAttention()
