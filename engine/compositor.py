"""Composing: scene, shadow, character and occlusion into a frame of the source, in the source's own planes."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo, Patch, Size
from engine.video.color import PlaneLayout, block_mean, code_values, plane_layout

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1, pixels."""

_STRIP = 64
"""Rows worked on at once: what they take stays in cache, and each has its own left and right edge."""
_REST = np.array([1 - level / 255 for level in range(256)], np.float32)
_SHARE = 1 - _REST
"""What a layer of 0 ... 255 leaves of what is below it, and what it takes: 1 and 0 exactly where it is nothing."""


class SourceFrame(Protocol):
    """What is needed of a frame of the source: see `engine.video.Frame`."""

    @property
    def planes(self) -> list[NDArray]:
        """The planes in the clip's working format."""
        ...


def compose(
    frame: SourceFrame,
    *,
    scene: list[NDArray] | None,
    patch: Patch | None,
    occlusion: NDArray | None,
    info: ClipInfo,
) -> tuple[list[NDArray], int]:
    """Put the layers of one frame together, from back to front.

    The source's samples; over them the scene without the person; its light taken by the shadow; over that the
    character; and the source's own samples again wherever something passes in front. Blending happens on code values
    (gamma-encoded, as in video editors). Only the surroundings of the edit are worked on: outside them, and wherever
    nothing covers the source, the samples are the source's own, exactly.

    Args:
        frame: the source's planes in `info.pix_fmt`; they are not written to.
        scene: of `engine.video.overlay`: straight planes in `info.pix_fmt`, then alpha (H, W) uint8, 0 where the
            source already shows the scene.
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
    result, num_changed = list(frame.planes), 0
    for box in _edited_boxes(scene, patch, info, layout):
        mixed = _mix(scene, patch, occlusion, box)
        num_changed += _blend(frame.planes, scene, mixed, box, info, result)
    return result, num_changed


def edited_region(scene: list[NDArray] | None, patch: Patch | None, size: Size) -> NDArray:
    """(H, W) uint8, above 0 where scene, shadow or character is; not to be written to: it may be the scene's alpha."""
    edited = np.zeros(size, np.uint8) if scene is None else scene[-1]
    if patch is None:
        return edited
    edited = edited.copy() if scene is not None else edited
    height, width = patch.shadow.shape
    here = edited[patch.y0 : patch.y0 + height, patch.x0 : patch.x0 + width]
    here[:] = cv2.max(cv2.max(cv2.extractChannel(patch.rgba, 3), patch.shadow), here)
    return edited


def _edited_boxes(scene: list[NDArray] | None, patch: Patch | None, info: ClipInfo, layout: PlaneLayout) -> list[Box]:
    """Strips of the frame that together hold all that may change, whole chroma samples each."""
    edited = edited_region(scene, patch, info.size)
    _, top, _, height = cv2.boundingRect(edited)
    top -= top % layout.sub_y
    boxes = []
    for y0 in range(top, top + height, _STRIP):
        x, y, width, height_here = cv2.boundingRect(edited[y0 : y0 + _STRIP])
        if width:
            x0, y0_here, x1, y1 = x - x % layout.sub_x, y0 + y - y % layout.sub_y, x + width, y0 + y + height_here
            x1, y1 = min(x1 + x1 % layout.sub_x, info.width), min(y1 + y1 % layout.sub_y, info.height)
            boxes.append((x0, y0_here, x1, y1))
    return boxes


@dataclass(frozen=True)
class _Layers:
    """All layers of a box as one: result = source_share * source + scene_share * scene + color, above black."""

    source_share: NDArray
    """(h, w) float32, 0 ... 1."""
    scene_share: NDArray | None
    """(h, w) float32, 0 ... 1; None where the scene shows nothing."""
    color: NDArray | None
    """(h, w, 4) float32, 0 ... 255: the character's RGB; the fourth channel means nothing. None where there is none."""


