"""One mosaic of a plate: what it is, how a frame sees it, and how it lies on disk."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import above
from engine.layers.scene.align import shift_at
from engine.layers.scene.detail import FINER, enlarge_mosaic
from engine.layers.scene.warp import Box, to_cv, warp_back, warp_picture
from engine.types import Size

UNKNOWN, INPAINTED, BORROWED, SEEN = 0, 64, 128, 255
"""Where a plate's pixel comes from."""
NEAR, ASIDE = 0.35, 1.0
"""How far around a person things are looked for, and how far aside of them a long shadow is, heights of the person."""
_HEAD = ("start", "stop", "anchor", "x0", "y0", "size", "noise", "doubted", "corner", "sun")
_SOMETIMES = ("shifts", "shifted", "restless", "fine", "hardly", "needed", "detail")


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
    corner: tuple[int, int] = (0, 0)
    """Top-left corner of `fine` and `detail`, pixels of the mosaic."""
    sun: float | None = None
    """Which way shadows fall, where others stand beside the person; see `find_sun`."""
    rgb: NDArray | None = None
    """(h, w, 3) uint8."""
    state: NDArray | None = None
    """(h, w) uint8: UNKNOWN, INPAINTED, BORROWED or SEEN."""
    fine: NDArray | None = None
    """(2 h', 2 w', 3) uint8, where the camera moves: the part that the person hides, twice as large and sharper."""
    shifts: NDArray | None = None
    """(S, h / 8, w / 8, 2) float16: how frames are shifted against it, where a homography does not say it all."""
    shifted: NDArray | None = None
    """(S,) int: these frames."""
    restless: NDArray | None = None
    """(h / 8, w / 8) uint8: how little frames tell about each other, see `find_restless`."""
    hardly: NDArray | None = None
    """(h, w) uint8, 255 where it shows what too few frames did to be sure; kept until the window is filled."""
    needed: NDArray | None = None
    """(h, w) uint8, bits: where the person hides the place, and where others stand; kept until the window is filled."""
    detail: NDArray | None = None
    """See `find_detail`; kept until the window is filled, and `fine` is made with it."""


def surroundings(box: NDArray, size: Size, aside: float = NEAR) -> tuple[int, int, int, int]:
    """A person's box with the room around it in which shadows and things in the hand are looked for, in the frame.

    The room is `NEAR` heights of the box above and below, `aside` heights on the left and on the right. All edges
    but the frame's own are multiples of 8: pictures of such boxes are shrunk fast.
    """
    margin = 24 + np.array([aside, NEAR]) * (box[3] - box[1])
    x0, y0 = (max(0, int(value) // 8 * 8) for value in box[:2] - margin)
    x1, y1 = (min(most, (int(value) + 7) // 8 * 8) for value, most in zip(box[2:] + margin, size[::-1]))
    return x0, y0, x1, y1


def warp_window(
    window: PlateWindow, frame_to_anchor: NDArray, box: Box, kernel: int = cv2.INTER_LANCZOS4, frame: int | None = None
) -> tuple[NDArray, NDArray]:
    """Show one mosaic in the box of a frame; see `Plate.render`."""
    x0, y0, x1, y1 = box
    height, width = y1 - y0, x1 - x0
    if window.rgb is None or window.state is None:
        return np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    to_mosaic = np.array([[1, 0, -window.x0], [0, 1, -window.y0], [0, 0, 1.0]]) @ frame_to_anchor
    to_mosaic = to_mosaic @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1.0]])
    if frame is not None and window.shifts is not None and window.shifted is not None:
        shift = shift_at(window.shifts, window.shifted, frame)
        return warp_back(window.rgb, window.state, to_mosaic, shift, (height, width))
    rgb, state = warp_picture(window.rgb, window.state, to_mosaic, (height, width), kernel)
    if frame is not None and window.fine is not None:
        rgb = _lay_fine(rgb, window.fine, window.corner, to_mosaic)
    return rgb, state


def warp_restless(window: PlateWindow, frame_to_anchor: NDArray, box: Box, size: Size) -> NDArray:
    """Show how restless a window is in the box of a frame; see `Plate.restless`."""
    assert window.restless is not None
    x0, y0, x1, y1 = box
    shift = np.array([[1, 0, -window.x0], [0, 1, -window.y0], [0, 0, 1.0]])
    scale = np.diag([window.restless.shape[1] / window.size[1], window.restless.shape[0] / window.size[0], 1.0])
    matrix = (
        scale
        @ shift
        @ frame_to_anchor
        @ np.array([[(x1 - x0) / size[1], 0, x0], [0, (y1 - y0) / size[0], y0], [0, 0, 1.0]])
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(window.restless, to_cv(matrix), size[::-1], flags=flags)


def _lay_fine(rgb: NDArray, fine: NDArray, corner: tuple[int, int], to_mosaic: NDArray) -> NDArray:
    """Lay the sharper part of a mosaic over what the mosaic shows."""
    height, width = fine.shape[0] / FINER, fine.shape[1] / FINER
    square = corner + np.array([[0, 0], [width, 0], [width, height], [0, height]])
    seen = cv2.perspectiveTransform(square[:, None], np.linalg.inv(to_mosaic))[:, 0]
    x0, y0 = (int(max(0, value)) for value in np.floor(seen.min(0)))
    x1, y1 = (int(min(most, value)) for value, most in zip(np.ceil(seen.max(0)), rgb.shape[1::-1]))
    if x0 >= x1 or y0 >= y1:
        return rgb
    to_fine = np.diag([FINER, FINER, 1.0]) @ np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1.0]])
    to_fine = to_fine @ to_mosaic @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1.0]])
    full = np.full(fine.shape[:2], 255, np.uint8)
    sharp, inside = warp_picture(fine, full, to_fine, (y1 - y0, x1 - x0), cv2.INTER_CUBIC)
    result = rgb.copy()
    cv2.copyTo(sharp, inside, result[y0:y1, x0:x1])
    return result


def sharpen(window: PlateWindow) -> PlateWindow:
    """The window, when it is filled, with its `fine` part: detail belongs to what it saw itself alone."""
    if window.detail is None or window.rgb is None or window.state is None:
        return window
    (x, y), (height, width) = window.corner, (value // FINER for value in window.detail.shape[:2])
    own = above(window.state[y : y + height, x : x + width], SEEN - 1)
    own = cv2.resize(own, window.detail.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    fine = enlarge_mosaic(window.rgb, window.detail * (own > 0)[..., None], window.corner)
    return replace(window, fine=fine, detail=None)


def write_window(folder: Path, window: PlateWindow) -> None:
    """Write a window into an empty folder."""
    head = {name: getattr(window, name) for name in _HEAD}
    (folder / "window.json").write_text(json.dumps(head))
    if window.rgb is not None and window.state is not None:
        np.save(folder / "rgb.npy", window.rgb)
        np.save(folder / "state.npy", window.state)
    for name in _SOMETIMES:
        if getattr(window, name) is not None:
            np.save(folder / f"{name}.npy", getattr(window, name))


def read_head(folder: Path) -> PlateWindow:
    """Read a window without its pictures."""
    head = json.loads((folder / "window.json").read_text())
    return PlateWindow(**{**head, "size": tuple(head["size"]), "corner": tuple(head.get("corner", (0, 0)))})


def read_window(folder: Path) -> PlateWindow:
    """Read a window."""
    window = read_head(folder)
    if window.size == (0, 0):
        return window
    names = ("rgb", "state", *(name for name in _SOMETIMES if (folder / f"{name}.npy").exists()))
    return replace(window, **{name: np.load(folder / f"{name}.npy") for name in names})
