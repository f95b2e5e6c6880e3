"""Frames of layers that take little room in memory: most of them is nothing, and most of the rest of a mask is all."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


class PackedMask:
    """One mask, as a bit for each pixel around what there is, and the levels of the pixels between nothing and all."""

    def __init__(self, mask: NDArray) -> None:
        """Pack a mask, (H, W) uint8."""
        self._size = mask.shape
        x, y, width, height = cv2.boundingRect(mask)
        self._part = slice(y, y + height), slice(x, x + width)
        there = mask[self._part].ravel()
        self._full = np.packbits(there == 255)
        self._between = np.flatnonzero((there > 0) & (there < 255)).astype(np.int32)
        self._levels = there[self._between]
        self.nbytes = self._full.nbytes + self._between.nbytes + self._levels.nbytes

    def unpack(self) -> NDArray:
        """The mask, an array of its own."""
        mask = np.zeros(self._size, np.uint8)
        part = mask[self._part]
        there = np.unpackbits(self._full, count=part.size)
        there *= 255
        there[self._between] = self._levels
        part[:] = there.reshape(part.shape)
        return mask


class PackedPicture:
    """One picture with alpha, as the part of it that holds something."""

    def __init__(self, rgba: NDArray) -> None:
        """Pack a picture, (H, W, 4) uint8."""
        self._size = rgba.shape
        x, y, width, height = cv2.boundingRect(rgba.reshape(rgba.shape[0], -1))
        self._part = slice(y, y + height), slice(x // 4, -(-(x + width) // 4))
        self._pixels = rgba[self._part].copy()
        self.nbytes = self._pixels.nbytes

    def unpack(self) -> NDArray:
        """The picture, an array of its own."""
        rgba = np.zeros(self._size, np.uint8)
        rgba[self._part] = self._pixels
        return rgba


PACKED = {"gray8": PackedMask, "rgba": PackedPicture}
"""By kind of layer."""


def layer_name(path: Path, kind: str, *, ours: bool = True) -> tuple[int | str | bool, ...]:
    """The name of a layer on the shelf: it stays the same where its file is moved, and no other file has it."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, kind, ours
