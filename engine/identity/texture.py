"""What the front of the figure shows, and what its sides and back look like."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

ACROSS = 1e-3
"""Strength of a film across the edge of a part of its own: enough to fill a part that keeps no colour."""

COLOURED = 60
"""Greatest less least channel from which a dark spot in another colour than the outline's is a pattern, not a mark."""

INK_GAP = 60.0
"""How far a line's colour may be from the outline's and still be part of the drawing's lines, RGB units."""

OUTLINE_STEP = 16.0
"""Least median rise in grey from the edge inwards of a figure with an outline; measured: 29 ... 133 for drawings,
-2 ... 8 for photos and rendered people."""

EDGE_WIDTHS = 2.0
"""Widths of the outline from the edge inwards in which what was drawn is taken from next to it."""

SMEAR_SHARE = 0.0025
"""Blur of what goes round the sides of a figure without an outline, as share of its height."""


@dataclass(frozen=True)
class Strokes:
    """The lines a drawing is made of."""

    mask: NDArray
    """(H, W) bool."""
    rgb: tuple[int, int, int] | None
    """Colour of the outline; None where the figure has none."""
    width_px: float


def bleed(rgba: NDArray) -> NDArray:
    """Carry the colours of a cutout past its edge.

    Args:
        rgba: (H, W, 4) uint8 straight.

    Returns:
        (H, W, 4) uint8, alpha 255: pixels that are not fully opaque take the colour of the nearest that are.
    """
    solid = rgba[..., 3] >= 250
    if not solid.any():
        solid = rgba[..., 3] >= rgba[..., 3].max()
    _, found = cv2.distanceTransformWithLabels(
        (~solid).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = cast(NDArray, found)
    nearest, rgb = labels[~solid], np.ascontiguousarray(rgba[..., :3])
    colours = np.zeros((labels.max() + 1, 3), np.uint8)
    colours[labels[solid]] = rgb[solid]
    spread = rgb.copy()
    spread[~solid] = colours[nearest]
    soft = (~solid & (rgba[..., 3] < 128)).view(np.uint8)
    result = cv2.copyTo(cv2.GaussianBlur(spread, (0, 0), 2.0), soft, spread.copy())
    return cv2.cvtColor(result, cv2.COLOR_RGB2RGBA)


def find_strokes(rgba: NDArray) -> Strokes:
    """Find dark lines, and whether they outline the figure.

    Args:
        rgba: (H, W, 4) uint8 straight.

    Source: darker than their morphological closing.
    """
    inside = rgba[..., 3] >= 128
    height = int(np.ptp(np.nonzero(inside.any(1))[0])) + 1 if inside.any() else 1
    filled = bleed(rgba)[..., :3]
    # outside counts as light, so that an outline is a line from both sides
    grey = np.where(inside, cv2.cvtColor(filled, cv2.COLOR_RGB2GRAY), 255).astype(np.uint8)
    size = max(int(0.045 * height) | 1, 5)
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    mask = inside & (closed.astype(int) - grey > 36)
    border = inside & (cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) == 0)
    reach = max(int(0.012 * height), 2)
    near_line = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1))) > 0
    rim = cv2.dilate(border.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1))) > 0
    dark = mask & rim
    share = (near_line & border).sum() / max(border.sum(), 1)
    if share < 0.55 or dark.sum() < 10:
        return Strokes(mask, None, 0.0)
    if not _is_outlined(grey, inside, height):
        return Strokes(mask, None, 0.0)
    ink = rgba[..., :3][dark]
    darkest = ink[ink.sum(1) <= np.percentile(ink.sum(1), 35)]  # not the pixels a thin line shares with paper
    red, green, blue = (int(value) for value in np.median(darkest, axis=0))
    dist = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    ridge = (dist >= cv2.dilate(dist, np.ones((3, 3)))) & (dist > 0.5)
    width = float(2 * np.median(dist[ridge])) if ridge.any() else 1.0
    return Strokes(mask, (red, green, blue), width)


