"""The paper's network as one module to train: identity, motion and scene codes in, a prediction out."""

# Shapes: B clips, T frames, C channels, H W latent size, D channels of a drawn code; body maps are
#         8H x 8W.

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

from engine.body.model import load_body
from engine.diffusion.attention import ReferenceFeatures
from engine.diffusion.motion_module import MotionModule
from engine.diffusion.pose_encoder import PoseEncoder, VertexCodes
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.unet import DenoisingUNet
from engine.training.batch import MAP_PER_LATENT, Batch
from engine.training.codec import Codec
from engine.training.recipe import ModelRecipe


class Composer(nn.Module):
    """Everything that learns, one attribute per box of the paper's figure."""

    def __init__(self, recipe: ModelRecipe, codec: Codec, *, image_encoder: nn.Module | None = None) -> None:
        """Make the network with fresh weights, drawn from torch's global generator.

        Args:
            recipe: sizes and codes.
            codec: of the latents.
            image_encoder: a CLIP vision model; None makes a small one to be trained.
        """
        super().__init__()
        channels, count = codec.channels, 1 + recipe.scene + recipe.occlusion
        sizes = {
            "block_out_channels": recipe.block_out_channels,
            "cross_attention_dim": recipe.cross_attention_dim,
            "norm_num_groups": recipe.norm_num_groups,
            "num_attention_heads": recipe.num_attention_heads,
            "layers_per_block": recipe.layers_per_block,
        }
        is_codes = recipe.motion == "codes"
        self.codes = VertexCodes(len(load_body().vertices), recipe.code_channels) if is_codes else None
        if self.codes is not None:
            self.codes.codes.data = first_codes(load_body().vertices, recipe.code_channels)
        self.pose_encoder = PoseEncoder(recipe.code_channels if is_codes else 3, recipe.block_out_channels[0])
        for convolution in (self.pose_encoder.conv_in, *self.pose_encoder.blocks):
            assert isinstance(convolution, nn.Conv3d)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # else four layers leave a fiftieth
        self.reference_net = ReferenceNet(in_channels=channels, **sizes)
        self.denoising_unet = DenoisingUNet(in_channels=channels * count, out_channels=channels, **sizes)
        self.image_encoder = image_encoder or small_image_encoder(recipe.cross_attention_dim)
        for module in self.denoising_unet.modules():
            if isinstance(module, MotionModule):
                nn.init.zeros_(module.proj_out.weight)  # AnimateDiff: at first every frame stands for itself
                nn.init.zeros_(module.proj_out.bias)
        faces = torch.as_tensor(load_body().faces.astype(np.int64))
        self.register_buffer("faces_F3", faces, persistent=False)

    def forward(self, noisy_BCTHW: Tensor, timesteps_B: Tensor, batch: Batch) -> Tensor:
        """Predict v, or the noise: (B, C, T, H, W)."""
        tokens_BSC, reference = self.identity(batch)
        pose_BCTHW = self.motion(batch)
        sample_BCTHW = noisy_BCTHW if batch.codes_BCTHW is None else torch.cat([noisy_BCTHW, batch.codes_BCTHW], 1)
        return self.denoising_unet(sample_BCTHW, timesteps_B, tokens_BSC, pose_BCTHW, reference, batch.num_dropped)

    def identity(self, batch: Batch) -> tuple[Tensor, ReferenceFeatures | None]:
        """The global and the local identity code; those of dropped samples are zeros and nothing.

        Every weight gets a gradient in every step: processes that share weights out wait for each other's.
        """
        m = batch.num_dropped
        tokens_BSC = self.image_encoder(batch.picture_BCHW).image_embeds[:, None]
        tokens_BSC = torch.cat([torch.zeros_like(tokens_BSC[:m]), tokens_BSC[m:]])
        if m < len(tokens_BSC):
            _, bank = self.reference_net(batch.reference_BCHW[m:], tokens_BSC[m:])
            return tokens_BSC, ReferenceFeatures(bank)
        _, bank = self.reference_net(batch.reference_BCHW[:1], tokens_BSC[:1])  # for nothing but a gradient of zero
        nothing = torch.stack([0 * x_VLC.sum() for x_VLC in bank.values()]).sum()
        return tokens_BSC + nothing, None

    def motion(self, batch: Batch) -> Tensor:
        """The motion code: (B, channels of the first block, T, H, W)."""
        drawn_BDTHW = batch.skeleton_BCTHW if self.codes is None else self._draw(self.codes, batch)
        assert drawn_BDTHW is not None
        with torch.autocast("cpu", enabled=False):  # oneDNN's bfloat16 Conv3d gives weights a NaN gradient now and then
            return self.pose_encoder(drawn_BDTHW)

    def _draw(self, codes: VertexCodes, batch: Batch) -> Tensor:
        """The learned codes where the body is seen: (B, D, T, 8H, 8W)."""
        assert batch.pixel_P is not None and batch.face_P is not None and batch.bary_P3 is not None
        b, _, t, h, w = batch.target_BCTHW.shape
        shape_BTHW = (b, t, MAP_PER_LATENT * h, MAP_PER_LATENT * w)
        seen = batch.pixel_P, batch.face_P, batch.bary_P3
        return codes.draw(cast(Tensor, self.faces_F3), *seen, shape_BTHW)

    def parts(self) -> Iterator[tuple[str, str, nn.Parameter]]:
        """Every parameter with its name and the part of `recipe.PARTS` it belongs to."""
        for name, parameter in self.named_parameters():
            part = "motion_modules" if ".motion_modules." in name else name.split(".")[0]
            yield part, name, parameter


def first_codes(vertices_V3: NDArray, channels: int) -> Tensor:
    """What the vertex codes start from: 1, the place in the rest pose, and its sines and cosines, octave by octave.

    Random codes would be as unlike on two vertices of a finger as on a finger and a toe, which takes long to unlearn.

    Args:
        vertices_V3: (V, 3) metres, rest pose.
        channels: of a code; the first so many are taken.

    Returns:
        (V, channels) float32, -1 ... 1.
    """
    low, high = vertices_V3.min(0), vertices_V3.max(0)
    place = 2 * (vertices_V3 - low) / (high - low) - 1
    columns, octave = [np.ones((len(place), 1)), place], 1
    while sum(column.shape[1] for column in columns) < channels:
        columns += [np.sin(np.pi * octave * place), np.cos(np.pi * octave * place)]
        octave *= 2
    return torch.as_tensor(np.concatenate(columns, axis=1)[:, :channels].astype(np.float32))


def small_image_encoder(width: int) -> CLIPVisionModelWithProjection:
    """A CLIP vision model of two layers that is trained with the rest, where none is downloaded."""
    config = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=64,
        patch_size=16,
        projection_dim=width,
    )
    return CLIPVisionModelWithProjection(config)
