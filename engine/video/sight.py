"""A frame of which only parts are turned into RGB: most stages look at the surroundings of a person alone."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo, Size
from engine.video.color import plane_layout, planes_to_rgb


class Sight:
    """A frame that gives its parts as an (H, W, 3) uint8 RGB array would: `sight[y0:y1, x0:x1]`, `sight[y0:y1]`."""

    def __init__(self, planes: list[NDArray], info: ClipInfo) -> None:
        """Look at the planes of a frame in `info.pix_fmt`."""
        self._planes, self._info = planes, info
        self.shape = (info.height, info.width, 3)

    def __getitem__(self, window: slice | tuple[slice, slice]) -> NDArray:
        """(h, w, 3) uint8, the same as in the whole frame; steps are not known."""
        rows, columns = window if isinstance(window, tuple) else (window, slice(None))
        layout = plane_layout(self._info.pix_fmt)
        assert layout is not None, self._info.pix_fmt
        (y0, y1, _), (x0, x1, _) = rows.indices(self.shape[0]), columns.indices(self.shape[1])
        top, left = y0 - y0 % layout.sub_y, x0 - x0 % layout.sub_x  # whole samples of chroma
        parts = [self._planes[0][top:y1, left:x1]]
        for plane in self._planes[1:]:
            down, across = (layout.sub_y, layout.sub_x) if layout.family == "yuv" else (1, 1)
            parts.append(plane[top // down : -(-y1 // down), left // across : -(-x1 // across)])
        return planes_to_rgb(parts, self._info)[y0 - top :, x0 - left :]

    def shrunk(self, size: Size) -> NDArray:
        """The whole frame as a picture of `size`, (h, w, 3) uint8 RGB: every plane is averaged by itself."""
        small = [cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA) for plane in self._planes]
        whole = self._info.pix_fmt.replace("yuv420p", "yuv444p").replace("yuv422p", "yuv444p")
        info = replace(self._info, height=size[0], width=size[1], pix_fmt=whole)
        return planes_to_rgb([np.asarray(plane) for plane in small], info)
