"""The person's shadow on the ground: darker than the plate, smooth, without a colour of its own, tied to the person."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import above, apply_exposure, fit_exposure, largest_channel
from engine.layers.scene.sun import Bystanders

_ONES = np.ones(3, np.float32)
_DARKEST, _DARKER = 0.35, 0.94
"""A shadow lets at least and at most such shares of the light through; more is noise, less is a dark thing."""
_LIT = 0.96
"""Beside a shadow, what is darker than this share of the light is penumbra."""
_STANDS_OUT = 3.0
"""How far a shadow stands out of the unrest of the place."""
_AROUND = 15
"""Side of the surroundings that tell light from a bright thing, small pixels."""
_GAP = 5
"""Small pixels between parts of one shadow, or of one thing."""
_THING = 18
"""Levels from the place, at least, of a thing that stands there."""
_ROOM = 24
"""Rows above the ground that are looked at, too: more than any neighbourhood asked below is high."""


def is_darker(dark: NDArray, lit: NDArray, noise: float = 0.0) -> NDArray:
    """Say where a place is seen darker by one factor in all colours, as in a shadow.

    Args:
        dark: (h, w, 3) float32, levels.
        lit: (h, w, 3) float32, levels, of the same pixels.
        noise: grain, levels.

    Returns:
        (h, w) bool.

    Source: shadow cues of Horprasert et al. 1999 (brightness distortion without chromaticity distortion).
    """
    ratio = (dark @ _ONES + 1) / (lit @ _ONES + 1)
    level = lit @ _ONES / 3
    change = largest_channel(cv2.absdiff(dark, cv2.multiply(lit, cv2.merge([ratio] * 3))))
    # Shadows are a few levels bluer than the light; a dark thing differs by much more.
    return (level > 24) & (ratio < _DARKER) & (ratio > _DARKEST) & (change < 6 + 0.06 * level + noise)


def find_shadow(
    frame: NDArray,
    scene: NDArray,
    removed: NDArray,
    known: NDArray,
    noise: float,
    *,
    under: bool = False,
    unrest: float = 0.0,
    bystanders: Bystanders | None = None,
    behind: NDArray | None = None,
) -> NDArray:
    """Find the shadow that a person throws on the scene.

    Args:
        frame: (h, w, 3) uint8, what the camera saw; shrunk, as all pictures here are.
        scene: (h, w, 3) float32, the plate matched to the frame.
        removed: (h, w) uint8, above 0 where the person is.
        known: (h, w) bool, False where the plate knows nothing.
        noise: grain, levels.
        unrest: how far frame and scene typically differ, as a share: grass in the wind is dark here and light there.
        under: look inside `removed`, too, where that is known (a plate's person is gone, its shadow may not be).
        bystanders: who stands there besides; their shadows are not looked for.
        behind: (h, w) uint8, above 0 on their legs, behind which the shadow may go on.

    Returns:
        (h, w) uint8, 0 ... 255, soft: how far the plate has to replace the frame there.
    """
    inside = removed > 0
    nothing = np.zeros(removed.shape, np.uint8)
    if not inside.any():
        return nothing
    ground, feet = _ground(inside), _feet(inside)
    low = slice(max(0, ground - _ROOM), None)
    seen = (known[low] if under else ~inside[low] & known[low]).astype(np.uint8)
    weight = cv2.blur(seen.astype(np.float32), (3, 3))
    scale = cv2.merge([1 / np.maximum(weight, 0.05)] * 3)
    dark, lit = (
        cv2.multiply(cv2.blur(cv2.bitwise_and(picture, picture, mask=seen).astype(np.float32), (3, 3)), scale)
        for picture in (frame[low], scene[low])
    )
    darker = is_darker(dark, lit, noise) & (weight > 0.2)
    looks, things = nothing.copy(), nothing.copy()
    looks[low] = darker & ((lit - dark) @ _ONES > 9 * noise + 9)
    looks = cv2.morphologyEx(looks, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    looks[:ground] = 0
    theirs = nothing if bystanders is None else bystanders.own(looks, removed)
    theirs = cv2.morphologyEx(theirs, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))  # one shadow is nobody else's inside
    looks = cv2.bitwise_and(looks, 1 - theirs)
    things[low] = _find_things(dark, lit, darker | (weight <= 0.2))
    # A line on the ground, or a spot of which no light is known, does not end a shadow.
    gap = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_GAP, _GAP))
    parts = cv2.bitwise_or(cv2.bitwise_and(looks, 1 - things), feet)
    legs = nothing if behind is None else above(behind, 0) & np.uint8(1)
    joined = cv2.dilate(cv2.bitwise_or(parts, legs), gap)
    count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents(joined, connectivity=8))
    table = np.zeros(count, bool)
    table[labels[feet > 0]] = True
    table[0] = False
    shadow = (table[labels] & (looks > 0) & (under | ~inside)).astype(np.uint8) * 255
    if np.count_nonzero(shadow) < 12:
        return nothing
    shadow = cv2.morphologyEx(shadow, cv2.MORPH_CLOSE, gap)
    if unrest > 0:
        shadow[low] *= _stands_out(shadow[low], dark, lit, looks[low], _STANDS_OUT * unrest)
    wide = cv2.dilate(shadow, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    wide[(things > 0) | (theirs > 0) | (cv2.erode(legs, np.ones((3, 3), np.uint8)) > 0)] = 0  # legs are drawn wide
    return cv2.blur(wide, (5, 5))


def reached(legs: NDArray, shadow: NDArray) -> NDArray:
    """(h, w) uint8, 255 on the legs (h, w) of those whom a shadow reaches."""
    _, labels = cv2.connectedComponents((legs > 0).astype(np.uint8))
    met = np.unique(labels[cv2.dilate(shadow, np.ones((_GAP, _GAP), np.uint8)) > 0])
    return np.where(np.isin(labels, met[met > 0]), 255, 0).astype(np.uint8)


def _stands_out(shadow: NDArray, dark: NDArray, lit: NDArray, looks: NDArray, least: float) -> NDArray:
    """(h, w) uint8, 0 or 1: the pieces of a shadow that take, where they look like one, a share of the light."""
    count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents(shadow, connectivity=8))
    at = np.flatnonzero(cv2.bitwise_and(shadow, looks))
    seen, light = (np.take(picture.reshape(-1, 3), at, axis=0) @ _ONES for picture in (dark, lit))
    own = labels.ravel()[at]
    taken = np.bincount(own, 1 - seen / np.maximum(light, 1), count)
    return np.take((taken > least * np.bincount(own, minlength=count)).astype(np.uint8), labels)


def _find_things(dark: NDArray, lit: NDArray, no_thing: NDArray) -> NDArray:
    """(h, w) uint8, 0 or 1: somebody's legs, a ball: what is neither the place nor its shadow, and some pixels wide."""
    away = (largest_channel(cv2.absdiff(dark, lit)) > _THING) & ~no_thing
    gap = np.ones((_GAP, _GAP), np.uint8)
    whole = cv2.morphologyEx(away.astype(np.uint8), cv2.MORPH_CLOSE, gap)
    return cv2.dilate(cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.ones((3, 3), np.uint8))


def shaded(
    picture: NDArray, lit: NDArray, person: NDArray, known: NDArray, bystanders: Bystanders | None = None
) -> NDArray:
    """Find what of a picture lies in the person's shadow, to its last penumbra and no farther.

    Args:
        picture: (h, w, 3) uint8, shrunk as all pictures here.
        lit: (h, w, 3) uint8: the place in the light.
        person: (h, w) uint8, above 0 where the person is.
        known: (h, w) bool: the picture shows the place there.
        bystanders: who stands there besides.

    Returns:
        (h, w) uint8: 255 where the picture is no use as a picture of the place.
    """
    gain, lift = fit_exposure(lit, picture, known & (person == 0))
    lit = apply_exposure(lit, gain, lift)
    near = find_shadow(picture, lit, person, known, 0.0, bystanders=bystanders) > 0
    return np.where(near & known & (picture @ _ONES < _LIT * (lit @ _ONES)), 255, 0).astype(np.uint8)


def lightest(pictures: list[NDArray], masks: list[NDArray]) -> NDArray:
    """Show every pixel in the best light that two pictures agree upon, or that one shows as the surroundings are.

    Args:
        pictures: (h, w, 3) uint8 each, laid over each other.
        masks: (h, w) uint8 each, 0 where a picture does not count.

    Returns:
        (h, w, 3) uint8. What only one picture shows, and brighter than the surroundings, is a thing that passed.
    """
    stack = np.stack(pictures)
    light = np.where(np.stack(masks) > 0, stack.sum(3, dtype=np.int16), -1)
    order = np.argsort(-light, axis=0, kind="stable")
    ranked = np.take_along_axis(light, order, axis=0).astype(np.float32)
    agree = (ranked[:-1] - ranked[1:] <= (1 - _DARKER) * ranked[:-1]) & (ranked[1:] >= 0)
    best = np.argmax(agree, axis=0)  # 0 where no two agree
    agreed = np.take_along_axis(ranked, best[None], axis=0)[0]
    sure = (best == 0).astype(np.float32)
    around = cv2.blur(agreed * sure, (_AROUND, _AROUND)) / np.maximum(cv2.blur(sure, (_AROUND, _AROUND)), 1e-3)
    best[np.abs(ranked[0] - around) < np.abs(agreed - around)] = 0
    chosen = np.take_along_axis(order, best[None], axis=0)
    return np.take_along_axis(stack, chosen[..., None], axis=0)[0]


def _ground(inside: NDArray) -> int:
    """The row from which on a shadow may lie on the ground; above it a dark thing is somebody else's coat."""
    rows = np.flatnonzero(inside.any(1))
    return max(0, int(rows[-1] - 0.3 * (rows[-1] - rows[0])))


def _feet(inside: NDArray) -> NDArray:
    """(h, w) uint8, 0 or 1: the lowest fifth of the person, grown a little: where a ground shadow begins."""
    rows = np.flatnonzero(inside.any(1))
    top = rows[-1] - max(2, (rows[-1] - rows[0]) // 5)
    feet = inside.copy()
    feet[:top] = False
    return cv2.dilate(feet.astype(np.uint8), np.ones((5, 5), np.uint8))
