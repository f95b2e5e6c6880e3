"""Hands on hips, belly, thighs or the other arm: they are at the same place of the character's own body."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import Source
from engine.animator.places import PARTS, Places, person_places
from engine.types import JOINTS

_ON, _OFF = 0.03, 0.05
"""A palm whose middle is nearer to the surface than the first begins to touch; farther than the second, it ends.
Heights of the person: what a skeleton's flesh is not known better than, and a hand is thick."""
_STILL = 0.25
"""Half of the time a touching hand moves over the surface slower than this, heights of the person a second: the hands
of who walks brush past the thighs faster."""
_SHORTEST_S = 0.2
_BLEND_S = 0.25
"""Touches shorter than the first are none; the second is how long they come and go."""
_SPREAD = 0.018
"""Places farther from the palm than the nearest one by more than this count little, heights of the person."""
_PALM = 0.008
"""Half the thickness of a person's palm, heights of the person."""
_KNUCKLES = 0.9
"""Where the middle of the palm is on the way from the wrist to the knuckle of the middle finger."""
_COUNTED = 16
"""Places that say where a palm is."""
_STRAIGHT, _BESIDE = 0.93, np.cos(np.radians(25.0))
"""An arm straighter than this share of its length, beside its thigh and turned from it by less than this, hangs: it
touches the thigh by chance."""
_BLOCK = 128

_IDX = {name: idx for idx, name in enumerate(JOINTS)}


@dataclass(frozen=True)
class Touch:
    """One hand of the source over time."""

    share: NDArray
    """(T,) 0 does not touch ... 1 touches."""
    places: NDArray
    """(T, 16) indices of the places it is at."""
    weights: NDArray
    """(T, 16) their shares, rows sum to 1."""
    above: NDArray
    """(T,) how far its skin is above them, heights of the person, >= 0."""

    def part(self, idx: NDArray) -> "Touch":
        """Some of the frames."""
        return Touch(self.share[idx], self.places[idx], self.weights[idx], self.above[idx])


def find_touches(known: NDArray, source: Source, person_m: float, time_s: NDArray) -> tuple[Touch, Touch]:
    """Find where and when the hands of a person touch its own body.

    The surface is that of mimo's own body, stretched to the joints of the person; a skeleton without flesh gets that of
    an ordinary one. A touch begins near the surface, ends farther from it, lasts, and neither merely brushes past nor
    hangs there.

    Args:
        known: (P,) bool: which places of `person_places` count.
        source: the posed skeleton.
        person_m: height of the person, metres.
        time_s: (T,) seconds.

    Returns:
        Left and right hand; `places` are indices into all P.
    """
    person = person_places()
    num_frames = len(time_s)
    found = []
    for side in ("left", "right"):
        own = [PARTS.index(f"{side}_{joint}") for joint in ("shoulder", "elbow")]
        allowed = np.flatnonzero(known & ~np.isin(person.part, own))
        hand = source.rest_m[[_IDX[f"{side}_wrist"], _IDX[f"{side}_middle1"]]]
        palm = source.joints_m[:, _IDX[f"{side}_wrist"]] + source.rotations[:, _IDX[f"{side}_wrist"]] @ (
            _KNUCKLES * (hand[1] - hand[0])
        )
        rows = [
            _near(person, allowed, palm, source, person_m, slice(start, min(start + _BLOCK, num_frames)), time_s)
            for start in range(0, num_frames, _BLOCK)
        ]
        places, weights, away, speed = (np.concatenate(column) for column in zip(*rows))
        share, held = _eased(_runs(np.where(_hangs(source, side), np.inf, away), speed, time_s), time_s)
        found.append(Touch(share, places[held], weights[held], np.maximum(away - _PALM, 0)[held]))
    return found[0], found[1]


