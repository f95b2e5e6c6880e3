"""How much a picture differs from the place without the person, as evidence for the person's mask."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import amplify, find_gain, largest_channel

_FLOOR = 14.0
"""Levels: a smaller difference is noise, whatever the surroundings do."""
_RESTLESS = 2.0
"""A difference is one that stands out of that of the surroundings (water, leaves, a crowd) so many times."""
_GAIN, _AGAINST, _FOR = 2.0, 2.5, 5.0
"""Log odds per difference, and their limits: equal colours say little, for a body may look like its place."""
_AROUND = 0.5
"""Side of the surroundings that are asked how restless they are, heights of the person."""
_APART = 0.06
"""What is nearer to the person than this is not asked, heights of the person."""
_CLOSE = 0.01
"""What is nearer than this to what the network sees of the person may be a part of it, heights of the person."""
_BROAD, _ROUND = 0.035, 0.6
"""A ball: half of its width at least, heights of the person, and the share of the circle around it that it fills."""
_SHADE = 0.2
"""What is left of the evidence where the place is only darker: a shadow is no person."""


def match_exposure(place: NDArray, picture: NDArray, seen: NDArray) -> NDArray:
    """Give a place the exposure of a picture.

    Args:
        place: (h, w, 3) uint8 RGB.
        picture: (h, w, 3) uint8 RGB, of the same pixels.
        seen: (h, w) bool: both show the place there.

    Returns:
        (h, w, 3) uint8; the place itself where nothing changed.
    """
    at = np.flatnonzero(seen)
    at = at[:: max(1, len(at) // 4000)]
    gain = find_gain(*(np.take(each.reshape(-1, 3), at, axis=0) for each in (place, picture)))
    return place if (gain == 1).all() else amplify(place, gain, cv2.CV_8U)


def place_odds(picture: NDArray, place: NDArray, known: NDArray, person: NDArray, height: float) -> NDArray:
    """Say for every pixel how much more likely it is the person's than the place's.

    Args:
        picture: (h, w, 3) uint8 RGB.
        place: (h, w, 3) uint8 RGB: the same without the person.
        known: (h, w) bool: other frames have shown the place there.
        person: (h, w) uint8, 0 or 1: roughly the person.
        height: of the person, pixels.

    Returns:
        (h, w) float32 log odds; 0 where the place is not known.
    """
    side = (2 * round(_APART * height / 2) + 1,) * 2
    apart = ((cv2.dilate(person, np.ones(side, np.uint8)) == 0) & known).astype(np.float32)
    place = match_exposure(place, picture, apart > 0)
    away = _difference(cv2.GaussianBlur(picture, (0, 0), 0.7), cv2.GaussianBlur(place, (0, 0), 0.7))
    around = (2 * round(_AROUND * height / 2) + 1,) * 2
    restless = cv2.blur(np.minimum(away, 60) * apart, around) / np.maximum(cv2.blur(apart, around), 0.05)
    odds = np.clip(_GAIN * (away / np.maximum(_FLOOR, _RESTLESS * restless) - 1), -_AGAINST, _FOR)
    more = np.flatnonzero((odds > 0) & known)
    shade = _is_shade(*(np.take(each.reshape(-1, 3), more, axis=0) for each in (picture, place)))
    odds.ravel()[more[shade]] *= np.float32(_SHADE)
    return np.where(known, odds, 0).astype(np.float32)


def without_strangers(belief: NDArray, network: NDArray, before: NDArray) -> NDArray:
    """Take out of a belief what differs from the place but is no person: a ball beside them or at their foot.

    Args:
        belief: (h, w) float32 log odds of being the person's.
        network: (h, w) float32 log odds by the network alone, which knows what people look like.
        before: (h, w) float32 log odds of the last frame, moved along: a hand that comes apart stays theirs.

    Returns:
        (h, w) float32: negative where what is believed is round and broad, or apart, and not the person to the network.
    """
    body = (network > 0).astype(np.uint8)
    unit = cv2.boundingRect(body)[3] or 1
    away = ((belief > 0) & (cv2.distanceTransform(1 - body, cv2.DIST_L2, 3) > _CLOSE * unit)).astype(np.uint8)
    side = 2 * max(1, round(_BROAD * unit)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    strange = np.zeros_like(away)
    x, y, width, height = cv2.boundingRect(away)
    part = slice(max(0, y - side), y + height + side), slice(max(0, x - side), x + width + side)
    broad = cv2.morphologyEx(away[part], cv2.MORPH_OPEN, disc)
    offset = part[1].start, part[0].start
    for outline in cv2.findContours(broad, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=offset)[0]:
        radius = cv2.minEnclosingCircle(outline)[1]
        if cv2.contourArea(outline) > _ROUND * np.pi * radius**2:
            cv2.drawContours(strange, [outline], -1, 1, cv2.FILLED)
    belief = np.where(cv2.dilate(strange, np.ones((5, 5), np.uint8)) > 0, np.minimum(belief, -1), belief)
    count, labels = cv2.connectedComponents((belief > 0).astype(np.uint8))
    area = np.bincount(labels.ravel(), minlength=count)
    seen = np.bincount(labels.ravel(), (np.maximum(network, before) > 0).ravel(), minlength=count)
    known = np.take(seen >= 0.1 * area, np.asarray(labels, np.int32))
    return np.where(known | (belief <= 0), belief, -1).astype(np.float32)


def _difference(picture: NDArray, place: NDArray) -> NDArray:
    """(h, w) float32 levels: from the most alike of a pixel and its four neighbours, as no alignment is perfect."""
    height, width = picture.shape[:2]
    wide = cv2.copyMakeBorder(place, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    least = None
    for y, x in ((1, 1), (0, 1), (1, 0), (1, 2), (2, 1)):
        away = cv2.absdiff(picture, wide[y : y + height, x : x + width])
        most = largest_channel(away)
        least = most if least is None else cv2.min(least, most)
    assert least is not None
    return least.astype(np.float32)


def _is_shade(picture: NDArray, place: NDArray) -> NDArray:
    """(n,) bool of n colours: darker than the place by one factor in all three."""
    seen, lit = (each.T.astype(np.float32, order="C") for each in (picture, place))
    dark, light = seen.sum(0) + 1, lit.sum(0) + 1
    ratio = dark / light
    change = np.abs(seen / dark - lit / light).max(0)
    return (ratio > 0.35) & (ratio < 1) & (change < 0.02)
