"""Pictures to look at before a file is edited: joints on their cutout, a mask on its frames."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import PictureJoints

_GROUND = (240, 238, 232)
_LEFT, _RIGHT, _MIDDLE, _FREE = (32, 110, 220), (214, 88, 20), (90, 90, 96), (140, 40, 160)
"""RGB of the character's left, right and middle, and of parts of its own."""
_SIDE_PX = 1400
"""Longer side of the picture of joints."""
_MASK = (255, 40, 120)
_CELL_PX = 320


def draw_joints(cutout: NDArray, joints: PictureJoints) -> NDArray:
    """Draw a skeleton with the names of its joints over the character.

    Args:
        cutout: (h, w, 4) uint8 straight RGBA.
        joints: in pixels of the cutout.

    Returns:
        (H, W, 3) uint8 RGB, the cutout enlarged (or made smaller) to be read.
    """
    scale = _SIDE_PX / max(cutout.shape[:2])
    size = max(1, round(cutout.shape[1] * scale)), max(1, round(cutout.shape[0] * scale))
    big = cv2.resize(cutout, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC).astype(np.float32)
    alpha = 0.6 * big[..., 3:] / 255  # paler than the lines on it
    canvas = np.ascontiguousarray((big[..., :3] * alpha + np.array(_GROUND) * (1 - alpha)).astype(np.uint8))
    places = np.round(joints.xy_px * scale).astype(int).tolist()
    for child, parent in enumerate(joints.parents):
        if parent >= 0:
            cv2.line(canvas, places[parent], places[child], _color(joints, child), 3, cv2.LINE_AA)
    for joint, place in enumerate(places):
        cv2.circle(canvas, place, 8, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        hollow = joints.names[joint] in joints.hidden
        cv2.circle(canvas, place, 6, _color(joints, joint), 2 if hollow else cv2.FILLED, cv2.LINE_AA)
    for joint, place in enumerate(places):
        _label(canvas, joints.names[joint], place)
    return canvas


def draw_mask_sheet(frames: Sequence[tuple[int, NDArray, NDArray]], columns: int = 4) -> NDArray:
    """Draw frames with the outline of their mask, and their numbers.

    Args:
        frames: number, (H, W, 3) uint8 RGB and (H, W) uint8 mask of each; at least one.
        columns: pictures in a row.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    cells = []
    for number, rgb, mask in frames:
        scale = _CELL_PX / rgb.shape[1]
        size = _CELL_PX, max(1, round(rgb.shape[0] * scale))
        cell = np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
        small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        lines, _ = cv2.findContours((small > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cell[small <= 127] = (0.55 * cell[small <= 127]).astype(np.uint8)
        cv2.drawContours(cell, lines, -1, _MASK, 1, cv2.LINE_AA)
        _label(cell, str(number), (0, 26))
        cells.append(cell)
    columns = min(columns, len(cells))
    cells += [np.full_like(cells[0], 24)] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[at : at + columns]) for at in range(0, len(cells), columns)])


def _color(joints: PictureJoints, joint: int) -> tuple[int, int, int]:
    name = joints.names[joint]
    if joints.drivers[joint] != name:
        return _FREE
    return _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE


def _label(canvas: NDArray, text: str, place: Sequence[int]) -> None:
    """Small words beside a place, kept inside the picture."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    x = int(np.clip(place[0] + 10, 0, max(0, canvas.shape[1] - width - 4)))
    y = int(np.clip(place[1] - 8, height + 4, canvas.shape[0] - below - 2))
    cv2.rectangle(canvas, (x - 3, y - height - 3), (x + width + 3, y + below), (255, 255, 255), cv2.FILLED)
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 24), 1, cv2.LINE_AA)
