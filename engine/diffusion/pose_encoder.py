"""The paper's motion code: learned codes on the body's vertices, drawn where the body is, encoded over space and time.

MIMO (arXiv 2409.16160), section 3.2. The published checkpoints have the pose guider instead; this is what is trained.
"""

# Shapes: V vertices, F faces, D channels of a code, B batch, T frames, C channels, H W picture size in, an eighth out.

from itertools import pairwise

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, einsum, nn, randn
from torch.nn.functional import embedding, pad, silu

__all__ = ["ModelMixin", "PoseEncoder", "VertexCodes"]  # diffusers looks for ModelMixin beside a class it loads by name

KERNEL = (3, 4, 4)  # frames, height, width; the paper gives 4x4 and says 3D, a frame to either side is our reading
STRIDE = (1, 2, 2)


class VertexCodes(ModelMixin, ConfigMixin):
    """One learned code per vertex, the same for all clips and all people."""

    @register_to_config
    def __init__(self, num_vertices: int, code_channels: int = 16) -> None:
        super().__init__()
        self.codes = nn.Parameter(0.02 * randn(num_vertices, code_channels))

    def forward(self, faces_F3: Tensor, face_idx_BTHW: Tensor, bary_BTHW3: Tensor) -> Tensor:
        """Interpolate the codes over the faces that the pixels see.

        Args:
            faces_F3: int, vertices of each face.
            face_idx_BTHW: int, the face a pixel sees, -1: none.
            bary_BTHW3: its weights at the pixel, perspective-correct, summing to 1; differentiable where they are.

        Returns:
            (B, D, T, H, W) feature map, 0 where there is no body.
        """
        corners_BTHW3 = faces_F3[face_idx_BTHW.clamp(min=0)]
        # not `codes[corners]`, whose gradient several threads add up in whatever order they come
        corners_BTHW3D = embedding(corners_BTHW3, self.codes)
        drawn_BDTHW = einsum("bthwk,bthwkd->bdthw", bary_BTHW3.to(self.codes.dtype), corners_BTHW3D)
        return drawn_BDTHW * (face_idx_BTHW >= 0)[:, None]


class PoseEncoder(ModelMixin, ConfigMixin):
    """Four 3D convolutions of 16, 32, 64 and 128 channels with 4x4 kernels, and a projection that starts at zero.

    Four strides of 2 would give a sixteenth of the picture, the latent is an eighth: the first convolution keeps the
    size, the other three halve it.
    """

    @register_to_config
    def __init__(
        self, code_channels: int = 16, out_channels: int = 320, channels: tuple[int, ...] = (16, 32, 64, 128)
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv3d(code_channels, channels[0], KERNEL)
        self.blocks = nn.ModuleList(
            nn.Conv3d(narrow, wide, KERNEL, stride=STRIDE, padding=1) for narrow, wide in pairwise(channels)
        )
        self.conv_out = nn.Conv3d(channels[-1], out_channels, 1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, codes_BDTHW: Tensor) -> Tensor:
        """Encode drawn codes: (B, D, T, 8h, 8w) to (B, out_channels, T, h, w), to be added after `conv_in`."""
        x_BCTHW = silu(self.conv_in(pad(codes_BDTHW, (1, 2, 1, 2, 1, 1))))  # an even kernel: one more right and below
        for convolution in self.blocks:
            x_BCTHW = silu(convolution(x_BCTHW))
        return self.conv_out(x_BCTHW)
