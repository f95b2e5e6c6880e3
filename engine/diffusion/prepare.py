"""Pictures on their way into the network: the reference on white, crops padded to squares, pixels for VAE and CLIP."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.diffusion.clips import round_up
from engine.types import Size

WHITE, BLACK = 255, 0
MARGIN_Y = 0.05  # of the figure's height, above and below the reference
CLIP_SIDE_PX = 224
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def prepare_reference(rgba: NDArray) -> NDArray:
    """Put the reference figure on white, in a square around it.

    Args:
        rgba: (H, W, 4) uint8 straight alpha; alpha 0 where the figure is not.

    Returns:
        (S, S, 3) uint8, S a multiple of 16.
    """
    alpha = rgba[..., 3:] / 255
    rgb = (rgba[..., :3] * alpha + WHITE * (1 - alpha)).astype(np.uint8)
    ys, xs = np.nonzero(rgba[..., 3])
    grow = int(MARGIN_Y * (ys.max() + 1 - ys.min()))
    rows = slice(max(ys.min() - grow, 0), min(ys.max() + 1 + grow, len(rgb)))
    return pad_square(rgb[rows, xs.min() : xs.max() + 1], WHITE)


def pad_square(rgb: NDArray, level: int) -> NDArray:
    """Centre a picture in a square of one grey level.

    Args:
        rgb: (H, W, 3) uint8.
        level: 0 ... 255 around it.

    Returns:
        (S, S, 3) uint8, S the longer side rounded up to a multiple of 16; an odd pixel goes to the bottom or right.
    """
    side = round_up(max(rgb.shape[:2]))
    top, left = square_offset(rgb.shape[:2])
    padded = np.full((side, side, 3), level, np.uint8)
    padded[top : top + rgb.shape[0], left : left + rgb.shape[1]] = rgb
    return padded


def square_offset(size: Size) -> tuple[int, int]:
    """(top, left) of a picture of that size in its padded square, pixels."""
    side = round_up(max(size))
    return (side - size[0]) // 2, (side - size[1]) // 2


def vae_pixels(rgb: NDArray, size: Size) -> NDArray:
    """Resize a picture for the VAE (Lanczos).

    Args:
        rgb: (H, W, 3) uint8.
        size: (height, width) wanted.

    Returns:
        (3, height, width) float32, -1 ... 1.
    """
    return 2 * pose_pixels(rgb, size) - 1


def pose_pixels(rgb: NDArray, size: Size) -> NDArray:
    """Resize a pose frame for the pose guider (Lanczos): (3, height, width) float32, 0 ... 1; see `vae_pixels`."""
    resized = np.asarray(Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling.LANCZOS))
    return resized.transpose(2, 0, 1).astype(np.float32) / 255


def clip_pixels(rgb: NDArray, side: int = CLIP_SIDE_PX) -> NDArray:
    """Resize a square picture for the CLIP image encoder (bicubic) and normalise it.

    Args:
        rgb: (H, W, 3) uint8; what is not square is squeezed.
        side: pixels of the encoder's picture.

    Returns:
        (3, side, side) float32, CLIP's mean 0 and deviation 1.
    """
    resized = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
    rgb_01 = resized.astype(np.float32) / 255
    return ((rgb_01 - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1)
