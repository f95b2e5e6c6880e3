"""From what was seen frame by frame to one steady table per person: joining, repairing, filling and smoothing.

The whole clip is known, so the filters look both ways and do not lag.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.people.smooth import smooth_in_time
from engine.people.table import Table
from engine.types import Landmarks, Size, Tracks

MIN_SHARE = 0.02
"""Somebody seen in a smaller share of the clip (and in fewer than `MIN_FRAMES` frames) is not a person."""
MIN_FRAMES = 8
MAX_MEETING = 48
"""Frames that one may hide another."""
_JUMP = 0.1
"""Heights: landmarks that move farther in one frame have changed to somebody else, if they were calm before."""
SWAP = np.array([0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(k + 1 if k % 2 else k - 1 for k in range(11, 33))])
"""Landmark of the other side."""
LIMBS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
"""Shoulders, elbows, wrists, hips, knees, ankles."""
GROUPS = {"all": range(33), "legs": range(23, 33), "arms": range(13, 23)}
"""Landmarks whose sides are confused together."""


@dataclass(frozen=True)
class Settled:
    """One person."""

    tracks: Tracks
    landmarks: Landmarks
    importance: float
    first_idx: int
    rows: NDArray
    """(T,) int32, -1 where not seen."""
    entries: NDArray
    """Rows of the whole table that are this person's."""


def settle(table: Table, groups: list[NDArray], num_frames: int, size: Size) -> list[Settled]:
    """Make one complete, steady table for each person.

    Args:
        table: all sightings.
        groups: rows of each person.
        num_frames: length of the clip.
        size: (height, width) of the frames, pixels.
    """
    ordered = [group[np.argsort(table.frame[group], kind="stable")] for group in groups]
    return [_settle_one(table, entries, num_frames, size) for entries in ordered]


