"""Four-legged bodies: seen from the side in a silhouette, as a skeleton whose arms are the front legs."""

import numpy as np
from numpy.typing import NDArray

from engine.identity.outline import Outline, find_feet, find_parts

LEAST_WIDE = 0.95
"""A four-legged body is at least this wide for its height; tall necks are cats sitting up, and people."""

BELLY_SHARE = 0.22
"""Least width of the gap between front and hind legs, as share of the figure's width."""

BELLY_HIGH = 0.12
"""Least height of that gap, as share of the figure's height."""

FLAT_SHARE = 0.45
"""Least share of that gap that is about as high as its highest place: bellies are flat, the gap between two legs of
somebody who stands with legs apart is a wedge."""

ROOT_SHARE, KNEE_SHARE, ANKLE_SHARE = 0.45, 0.5, 0.86
"""Where legs begin, from belly to back, and how far down them knee and ankle are."""

_RIGHT = np.array([1.0, 0.0])

TAIL_SHARE = 0.12
"""Least length of a tail, as share of the figure's width."""


def fit_four_legs(outline: Outline) -> tuple[dict[str, NDArray], float, tuple[str, ...], tuple[NDArray, ...]] | None:
    """Find the skeleton of a four-legged character that is seen from its side.

    Args:
        outline: its silhouette.

    Returns:
        None where there is no such body, else: joints, (2,) pixels by name, in which shoulders, elbows and wrists are
        those of the front legs, and the near legs are of the side that is seen; 0 ... 1, how sure that is; names of
        hidden joints; and tails, (3, 2) pixels from the body outwards.

    Source: a body that is wider than high, with a flat belly between two groups of feet; the head is at the end with
    more to it.
    """
    columns = np.flatnonzero(outline.mask.any(0))
    width = len(columns)
    if width < LEAST_WIDE * outline.height:
        return None
    low = np.array([np.flatnonzero(outline.mask[:, x])[-1] + 1 for x in columns], float)
    feet = find_feet(outline)
    if len(feet) < 2:
        return None
    gap = int(np.argmax(np.diff(feet)))
    a, b = feet[gap], feet[gap + 1]
    inner = low[a : b + 1]
    belly = float(inner.min())
    flat = inner <= belly + 0.06 * outline.height
    sure = len(feet) >= 3
    if b - a < BELLY_SHARE * width or flat.mean() < FLAT_SHARE or outline.bottom - belly < BELLY_HIGH * outline.height:
        return None
    middle = columns[a : b + 1][flat]
    back = float(np.median([np.flatnonzero(outline.mask[:, x])[0] for x in middle]))
    thick = belly - back
    if thick < 0.12 * outline.height or (not sure and thick > 0.8 * (b - a)):
        return None
    groups = [[columns[k] for k in feet[: gap + 1]][-2:], [columns[k] for k in feet[gap + 1 :]][:2]]
    ends = float(np.mean(groups[0])), float(np.mean(groups[1]))
    beyond = _beyond(outline, ends, belly)
    sign = 1.0 if beyond[1].sum() > beyond[0].sum() else -1.0
    front, hind = (groups[1], groups[0]) if sign > 0 else (groups[0], groups[1])
    points = _trunk(ends, sign, back, thick, beyond[int(sign > 0)])
    hidden: list[str] = []
    near, far = ("left", "right") if sign < 0 else ("right", "left")
    for xs, names in ((front, ("shoulder", "elbow", "wrist")), (hind, ("hip", "knee", "ankle"))):
        order = sorted(xs, key=lambda x: sign * x)
        for side, x in ((near, order[-1]), (far, order[0])):
            foot = np.array([x + 0.5, np.flatnonzero(outline.mask[:, x])[-1] + 0.5])
            points |= _leg(outline, f"{side}_", names, foot, (belly, thick))
        if len(order) == 1:
            hidden += [f"{far}_{name}" for name in names]
    confidence = 0.5 + 0.08 * sum(len(group) == 2 for group in groups) + 0.1 * bool(flat.mean() > 0.6)
    return points, confidence, tuple(hidden), _tails(outline, points, sign, belly, width)


def _beyond(outline: Outline, ends: tuple[float, float], belly: float) -> tuple[NDArray, NDArray]:
    """(H, W) bool each: what is left of the left legs and right of the right ones, above the belly."""
    ys, xs = np.mgrid[: outline.mask.shape[0], : outline.mask.shape[1]]
    upper = (outline.mask > 0) & (ys < belly)
    return upper & (xs < ends[0]), upper & (xs > ends[1])


def _trunk(ends: tuple[float, float], sign: float, back: float, thick: float, ahead: NDArray) -> dict[str, NDArray]:
    """Pelvis, neck and head of a body that faces right (sign 1) or left."""
    y = back + ROOT_SHARE * thick
    front, hind = (ends[1], ends[0]) if sign > 0 else ends
    pelvis, neck = np.array([hind, y]), np.array([front + sign * 0.15 * thick, y - 0.15 * thick])
    rows, cols = np.nonzero(ahead)
    far = np.argsort(sign * cols)[len(cols) // 2 :]
    centre = np.array([cols[far].mean() + 0.5, rows[far].mean() + 0.5]) if len(far) else neck + sign * thick * _RIGHT
    return {"pelvis": pelvis, "neck": neck, "head": neck + 0.5 * (centre - neck)}


def _leg(
    outline: Outline, side: str, names: tuple[str, ...], foot: NDArray, body: tuple[float, float]
) -> dict[str, NDArray]:
    """The three joints of one leg, from where it leaves the belly; its upper end is in the trunk."""
    belly, thick = body
    start = np.array([foot[0], belly])
    path = outline.way(start, foot)
    root = np.array([path[0, 0], belly - ROOT_SHARE * thick])
    whole = np.concatenate([root[None], path[path[:, 1] > belly], foot[None]])
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(whole, axis=0), axis=1))])
    spots = (0.0, KNEE_SHARE, ANKLE_SHARE)
    found = {
        side + name: np.array([np.interp(share * at[-1], at, whole[:, axis]) for axis in (0, 1)])
        for name, share in zip(names, spots)
    }
    if names[-1] == "ankle":
        found[f"{side}foot"] = foot
    return found


def _tails(outline: Outline, points: dict[str, NDArray], sign: float, belly: float, width: int) -> tuple[NDArray, ...]:
    """(3, 2) points along what sticks out behind."""
    found = []
    for part in find_parts(outline):
        behind = sign * (part.tip[0] - points["pelvis"][0]) < 0 and sign * (part.root[0] - points["pelvis"][0]) < 0
        if not behind or part.root[1] > belly or part.length < TAIL_SHARE * width:
            continue
        at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(part.path, axis=0), axis=1))])
        found.append(
            np.array(
                [[np.interp(share * at[-1], at, part.path[:, axis]) for axis in (0, 1)] for share in (0, 0.4, 0.75)]
            )
        )
    return tuple(found[:1])
