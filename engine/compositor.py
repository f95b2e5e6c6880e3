"""Composing: scene, shadow, character and occlusion into a frame of the source, in the source's own planes."""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo, Patch
from engine.video.color import PlaneLayout, block_mean, code_values, plane_layout

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1, pixels."""


class SourceFrame(Protocol):
    """What is needed of a frame of the source: see `engine.video.Frame`."""

    @property
    def planes(self) -> list[NDArray]:
        """The planes in the clip's working format."""
        ...


def compose(
    frame: SourceFrame,
    *,
    scene_rgba: NDArray | None,
    patch: Patch | None,
    occlusion: NDArray | None,
    info: ClipInfo,
) -> tuple[list[NDArray], int]:
    """Put the layers of one frame together, from back to front.

    The source's pixels; over them the scene without the person; its light taken by the shadow; over that the
    character; and the source's own pixels again wherever something passes in front. Blending happens on code values
    (gamma-encoded, as in video editors). Only the bounding box of the edit is worked on: outside it, and wherever
    nothing covers the source, the samples are the source's own, exactly.

    Args:
        frame: the source's planes in `info.pix_fmt`; they are not written to.
        scene_rgba: (H, W, 4) uint8 straight RGBA, alpha 0 where the source already shows the scene.
        patch: the rendered character, premultiplied, and its shadow.
        occlusion: (H, W) uint8, 255 where the source is in front of the character.
        info: size, pixel format, matrix and range of the clip.

    Returns:
        The planes of the result (the source's own arrays where a plane did not change), and the number of pixels
        whose value differs from the source's in any plane.

    Source: Porter & Duff 1984, "over" on premultiplied colour.
    """
    layout = plane_layout(info.pix_fmt)
    assert layout is not None, info.pix_fmt
    box = _edited_box(scene_rgba, patch, info, layout)
    if box is None:
        return list(frame.planes), 0
    keep, color = _blend_layers(scene_rgba, patch, occlusion, box)
    return _apply(frame.planes, keep, color, box, info, layout)


def _edited_box(scene_rgba: NDArray | None, patch: Patch | None, info: ClipInfo, layout: PlaneLayout) -> Box | None:
    """The smallest box around all that may change, grown to whole chroma samples; None when nothing does."""
    boxes = []
    if scene_rgba is not None:
        x, y, w, h = cv2.boundingRect(cv2.extractChannel(scene_rgba, 3))
        boxes.append((x, y, x + w, y + h))
    if patch is not None:
        drawn = cv2.max(cv2.extractChannel(patch.rgba, 3), patch.shadow)
        x, y, w, h = cv2.boundingRect(drawn)
        boxes.append((patch.x0 + x, patch.y0 + y, patch.x0 + x + w, patch.y0 + y + h))
    boxes = [b for b in boxes if b[2] > b[0] and b[3] > b[1]]
    if not boxes:
        return None
    x0, y0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
    x1, y1 = max(b[2] for b in boxes), max(b[3] for b in boxes)
    x0, y0 = x0 - x0 % layout.sub_x, y0 - y0 % layout.sub_y
    x1, y1 = min(x1 + -x1 % layout.sub_x, info.width), min(y1 + -y1 % layout.sub_y, info.height)
    return x0, y0, x1, y1


def _blend_layers(
    scene_rgba: NDArray | None, patch: Patch | None, occlusion: NDArray | None, box: Box
) -> tuple[NDArray, NDArray]:
    """All layers as one: `result = keep * source + color`, on RGB above black.

    Returns:
        keep (h, w) float32, 0 ... 1, and color (h, w, 3) float32, 0 ... 255, for the pixels of the box.
    """
    x0, y0, x1, y1 = box
    if scene_rgba is None:
        keep = np.ones((y1 - y0, x1 - x0), np.float32)
        color = np.zeros((y1 - y0, x1 - x0, 3), np.float32)
    else:
        scene = scene_rgba[y0:y1, x0:x1]
        alpha = scene[..., 3].astype(np.float32) * np.float32(1 / 255)
        keep = 1 - alpha
        color = cv2.multiply(cv2.cvtColor(scene, cv2.COLOR_RGBA2RGB), cv2.merge([alpha] * 3), dtype=cv2.CV_32F)
    if patch is not None:
        _blend_patch(keep, color, patch, box)
    if occlusion is not None:
        front = occlusion[y0:y1, x0:x1]
        if front.any():
            behind = (255 - front).astype(np.float32) * np.float32(1 / 255)
            keep = 1 - behind * (1 - keep)
            color *= behind[..., None]
    return keep, color


def _blend_patch(keep: NDArray, color: NDArray, patch: Patch, box: Box) -> None:
    """Darken by the shadow, then lay the character over: in place, on the part of the box the patch covers."""
    x0, y0, x1, y1 = box
    height, width = patch.shadow.shape
    left, top = max(patch.x0, x0), max(patch.y0, y0)
    right, bottom = min(patch.x0 + width, x1), min(patch.y0 + height, y1)
    if right <= left or bottom <= top:
        return  # an empty patch beside what the scene changes
    here = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
    there = (slice(top - patch.y0, bottom - patch.y0), slice(left - patch.x0, right - patch.x0))
    rgba = np.ascontiguousarray(patch.rgba[there])
    lit = (255 - patch.shadow[there]).astype(np.float32) * (255 - rgba[..., 3]) * np.float32(1 / 255**2)
    keep[here] *= lit
    under = cv2.multiply(color[here], cv2.merge([lit] * 3))
    color[here] = cv2.add(under, cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), dtype=cv2.CV_32F)


def _apply(
    planes: list[NDArray], keep: NDArray, color: NDArray, box: Box, info: ClipInfo, layout: PlaneLayout
) -> tuple[list[NDArray], int]:
    """Blend into copies of the planes; count the pixels that changed."""
    matrix, offset = code_values(info)
    x0, y0, x1, y1 = box
    top = (1 << layout.bits) - 1
    small = layout.sub_x * layout.sub_y > 1
    chroma_keep, chroma_color = (block_mean(keep, layout), block_mean(color, layout)) if small else (keep, color)
    full = cv2.transform(color, matrix[:1] if small else matrix)
    parts = [full] if full.ndim == 2 else list(cv2.split(full))
    if small:
        parts += cv2.split(cv2.transform(chroma_color, matrix[1:]))
    result, changed = [], np.zeros(keep.shape, bool)
    for idx, (plane, part) in enumerate(zip(planes, parts, strict=True)):
        is_chroma = small and idx > 0
        step_x, step_y = (layout.sub_x, layout.sub_y) if is_chroma else (1, 1)
        rows, columns = slice(y0 // step_y, -(-y1 // step_y)), slice(x0 // step_x, -(-x1 // step_x))
        source = plane[rows, columns]
        blended = (source.astype(np.float32) - offset[idx]) * (chroma_keep if is_chroma else keep) + part
        blended = np.clip(np.rint(blended + offset[idx]), 0, top).astype(plane.dtype)
        differs = blended != source
        if not differs.any():
            result.append(plane)
            continue
        if is_chroma:
            differs = differs.repeat(step_y, 0).repeat(step_x, 1)[: keep.shape[0], : keep.shape[1]]
        changed |= differs
        new = plane.copy()
        new[rows, columns] = blended
        result.append(new)
    return result, int(np.count_nonzero(changed))