def _near(
    person: Places, allowed: NDArray, palm: NDArray, source: Source, person_m: float, block: slice, time_s: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Of some frames: the places near a palm (n, 16) and their shares, how far above the surface it is (n,), negative
    inside, and how fast it moves over it (n,), both in heights of the person."""
    stop = min(block.stop + 1, len(palm))
    vertices, normals = _posed(person, allowed, source, person_m, slice(block.start, stop))
    num = block.stop - block.start
    square = ((vertices[:num] - palm[block, None]) ** 2).sum(-1)
    count = min(_COUNTED, len(allowed))
    nearest = np.argpartition(square, count - 1, axis=1)[:, :count]
    picked = np.take_along_axis(square, nearest, 1)
    weights = np.exp(-(picked - picked.min(1, keepdims=True)) / (2 * (_SPREAD * person_m) ** 2))
    weights -= weights.min(1, keepdims=True) * (1 - 1e-9)  # the last one to count comes and goes unseen
    weights /= weights.sum(1, keepdims=True)
    rows = np.arange(num)[:, None]
    at = (vertices[rows, nearest] * weights[..., None]).sum(1)
    out = (normals[rows, nearest] * weights[..., None]).sum(1)
    offset = palm[block] - at
    away = np.linalg.norm(offset, axis=1) * np.where((offset * out).sum(1) < 0, -1.0, 1.0) / person_m
    following = np.minimum(rows + 1, len(vertices) - 1)
    carried = ((vertices[following, nearest] - vertices[rows, nearest]) * weights[..., None]).sum(1)
    later = np.minimum(np.arange(block.start, block.stop) + 1, len(palm) - 1)
    slid = np.linalg.norm(palm[later] - palm[block] - carried, axis=1) / person_m
    speed = slid / np.maximum(time_s[later] - time_s[block], 1e-3)
    return allowed[nearest], weights, away, speed


def _posed(person: Places, allowed: NDArray, source: Source, person_m: float, block: slice) -> tuple[NDArray, NDArray]:
    """(n, P, 3) places of a person in some frames, world, and their normals."""
    joints, flesh = _bound(person, allowed, source.rest_m, person_m)
    weights = person.weights[allowed]
    used = np.flatnonzero(weights.any(0))
    rotations = source.rotations[block][:, used]
    shift = source.joints_m[block][:, used] - (rotations @ joints[used, :, None])[..., 0]
    moves = np.concatenate([rotations, shift[..., None]], -1).reshape(len(rotations), len(used), 12)
    moves = np.matmul(weights[:, used], moves).reshape(len(rotations), len(allowed), 3, 4)
    normals = (moves[..., :3] @ person.normals[allowed][:, :, None])[..., 0]
    return (moves[..., :3] @ flesh[:, :, None])[..., 0] + moves[..., 3], normals


def _bound(person: Places, allowed: NDArray, rest_m: NDArray, person_m: float) -> tuple[NDArray, NDArray]:
    """Joints of the rest pose (52, 3), and the places (P, 3) as they lie around them: flesh grows with the height,
    bones are as long as they are."""
    from engine.body.model import load_body

    joints = load_body().joints.astype(np.float64)
    size = person_m / person_height_m()
    moved = rest_m - size * joints
    return rest_m, size * person.vertices[allowed] + person.weights[allowed] @ moved


def person_height_m() -> float:
    """Height of the embedded body as `ground.person_height` sees it, metres."""
    from engine.animator.ground import HEAD_JOINT_SHARE
    from engine.body.model import load_body

    return float(load_body().joints[_IDX["head"], 1]) / HEAD_JOINT_SHARE


def _hangs(source: Source, side: str) -> NDArray:
    """(T,) bool: an arm hangs beside its thigh."""
    at = {name: source.joints_m[:, _IDX[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist", "hip", "knee")}
    arm, thigh = at["wrist"] - at["shoulder"], at["knee"] - at["hip"]
    bones = np.linalg.norm(at["elbow"] - at["shoulder"], axis=1) + np.linalg.norm(at["wrist"] - at["elbow"], axis=1)
    length = np.maximum(np.linalg.norm(arm, axis=1), 1e-9)
    cosine = (arm * thigh).sum(1) / (length * np.maximum(np.linalg.norm(thigh, axis=1), 1e-9))
    return (length > _STRAIGHT * bones) & (cosine > _BESIDE)


def _runs(away: NDArray, speed: NDArray, time_s: NDArray) -> NDArray:
    """(T,) bool: frames of touches that last and do not brush past."""
    out = np.zeros(len(away), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (away < _OFF).astype(int), [0]])))
    for start, stop in zip(edges[::2], edges[1::2]):
        close = np.flatnonzero(away[start:stop] < _ON) + start
        if not len(close):
            continue
        first, last = close[0], close[-1]
        if len(away) == 1 or (time_s[last] - time_s[first] >= _SHORTEST_S and np.median(speed[close]) < _STILL):
            out[first:stop] = True
    return out


def _eased(touching: NDArray, time_s: NDArray) -> tuple[NDArray, NDArray]:
    """(T,) 0 ... 1: comes before a touch begins and goes after it has ended, smoothly; and (T,) the frame whose places
    count: meanwhile the hand is on its way to where it will touch, or from where it did."""
    frames = np.arange(len(time_s))
    touched = np.flatnonzero(touching)
    if not len(touched):
        return np.zeros(len(time_s)), frames
    after = np.clip(np.searchsorted(touched, frames), 0, len(touched) - 1)
    later, earlier = touched[after], touched[np.maximum(after - 1, 0)]
    away = np.abs(time_s[np.stack([earlier, later])] - time_s)
    nearest = np.where(away[0] < away[1], earlier, later)
    near = np.clip(1 - away.min(0) / _BLEND_S, 0, 1)
    return near * near * (3 - 2 * near), nearest
