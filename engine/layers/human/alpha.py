"""How much of a pixel at the person's edge is person: the mixture of their colour and the place's that it shows."""

import cv2
import numpy as np
from numpy.typing import NDArray

_INSIDE, _OUTSIDE = 0.008, 0.016
"""How far the edge may reach into the person and out of them (a moving hand's smear), heights of the person."""
_APART = 14.0
"""Levels of each colour that the person must differ from the place by for a mixture to say half of it."""
_OFF = 12.0
"""Levels of each colour that a pixel may be off every mixture."""
_LEAST = 0.03
"""Shares nearer to 0 or 1 are that."""
_ONES = np.ones(3, np.float32)


def mixed_alpha(
    picture: NDArray, place: NDArray, known: NDArray, guess: NDArray, hard: NDArray, small: NDArray, person: NDArray
) -> NDArray:
    """Measure the share of the person in the pixels of their edge.

    Args:
        picture: (H, W, 3) uint8 RGB.
        place: (H, W, 3) uint8 RGB: the same without the person.
        known: (H, W) bool: the place is known there.
        guess: (H, W) uint8, 0 ... 255: the share, where the colours do not tell.
        hard: (H, W) uint8, 0 or 255: the person.
        small: (h, w, 3) uint8: the picture, reduced.
        person: (h, w) uint8, 0 or 1: `hard`, reduced.

    Returns:
        (H, W) uint8, 0 ... 255; 0 or 255 away from the edge.

    Source: the matting equation with a known background (Smith and Blinn 1996); the person's colour is that of the
        nearest pixel that is surely theirs.
    """
    if not person.any():
        return np.zeros(hard.shape, np.uint8)
    scale = len(hard) / len(person)
    height = cv2.boundingRect(person)[3] * scale
    inner, outer = max(1.0, _INSIDE * height), max(2.0, _OUTSIDE * height)
    into, out = (cv2.distanceTransform(mask, cv2.DIST_L2, 3) for mask in (person, 1 - person))
    depth = cv2.resize((into - out) * scale, hard.shape[::-1])
    at = np.flatnonzero((depth < inner + scale / 2) & (depth > -outer - scale / 2))
    alpha = hard.copy()
    places = np.divmod(at, hard.shape[1])
    row, col = ((axis * (s / f)).astype(int) for axis, s, f in zip(places, person.shape, hard.shape))
    base = np.take(place.reshape(-1, 3), at, axis=0).astype(np.float32)
    apart = _own_color(small, person, into, inner / scale, row * person.shape[1] + col) - base
    seen = np.take(picture.reshape(-1, 3), at, axis=0) - base
    length = (apart * apart) @ _ONES
    share = np.clip((apart * seen) @ _ONES / np.maximum(length, 1), 0, 1)
    off = seen - share[:, None] * apart
    trust = length / (length + 3 * _APART**2) * np.exp((off * off) @ _ONES / (-6 * _OFF**2)) * known.ravel()[at]
    share = trust * share + (1 - trust) * guess.ravel()[at] / 255
    alpha.ravel()[at] = np.rint(np.clip((share - _LEAST) / (1 - 2 * _LEAST), 0, 1) * 255)
    return alpha


def _own_color(small: NDArray, person: NDArray, into: NDArray, inner: float, where: NDArray) -> NDArray:
    """(n, 3) float32: the colour of the person, continued from their inside to and over the edge, at pixels (n,)."""
    core = (into > inner).astype(np.uint8)
    if not core.any():
        core = person
    weight = cv2.GaussianBlur(core.astype(np.float32), (0, 0), 1.0)
    colour = cv2.GaussianBlur(cv2.bitwise_and(small, small, mask=core).astype(np.float32), (0, 0), 1.0)
    _, label = cv2.distanceTransformWithLabels(1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    label, at = np.asarray(label, np.int32).ravel(), np.flatnonzero(core)
    table = np.zeros((int(label.max()) + 1, 3), np.float32)
    table[label[at]] = np.take(colour.reshape(-1, 3), at, axis=0) / weight.ravel()[at][:, None]
    return np.take(table, label[where], axis=0)
