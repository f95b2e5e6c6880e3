"""Arms that lie against the body: where to cut them free."""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.identity.skeleton import LIMBS

GLUED_RATIO = 1.9
"""An arm is glued where the silhouette runs on this many times further to one side of its bone than to the other."""

GLUED_SHARE = 0.35
"""Share of an arm below its shoulder that has to be glued before it is cut free."""

SURE_SHARE, OFF_SHARE = 0.5, 1.1
"""Share of an arm's half width about its bone that is arm for sure; and how many half widths its rim may be off."""

UPPER_SHARE = 0.3
"""Share of an arm, from its shoulder, whose rim stays: sleeves have no edge there."""

STEP = 5
"""Levels: where the picture has no step of this height near an arm's rim, the rim stays where it is."""

MOST_GROWN = 1.25
"""An arm that would grow by more than this has no edge to end at: it takes a piece of a jacket along."""

PIECE = 24
"""Points of an arm's line from joint to joint, and on to the fingers."""

HAND_COLOUR, OTHER_COLOUR = 18.0, 30.0
"""How far from the colour of a hand's middle the rest of it is at most, what is behind it at least, CIE Lab units."""

HAND_REACH = 0.58
"""Where the middle of a hand is beyond the wrist, and how far it reaches around that; share of the forearm."""

LARGEST_HAND = 0.4
"""A hand is no larger than this, squares of the forearm's length: what is, is bare legs or trousers like the glove."""

FINGER_SHARE = 0.3
"""Half of a finger's width as share of half of the arm's."""

THIRD_SHARE = 0.05
"""Share of a hand in a third colour, neither its own nor the clothes', from which what is cut is left as it is: cuffs,
drawn lines, things it holds (measured: .0003, .003 for bare hands, .10 where a cuff covers half, .24 for drawings)."""


@dataclass(frozen=True)
class Cuts:
    """Parts of the silhouette that hang on the body by their root alone."""

    labels: NDArray
    """(H, W) uint8: 0 body, 1 ... one number per cut part."""
    roots: dict[int, tuple[NDArray, float]]
    """By number: the (2,) point and the radius, pixels, in which the part stays joined to the body."""
    hands: NDArray
    """(H, W) uint8: of the hands that their colour tells from what is behind them, 1 what shows the hand, 2 what shows
    clothes or is mixed with them; 0 elsewhere."""

    def blocked(self) -> NDArray:
        """(H, W) bool: pixels along the cuts."""
        edge = cv2.morphologyEx(self.labels, cv2.MORPH_GRADIENT, np.ones((2, 2))) > 0
        for centre, radius in self.roots.values():
            joined = np.zeros(self.labels.shape, np.uint8)
            cv2.circle(joined, (int(centre[0]), int(centre[1])), int(radius), 1, -1)
            edge &= joined == 0
        return edge


def find_cuts(mask: NDArray, rgb: NDArray, points: dict[str, NDArray]) -> Cuts:
    """Find arms that touch the body along their length.

    Args:
        mask: (H, W) uint8, 128 and more is inside.
        rgb: (H, W, 3) uint8, the picture.
        points: (2,) pixels by joint name.

    Returns:
        A cut for each such arm: discs about its bones, as wide as it is far to the outer silhouette, moved to where the
        picture has an edge.

    Source: Meyer 1992, watersheds of the picture's gradient, from the middle of the arm and from the body.
    """
    labels, hands = np.zeros(mask.shape, np.uint8), np.zeros(mask.shape, np.uint8)
    roots: dict[int, tuple[NDArray, float]] = {}
    inside = mask >= 128
    for number, limb in enumerate(("left_arm", "right_arm"), start=1):
        if not all(joint in points for joint in LIMBS[limb]):
            continue
        shoulder, elbow, wrist = (points[joint] for joint in LIMBS[limb])
        line = _line(np.stack([shoulder, elbow, wrist, wrist + 0.55 * (wrist - elbow)]))
        length = np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow)
        outer, inner = _reaches(inside, line)
        within = np.minimum(outer, inner) > 0
        along = np.linspace(0, 1, len(line))
        lower = within & (along > 0.25)
        if lower.sum() < 4:
            continue
        glued = (np.maximum(outer, inner) > GLUED_RATIO * np.minimum(outer, inner)) & lower
        if glued.sum() < GLUED_SHARE * lower.sum():
            continue
        area = np.zeros(mask.shape, np.uint8)
        usual = float(np.median(np.minimum(outer, inner)[lower]))
        for point, radius in zip(line, np.minimum(outer, inner)):
            if radius > 0:
                size = min(1.06 * radius, 1.6 * usual, 0.28 * length)
                cv2.circle(area, (int(point[0]), int(point[1])), max(round(size), 1), 1, -1)
        lab = _lab(rgb)
        hand = _find_hand(lab, inside, line, usual)
        edged = _to_edges(area, hand, rgb, inside, line, np.minimum(outer, inner))
        area, shown = _without_clothes(_with_rind(edged, inside, reach=0.5 * usual), hand, lab, line, usual)
        free = (area > 0) & inside & (labels == 0)
        labels[free], hands[free] = number, shown[free]
        roots[number] = shoulder, float(max(1.25 * float(min(outer[0], inner[0], 1.6 * usual)), 0.16 * length))
    return Cuts(labels, roots, hands)


