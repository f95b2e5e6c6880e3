"""Back into the frame, as the published code does it: the crop's border fades, occluder on top, overlaps are mixed.

`engine/compositor.py` composes the project's own results; this is the published way, for comparison and for templates.
"""

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.diffusion.clips import OVERLAP, Box, ClipPart, crop_box, round_up
from engine.diffusion.prepare import square_offset
from engine.types import Size


def mask_mode(box: Box, size: Size) -> str:
    """Name the blend mask of a crop by the borders of the picture that it touches.

    Args:
        box: the crop.
        size: (height, width) of the picture.

    Returns:
        "inner" where it touches none, else as the published masks are called: "left", "right_down", "up_down_left" ...
    """
    x0, x1, y0, y1 = box
    touched = {"left": x0 <= 0, "right": x1 >= size[1], "up": y0 <= 0, "down": y1 >= size[0]}
    along = touched["up"] and touched["down"]
    order = ("up", "down", "left", "right") if along else ("left", "right", "up", "down")
    names = [name for name in order if touched[name]]
    return "_".join(names) or "inner"


def composite(
    parts: Sequence[ClipPart],
    generated: Iterator[NDArray],
    masks: Mapping[str, NDArray],
    scene_rgb: Sequence[NDArray],
    *,
    source_rgb: Sequence[NDArray] | None = None,
    occlusion: Sequence[NDArray] | None = None,
) -> list[NDArray]:
    """Put generated crops back into the frames of a clip.

    Args:
        parts: as the clip was split.
        generated: for each part's frames in order, (S, S, 3) float32, 0 ... 1.
        masks: `mask_mode` to a grey (h, w) uint8 picture, 255 where the generated pixel shows.
        scene_rgb: (H, W, 3) uint8 per frame, without the person.
        source_rgb: (H, W, 3) uint8 per frame, for the occluder; with `occlusion`.
        occlusion: (H, W) uint8 per frame, 255 where the source is in front.

    Returns:
        (H, W, 3) uint8 per frame.
    """
    size = scene_rgb[0].shape[:2]
    results: dict[int, NDArray] = {}
    for part in parts:
        box = crop_box(part, size)
        blend = _frame_mask(masks[mask_mode(box, size)], box, size)
        for place, frame_idx in enumerate(part.frames):
            frame = _placed(next(generated), box, size) * blend + scene_rgb[frame_idx] * (1 - blend)
            if occlusion is not None and source_rgb is not None:
                front = (occlusion[frame_idx] / 255)[..., None]
                frame = frame * (1 - front) + source_rgb[frame_idx] * front
            if frame_idx in results:
                share = (place + 1) / (OVERLAP + 1)
                frame = results[frame_idx] * (1 - share) + frame * share
            results[frame_idx] = frame.astype(np.uint8)
    return [results[frame_idx] for frame_idx in sorted(results)]


def _placed(generated: NDArray, box: Box, size: Size) -> NDArray:
    """The generated square, cut and resized to its box in an otherwise black frame: (H, W, 3) uint8."""
    x0, x1, y0, y1 = box
    crop_size = (y1 - y0, x1 - x0)
    side = round_up(max(crop_size))
    top, left = square_offset(crop_size)
    rgb = (generated * 255).astype(np.uint8)
    square = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
    frame = np.zeros((*size, 3), np.uint8)
    frame[y0:y1, x0:x1] = square[top : top + crop_size[0], left : left + crop_size[1]]
    return frame


def _frame_mask(grey: NDArray, box: Box, size: Size) -> NDArray:
    """(H, W, 1) float32: single precision, or truncation takes a level off where the published code does not."""
    x0, x1, y0, y1 = box
    mask = np.zeros((*size, 1), np.float32)
    mask_01 = grey.astype(np.float32) / 255
    mask[y0:y1, x0:x1, 0] = cv2.resize(mask_01, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return mask
