"""What there is of a mask: the part around the person, which is kept and put back into the frame."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import Size


@dataclass(frozen=True)
class Piece:
    """A part of a mask; the rest is empty."""

    x0: int
    y0: int
    mask: NDArray
    """(h, w) uint8."""


def trim(mask: NDArray, x0: int, y0: int) -> Piece:
    """Cut a mask (h, w) uint8, whose left and top edge are given, to what there is in it."""
    x, y, width, height = cv2.boundingRect(mask)
    return Piece(x0 + x, y0 + y, mask[y : y + height, x : x + width])


def as_arrays(pieces: Mapping[int, Piece]) -> dict[str, NDArray]:
    """The pieces of some frames, by number, as arrays to be saved; `from_arrays` makes them anew."""
    places = np.array([(k, piece.x0, piece.y0) for k, piece in pieces.items()], np.int64).reshape(-1, 3)
    return {"places": places} | {f"mask_{k}": piece.mask for k, piece in pieces.items()}


def from_arrays(arrays: Mapping[str, NDArray]) -> dict[int, Piece]:
    """The inverse of `as_arrays`."""
    return {k: Piece(x0, y0, arrays[f"mask_{k}"]) for k, x0, y0 in arrays["places"].tolist()}


def unfold(pieces: Mapping[int, Piece], num: int, size: Size) -> Iterator[NDArray]:
    """Yield the masks (H, W) uint8 of frames 0 ... num-1; those without a piece are empty."""
    for k in range(num):
        mask = np.zeros(size, np.uint8)
        if k in pieces:
            part = pieces[k].mask
            mask[pieces[k].y0 :, pieces[k].x0 :][: part.shape[0], : part.shape[1]] = part
        yield mask
