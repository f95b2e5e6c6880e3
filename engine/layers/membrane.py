"""Smooth fields from scattered values: what a soap film between the known pixels would be."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import Glimpse, Size


def extrapolate(values: NDArray, weights: NDArray) -> NDArray:
    """Continue values smoothly to where their weight is 0.

    Args:
        values: (H, W), or (H, W, 2) or (H, W, 3), float32.
        weights: (H, W) float32 >= 0: how much each value counts.

    Returns:
        Like `values`, float32; zeros where nothing at all is known. Values of full weight are kept as they are.

    Source: the pull-push pyramid of Gortler et al. 1996 (Lumigraph).
    """
    channels = 1 if values.ndim == 2 else values.shape[2]
    pulled = [(cv2.multiply(values, _spread(weights, channels)), weights)]
    while min(pulled[-1][1].shape) > 2:
        value, weight = pulled[-1]
        pulled.append((cv2.pyrDown(value), cv2.pyrDown(weight)))
    value, weight = pulled[-1]
    total = weight.sum()
    mean = value.sum((0, 1)) / total if total > 1e-6 else np.zeros(values.shape[2:], np.float32)
    field = np.broadcast_to(mean.astype(np.float32), value.shape)
    for value, weight in reversed(pulled):
        up = cv2.resize(np.ascontiguousarray(field), value.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        # Where a level knows less than a full pixel's weight, the coarser level makes up the rest.
        rest = cv2.multiply(up, _spread(np.maximum(0.0, 1.0 - weight), channels))
        is_less = weight.max() <= 1
        own = value if is_less else cv2.multiply(value, _spread(1.0 / np.maximum(weight, 1.0), channels))
        field = cv2.add(own, rest)
    return field


def _spread(plane: NDArray, channels: int) -> NDArray:
    """A plane (h, w) as every one of some channels."""
    return plane if channels == 1 else cv2.merge([plane] * channels)


def fit_exposure(plate: NDArray, frame: NDArray, seen: NDArray) -> tuple[NDArray, NDArray]:
    """Match the plate's colours to a frame's: a gain, and what differs beside it continued into what is hidden.

    Args:
        plate: (h, w, 3) uint8, the plate as the frame's camera sees it; shrunk (see `shrink`), as all arguments are.
        frame: (h, w, 3) uint8.
        seen: (h, w) bool: the frame shows the scene there, and the plate knows it.

    Returns:
        gain (3,) float32, exactly 1 where the exposure is the same; lift (h, w, 3) float32, RGB levels, smooth. See
        `apply_exposure`.
    """
    gain = np.ones(3, np.float32)
    if not seen.any():
        return gain, np.zeros(plate.shape, np.float32)
    at = _some(seen)
    gain = find_gain(*(np.take(each.reshape(-1, 3), at, axis=0) for each in (plate, frame)))
    # What is continued is smooth: half the size tells as much.
    size = plate.shape[:2]
    plate, frame, whole = (shrink(each, 2) for each in (plate, frame, seen.view(np.uint8) * 255))
    seen = whole == 255
    value = cv2.subtract(frame, apply_exposure(plate, gain, 0.0), dtype=cv2.CV_32F)
    # Things that pass (other people, a ball) are no exposure: what lies far from the typical difference does not count.
    sample = np.ascontiguousarray(np.take(value.reshape(-1, 3), _some(seen if seen.any() else whole > 0), axis=0).T)
    middle = np.median(sample, axis=1)
    spread = float(np.median(np.abs(sample - middle[:, None]), axis=1).max())
    away = largest_channel(cv2.absdiff(value, (*middle.tolist(), 0.0)))  # type: ignore[call-overload]
    weight = np.clip(1.5 - away * np.float32(1 / (6.0 + 4.0 * spread)), 0, 1) * seen
    return gain, enlarge(extrapolate(value, 0.02 * weight), size)


def _some(seen: NDArray) -> NDArray:
    """Indices of up to some thousands of the pixels that are True, spread evenly."""
    at = np.flatnonzero(seen)
    return at[:: max(1, len(at) // 2000)]


def find_gain(plate: NDArray, frame: NDArray) -> NDArray:
    """Typical ratio of two lists of colours, (N, 3) uint8 each; (3,) float32, exactly 1 within one per cent."""
    plate, frame = np.ascontiguousarray(plate.T), np.ascontiguousarray(frame.T)
    usable = ((plate > 16) & (plate < 245) & (frame < 250)).all(0)
    if usable.sum() < 32:
        return np.ones(3, np.float32)
    at = np.flatnonzero(usable)
    ratio = np.take(frame, at, axis=1) / np.take(plate, at, axis=1).astype(np.float32)
    gain = np.median(ratio, axis=1).astype(np.float32)
    return np.where(np.abs(gain - 1).max() < 0.01, np.float32(1), np.clip(gain, 0.25, 4)).astype(np.float32)


def apply_exposure(plate: NDArray, gain: NDArray, lift: NDArray | float) -> NDArray:
    """(h, w, 3) float32: the plate times a gain per channel, plus the lift."""
    bright = plate.astype(np.float32) if (gain == 1).all() else amplify(plate, gain, cv2.CV_32F)
    return cv2.add(bright, lift) if isinstance(lift, np.ndarray) else bright if lift == 0 else bright + lift


def amplify(picture: NDArray, gain: NDArray, depth: int) -> NDArray:
    """Multiply (h, w, 3) by a gain per channel, (3,) float; `depth` is OpenCV's number type of the result."""
    return cv2.multiply(picture, (*gain.tolist(), 1.0), dtype=depth)  # type: ignore[call-overload]


