"""What can be measured of a result without knowing the true one, frame by frame."""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.compositor import edited_region
from engine.types import ClipInfo, Patch
from engine.video.color import plane_layout

_WIDTH_PX = 160
"""Flicker is measured on pictures of this width: grain and the noise of cameras are gone, what jumps is not."""


class Measures:
    """Gathers measures of the frames of a result before it is encoded.

    `finish` gives arrays of T float32:

    - `changed`: share of the pixels that differ from the source in any plane.
    - `outside`: share of the pixels that differ though neither scene, shadow nor character is there; a sample of chroma
      counts as the pixels that share it.
    - `flicker`, `flicker_source`: mean of |a[t-1] - 2 a[t] + a[t+1]| / 2 over the edited region, levels of luma: how
      far a frame is from both its neighbours; of the result, and of the source in the same place, which moves too.
      0 in the first and the last frame.
    - `color`: (T, 3), mean RGB of the character; NaN where there is none.
    """

    def __init__(self, info: ClipInfo) -> None:
        layout = plane_layout(info.pix_fmt)
        assert layout is not None, info.pix_fmt
        self._size, self._gain = info.size, 255 / ((1 << layout.bits) - 1)
        width = min(_WIDTH_PX, info.width)
        self._small = width, max(1, round(info.height * width / info.width))
        self._rows: dict[str, list] = {"changed": [], "outside": [], "color": []}
        self._flicker: dict[str, list[float]] = {"flicker": [], "flicker_source": []}
        self._last: deque[tuple[NDArray, NDArray, NDArray | None]] = deque(maxlen=3)

    def add(
        self,
        source: list[NDArray],
        result: list[NDArray],
        *,
        scene: list[NDArray] | None,
        patch: Patch | None,
        num_changed: int,
        has_source: bool,
    ) -> NDArray:
        """Measure the next frame; the arguments are those of `LookWriter.add`.

        Returns:
            (H, W) uint8, above 0 where scene, shadow or character is.
        """
        edited = edited_region(scene, patch, self._size)
        color = [np.nan] * 3
        if patch is not None:
            *total, alpha = cv2.sumElems(patch.rgba)
            weight = alpha / 255
            if weight >= 1:
                color = [value / weight for value in total]
        self._rows["color"].append(color)
        outside = self._num_outside(source, result, edited) if has_source else 0
        self._rows["changed"].append(num_changed / edited.size if has_source else 1.0)
        self._rows["outside"].append(outside / edited.size)
        self._add_flicker(edited, result[0], source[0] if has_source else None)
        return edited

    def finish(self) -> dict[str, NDArray]:
        """Return all measures; nothing where no frame was measured."""
        num_frames = len(self._rows["changed"])
        if not num_frames:
            return {}
        series = {name: np.array(rows, np.float32) for name, rows in self._rows.items()}
        for name, values in self._flicker.items():
            if values:
                padded = [0.0, *values, 0.0][:num_frames]
                series[name] = np.array(padded, np.float32)
        return series

    def _num_outside(self, source: list[NDArray], result: list[NDArray], edited: NDArray) -> int:
        """Count pixels that differ where nothing was laid."""
        clear, num = cv2.inRange(edited, 0, 0), 0
        for before, after in zip(source, result, strict=True):
            if before is after:
                continue
            differs, untouched, share = cv2.compare(before, after, cv2.CMP_NE), clear, 1
            if differs.shape != clear.shape:  # a sample of chroma stands for several pixels: none of them is edited
                rows, columns = differs.shape
                untouched = cv2.erode(clear, np.ones((3, 3), np.uint8))
                untouched = cv2.resize(untouched, (columns, rows), interpolation=cv2.INTER_NEAREST)
                share = clear.size // differs.size
            num += share * cv2.countNonZero(cv2.bitwise_and(differs, untouched))
        return num

    def _add_flicker(self, edited: NDArray, result: NDArray, source: NDArray | None) -> None:
        there = cv2.resize(edited, self._small, interpolation=cv2.INTER_NEAREST)
        after, before = (None if plane is None else self._shrunk(plane) for plane in (result, source))
        assert after is not None
        self._last.append((there, after, before))
        if len(self._last) < 3:
            return
        (_, a0, b0), (there, a1, b1), (_, a2, b2) = self._last
        self._flicker["flicker"].append(_jump(a0, a1, a2, there))
        if b0 is not None and b1 is not None and b2 is not None:
            self._flicker["flicker_source"].append(_jump(b0, b1, b2, there))

    def _shrunk(self, plane: NDArray) -> NDArray:
        return cv2.resize(plane, self._small, interpolation=cv2.INTER_AREA).astype(np.float32) * np.float32(self._gain)


def _jump(before: NDArray, now: NDArray, after: NDArray, there: NDArray) -> float:
    inside = there > 0
    if not inside.any():
        return 0.0
    return float(np.abs(before[inside] - 2 * now[inside] + after[inside]).mean()) / 2
