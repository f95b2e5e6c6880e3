"""Fit a skeleton to a silhouette, with a sense of what bodies look like."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.identity.four_legs import fit_four_legs
from engine.identity.outline import Crotch, Outline, Part, find_crotch, find_parts, shortest_cut

FIT_PX = 260
"""Height at which silhouettes are looked at."""

WRIST_SHARE, ELBOW_SHARE = 0.83, 0.5
"""Where the wrist is on the way from shoulder to fingertip, and the elbow from shoulder to wrist."""

LOWEST_ARM = 0.56
"""How far down a figure arms begin at most; capes and tails begin lower."""

TAIL_LENGTH = 0.12
"""Length from which something that sticks out of the lower body is a tail, as share of the figure's height."""

ANKLE_SHARE = 0.86
"""Where the ankle is on the way from hip to the lowest point of the foot."""


@dataclass(frozen=True)
class Fit:
    """A skeleton found in a silhouette."""

    points: dict[str, NDArray]
    """(2,) float64 pixels by joint name."""
    confidence: float
    """0 ... 1: how much of it was seen, not guessed."""
    hidden: tuple[str, ...] = ()
    """Joints of limbs that do not show in the silhouette."""
    extras: tuple[NDArray, ...] = ()
    """(M, 2) float64 pixels each: tails, from the body outwards."""


def fit_skeleton(alpha: NDArray) -> Fit:
    """Find the joints of a character from its silhouette alone: upright, two-legged and facing the viewer, or
    four-legged and seen from its side.

    Args:
        alpha: (H, W) uint8; 128 and more is inside.

    Returns:
        Joints in pixels of `alpha`. The character's left is on the right of the picture.

    Source: the notch between the legs, parts that opening with discs takes away, the narrowest place below the head;
    shares of the body from three drawings with annotated joints where the silhouette says nothing.
    """
    mask = (alpha >= 128).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    scale = FIT_PX / max(height, 0.6 * width)
    size = max(round(width * scale), 8), max(round(height * scale), 8)
    small = cv2.resize(mask[y : y + height, x : x + width] * 255, size, interpolation=cv2.INTER_AREA)
    pad = 8
    outline = Outline(np.pad((small >= 128).astype(np.uint8), pad))
    outline = Outline(_one_piece(outline.mask))
    four = fit_four_legs(outline)
    fit = Fit(*four) if four is not None else _fit(outline)
    factor = np.array([width / size[0], height / size[1]])
    points = {name: (point - pad) * factor + [x, y] for name, point in fit.points.items() if name[0] != "_"}
    extras = tuple((line - pad) * factor + [x, y] for line in fit.extras)
    return Fit(points, fit.confidence, fit.hidden, extras)


