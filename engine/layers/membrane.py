"""Smooth fields from scattered values: what a soap film between the known pixels would be."""

import cv2
import numpy as np
from numpy.typing import NDArray


def extrapolate(values: NDArray, weights: NDArray) -> NDArray:
    """Continue values smoothly to where their weight is 0.

    Args:
        values: (H, W) or (H, W, C) float32.
        weights: (H, W) float32 >= 0: how much each value counts.

    Returns:
        Like `values`, float32; zeros where nothing at all is known. Values of full weight are kept as they are.

    Source: the pull-push pyramid of Gortler et al. 1996 (Lumigraph).
    """
    flat = values.ndim == 2
    values = values[..., None] if flat else values
    pulled = [(values * weights[..., None], weights)]
    while min(pulled[-1][1].shape) > 2:
        value, weight = pulled[-1]
        pulled.append((_as_3d(cv2.pyrDown(value)), cv2.pyrDown(weight)))
    value, weight = pulled[-1]
    total = weight.sum()
    mean = value.sum((0, 1)) / total if total > 1e-6 else np.zeros(value.shape[2], np.float32)
    field = np.broadcast_to(mean.astype(np.float32), value.shape)
    for value, weight in reversed(pulled):
        up = _as_3d(cv2.resize(np.ascontiguousarray(field), value.shape[1::-1], interpolation=cv2.INTER_LINEAR))
        # Where a level knows less than a full pixel's weight, the coarser level makes up the rest.
        rest = np.maximum(0.0, 1.0 - np.minimum(weight, 1.0))[..., None]
        gain = 1.0 / np.maximum(weight[..., None], 1.0)
        field = value * gain + up * rest
    return field[..., 0] if flat else field


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
    step = max(1, int(seen.sum()) // 4000)
    gain = find_gain(plate[seen][::step], frame[seen][::step])
    value = cv2.subtract(frame, apply_exposure(plate, gain, 0.0), dtype=cv2.CV_32F)
    # Things that pass (other people, a ball) are no exposure: what lies far from the typical difference does not count.
    sample = value[seen][::step]
    middle = np.median(sample, axis=0)
    spread = float(np.median(np.abs(sample - middle), axis=0).max())
    away = cv2.absdiff(value, np.broadcast_to(middle, value.shape).astype(np.float32))
    far = cv2.max(cv2.max(away[..., 0], away[..., 1]), away[..., 2]) / (6.0 + 4.0 * spread)
    weight = np.where(seen, np.clip(1.5 - far, 0, 1), 0).astype(np.float32)
    return gain, extrapolate(value, 0.02 * weight)


def find_gain(plate: NDArray, frame: NDArray) -> NDArray:
    """Typical ratio of two lists of colours, (N, 3) uint8 each; (3,) float32, exactly 1 within one per cent."""
    usable = ((plate > 16) & (plate < 245) & (frame < 250)).all(1)
    if usable.sum() < 32:
        return np.ones(3, np.float32)
    gain = np.median(frame[usable] / plate[usable].astype(np.float32), axis=0).astype(np.float32)
    return np.where(np.abs(gain - 1).max() < 0.01, np.float32(1), np.clip(gain, 0.25, 4)).astype(np.float32)


def apply_exposure(plate: NDArray, gain: NDArray, lift: NDArray | float) -> NDArray:
    """(h, w, 3) float32: the plate times a gain per channel, plus the lift."""
    return amplify(plate, gain, cv2.CV_32F) + lift


def amplify(picture: NDArray, gain: NDArray, depth: int) -> NDArray:
    """Multiply (h, w, 3) by a gain per channel, (3,) float; `depth` is OpenCV's number type of the result."""
    return cv2.multiply(picture, (*gain.tolist(), 1.0), dtype=depth)  # type: ignore[call-overload]


def above(picture: NDArray, level: int) -> NDArray:
    """(h, w) uint8: 255 where a picture of one channel exceeds a level, else 0."""
    return cv2.compare(picture, level, cv2.CMP_GT)  # type: ignore[call-overload]


def shrink(picture: NDArray, step: int) -> NDArray:
    """Average a picture or mask over squares of `step` pixels."""
    size = (max(2, round(picture.shape[1] / step)), max(2, round(picture.shape[0] / step)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def enlarge(picture: NDArray, size: tuple[int, ...]) -> NDArray:
    """Undo `shrink`, smoothly; size is (height, width)."""
    return cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def _as_3d(picture: NDArray) -> NDArray:
    return picture if picture.ndim == 3 else picture[..., None]