def _mix(scene: list[NDArray] | None, patch: Patch | None, occlusion: NDArray | None, box: Box) -> _Layers:
    """Work out what each layer has in the pixels of a box."""
    x0, y0, x1, y1 = box
    here = np.s_[y0:y1, x0:x1]
    source_share, color = np.ones((y1 - y0, x1 - x0), np.float32), None
    if patch is not None:
        color = _lay_patch(source_share, patch, box)
    scene_share = None
    if scene is not None and cv2.countNonZero(scene[-1][here]):
        scene_share = cv2.multiply(source_share, cv2.LUT(scene[-1][here], _SHARE))
        cv2.subtract(source_share, scene_share, dst=source_share)
    if occlusion is not None and cv2.countNonZero(occlusion[here]):
        behind = cv2.LUT(occlusion[here], _REST)
        cv2.multiply(source_share, behind, dst=source_share)
        cv2.add(source_share, cv2.LUT(occlusion[here], _SHARE), dst=source_share)
        if scene_share is not None:
            cv2.multiply(scene_share, behind, dst=scene_share)
        if color is not None:
            cv2.multiply(color, cv2.merge([behind] * 4), dst=color)
    return _Layers(source_share, scene_share, color)


def _lay_patch(light: NDArray, patch: Patch, box: Box) -> NDArray | None:
    """Take from the light (h, w) of a box what shadow and character keep from it; return the character's colour."""
    x0, y0, x1, y1 = box
    height, width = patch.shadow.shape
    left, top = max(patch.x0, x0), max(patch.y0, y0)
    right, bottom = min(patch.x0 + width, x1), min(patch.y0 + height, y1)
    if right <= left or bottom <= top:
        return None  # a patch beside what the scene changes
    inside = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
    there = np.s_[top - patch.y0 : bottom - patch.y0, left - patch.x0 : right - patch.x0]
    light[inside] = cv2.LUT(patch.shadow[there], _REST)
    alpha = cv2.extractChannel(patch.rgba[there], 3)
    if not cv2.countNonZero(alpha):
        return None
    light[inside] *= cv2.LUT(alpha, _REST)
    color = np.zeros((*light.shape, 4), np.float32)
    color[inside] = patch.rgba[there]
    return color


def _blend(
    source: list[NDArray], scene: list[NDArray] | None, mixed: _Layers, box: Box, info: ClipInfo, result: list[NDArray]
) -> int:
    """Write the blended samples of a box into the result, planes of its own where they change; count those pixels."""
    layout = plane_layout(info.pix_fmt)
    assert layout is not None, info.pix_fmt
    matrix, offset = code_values(info)
    x0, y0, x1, y1 = box
    small = layout.sub_x * layout.sub_y > 1
    changed = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for idx, plane in enumerate(source):
        step_x, step_y = (layout.sub_x, layout.sub_y) if small and idx else (1, 1)
        if small and idx == 1:
            mixed = _shrink(mixed, layout)
        window = np.s_[y0 // step_y : -(-y1 // step_y), x0 // step_x : -(-x1 // step_x)]
        below = None if scene is None else scene[idx][window]
        blended = _blend_plane(plane[window], below, mixed, matrix[idx], offset[idx : idx + 1], layout.bits)
        differs = cv2.compare(blended, plane[window], cv2.CMP_NE)
        if not cv2.countNonZero(differs):
            continue
        if result[idx] is plane:
            result[idx] = plane.copy()
        result[idx][window] = blended
        if step_x * step_y > 1:
            differs = differs.repeat(step_y, 0).repeat(step_x, 1)[: y1 - y0, : x1 - x0]
        cv2.bitwise_or(changed, differs, dst=changed)
    return cv2.countNonZero(changed)


def _shrink(mixed: _Layers, layout: PlaneLayout) -> _Layers:
    """The mean over the pixels that share a chroma sample."""
    below, color = (None if part is None else block_mean(part, layout) for part in (mixed.scene_share, mixed.color))
    return _Layers(block_mean(mixed.source_share, layout), below, color)


def _blend_plane(
    source: NDArray, scene: NDArray | None, mixed: _Layers, weights: NDArray, offset: NDArray, bits: int
) -> NDArray:
    """The samples of one plane of a box; `weights` (3,) make its code values, less `offset` (1,), of RGB."""
    total = cv2.subtract(source, offset, dtype=cv2.CV_32F)
    cv2.multiply(total, mixed.source_share, dst=total)
    if scene is not None and mixed.scene_share is not None:
        below = cv2.subtract(scene, offset, dtype=cv2.CV_32F)
        cv2.add(total, cv2.multiply(below, mixed.scene_share, dst=below), dst=total)
    if mixed.color is not None:
        cv2.add(total, cv2.transform(mixed.color, np.append(weights, 0.0)[None]), dst=total)
    if bits == 8:
        return cv2.add(total, offset, dtype=cv2.CV_8U)
    return np.minimum(cv2.add(total, offset, dtype=cv2.CV_16U), np.uint16((1 << bits) - 1))