def _is_outlined(grey: NDArray, inside: NDArray, height: int) -> bool:
    """Whether the figure is darker along its edge than a little further in, as pens draw and cameras do not.

    Each place of the edge is compared with what lies behind it: dark sleeves and shoes beside a bright shirt are no
    outline.
    """
    dist, place = cv2.distanceTransformWithLabels(
        np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    dist, place = dist[1:-1, 1:-1] / height, place[1:-1, 1:-1]
    count = int(place.max()) + 1

    def level(near: float, far: float) -> NDArray:
        band = inside & (dist > near) & (dist <= far)
        pixels = np.bincount(place[band], minlength=count)
        total = np.bincount(place[band], grey[band], minlength=count)
        return np.where(pixels > 0, total / np.maximum(pixels, 1), np.nan)

    edge = np.fmin(np.fmin(level(0.002, 0.006), level(0.006, 0.011)), level(0.011, 0.018))
    step = level(0.022, 0.07) - edge
    step = step[np.isfinite(step)]
    return len(step) > 0 and float(np.median(step)) > OUTLINE_STEP


def fill_texture(rgba: NDArray, strokes: Strokes, face: NDArray | None, head: NDArray | None = None) -> NDArray:
    """The figure without strokes, outline and face.

    Args:
        rgba: (H, W, 4) uint8 straight.
        strokes: of the same picture.
        face: (H, W) bool, what must not be seen from behind; None for no face.
        head: (H, W) bool, part that is filled with its own colours alone: hair comes down the back of a head, the shirt
            does not come up; None where there is no such part.

    Returns:
        (H, W, 4) uint8, alpha 255.

    Source: Laplace membrane between the pixels that stay.
    """
    inside = rgba[..., 3] >= 128
    height = int(np.ptp(np.nonzero(inside.any(1))[0])) + 1 if inside.any() else 1
    drop = np.zeros(inside.shape, bool)
    if strokes.rgb is not None:
        reach = max(round(0.45 * strokes.width_px), 2)
        gap = np.linalg.norm(rgba[..., :3].astype(np.float32) - np.array(strokes.rgb, np.float32), axis=2)
        coloured = (_spread_of(rgba) > COLOURED) & (gap >= INK_GAP)  # stripes, patches: part of the clothes
        drop |= dark_spots(rgba, inside, height) & ~coloured
        ink = strokes.mask & (gap < INK_GAP)  # the strokes of a crayon are the colour of what they fill
        drop |= cv2.dilate(ink.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1))) > 0
    rim_px = max(0.008 * height, 0.6 * strokes.width_px, 1.5)
    dist = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rim = inside & (dist < np.minimum(rim_px, 0.5 * cv2.dilate(dist, np.ones((15, 15)))))
    if strokes.rgb is not None:
        drop |= rim
    if face is not None:
        reach = 2 * int(np.ceil(rim_px)) + 1
        drop |= face | (rim & (cv2.dilate(face.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0))
    keep = inside & ~drop
    if keep.sum() < 16:
        keep = inside
    picture = rgba[..., :3] if strokes.rgb is not None else _carry_out(rgba, rim, SMEAR_SHARE * height)
    colours = membrane(picture, keep, inside, part=head)
    if strokes.rgb is not None:
        edge = inside & ~keep & (dist < EDGE_WIDTHS * strokes.width_px)
        for area in (face, head):  # a shirt does not go up there
            edge &= ~area if area is not None else True
        colours = _carried(colours, edge, keep, SMEAR_SHARE * height)
    filled = np.dstack([colours, np.where(inside, 255, 0).astype(np.uint8)])
    return bleed(filled)


def _carried(colours: NDArray, edge: NDArray, keep: NDArray, blur_px: float) -> NDArray:
    """(H, W, 3) uint8: where there was an outline, the colours of what is nearest to it."""
    nearest = bleed(np.dstack([colours, np.where(keep, 255, 0).astype(np.uint8)]))[..., :3]
    share = cv2.GaussianBlur(edge.astype(np.float32), (0, 0), blur_px)[..., None] * edge[..., None]
    return (share * cv2.GaussianBlur(nearest, (0, 0), blur_px) + (1 - share) * colours + 0.5).astype(np.uint8)


def _spread_of(rgba: NDArray) -> NDArray:
    """(H, W) uint8: greatest less least of the three colours."""
    red, green, blue = cv2.split(rgba)[:3]
    return cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))


