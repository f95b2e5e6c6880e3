"""One mosaic of a plate: what it is, how a frame sees it, and how it lies on disk."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.warp import warp_picture
from engine.types import Size

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1, pixels."""
UNKNOWN, INPAINTED, BORROWED, SEEN = 0, 64, 128, 255
"""Where a plate's pixel comes from."""
_UNTIL_FILLED = ("hardly", "needed")


@dataclass(frozen=True, kw_only=True)
class PlateWindow:
    """One mosaic."""

    start: int
    stop: int
    """Frames it serves."""
    anchor: int
    """The frame whose pixels it is counted in."""
    x0: int
    y0: int
    """Top-left corner of the mosaic in the anchor frame, pixels; may be negative."""
    size: Size
    """(height, width), pixels; (0, 0) where no person is in the window."""
    noise: float = 1.0
    """Standard deviation of one frame's grain, levels of 0 ... 255."""
    doubted: bool = False
    """Whether it shows ground in the person's shadow that may be lit in other windows."""
    rgb: NDArray | None = None
    """(h, w, 3) uint8."""
    state: NDArray | None = None
    """(h, w) uint8: UNKNOWN, INPAINTED, BORROWED or SEEN."""
    hardly: NDArray | None = None
    """(h, w) uint8, 255 where it shows what too few frames did to be sure; kept until the window is filled."""
    needed: NDArray | None = None
    """(h, w) uint8, bits: where the person hides the place, and where others stand; kept until the window is filled."""


def warp_window(
    window: PlateWindow, frame_to_anchor: NDArray, box: Box, kernel: int = cv2.INTER_LANCZOS4
) -> tuple[NDArray, NDArray]:
    """Show one mosaic in the box of a frame; see `Plate.render`."""
    x0, y0, x1, y1 = box
    height, width = y1 - y0, x1 - x0
    if window.rgb is None or window.state is None:
        return np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    to_mosaic = np.array([[1, 0, -window.x0], [0, 1, -window.y0], [0, 0, 1.0]]) @ frame_to_anchor
    to_mosaic = to_mosaic @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1.0]])
    return warp_picture(window.rgb, window.state, to_mosaic, (height, width), kernel)


def write_window(folder: Path, window: PlateWindow) -> None:
    """Write a window into an empty folder."""
    head = {name: getattr(window, name) for name in ("start", "stop", "anchor", "x0", "y0", "size", "noise", "doubted")}
    (folder / "window.json").write_text(json.dumps(head))
    if window.rgb is not None and window.state is not None:
        np.save(folder / "rgb.npy", window.rgb)
        np.save(folder / "state.npy", window.state)
    for name in _UNTIL_FILLED:
        if getattr(window, name) is not None:
            np.save(folder / f"{name}.npy", getattr(window, name))


def read_head(folder: Path) -> PlateWindow:
    """Read a window without its pictures."""
    head = json.loads((folder / "window.json").read_text())
    return PlateWindow(**{**head, "size": tuple(head["size"])})


def read_window(folder: Path) -> PlateWindow:
    """Read a window."""
    window = read_head(folder)
    if window.size == (0, 0):
        return window
    names = ("rgb", "state", *(name for name in _UNTIL_FILLED if (folder / f"{name}.npy").exists()))
    return replace(window, **{name: np.load(folder / f"{name}.npy") for name in names})