def _line(corners: NDArray) -> NDArray:
    pieces = [a + np.linspace(0, 1, PIECE, endpoint=False)[:, None] * (b - a) for a, b in itertools.pairwise(corners)]
    return np.concatenate([*pieces, corners[-1:]])


def _reaches(inside: NDArray, line: NDArray) -> tuple[NDArray, NDArray]:
    """(M,), (M,): how far the silhouette goes on to both sides of a line, pixels; 0 outside."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-along[:, 1], along[:, 0]], 1)
    steps = np.arange(0, max(inside.shape))
    found = []
    for sign in (1, -1):
        x = (line[:, :1] + sign * normal[:, :1] * steps).astype(int)
        y = (line[:, 1:] + sign * normal[:, 1:] * steps).astype(int)
        ok = (x >= 0) & (y >= 0) & (x < inside.shape[1]) & (y < inside.shape[0])
        hit = np.zeros(x.shape, bool)
        hit[ok] = inside[y[ok], x[ok]]
        found.append(np.where(hit.all(1), len(steps), np.argmin(hit, axis=1)).astype(float))
    return found[0], found[1]


def _find_hand(lab: NDArray, inside: NDArray, line: NDArray, half_px: float) -> NDArray:
    """(H, W) uint8: 1 the hand at the end of an arm's line by its colour, 2 what is near it and not the hand, 0
    undecided; all 0 where its colour does not tell."""
    wrist, forearm = line[2 * PIECE], line[2 * PIECE] - line[PIECE]
    length = float(np.linalg.norm(forearm))
    middle, around = np.zeros(inside.shape, np.uint8), np.zeros(inside.shape, np.uint8)
    for x, y in line[9 * PIECE // 4 : 11 * PIECE // 4]:
        cv2.circle(middle, (int(x), int(y)), max(round(0.4 * half_px), 1), 1, -1)
    x, y = wrist + HAND_REACH * forearm
    cv2.circle(around, (int(x), int(y)), max(round(HAND_REACH * length), 1), 1, -1)
    near, core = inside & (around > 0), inside & (middle > 0)
    if core.sum() < 12:
        return np.zeros(inside.shape, np.uint8)
    gap = _colour_gap(lab, core)
    hand = near & (gap < HAND_COLOUR)
    if hand.sum() > LARGEST_HAND * length**2 or not (near & (gap > OTHER_COLOUR)).any():
        return np.zeros(inside.shape, np.uint8)
    return np.where(hand, 1, np.where(near & (gap > OTHER_COLOUR), 2, 0)).astype(np.uint8)


def _lab(rgb: NDArray) -> NDArray:
    """(H, W, 3) float32: a picture without its grain, CIE Lab."""
    return cv2.cvtColor(cv2.medianBlur(rgb, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _colour_gap(lab: NDArray, of: NDArray) -> NDArray:
    """(H, W): how far colours are from that of a part (H, W) bool; shadows count half, as fingers have them."""
    return np.linalg.norm((lab - np.median(lab[of], axis=0)) * (0.5, 1, 1), axis=2)


def _without_clothes(
    area: NDArray, hand: NDArray, lab: NDArray, line: NDArray, half_px: float
) -> tuple[NDArray, NDArray]:
    """An arm (H, W) uint8 0 or 1 without the clothes it shows behind its hand of `_find_hand`, and `Cuts.hands` of it.

    Gaps narrower than a finger stay, and what a hand encloses: hands are mitts. Unchanged, and 0, where colours do not
    tell hand from clothes.
    """
    behind = (hand == 2) & (area == 0)
    if not behind.any():
        return area, np.zeros_like(area)
    other = _colour_gap(lab, hand == 1) > OTHER_COLOUR
    beyond = (area > 0) & _beyond_sleeve(other, line, half_px)
    clothes = beyond & other & (_colour_gap(lab, behind) < HAND_COLOUR)
    if (beyond & other & ~clothes).sum() >= THIRD_SHARE * max(beyond.sum(), 1):
        return area, np.zeros_like(area)
    finger = 2 * max(round(FINGER_SHARE * half_px), 1) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (finger, finger))
    closed = cv2.morphologyEx((beyond & ~clothes).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    kept = area & np.where(beyond, closed, 1).astype(np.uint8)
    kept = np.where(beyond, cv2.morphologyEx(kept, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), kept).astype(np.uint8)
    kept = area & (1 - _largest(1 - _largest(kept)))
    mixed = cv2.dilate(clothes.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return kept, np.where(beyond & (kept > 0), 1 + mixed, 0).astype(np.uint8)


def _beyond_sleeve(other: NDArray, line: NDArray, half_px: float) -> NDArray:
    """(H, W) bool: what is farther along the forearm than the place from which most of the arm's middle is no `other`
    (H, W) bool than the hand: sleeves are not behind a hand."""
    wrist, forearm = line[2 * PIECE], line[2 * PIECE] - line[PIECE]
    length = max(float(np.linalg.norm(forearm)), 1e-9)
    rows, columns = np.mgrid[: other.shape[0], : other.shape[1]]
    along = ((columns - wrist[0]) * forearm[0] + (rows - wrist[1]) * forearm[1]) / length**2
    across = ((rows - wrist[1]) * forearm[0] - (columns - wrist[0]) * forearm[1]) / length
    step = np.clip(along * PIECE, -1, PIECE).astype(int)
    of = (along >= 0) & (step < PIECE) & (np.abs(across) < 0.4 * half_px)
    pixels = np.bincount(step[of], minlength=PIECE)
    bare = np.bincount(step[of & ~other], minlength=len(pixels)) > 0.5 * pixels
    return (along >= 0) & (step >= int(np.argmax(bare)))


def _largest(area: NDArray) -> NDArray:
    """The largest piece of (H, W) uint8 0 or 1."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(area, connectivity=4)
    return (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8) if count > 1 else area


