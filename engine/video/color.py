"""Colour: between RGB and the planes of the working pixel formats.

Working formats are planar: yuv420p, yuv422p, yuv444p, gbrp and gray, in 8 bits or (little endian) 9 to 16. A frame is a
list of contiguous arrays, uint8 for 8 bits and uint16 for more: [Y, U, V], [G, B, R] or [gray].
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo, Size

LUMA_WEIGHTS: dict[str, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "rgb": (0.299, 0.114),
}
"""(Kr, Kb) of each matrix (ITU-R BT.601, BT.709, BT.2020); "rgb" only serves gray pictures."""

_PIX_FMT = re.compile(r"(yuv420p|yuv422p|yuv444p|gbrp|gray)(?:(9|10|12|14|16)le)?")


@dataclass(frozen=True)
class PlaneLayout:
    """How a planar pixel format stores a picture."""

    family: str
    """"yuv", "rgb" (stored G, B, R) or "gray"."""
    bits: int
    """Bits per sample, 8 to 16."""
    sub_x: int
    sub_y: int
    """How many luma columns and rows share one chroma sample: 1 or 2."""

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """numpy type of one sample."""
        return np.uint8 if self.bits == 8 else np.uint16

    def plane_sizes(self, size: Size) -> list[Size]:
        """(height, width) of each plane of a picture of `size`."""
        height, width = size
        if self.family == "gray":
            return [size]
        chroma = (-(-height // self.sub_y), -(-width // self.sub_x))
        return [size, chroma, chroma]


@lru_cache
def plane_layout(pix_fmt: str) -> PlaneLayout | None:
    """The layout of a working pixel format, or None where `pix_fmt` is not one."""
    match = _PIX_FMT.fullmatch(pix_fmt)
    if match is None:
        return None
    name, bits = match[1], int(match[2] or 8)
    if name == "gray":
        return PlaneLayout("gray", bits, 1, 1)
    if name == "gbrp":
        return PlaneLayout("rgb", bits, 1, 1)
    return PlaneLayout("yuv", bits, 1 if name == "yuv444p" else 2, 2 if name == "yuv420p" else 1)


def code_values(info: ClipInfo) -> tuple[NDArray, NDArray]:
    """What turns 8-bit RGB into the code values of a clip's planes: `planes = matrix @ rgb + offset`.

    Returns:
        matrix (P, 3) and offset (P,), float64, for the P planes in stored order; black maps to `offset`. Not to be
        written to.

    Source: ITU-R BT.601/709/2020 (non-constant luminance), ITU-T H.273 for the ranges.
    """
    return _code_values(info.pix_fmt, info.color_space, info.color_range)


@lru_cache
def _code_values(pix_fmt: str, color_space: str, color_range: str) -> tuple[NDArray, NDArray]:
    layout = plane_layout(pix_fmt)
    assert layout is not None, f"{pix_fmt} is not a working pixel format"
    top, step = (1 << layout.bits) - 1, 1 << (layout.bits - 8)
    if layout.family == "rgb":
        return np.eye(3)[[1, 2, 0]] * (top / 255), np.zeros(3)
    kr, kb = LUMA_WEIGHTS[color_space]
    luma = np.array([kr, 1 - kr - kb, kb])
    full = color_range == "pc"
    luma_gain = (top if full else 219 * step) / 255
    chroma_gain = (top if full else 224 * step) / 255
    luma_offset = 0 if full else 16 * step
    if layout.family == "gray":
        return luma[None] * luma_gain, np.array([luma_offset], np.float64)
    blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb))
    red = (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
    matrix = np.stack([luma * luma_gain, blue * chroma_gain, red * chroma_gain])
    return matrix, np.array([luma_offset, 128 * step, 128 * step], np.float64)


@lru_cache
def _rgb_values(pix_fmt: str, color_space: str, color_range: str) -> NDArray:
    """(3, 4) float64: what turns code values of YUV, and one, into 8-bit RGB."""
    forward, offset = _code_values(pix_fmt, color_space, color_range)
    inverse = np.linalg.inv(forward)
    return np.concatenate([inverse, -(inverse @ offset)[:, None]], axis=1)


def planes_to_rgb(planes: list[NDArray], info: ClipInfo) -> NDArray:
    """Turn the planes of a frame into RGB.

    Args:
        planes: arrays in `info.pix_fmt`, as the module says.
        info: gives pixel format, matrix and range.

    Returns:
        (H, W, 3) uint8 RGB, within one level of the exact value. A chroma sample holds for all the luma samples that
        share it.
    """
    layout = _layout(info)
    height, width = planes[0].shape
    if layout.family == "rgb":
        return to_8_bits(cv2.merge([planes[2], planes[0], planes[1]]), layout.bits)
    if layout.family == "gray":
        _, offset = code_values(info)
        gain = ((1 << layout.bits) - 1) if info.color_range == "pc" else 219 << (layout.bits - 8)
        levels = np.arange(1 << layout.bits, dtype=np.float64)
        lut = np.rint(np.clip((levels - offset[0]) * 255 / gain, 0, 255)).astype(np.uint8)
        return cv2.merge([lut[planes[0]]] * 3)
    chroma = [_repeat(plane, layout)[:height, :width] for plane in planes[1:]]
    affine = _rgb_values(info.pix_fmt, info.color_space, info.color_range)
    yuv = cv2.merge([planes[0], *chroma])
    if layout.bits == 8:
        return cv2.transform(yuv, affine)
    return cv2.convertScaleAbs(cv2.transform(yuv, affine * 257), alpha=1 / 257)  # 16-bit steps: 255 * 257 = 65535


def _repeat(chroma: NDArray, layout: PlaneLayout) -> NDArray:
    """A plane of chroma with every sample as often as luma has it: two of them are one number of twice the width."""
    if layout.sub_x == 2:
        wide = np.uint16 if layout.bits == 8 else np.uint32
        pairs = chroma.astype(wide)
        pairs *= wide(257 if layout.bits == 8 else 65537)
        chroma = pairs.view(layout.dtype)
    return chroma.repeat(layout.sub_y, axis=0) if layout.sub_y == 2 else chroma


def rgb_to_planes(rgb: NDArray, info: ClipInfo) -> list[NDArray]:
    """Turn RGB into the planes of a clip's working format.

    Args:
        rgb: (H, W, 3) uint8.
        info: gives pixel format, matrix and range; the picture may have any size.

    Returns:
        The planes in `info.pix_fmt`; chroma is the mean of the pixels that share a sample.
    """
    layout = _layout(info)
    matrix, offset = code_values(info)
    affine = np.concatenate([matrix, offset[:, None]], axis=1)
    source = rgb if layout.bits == 8 else rgb.astype(np.uint16)
    if layout.sub_x * layout.sub_y == 1:
        planes = cv2.transform(source, affine)
        return [planes] if planes.ndim == 2 else [np.ascontiguousarray(p) for p in cv2.split(planes)]
    luma = cv2.transform(source, affine[:1])
    mean_rgb = block_mean(rgb.astype(np.float32), layout)
    chroma = np.rint(cv2.transform(mean_rgb, affine[1:])).astype(layout.dtype)
    return [luma, *(np.ascontiguousarray(p) for p in cv2.split(chroma))]


def block_mean(values: NDArray, layout: PlaneLayout) -> NDArray:
    """Mean of the pixels that share a chroma sample: (H, W, ...) float32 to the chroma plane's size.

    At an odd right or bottom edge the mean is over the pixels that exist.
    """
    if layout.sub_x * layout.sub_y == 1:
        return values
    height, width = values.shape[:2]
    pad_y, pad_x = -height % layout.sub_y, -width % layout.sub_x
    if pad_y or pad_x:
        values = cv2.copyMakeBorder(values, 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE)
    out_size = (values.shape[1] // layout.sub_x, values.shape[0] // layout.sub_y)
    return cv2.resize(values, out_size, interpolation=cv2.INTER_AREA)


def to_8_bits(values: NDArray, bits: int) -> NDArray:
    """Full-range samples of `bits` bits to uint8, rounded."""
    if bits == 8:
        return values
    return cv2.convertScaleAbs(values, alpha=255 / ((1 << bits) - 1))


def _layout(info: ClipInfo) -> PlaneLayout:
    layout = plane_layout(info.pix_fmt)
    assert layout is not None, f"{info.pix_fmt} is not a working pixel format"
    return layout