def _one_piece(mask: NDArray) -> NDArray:
    """The largest piece, pinholes filled."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    piece = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8) if count > 1 else mask
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - piece, connectivity=4)
    for index in range(1, count):
        if stats[index, cv2.CC_STAT_AREA] < 0.002 * piece.sum():
            piece[labels == index] = 1
    return piece


def _fit(outline: Outline) -> Fit:
    crotch = find_crotch(outline)
    parts = find_parts(outline)
    bottom = float(np.mean([foot[1] for foot in crotch.feet])) if crotch else float(outline.bottom)
    crotch_y = float(crotch.notch[1]) if crotch else outline.bottom - 0.04 * outline.height
    arms = _choose_arms(outline, parts, crotch_y)
    body = outline.mask.copy()
    for part in parts:
        if any(part is arm for arm in arms):
            body[part.pixels] = 0
    neck_y, neck_seen = _find_neck(outline, body, arms, crotch_y)
    points = _place_trunk(outline, body, crotch, neck_y, crotch_y, bottom, arms, neck_seen)
    for side, arm in (("right", arms[0]), ("left", arms[1])):
        points |= _place_arm(outline, side, arm, points, body)
    stumps = _choose_stumps(outline, parts, arms, points) if crotch is None else None
    points |= _place_stumps(stumps, points) if stumps else _place_legs(outline, crotch, points, bottom)
    seen = 0.3 + 0.15 * sum(arm is not None for arm in arms) + 0.1 * neck_seen
    if crotch is not None:
        seen += 0.2 + 0.1 * min(crotch.depth / 0.2, 1)
    missing = [side for side, arm in (("right", arms[0]), ("left", arms[1])) if arm is None]
    hidden = tuple(f"{side}_{joint}" for side in missing for joint in ("shoulder", "elbow", "wrist"))
    tails = _choose_tails(outline, parts, [arm for arm in arms if arm is not None], points)
    return Fit(points, float(min(seen, 0.95)), hidden, tails)


def _choose_arms(outline: Outline, parts: list[Part], crotch_y: float) -> list[Part | None]:
    """The part that is most likely an arm on the left and on the right of the picture; None where there is none."""
    trunk_x = _middle_column(outline, crotch_y)
    chosen: list[Part | None] = [None, None]
    best = [0.02, 0.02]
    for part in parts:
        side = int(part.root[0] > trunk_x)
        score = _armness(outline, part, 1 if side else -1, trunk_x, crotch_y)
        if score > best[side]:
            chosen[side], best[side] = part, score
    left, right = chosen
    if left is not None and right is not None:  # one ear, one arm: keep the better one
        apart = abs(left.root[1] - right.root[1]) / outline.height
        if apart > 0.22:
            chosen[int(best[1] < best[0])] = None
    return chosen


def _armness(outline: Outline, part: Part, sign: int, trunk_x: float, crotch_y: float) -> float:
    """How much a part looks like an arm on one side (sign -1 left, 1 right in the picture); 0 for what is none."""
    height = outline.height
    root_y, tip_y = (part.root[1] - outline.top) / height, (part.tip[1] - outline.top) / height
    reach, length = sign * (part.tip[0] - part.root[0]) / height, part.length / height
    if part.root[1] > crotch_y - 0.02 * height and part.tip[1] > crotch_y:
        return 0.0  # a leg, or a tail
    if not 0.12 < root_y < LOWEST_ARM or part.root[1] > crotch_y or sign * (part.root[0] - trunk_x) < 0.01 * height:
        return 0.0
    if tip_y < root_y and (reach < 0.015 or root_y < 0.24):
        return 0.0  # something upright on the head
    if tip_y < root_y < 0.36 and length < 0.24:
        return 0.0  # an ear, a bulging eye; raised arms are longer
    score = min(length, 0.45) + 0.3 * max(reach, 0)
    score *= np.exp(-0.5 * ((root_y - 0.42) / 0.14) ** 2)
    if tip_y < 0.06:
        score *= 0.4  # ears and hats reach the top more often than hands
    if part.width < 0.016 * height:
        score *= 0.2  # eyelashes, whiskers, strings
    return float(score)


def _middle_column(outline: Outline, crotch_y: float) -> float:
    """x of the middle of the trunk: middle of the thickest place above the crotch, by weight."""
    rows = slice(outline.top + int(0.2 * outline.height), max(int(crotch_y), outline.top + int(0.3 * outline.height)))
    weight = outline.dist[rows] ** 4
    return float((weight.sum(0) * (np.arange(weight.shape[1]) + 0.5)).sum() / max(weight.sum(), 1e-9))


def _trunk_runs(outline: Outline, body: NDArray, centre: float, stop_y: float) -> tuple[NDArray, NDArray, NDArray]:
    """Rows from the top of the figure to `stop_y`, with start and stop of the stretch nearest to the centre."""
    rows, starts, stops = [], [], []
    at = centre
    for row in range(int(stop_y) - 1, outline.top - 1, -1):
        runs = outline.runs(row, body)
        if not runs:
            continue
        gaps = [max(a - at, at - b, 0) for a, b in runs]
        near = [k for k, gap in enumerate(gaps) if gap <= min(gaps) + 1e-9]
        a, b = max((runs[k] for k in near), key=lambda run: run[1] - run[0])
        rows.append(row)
        starts.append(a)
        stops.append(b)
        at = 0.7 * at + 0.3 * (a + b) / 2
    return np.array(rows[::-1]), np.array(starts[::-1], float), np.array(stops[::-1], float)


def _find_neck(outline: Outline, body: NDArray, arms: list[Part | None], crotch_y: float) -> tuple[float, bool]:
    """(y of the narrowest place between head and trunk, whether there is one)."""
    rows, starts, stops = _trunk_runs(outline, body, _middle_column(outline, crotch_y), crotch_y)
    widths = stops - starts
    height = crotch_y - outline.top
    shoulder = [arm.root[1] for arm in arms if arm is not None]
    lowest = max(shoulder) + 0.03 * outline.height if shoulder else outline.top + 0.75 * height
    best, best_score = None, 0.0
    for k, row in enumerate(rows):
        share = (row - outline.top) / height
        if not 0.12 < share < 0.8 or row > lowest:
            continue
        above, below = widths[:k].max(initial=0), widths[k + 1 :].max(initial=0)
        if widths[:k].sum() < 0.14 * widths.sum():
            continue  # a hat, a feather
        narrow = 1 - widths[k] / max(min(above, below), 1e-6)
        tall_enough = row - rows[int(np.argmax(widths[:k]))] > 0.02 * outline.height if k else False
        score = narrow - 0.35 * abs(share - 0.4)
        if narrow > 0.1 and tall_enough and score > best_score:
            best, best_score = float(row), score
    if best is not None:
        return best, True
    if shoulder:
        return float(np.mean(shoulder)) - 0.03 * outline.height, False
    return outline.top + 0.52 * height, False


def _centre_at(outline: Outline, body: NDArray, y: float, near_x: float) -> tuple[float, float]:
    """(x of the middle, width) of the stretch of the body at a height."""
    row = int(np.clip(y, outline.top, outline.bottom - 1))
    runs = outline.runs(row, body) or outline.runs(row)
    if not runs:
        return near_x, 0.0
    a, b = min(runs, key=lambda run: max(run[0] - near_x, near_x - run[1], 0))
    return (a + b) / 2, float(b - a)


def _place_trunk(
    outline: Outline,
    body: NDArray,
    crotch: Crotch | None,
    neck_y: float,
    crotch_y: float,
    bottom: float,
    arms: list[Part | None],
    neck_seen: bool,
) -> dict[str, NDArray]:
    """Pelvis, neck, head and shoulders' height."""
    roots = [arm.root[1] for arm in arms if arm is not None]
    shoulder_y = float(np.mean(roots)) if roots else neck_y + 0.1 * (crotch_y - neck_y)
    shoulder_y = max(shoulder_y, neck_y + 0.01 * outline.height)
    share = (crotch_y - shoulder_y) / max(bottom - shoulder_y, 1e-6)
    # three drawings: crotch at .52 .51 .66 of the way down, hips drawn at .45 .40 .45
    up = share - 0.09 if share < 0.54 else 0.45 + max(share - 0.7, 0) * 1.1
    pelvis_y = shoulder_y + up * (bottom - shoulder_y)
    middle = _middle_column(outline, crotch_y)
    pelvis_x, _ = _centre_at(outline, body, pelvis_y, crotch.notch[0] if crotch else middle)
    if crotch is not None:
        pelvis_x = 0.5 * pelvis_x + 0.5 * float(crotch.notch[0])
    neck_x, _ = _centre_at(outline, body, neck_y, middle)
    shoulder_x, _ = _centre_at(outline, body, shoulder_y, neck_x)
    neck = np.array([0.5 * (neck_x + shoulder_x), 0.75 * shoulder_y + 0.25 * neck_y])
    head = np.array([neck_x, neck_y])
    if not neck_seen:
        head = neck + np.array([0, -0.12 * (neck[1] - outline.top)])
    return {
        "pelvis": np.array([pelvis_x, pelvis_y]),
        "neck": neck,
        "head": head,
        "_shoulder": np.array([shoulder_x, shoulder_y]),
    }