def _carry_out(rgba: NDArray, rim: NDArray, blur_px: float) -> NDArray:
    """(H, W, 3) uint8: the picture with its rim in the colours next to it, so that stripes go round the figure."""
    inner = bleed(np.dstack([rgba[..., :3], np.where((rgba[..., 3] >= 128) & ~rim, 255, 0).astype(np.uint8)]))[..., :3]
    share = cv2.GaussianBlur(rim.astype(np.float32), (0, 0), blur_px)[..., None]
    smooth = cv2.GaussianBlur(inner, (0, 0), blur_px)
    return np.where(rim[..., None], share * smooth + (1 - share) * inner, rgba[..., :3]).astype(np.uint8)


def dark_spots(rgba: NDArray, inside: NDArray, height: int) -> NDArray:
    """(H, W) bool: eyes, mouths and other dark things up to a tenth of the figure's height across."""
    grey = np.where(inside, cv2.cvtColor(bleed(rgba)[..., :3], cv2.COLOR_RGB2GRAY), 0).astype(np.uint8)
    scale = min(1.0, 300 / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    size = max(int(0.1 * height * scale) | 1, 3)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    spots = (((closed.astype(int) - small) > 40) & (small < 0.55 * closed)).astype(np.uint8)
    spots = cv2.dilate(spots, np.ones((3, 3)))
    return cv2.resize(spots, grey.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool) & inside


def membrane(
    rgb: NDArray, keep: NDArray, inside: NDArray, *, part: NDArray | None = None, max_px: int = 220
) -> NDArray:
    """Fill in pixels like a soap film held by those that stay.

    Args:
        rgb: (H, W, 3) uint8.
        keep: (H, W) bool, pixels that stay.
        inside: (H, W) bool, where the film is; it does not pass outside.
        part: (H, W) bool, a part with a film of its own, cut free from the rest; None for one film.
        max_px: longest side at which the film is solved; what it fills is smooth.

    Returns:
        (H, W, 3) uint8: `rgb` where `keep`, else filled; outside undefined.
    """
    from scipy.sparse.linalg import splu

    height, width = inside.shape
    scale = min(1.0, max_px / max(height, width))
    size = (max(int(width * scale), 1), max(int(height * scale), 1))
    hold = cv2.resize(keep.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(np.where(keep[..., None], rgb, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    colour = colour / np.maximum(hold, 1e-6)[..., None]
    known = hold > 0.3
    film = (cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.02) | known
    small = np.where(known[..., None], colour, 0)
    alone = np.zeros_like(film)
    if part is not None:
        share = cv2.resize((part & inside).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        alone = share > 0.5 * cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    matrix, free = _film_matrix(film, known, alone)
    if len(free):
        index = np.flatnonzero(film)
        values = small.reshape(-1, 3)[index]
        rest = np.setdiff1d(np.arange(len(index)), free)
        rhs = -(matrix[free][:, rest] @ values[rest])
        values[free] = splu(matrix[free][:, free].tocsc()).solve(rhs.astype(np.float64))
        small.reshape(-1, 3)[index] = values
    spread = bleed(np.dstack([np.clip(small, 0, 255).astype(np.uint8), np.where(film, 255, 0).astype(np.uint8)]))[
        ..., :3
    ]
    big = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR if scale < 1 else cv2.INTER_NEAREST)
    soft = cv2.GaussianBlur(keep.astype(np.float32), (0, 0), 1.2)
    blend = np.where(keep, np.clip(2 * soft - 1, 0, 1), 0)[..., None]
    return np.clip(blend * rgb + (1 - blend) * big + 0.5, 0, 255).astype(np.uint8)


def _film_matrix(film: NDArray, known: NDArray, alone: NDArray):
    """Graph Laplacian of the film's pixels, all but cut along the edge of `alone`, and the indices (into the film's
    pixels) that are free."""
    from scipy.sparse import coo_matrix, diags

    number = np.full(film.shape, -1)
    number[film] = np.arange(film.sum())
    pairs, strengths = [], []
    for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        a, b = number[before], number[after]
        both = (a >= 0) & (b >= 0)
        pairs.append(np.stack([a[both], b[both]], 1))
        strengths.append(np.where(alone[before] == alone[after], 1.0, ACROSS)[both])
    links = np.concatenate(pairs)
    count = int(film.sum())
    half = coo_matrix((np.concatenate(strengths), (links[:, 0], links[:, 1])), shape=(count, count))
    weights = (half + half.T).tocsr()
    # a pixel with no neighbour would be singular
    matrix = diags(np.asarray(weights.sum(1)).ravel() + 1e-6) - weights
    return matrix.tocsr(), np.flatnonzero(~known[film])
