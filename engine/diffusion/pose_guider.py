"""The pose guider: a video of the driving body, pixels to features at the latent's resolution."""

# Shapes: B batch, T frames, N = B*T rows, C channels, H W picture size in, an eighth of it out.

from itertools import pairwise

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn.functional import silu

__all__ = ["ModelMixin", "PoseGuider"]  # diffusers looks for ModelMixin beside a class that it loads by name


class PoseGuider(ModelMixin, ConfigMixin):
    """Seven 3x3 convolutions with SiLU, three of them with stride 2, and a projection; frames are independent."""

    @register_to_config
    def __init__(self, out_channels: int = 320, channels: tuple[int, ...] = (16, 32, 96, 256)) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(channels):
            self.blocks.append(nn.Conv2d(narrow, narrow, 3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(channels[-1], out_channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)  # an untrained guider adds nothing
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, pixels_BCTHW: Tensor) -> Tensor:
        """Encode a pose video.

        Args:
            pixels_BCTHW: (B, 3, T, 8h, 8w) RGB, 0 ... 1.

        Returns:
            (B, out_channels, T, h, w).
        """
        b, _, t, _, _ = pixels_BCTHW.shape
        x_NCHW = silu(self.conv_in(pixels_BCTHW.transpose(1, 2).flatten(0, 1)))
        for convolution in self.blocks:
            x_NCHW = silu(convolution(x_NCHW))
        return self.conv_out(x_NCHW).unflatten(0, (b, t)).transpose(1, 2)
