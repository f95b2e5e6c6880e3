"""Overlays: what is laid over a clip, in the clip's own planes, with an alpha plane of full size.

A picture of the scene that goes between the clip's samples loses nothing in the clip's own format, and no conversion to
RGB and back stands between it and the result. In 8-bit 4:2:0 it is also half the work to write and to read.
"""

import os
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo
from engine.video.color import PlaneLayout, block_mean, code_values, plane_layout
from engine.video.layer_source import open_layer

Overlay = list[NDArray]
"""Straight colour planes in a clip's working format, and alpha (H, W) uint8 behind them."""


def overlay_kind(info: ClipInfo) -> str:
    """The kind of layer an overlay of a clip is kept as: "yuva420p" and its like, "rgba" for all other formats."""
    layout = plane_layout(info.pix_fmt)
    assert layout is not None, info.pix_fmt
    return info.pix_fmt.replace("yuv", "yuva") if layout.family == "yuv" and layout.bits == 8 else "rgba"


def read_overlays(
    path: str | os.PathLike[str], info: ClipInfo, *, ours: bool, start: int = 0, stop: int | None = None
) -> Iterator[Overlay]:
    """Yield the overlays of a layer: one that mimo wrote for this clip as it is, any other through RGBA.

    Args:
        path: the layer, see `open_layer`.
        info: of the clip it is laid over.
        ours: mimo wrote it for a clip with this `info`.
        start: first frame.
        stop: frame past the last; None is the end.

    Raises:
        InputError: as `open_layer`.
    """
    kind = overlay_kind(info) if ours else "rgba"
    layer = open_layer(path, kind=kind, ours=ours, num_frames=info.num_frames, size=info.size)
    for frame in layer.read(start, stop):
        yield frame if isinstance(frame, list) else to_overlay(frame, info)


def pick_overlays(
    path: str | os.PathLike[str], info: ClipInfo, frames: Iterable[int], *, ours: bool
) -> Iterator[Overlay]:
    """Yield the overlays of single frames; the other arguments are those of `read_overlays`."""
    layer = open_layer(path, kind=overlay_kind(info) if ours else "rgba", ours=ours, size=info.size)
    for idx in frames:
        frame = next(iter(layer.read(idx, idx + 1)))
        yield frame if isinstance(frame, list) else to_overlay(frame, info)


def to_overlay(rgba: NDArray, info: ClipInfo) -> Overlay:
    """Turn a straight RGBA picture into an overlay.

    Args:
        rgba: (H, W, 4) uint8.
        info: gives pixel format, matrix and range.

    Returns:
        The planes in `info.pix_fmt`, black where nothing is shown; a sample of chroma is the mean of the pixels that
        share it, each as much as it is shown. Behind them alpha, (H, W) uint8.
    """
    layout = plane_layout(info.pix_fmt)
    assert layout is not None, info.pix_fmt
    matrix, offset = code_values(info)
    affine = np.concatenate([matrix, offset[:, None]], axis=1)
    alpha = cv2.extractChannel(rgba, 3)
    planes = [np.full(size, level, layout.dtype) for size, level in zip(layout.plane_sizes(alpha.shape), offset)]
    x, y, width, height = cv2.boundingRect(alpha)
    if width == 0:
        return [*planes, alpha]
    left, top = x // layout.sub_x, y // layout.sub_y  # whole samples of chroma
    x0, y0 = left * layout.sub_x, top * layout.sub_y
    window = slice(y0, y + height + (y + height) % layout.sub_y), slice(x0, x + width + (x + width) % layout.sub_x)
    there = alpha[window]
    rgb = cv2.cvtColor(rgba[window], cv2.COLOR_RGBA2RGB)
    rgb = cv2.bitwise_and(rgb, rgb, mask=there)  # what is not shown has no colour
    small = layout.sub_x * layout.sub_y > 1
    full = _levels(rgb, affine[:1] if small else affine, layout)
    for plane, values in zip(planes, full):
        plane[window] = values
    if small:
        weight = there.astype(np.float32)
        shown = block_mean(cv2.multiply(rgb, cv2.merge([weight] * 3), dtype=cv2.CV_32F), layout)
        mean = cv2.divide(shown, cv2.merge([np.maximum(block_mean(weight, layout), np.float32(1e-6))] * 3))
        block = slice(top, top + mean.shape[0]), slice(left, left + mean.shape[1])
        for plane, values in zip(planes[1:], _levels(mean, affine[1:], layout)):
            plane[block] = values
    return [*planes, alpha]


def _levels(rgb: NDArray, affine: NDArray, layout: PlaneLayout) -> list[NDArray]:
    """Code values (h, w) of RGB, one array per row of the affine map."""
    values = cv2.transform(rgb.astype(np.float32), affine)
    planes = [values] if values.ndim == 2 else cv2.split(values)
    nothing = np.zeros(1)  # adding rounds and saturates
    return [cv2.add(plane, nothing, dtype=cv2.CV_8U if layout.bits == 8 else cv2.CV_16U) for plane in planes]