def _place_arm(
    outline: Outline, side: str, arm: Part | None, points: dict[str, NDArray], body: NDArray
) -> dict[str, NDArray]:
    """Shoulder, elbow and wrist of one side."""
    sign = 1.0 if side == "left" else -1.0
    if arm is not None:
        path = arm.path
        at = _along(path)
        shoulder, wrist = path[0], _point_at(path, at, WRIST_SHARE)
        elbow = _point_at(path, at, ELBOW_SHARE * WRIST_SHARE)
        bend = _bend(path[at <= WRIST_SHARE], shoulder, wrist)
        return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow if bend is None else bend, f"{side}_wrist": wrist}
    # nothing sticks out: the arm hangs inside the silhouette, along the body's side
    width = _centre_at(outline, body, points["_shoulder"][1], points["_shoulder"][0])[1]
    trunk = points["pelvis"] - points["_shoulder"]
    shoulder = points["_shoulder"] + [sign * 0.36 * width, 0]
    elbow = shoulder + 0.45 * trunk + [sign * 0.04 * width, 0]
    wrist = shoulder + 0.85 * trunk + [sign * 0.03 * width, 0]
    return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist}


def _along(path: NDArray) -> NDArray:
    """(M,) 0 ... 1: share of the way along a path."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return lengths / max(lengths[-1], 1e-9)


def _point_at(path: NDArray, at: NDArray, share: float) -> NDArray:
    return np.array([np.interp(share, at, path[:, 0]), np.interp(share, at, path[:, 1])])


def _bend(path: NDArray, start: NDArray, end: NDArray) -> NDArray | None:
    """The corner of a bent limb, where it is clearly bent; None for a straight one."""
    chord = end - start
    length = np.linalg.norm(chord)
    if length < 1e-6 or len(path) < 5:
        return None
    off = np.abs(chord[0] * (path[:, 1] - start[1]) - chord[1] * (path[:, 0] - start[0])) / length
    share = _along(path)
    off = np.where((share > 0.3) & (share < 0.7), off, 0)
    k = int(off.argmax())
    return path[k] if off[k] > 0.16 * length else None


def _choose_tails(
    outline: Outline, parts: list[Part], arms: list[Part], points: dict[str, NDArray]
) -> tuple[NDArray, ...]:
    """(3, 2) points along each long part of the lower body that is neither an arm nor a leg."""
    ends = np.stack([points[f"{side}_{joint}"] for side in ("left", "right") for joint in ("knee", "ankle", "foot")])
    tails, near = [], 0.09 * outline.height
    for part in parts:
        low = part.root[1] > 0.5 * (points["neck"][1] + points["pelvis"][1])
        if part.length < TAIL_LENGTH * outline.height or not low or any(part is arm for arm in arms):
            continue
        gaps = np.linalg.norm(part.path[:, None] - ends[None], axis=2).min(1)
        if part.width > 0.6 * part.length or gaps[-1] < near or (gaps < near).mean() > 0.3:
            continue
        at = _along(part.path)
        tails.append(np.stack([_point_at(part.path, at, share) for share in (0.0, 0.4, 0.75)]))
    return tuple(tails[:4])


def _choose_stumps(
    outline: Outline, parts: list[Part], arms: list[Part | None], points: dict[str, NDArray]
) -> tuple[Part, Part] | None:
    """Two parts that stick out of the lower body, (left, right) in the picture; None when there are no two."""
    low = []
    for part in parts:
        if any(part is arm for arm in arms) or part.width < 0.016 * outline.height:
            continue
        tip_y = (part.tip[1] - outline.top) / outline.height
        if tip_y < 0.68 or part.root[1] < points["pelvis"][1] - 0.1 * outline.height or part.tip[1] < part.root[1]:
            continue
        low.append((2 * tip_y + 0.3 * min(part.length / outline.height, 0.3), part))
    low.sort(key=lambda entry: -entry[0])
    if len(low) < 2:
        return None
    first, second = sorted((low[0][1], low[1][1]), key=lambda part: part.root[0])
    return first, second


def _place_stumps(stumps: tuple[Part, Part], points: dict[str, NDArray]) -> dict[str, NDArray]:
    """Legs that stick out of the body here and there."""
    result = {}
    for part, side in zip(stumps, ("right", "left")):
        pelvis = points["pelvis"]
        hip = np.array([0.65 * part.root[0] + 0.35 * pelvis[0], 0.5 * (part.root[1] + pelvis[1])])
        whole = np.concatenate([hip[None], part.path])
        at = _along(whole)
        result |= _leg(side, hip, _point_at(whole, at, 0.45), _point_at(whole, at, ANKLE_SHARE), part.tip)
    return result


def _place_legs(
    outline: Outline, crotch: Crotch | None, points: dict[str, NDArray], bottom: float
) -> dict[str, NDArray]:
    """Hips, knees, ankles and toes of both sides."""
    pelvis, result = points["pelvis"], {}
    if crotch is None:
        _, width = _centre_at(outline, outline.mask, 0.5 * (pelvis[1] + bottom), pelvis[0])
        for sign, side in ((-1.0, "right"), (1.0, "left")):
            hip = pelvis + np.array([sign * 0.2 * width, 0.0])
            foot = np.array([hip[0], bottom - 0.5])
            result |= _leg(side, hip, 0.5 * (hip + foot), hip + 0.9 * (foot - hip), foot)
        return result
    for foot, sign, side in ((crotch.feet[0], -1, "right"), (crotch.feet[1], 1, "left")):
        far = shortest_cut(outline, crotch.notch, sign)
        gate = 0.5 * (crotch.notch + far)
        if sign * (gate[0] - pelvis[0]) < 0.02 * outline.height:
            gate = np.array([0.5 * (crotch.notch[0] + foot[0]), gate[1]])
        path = outline.way(gate, foot + np.array([0, -1]))
        hip = np.array([gate[0], pelvis[1] + 0.02 * outline.height])
        hip[0] = np.clip(sign * (hip[0] - pelvis[0]), 0.02 * outline.height, None) * sign + pelvis[0]
        whole = np.concatenate([hip[None], path])
        at = _along(whole)
        ankle = _point_at(whole, at, ANKLE_SHARE)
        straight = 0.5 * (hip + ankle)
        knee = _point_at(whole, at, 0.5 * ANKLE_SHARE)
        if np.linalg.norm(knee - straight) < 0.03 * outline.height:
            knee = 0.5 * (knee + straight)
        result |= _leg(side, hip, knee, ankle, foot)
    return result


def _leg(side: str, hip: NDArray, knee: NDArray, ankle: NDArray, foot: NDArray) -> dict[str, NDArray]:
    return {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle, f"{side}_foot": foot}
