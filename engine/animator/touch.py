"""Hands on hips, belly, thighs or the other arm: they are at the same place of the character's own body."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import Source
from engine.animator.places import PARTS, Places, person_places
from engine.geometry import eased
from engine.types import JOINTS


@dataclass(frozen=True)
class _Kind:
    """A kind of touch: a palm's middle nearer than `near` begins it, farther than `far` ends it, heights of the person;
    it lasts `shortest_s` at least, and half of the time the hand moves over the surface slower than `slow`, heights a
    second: the hands of who walks brush past the thighs faster."""

    near: float
    far: float
    slow: float
    shortest_s: float


_SURE = _Kind(0.03, 0.05, 0.25, 0.2)
"""Nearer than a skeleton's flesh is known, and a hand is thick."""
_HELD = _Kind(0.08, 0.105, 0.12, 0.35)
"""A bent arm that is held still may be farther: joints lifted from a video are wrong by as much."""
_BENT = 0.85
"""An arm whose wrist is nearer to its shoulder than this share of its length is bent."""
_BLEND_S = 0.25
"""How long touches come and go."""
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
        hangs, bent = _bearing(source, side)
        slack = _slack(np.where(hangs, np.inf, away), speed, time_s, _SURE)
        slack = np.maximum(slack, _slack(np.where(bent, away, np.inf), speed, time_s, _HELD))
        share, held = _eased(slack > 0, time_s)
        found.append(Touch(share, places[held], weights[held], np.maximum(away - slack, 0)[held]))
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


def _bearing(source: Source, side: str) -> tuple[NDArray, NDArray]:
    """(T,) bool each: an arm hangs beside its thigh; it is bent."""
    at = {name: source.joints_m[:, _IDX[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist", "hip", "knee")}
    arm, thigh = at["wrist"] - at["shoulder"], at["knee"] - at["hip"]
    bones = np.linalg.norm(at["elbow"] - at["shoulder"], axis=1) + np.linalg.norm(at["wrist"] - at["elbow"], axis=1)
    length = np.maximum(np.linalg.norm(arm, axis=1), 1e-9)
    cosine = (arm * thigh).sum(1) / (length * np.maximum(np.linalg.norm(thigh, axis=1), 1e-9))
    return (length > _STRAIGHT * bones) & (cosine > _BESIDE), length < _BENT * bones


def _slack(away: NDArray, speed: NDArray, time_s: NDArray, kind: _Kind) -> NDArray:
    """(T,) > 0 in touches of a kind: how far away a hand is there that touches, heights of the person."""
    out = np.zeros(len(away))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (away < kind.far).astype(int), [0]])))
    for start, stop in zip(edges[::2], edges[1::2]):
        close = np.flatnonzero(away[start:stop] < kind.near) + start
        if not len(close):
            continue
        first, last = close[0], close[-1]
        lasts = time_s[last] - time_s[first] >= kind.shortest_s and np.median(speed[close]) < kind.slow
        if lasts or (len(away) == 1 and kind is _SURE):
            out[first:stop] = max(float(np.median(away[close])), _PALM)
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
    return eased(1 - away.min(0) / _BLEND_S), nearest