def above(picture: NDArray, level: float) -> NDArray:
    """(h, w) uint8: 255 where a picture of one channel exceeds a level, else 0."""
    return cv2.compare(picture, level, cv2.CMP_GT)  # type: ignore[call-overload]


def largest_channel(picture: NDArray) -> NDArray:
    """(h, w): the largest of three channels."""
    first, second, third = cv2.split(picture)
    return cv2.max(cv2.max(first, second), third)


def shrink(picture: NDArray, step: int) -> NDArray:
    """Average a picture or mask over squares of `step` pixels."""
    rest = picture.shape[0] % step + picture.shape[1] % step
    while step % 2 == 0 and not rest:  # two by two is faster than anything larger at once
        half = picture.shape[1] // 2, picture.shape[0] // 2
        picture, step = cv2.resize(picture, half, interpolation=cv2.INTER_AREA), step // 2
    size = (max(2, round(picture.shape[1] / step)), max(2, round(picture.shape[0] / step)))
    if rest or step == 1:
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.blur(picture, (step, step), anchor=(0, 0)), size, interpolation=cv2.INTER_NEAREST)


def shrink_to(picture: NDArray, size: Size) -> NDArray:
    """Average a picture to a smaller one of `size`, (height, width); the last step, of less than two, is linear."""
    while 2 * max(size) <= max(picture.shape) and not (picture.shape[0] % 2 or picture.shape[1] % 2):
        picture = shrink(picture, 2)
    way = cv2.INTER_LINEAR if 2 * max(size) > max(picture.shape) else cv2.INTER_AREA
    return cv2.resize(picture, size[::-1], interpolation=way)


def shrink_least(picture: NDArray, step: int) -> NDArray:
    """Take the smallest value of every square of `step` pixels, which fit into the picture."""
    least = cv2.erode(picture, np.ones((step, step), np.uint8), anchor=(0, 0))
    return cv2.resize(least, (picture.shape[1] // step, picture.shape[0] // step), interpolation=cv2.INTER_NEAREST)


def shrink_whole(frame: Glimpse, size: Size) -> NDArray:
    """A whole frame as a picture (h, w, 3) uint8 of `size`, (height, width)."""
    own = getattr(frame, "shrunk", None)
    return cv2.resize(frame[:], size[::-1], interpolation=cv2.INTER_AREA) if own is None else own(size)


def enlarge(picture: NDArray, size: tuple[int, ...]) -> NDArray:
    """Undo `shrink`, smoothly; size is (height, width)."""
    return cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
