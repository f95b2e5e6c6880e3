"""What stands behind an animation: a colour, a picture, a video that loops, or a light studio."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import UsageError
from engine.types import Size

HORIZON = 0.62
"""Where the floor of the studio meets its wall, share of the height."""


class Backdrop:
    """Frames of the size of the animation, by time.

    Args:
        source: a picture or a video; None for a colour or the studio.
        color: a colour as Pillow knows it ("skyblue", "#87ceeb"); wins over `source` when it is not empty.
        size: (height, width), pixels.
    """

    def __init__(self, source: Path | None, color: str, size: Size) -> None:
        self._size = size
        self._clip = None
        if color:
            self._still = np.broadcast_to(np.array(parse_color(color), np.uint8), (*size, 3)).copy()
        elif source is None:
            self._still = _studio(size)
        else:
            from engine.video import open_clip

            self._clip = open_clip(source)
            self._still = _cover(next(iter(self._clip.read(0, 1))), size)

    def read(self, time_s: NDArray) -> Iterator[NDArray]:
        """Yield (H, W, 3) uint8 RGB for each time; a video shorter than that starts again."""
        if self._clip is None or self._clip.num_frames == 1:
            for _ in time_s:
                yield self._still
            return
        times = self._clip.times
        length_s = float(times.time_s[-1] - times.time_s[0] + times.duration_s[-1])
        asked = np.mod(time_s, length_s) + times.time_s[0] + 1e-6
        wanted = np.searchsorted(times.time_s, asked, side="right") - 1
        reader, shown, frame = None, -1, self._still
        for idx in np.maximum(wanted, 0).tolist():
            if reader is None or idx < shown:
                reader, shown = self._clip.read(idx), idx - 1
            while shown < idx:
                frame, shown = next(reader), shown + 1
            yield _cover(frame, self._size)


def parse_color(text: str) -> tuple[int, int, int]:
    """Return the RGB of a colour name or code.

    Raises:
        UsageError: it is no colour.
    """
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise UsageError(
            f'"{text}" is no colour and no file.', fix='use e.g. "skyblue", "#87ceeb" or a picture.'
        ) from error


def _cover(rgb: NDArray, size: Size) -> NDArray:
    """Scale and crop to fill the frame."""
    import cv2

    height, width = size
    scale = max(height / rgb.shape[0], width / rgb.shape[1])
    scaled = (max(width, round(rgb.shape[1] * scale)), max(height, round(rgb.shape[0] * scale)))
    if scaled != (rgb.shape[1], rgb.shape[0]):
        rgb = cv2.resize(rgb, scaled, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    y, x = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return np.ascontiguousarray(rgb[y : y + height, x : x + width])


def _studio(size: Size) -> NDArray:
    """A wall that gets lighter towards a floor: nothing to look at, everything to stand on."""
    height, width = size
    y = (np.arange(height) + 0.5)[:, None] / height
    x = (np.arange(width) + 0.5)[None] / width - 0.5
    wall = 208 + 22 * np.clip(y / HORIZON, 0, 1)
    floor = 232 - 26 * np.clip((y - HORIZON) / (1 - HORIZON), 0, 1)
    blend = np.clip((y - HORIZON) / 0.06 + 0.5, 0, 1)
    level = wall * (1 - blend) + floor * blend - 34 * x**2
    return np.clip(level[..., None] * np.array([0.985, 0.99, 1.0]), 0, 255).round().astype(np.uint8)
