"""Cut the character out of its picture."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.identity.backdrop import figure_on_backdrop, find_backdrop
from engine.identity.edge import refine_edge, soft_edge
from engine.identity.person import find_person
from engine.types import Size

LOOK_PX = 1400
"""Longest side at which a picture is searched."""

MAX_FIGURE_PX, MIN_FIGURE_PX = 1200, 360
"""Longest side of the figure in a cutout: larger ones are reduced, smaller ones enlarged."""

SURE_PERSON, LIKELY_PERSON = 0.9, 0.5
"""Scores of `people.find_pose`: enough to prefer a person to a plain background; enough on a busy background."""


@dataclass(frozen=True)
class Cutout:
    """A character without its background."""

    rgba: NDArray
    """(H, W, 4) uint8 straight."""
    from_source: NDArray
    """(3, 3) float64: a point of the picture, pixels, to the same point of the cutout. The identity for pictures of
    a usual size, so that joints and masks drawn over the picture fit the cutout."""
    kind: str
    """"alpha", "mask", "drawing" or "person": what the figure was told from."""
    source_size: Size
    """(height, width) of the picture, pixels."""


def cut_out(rgba: NDArray, mask: NDArray | None = None) -> NDArray:
    """Cut the character out of its picture; `place_cutout` also says where it was.

    Args:
        rgba: (H, W, 4) uint8 straight RGBA or (H, W, 3) RGB.
        mask: (H, W) uint8, 255 on the character; made when None.

    Returns:
        (h, w, 4) uint8 straight RGBA.

    Raises:
        InputError: no character is found, or the mask does not fit the picture.
    """
    return place_cutout(rgba, mask).rgba


def place_cutout(rgba: NDArray, mask: NDArray | None = None) -> Cutout:
    """Cut the character out of its picture and say how the cutout lies in it; arguments and errors as `cut_out`."""
    if rgba.shape[2] == 3:
        rgba = np.dstack([rgba, np.full(rgba.shape[:2], 255, np.uint8)])
    if mask is not None and mask.shape[:2] != rgba.shape[:2]:
        raise InputError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]}; the picture is {rgba.shape[1]}x{rgba.shape[0]}.",
            "save the mask with the size of the picture.",
        )
    if min(rgba.shape[:2]) < 16:
        raise _nobody("the picture is only {}x{} pixels".format(*rgba.shape[1::-1]))
    scale = min(1.0, LOOK_PX / max(rgba.shape[:2]))
    small = _resize(rgba, scale)
    if mask is not None:
        kind, alpha = "mask", _resize_mask(mask, small.shape[:2])
    elif has_alpha(rgba):
        kind, alpha = "alpha", small[..., 3]
    else:
        kind, alpha = _find_figure(small[..., :3])
    return _frame(rgba, keep_figure(alpha), scale, kind)


def has_alpha(rgba: NDArray) -> bool:
    """Whether the alpha channel cuts something out: some of it is clear and something is left."""
    alpha = rgba[..., 3]
    clear = float((alpha < 64).mean())
    return clear > 0.01 and float((alpha >= 128).mean()) > 0.002


def keep_figure(alpha: NDArray) -> NDArray:
    """Keep the largest connected figure and the soft edge around it.

    Args:
        alpha: (H, W) uint8.

    Raises:
        InputError: nothing is left.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((alpha >= 100).astype(np.uint8), connectivity=8)
    if count < 2:
        raise _nobody("nothing in it stands out from its background")
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    if stats[largest, cv2.CC_STAT_AREA] < 0.0015 * alpha.size:
        raise _nobody("nothing in it stands out from its background")
    figure = (labels == largest).astype(np.uint8)
    near = cv2.dilate(figure, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    kept = np.where((near > 0) & ((labels == largest) | (labels == 0)), alpha, 0)
    return kept.astype(np.uint8)


def _nobody(why: str) -> InputError:
    return InputError(
        f"no character found: {why}.",
        "use a picture with one character before a calm background, or cut it out yourself (a PNG with transparency, "
        "or a mask saved as identity/NAME/mask.png in the project).",
    )


def _find_figure(rgb: NDArray) -> tuple[str, NDArray]:
    """(kind, (H, W) uint8 alpha) of the figure of an opaque picture."""
    backdrop = find_backdrop(rgb)
    person = find_person(rgb)
    if person is not None and person.score >= SURE_PERSON:
        return "person", refine_edge(rgb, person.mask)
    if backdrop is not None:
        return "drawing", soft_edge(figure_on_backdrop(rgb, backdrop))
    if person is not None and person.score >= LIKELY_PERSON:
        return "person", refine_edge(rgb, person.mask)
    raise _nobody("its background is busy and no person stands before it")


def _frame(rgba: NDArray, alpha: NDArray, scale: float, kind: str) -> Cutout:
    """Bring figure and picture to the working size, crop where that changed, clean the colours of the edge."""
    from engine.identity.texture import bleed

    x, y, width, height = cv2.boundingRect((alpha >= 100).astype(np.uint8))
    longest = max(width, height) / scale
    zoom = min(1.0, MAX_FIGURE_PX / longest) if longest > MIN_FIGURE_PX else MIN_FIGURE_PX / longest
    whole = zoom == 1.0 and scale == 1.0
    if whole:
        left, top, right, bottom = 0, 0, rgba.shape[1], rgba.shape[0]
    else:
        margin = 0.05 * max(width, height) + 2
        left, top = (int(max(v - margin, 0) / scale) for v in (x, y))
        right = int(min((x + width + margin) / scale, rgba.shape[1]))
        bottom = int(min((y + height + margin) / scale, rgba.shape[0]))
    colour = _resize(rgba[top:bottom, left:right, :3], zoom)
    size = colour.shape[1], colour.shape[0]
    if kind == "alpha" and scale == 1.0 and zoom >= 1.0:
        window = alpha[top:bottom, left:right]
    else:
        window = alpha[int(top * scale) : int(np.ceil(bottom * scale)), int(left * scale) : int(np.ceil(right * scale))]
    grows = size[0] > window.shape[1]
    soft = cv2.resize(window, size, interpolation=cv2.INTER_CUBIC if grows else cv2.INTER_AREA)
    if zoom > 1.0:  # enlarged colours carry clear neighbours into the edge; take them from inside instead
        solid = bleed(np.dstack([rgba[top:bottom, left:right, :3], window]))[..., :3]
        colour = cv2.resize(solid, size, interpolation=cv2.INTER_CUBIC)
    elif kind == "person":
        soft = refine_edge(colour, soft)
    from_source = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom], [0, 0, 1.0]])
    result = np.dstack([colour, soft])
    if kind == "drawing":
        result[..., :3] = _ink_edge(result)
    elif kind != "alpha":
        edge = (soft > 0) & (soft < 250)
        result[edge, :3] = bleed(_inset(result))[edge, :3]
    result[soft == 0] = 0
    return Cutout(np.ascontiguousarray(result), from_source, kind, (rgba.shape[0], rgba.shape[1]))


