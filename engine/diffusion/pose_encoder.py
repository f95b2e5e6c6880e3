"""The paper's motion code: learned codes on the body's vertices, drawn where the body is, encoded over space and time.

MIMO (arXiv 2409.16160), section 3.2. The published checkpoints have the pose guider instead; this is what is trained.
"""

# Shapes: V vertices, F faces, D channels of a code, B batch, T frames, C channels, H W picture size in, an eighth out,
#         N = B*T*H*W pixels, P those of them that see the body.

from itertools import pairwise
from math import prod

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn, randn
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
        pixel_P = (face_idx_BTHW >= 0).flatten().nonzero()[:, 0]
        seen = face_idx_BTHW.flatten()[pixel_P], bary_BTHW3.flatten(0, 3)[pixel_P]
        return self.draw(faces_F3, pixel_P, *seen, tuple(face_idx_BTHW.shape))

    def draw(
        self, faces_F3: Tensor, pixel_P: Tensor, face_P: Tensor, bary_P3: Tensor, shape_BTHW: tuple[int, ...]
    ) -> Tensor:
        """Interpolate the codes at the pixels that see the body, the others stay 0; a GPU is not waited for.

        Args:
            faces_F3: int, vertices of each face.
            pixel_P: int, places in (B, T, H, W), counted through, each once.
            face_P: int, the face that is seen there.
            bary_P3: its weights.
            shape_BTHW: of the map.

        Returns:
            (B, D, T, H, W) feature map.
        """
        # not `codes[corners]`, whose gradient several threads add up in whatever order they come
        corners_P3D = embedding(faces_F3[face_P.long()], self.codes)
        codes_PD = (bary_P3.to(self.codes.dtype)[..., None] * corners_P3D).sum(1)
        drawn_ND = codes_PD.new_zeros(prod(shape_BTHW), codes_PD.shape[1]).index_copy(0, pixel_P.long(), codes_PD)
        return drawn_ND.unflatten(0, shape_BTHW).movedim(-1, 1)


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