def _to_edges(area: NDArray, hand: NDArray, rgb: NDArray, inside: NDArray, line: NDArray, radius: NDArray) -> NDArray:
    """Move the rim of an arm (H, W) uint8 0 or 1 with a hand of `_find_hand` to edges of the picture near it."""
    usual = max(float(np.median(radius[radius > 0])), 1.0)
    reach = 2 * round(OFF_SHARE * usual) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    seeds = np.where(inside, 0, 3).astype(np.int32)
    seeds[inside & (cv2.dilate(area, disc) == 0)] = 2
    middle = np.zeros_like(area)
    for point, size in zip(line, radius):
        if size > 0:
            cv2.circle(middle, (int(point[0]), int(point[1])), max(round(SURE_SHARE * min(size, usual)), 1), 1, -1)
    seeds[inside & (middle > 0)] = 1
    fingers = (hand == 1).astype(np.uint8)
    seeds[inside & (cv2.dilate(fingers, np.ones((7, 7), np.uint8)) > 0) & (seeds == 2)] = 0
    seeds[inside & (hand > 0)] = hand[inside & (hand > 0)]
    plain = cv2.convertScaleAbs(cv2.medianBlur(rgb, 5), alpha=1 - STEP / 255)
    found = cv2.watershed(plain + (STEP * area)[..., None], seeds) == 1
    start = round(UPPER_SHARE * len(line))
    (x, y), (dx, dy) = line[start], line[start + 1] - line[start]
    rows, columns = np.mgrid[: inside.shape[0], : inside.shape[1]]
    upper = (columns - x) * dx + (rows - y) * dy < 0
    found = np.where(upper, area, cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)))
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    return found if found.sum() <= MOST_GROWN * ((area | fingers) * inside).sum() else area | fingers


def _with_rind(area: NDArray, inside: NDArray, reach: float) -> NDArray:
    """Give the thin rest between the arm and the outer silhouette to the arm."""
    size = 2 * max(int(reach), 1) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    rest = (inside & (area == 0)).astype(np.uint8)
    thin = cv2.subtract(rest, cv2.morphologyEx(rest, cv2.MORPH_OPEN, disc))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(thin, connectivity=4)
    near = cv2.dilate(area, np.ones((3, 3)))
    for index in range(1, count):
        piece = labels == index
        if stats[index, cv2.CC_STAT_AREA] < 0.5 * area.sum() and near[piece].any():
            area = np.where(piece, 1, area).astype(np.uint8)
    return area