def _ink_edge(rgba: NDArray) -> NDArray:
    """(H, W, 3) colours of a drawing in which no paper shows outside its outline: the ink spreads to the edge."""
    longest = max(rgba.shape[:2])
    reach = 2 * max(round(longest / 600), 1) + 1
    rgb, inside = rgba[..., :3], rgba[..., 3] >= 128
    gap = np.linalg.norm(rgb.astype(np.float32) - _outside_colour(rgba), axis=2)
    ring = ~cv2.erode(inside.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1)), borderValue=1).astype(bool)
    # the darkest spot nearby is ink; what is nearly as far from the paper as that counts as ink too
    strongest = cv2.dilate(np.where(inside, gap, 0).astype(np.float32), np.ones((2 * reach + 1, 2 * reach + 1)))
    ink = inside & (gap > 0.6 * strongest)
    away, labels = cv2.distanceTransformWithLabels(
        (~ink).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((labels.max() + 1, 3), np.uint8)
    colours[labels[ink]] = rgb[ink]
    swap = ring & ~ink & (strongest > 40) & (away <= reach + 1)
    return np.where(swap[..., None], colours[labels], rgb)


def _outside_colour(rgba: NDArray) -> NDArray:
    """(H, W, 3) float32: the background's colour, carried smoothly under the figure."""
    clear = (rgba[..., 3] < 5).astype(np.float32)
    scale = 64 / max(clear.shape)
    size = max(int(clear.shape[1] * scale), 1), max(int(clear.shape[0] * scale), 1)
    weight = cv2.resize(clear, size, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(rgba[..., :3] * clear[..., None], size, interpolation=cv2.INTER_AREA)
    weight, colour = (cv2.GaussianBlur(image, (0, 0), 12) for image in (weight, colour))
    flat = colour / np.maximum(weight, 1e-4)[..., None]
    return cv2.resize(flat, clear.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _inset(rgba: NDArray) -> NDArray:
    """The cutout with its outermost solid pixels made clear: they still hold some of the background."""
    inner = rgba.copy()
    inner[..., 3] = cv2.erode(rgba[..., 3], np.ones((3, 3)))
    return inner


def _resize(image: NDArray, scale: float) -> NDArray:
    if scale == 1.0:
        return image
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _resize_mask(mask: NDArray, size: tuple[int, int]) -> NDArray:
    gray = mask if mask.ndim == 2 else mask.max(axis=2)
    gray = np.where(gray <= 5, 0, np.where(gray >= 250, 255, gray)).astype(np.uint8)
    return gray if gray.shape == size else cv2.resize(gray, (size[1], size[0]), interpolation=cv2.INTER_AREA)