def join(table: Table, num_frames: int) -> list[NDArray]:
    """Find the rows of each person; one who was lost and found (near in size, place and colours) is one person.

    Those who were hardly seen are left out.
    """
    groups = [np.flatnonzero(table.track == name) for name in np.unique(table.track)]
    groups.sort(key=lambda entries: table.frame[entries].min())
    groups = _give_place_back(table, _hand_back(table, groups))
    joined: list[NDArray] = []
    for entries in groups:
        best, best_score = None, 0.62
        for k, earlier in enumerate(joined):
            score = _alike(table, earlier, entries)
            if score > best_score:
                best, best_score = k, score
        if best is None:
            joined.append(entries)
        else:
            joined[best] = np.concatenate([joined[best], entries])
    joined = _uncross(table, joined)
    least = min(MIN_FRAMES, max(1, num_frames // 4))
    return [
        entries
        for entries in joined
        if (len(entries) >= least or len(entries) >= MIN_SHARE * num_frames) and _is_person(table, entries)
    ]


def _hand_back(table: Table, groups: list[NDArray]) -> list[NDArray]:
    """Undo exchanges after which the one who was lost got a new name.

    One walks in front of another, and the tracker goes on with the wrong one: one track has both, one ends there and
    one begins there. If the colours fit clearly better crosswise, the first is cut and its parts change hands.
    """
    groups = [group[np.argsort(table.frame[group], kind="stable")] for group in groups]
    for c in range(len(groups)):
        for b in range(len(groups)):
            if b == c or not len(groups[b]) or not len(groups[c]):
                continue
            lost, found = int(table.frame[groups[b][-1]]), int(table.frame[groups[c][0]])
            if not 1 < found - lost <= MAX_MEETING:
                continue
            pieces = np.concatenate([groups[b], groups[c]])
            for a in range(len(groups)):
                if a in (b, c) or not len(groups[a]) or not _is_crossed(table, groups[a], pieces, lost, found):
                    continue
                cut = _hand_over(table, groups[a], groups[b], lost, found)
                kept, other = groups[a][:cut], groups[a][cut:]
                groups[a], groups[b] = np.concatenate([kept, groups[c]]), np.concatenate([groups[b], other])
                groups[c] = groups[c][:0]
                break
    return sorted((group for group in groups if len(group)), key=lambda entries: table.frame[entries].min())


def _hand_over(table: Table, kept: NDArray, other: NDArray, lost: int, found: int) -> int:
    """How many rows of `kept` are still its own, by colours; the rest are those of `other`, who was lost."""
    frames = table.frame[kept]
    first, last = int(np.sum(frames <= lost)), int(np.sum(frames < found))
    own, theirs = table.look[kept[:first][-24:]].mean(0), table.look[other[-24:]].mean(0)
    looks = table.look[kept[first:last]]
    gain = np.sqrt(looks * own).sum(1) - np.sqrt(looks * theirs).sum(1)
    return first + int(np.argmax(np.concatenate([[0.0], np.cumsum(gain)])))


def _give_place_back(table: Table, groups: list[NDArray]) -> list[NDArray]:
    """Undo a theft: somebody not seen before walks in front of one who stands, and takes their track along.

    The one who stands is then found as a newcomer. Told by the place (the newcomer stands where the track stood), by
    the jump with which the track left it, and by the colours.
    """
    for b in range(len(groups)):
        for a in range(len(groups)):
            cut = 0 if a == b else _find_theft(table, groups[a], groups[b])
            if cut:
                groups[a], groups[b] = groups[a][cut:], np.concatenate([groups[a][:cut], groups[b]])
                break
    return sorted(groups, key=lambda entries: table.frame[entries].min())


def _find_theft(table: Table, kept: NDArray, newcomer: NDArray) -> int:
    """How many rows at the head of `kept` are the newcomer's; 0 if none."""
    found = int(table.frame[newcomer[0]])
    frames = table.frame[kept]
    until = int(np.sum(frames < found))
    if until < 12 or until == len(kept) or len(newcomer) < 12:
        return 0
    place, now = np.median(table.box[newcomer[:12]], axis=0), table.box[kept[until]]
    if _overlap(place, now) > 0.3:
        return 0
    height = float(np.median(table.box[kept, 3] - table.box[kept, 1]))
    steps = np.median(np.linalg.norm(np.diff(table.image[kept[:until]], axis=0), axis=-1), axis=1) / height
    for j in range(12, until):
        calm = float(np.median(steps[j - 12 : j - 1]))
        if frames[j] < found - 2 * MAX_MEETING or steps[j - 1] < max(_JUMP, 5 * calm):
            continue
        looks = [table.look[rows].mean(0) for rows in (kept[j - 12 : j], newcomer[:24], kept[until:][:24])]
        theirs, own = (float(np.sqrt(looks[0] * look).sum()) for look in looks[1:])
        if _overlap(place, np.median(table.box[kept[j - 12 : j]], axis=0)) > 0.5 and theirs > own + 0.03:
            return j
    return 0


def _overlap(box: NDArray, other: NDArray) -> float:
    """Intersection over union of two boxes (4,)."""
    shared = np.prod(np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None))
    return float(shared / max(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - shared, 1e-6))


def _uncross(table: Table, groups: list[NDArray]) -> list[NDArray]:
    """Undo exchanges of two people who met.

    When one walks in front of another, the tracker may go on with the wrong one and find the other later. If the
    colours before and after fit clearly better crosswise, they are put together crosswise.
    """
    groups = [group[np.argsort(table.frame[group], kind="stable")] for group in groups]
    for b in range(len(groups)):
        frames = table.frame[groups[b]]
        for gap in np.flatnonzero(np.diff(frames) > 1)[::-1]:
            lost, found = int(frames[gap]), int(frames[gap + 1])
            for a in range(len(groups)):
                if a != b and _is_crossed(table, groups[a], groups[b], lost, found):
                    cut_a, cut_b = (int(np.sum(table.frame[groups[k]] <= lost)) for k in (a, b))
                    one, other = groups[a], groups[b]
                    groups[a] = np.concatenate([one[:cut_a], other[cut_b:]])
                    groups[b] = np.concatenate([other[:cut_b], one[cut_a:]])
                    break
    return groups


def _is_crossed(table: Table, kept: NDArray, lost_one: NDArray, lost: int, found: int) -> bool:
    """Tell whether `lost_one`, away between two frames, and `kept`, who was there all the time, are exchanged."""
    looks, last = [], []
    for entries in (kept, lost_one):
        frames = table.frame[entries]
        before, after = entries[frames <= lost][-24:], entries[frames >= found][:24]
        if len(before) < 5 or len(after) < 5:
            return False
        looks.append([table.look[before].mean(0), table.look[after].mean(0)])
        last.append(table.box[before[-1]])
    height = max(box[3] - box[1] for box in last)
    centers = [(box[:2] + box[2:]) / 2 for box in last]
    if np.hypot(*(centers[0] - centers[1])) > 0.8 * height:
        return False
    stay, swap = (sum(1 - float(np.sqrt(looks[k][0] * looks[k ^ x][1]).sum()) for k in (0, 1)) for x in (0, 1))
    return stay > swap + 0.06


def _is_person(table: Table, entries: NDArray) -> bool:
    """Things read as people (palm leaves) have few joints in sight and a mask that fills little of its square."""
    seen, fill = table.visibility[entries][:, LIMBS].mean(), table.fill[entries].mean()
    return bool(seen > 0.6 or fill > 0.09)  # people: 0.73 ... 0.88 and 0.10 ... 0.18; the palm: 0.52 and 0.07


def _alike(table: Table, earlier: NDArray, later: NDArray) -> float:
    """0 ... 1: how likely the later sightings continue the earlier ones; 0 where they overlap in time."""
    if np.intersect1d(table.frame[earlier], table.frame[later]).size:
        return 0.0
    last, first = earlier[np.argmax(table.frame[earlier])], later[np.argmin(table.frame[later])]
    if table.frame[first] < table.frame[last]:
        return 0.0
    color = float(np.sqrt(table.look[earlier].mean(0) * table.look[later].mean(0)).sum())
    heights = table.box[[last, first], 3] - table.box[[last, first], 1]
    centers = (table.box[[last, first], :2] + table.box[[last, first], 2:]) / 2
    away = float(np.hypot(*(centers[1] - centers[0])) / heights.max())
    gap = int(table.frame[first] - table.frame[last])
    near = float(np.exp(-max(0.0, away - 0.1 * gap)))
    return color * (0.5 + 0.5 * near) * float(np.sqrt(heights.min() / heights.max()))


def _settle_one(table: Table, entries: NDArray, num_frames: int, size: Size) -> Settled:
    mine = table.take(entries)
    image, world, visibility = repair_sides(mine.frame, mine.image, mine.world, mine.visibility)
    mine = replace(mine, image=image, world=world, visibility=visibility)
    image, world, visibility, box = (
        _fill(mine.frame, values, num_frames) for values in (mine.image, mine.world, mine.visibility, mine.box)
    )
    score = np.zeros(num_frames, np.float32)
    score[mine.frame] = mine.score
    rows = np.full(num_frames, -1, np.int32)
    rows[mine.frame] = mine.row
    person_px = np.maximum(1.0, np.percentile(box[:, 3] - box[:, 1], 75))
    image = _steady(image, visibility, unit=person_px)
    world = _steady(world, visibility, unit=1.7)
    low, high = image.min(1), image.max(1)
    margin = 0.08 * (high - low).max(1, keepdims=True)
    tracks = Tracks(np.concatenate([low - margin, high + margin], 1).astype(np.float32), score)
    landmarks = Landmarks(image, world, visibility, score)
    return Settled(
        tracks, landmarks, _importance(tracks, image, score, size), int(mine.frame[0]), rows, np.sort(entries)
    )


def _fill(frame: NDArray, values: NDArray, num_frames: int) -> NDArray:
    """Values in every frame: linear across gaps, constant before the first and after the last."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    at = np.clip(np.searchsorted(frame, np.arange(num_frames), side="right") - 1, 0, len(frame) - 1)
    following = np.minimum(at + 1, len(frame) - 1)
    span = np.maximum(frame[following] - frame[at], 1)
    share = np.clip((np.arange(num_frames) - frame[at]) / span, 0, 1)[:, None]
    out = flat[at] * (1 - share) + flat[following] * share
    return out.reshape(num_frames, *values.shape[1:]).astype(np.float32)


def repair_sides(
    frame: NDArray, image: NDArray, world: NDArray, visibility: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Where left and right (of all, legs or arms) are exchanged for a moment, exchange them back.

    A change of sides shows as a jump there and a jump back; the shortest path through the choices (kept, exchanged)
    wins, and as whole clips are seen mostly right, what is rarer is taken for the mistake.

    Args:
        frame: (N,) int, increasing: frames in which somebody was seen.
        image: (N, 33, 2) pixels.
        world: (N, 33, 3) metres.
        visibility: (N, 33).

    Returns:
        The three, repaired.
    """
    image, world, visibility = image.copy(), world.copy(), visibility.copy()
    for group in GROUPS.values():
        index = np.array(list(group))
        swapped = SWAP[index]
        both = np.minimum(visibility[:, index], visibility[:, swapped])
        flip = _shortest_path(frame, image[:, index], image[:, swapped], world[:, index], world[:, swapped], both)
        for values in (image, world, visibility):
            values[np.ix_(flip, index)] = values[np.ix_(flip, swapped)]
    return image, world, visibility


def _shortest_path(
    frame: NDArray, image: NDArray, other: NDArray, world: NDArray, world_other: NDArray, both: NDArray
) -> NDArray:
    """Viterbi over two states per frame; returns the rows (bool) where the sides should be exchanged.

    A pair counts as far as `both` (N, K) of it are seen, 0 ... 1: a hidden landmark jumps by itself.
    """
    num = len(frame)
    unit = np.maximum(np.ptp(image.reshape(num, -1, 2)[..., 1], axis=1).mean(), 1.0)
    states = [np.concatenate([image / unit, world / 1.7], -1), np.concatenate([other / unit, world_other / 1.7], -1)]
    seen = np.minimum(both[:-1], both[1:])[..., None]
    jumps = [[(seen * np.abs(after[1:] - before[:-1])).mean((1, 2)) for after in states] for before in states]
    gaps = np.sqrt(np.maximum(np.diff(frame), 1))
    steps = np.moveaxis(np.array(jumps) / gaps, 2, 0) + np.array([0.0, 0.004])  # an exchange must earn its keep
    cost, back = np.array([0.0, 0.02]), np.zeros((num, 2), np.int8)
    for t, step in enumerate(steps, 1):
        total = cost[:, None] + step
        back[t] = total.argmin(0)
        cost = total.min(0)
    flip = np.zeros(num, bool)
    state = int(cost.argmin())
    for t in range(num - 1, -1, -1):
        flip[t] = bool(state)
        state = int(back[t, state])
    return flip


def _steady(values: NDArray, visibility: NDArray, *, unit: float) -> NDArray:
    """Smooth in time, more where it is slow or not seen, hardly where it is fast; without lag.

    Args:
        values: (T, K, D) float32.
        visibility: (T, K) float32.
        unit: what counts as the size of a person, in the unit of `values`.
    """
    if len(values) < 5:
        return values
    values = _without_spikes(values.astype(np.float64), visibility, unit)
    calm, brisk = smooth_in_time(values, 2.2), smooth_in_time(values, 0.7)
    speed = np.linalg.norm(np.gradient(smooth_in_time(values, 1.5), axis=0), axis=-1) / unit
    # 0.4 % of the height per frame (0.2 m/s) is standing still, 2 % (1 m/s) is moving.
    quick = np.clip((speed - 0.004) / 0.016, 0, 1) * np.clip(visibility / 0.5, 0.2, 1)
    quick = smooth_in_time(quick, 1.0)[..., None]
    return (calm + (brisk - calm) * quick).astype(np.float32)


def _without_spikes(values: NDArray, visibility: NDArray, unit: float) -> NDArray:
    """Replace a landmark that jumps away for one or two frames by the median of its neighbours."""
    padded = np.pad(values, ((2, 2), (0, 0), (0, 0)), mode="edge")
    windows = np.stack([padded[k : k + len(values)] for k in range(5)])
    median = np.median(windows, axis=0)
    spread = np.median(np.abs(windows - median), axis=0).max(-1)
    away = np.abs(values - median).max(-1)
    limit = 4 * spread + np.where(visibility > 0.5, 0.05, 0.02) * unit
    return np.where((away > limit)[..., None], median, values)


def _importance(tracks: Tracks, image: NDArray, score: NDArray, size: Size) -> float:
    """Share of the clip, size in it, and motion of the limbs: who the clip is about."""
    seen = score > 0
    box = tracks.box_px[seen]
    area = np.prod(np.clip(box[:, 2:], 0, size[::-1]) - np.clip(box[:, :2], 0, size[::-1]), axis=1)
    share = float(np.sqrt(np.clip(area, 0, None) / (size[0] * size[1])).sum() / len(score))
    if seen.sum() < 2:
        return share
    height = float(np.median(box[:, 3] - box[:, 1]))
    motion = float(np.median(np.linalg.norm(np.diff(image[seen], axis=0), axis=-1).mean(1)) / max(height, 1.0))
    return share * (1 + min(1.0, motion / 0.02))
