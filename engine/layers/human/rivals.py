"""Other people beside the person: whose a pixel is, by whose bones are nearer, who stands in front, and clothes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.background_motion import find_shots
from engine.layers.bones import bone_distance, bone_height
from engine.layers.human.colors import BINS, color_index, histograms
from engine.layers.occlusion.passer_by import are_near, is_in_front, seen_beside
from engine.layers.scene.likeness import Likenesses
from engine.layers.scene.warp import warp_points
from engine.people.rough import Seen
from engine.types import BackgroundMotion, FrameSource, Landmarks, Size, Tracks

_AGAINST, _FOR = 3.0, 1.0
"""Log odds of what is clearly nearer to the other's bones; most that the clothes may say for the person."""
_REACH = 0.12
"""Flesh and clothes are at most this far from a bone, heights of the body."""
_SOFT = 0.03
"""Difference of two distances that is clear, heights of the body."""
_FLESH = 0.04
"""This near a bone of who is in front nothing of the one behind is seen, heights of the body."""
_CLOTHES = 4.0
"""Weight of the clothes' log odds, times the squared distance of their histograms (0 the same, 1 no colour shared)."""
_FRAMES = 8
"""Frames from which the clothes of two people are learned."""
_CORE, _APART = 0.03, 0.1
"""This near a bone it is their clothes, if the other's bones are this far, heights of the body."""
_CLEAR = 0.5
"""Log odds against the person where a difference from the place is somebody else's."""
_AROUND, _EVERY = 64, 8
"""Frames before and after, as many as a window of a plate serves, in which others are looked for, and their step."""
_OFTEN = 0.25
"""Share of these frames from which on the place may show who stands there."""
_LEARN_PX = 288
"""The picture is shrunk until the person is at most this tall to learn from it."""


@dataclass(frozen=True)
class Rival:
    """Somebody who comes near the person."""

    points_px: NDArray
    """(T, 33, 2) float32: landmarks."""
    seen: NDArray
    """(T,) bool."""
    near: NDArray
    """(T,) bool: so near that a pixel may belong to either; also while one hides the other; not where the place
    shows them stand still."""
    shown: NDArray
    """(T,) bool: the place shows them where they stand."""
    nearer: NDArray
    """(T,) int8: 1 in front of the person, -1 behind, 0 not known."""
    clothes: NDArray
    """(BINS**3,) float32: log odds of a colour (see `color_index`) being the person's, not theirs; 0 where unknown."""

    def distance(self, idx: int, affine: NDArray, size: Size) -> NDArray:
        """(h, w) float32: how far pixels of the small copy of a frame are from their bones, heights of the body."""
        return _distance(_apply(affine, self.points_px[idx]), size)


@dataclass(frozen=True)
class Rivals:
    """All who come near the person."""

    rivals: Sequence[Rival]
    motion: BackgroundMotion

    def beside(self, idx: int, mine_px: NDArray) -> Callable[[NDArray, NDArray], tuple[NDArray, NDArray]] | None:
        """`weigh` for one frame, or None where nobody is near; arguments as there."""
        return partial(self.weigh, idx, mine_px) if any(rival.near[idx] for rival in self.rivals) else None

    def weigh(self, idx: int, mine_px: NDArray, affine: NDArray, small: NDArray) -> tuple[NDArray, NDArray]:
        """Weigh the person against those who are near.

        Args:
            idx: the frame.
            mine_px: (33, 2) landmarks of the person, pixels of the frame.
            affine: (2, 3) from the frame to its small copy.
            small: (h, w, 3) uint8 RGB.

        Returns:
            (h, w) float32: log odds of the person's against theirs, 0 far from everybody else; and (h, w) bool: where a
            difference from the place says nothing of the person, as somebody else is there, or in the place.
        """
        size = small.shape[:2]
        mine, colours = _distance(_apply(affine, mine_px), size), color_index(small)
        against, favour = np.zeros(size, np.float32), np.zeros(size, np.float32)
        blind = np.zeros(size, bool)
        for rival in self.rivals:
            if not rival.near[idx]:
                continue
            theirs = rival.distance(idx, affine, size)
            closer = np.clip((mine - theirs) / _SOFT, 0, 1)
            if rival.nearer[idx] > 0:
                closer = np.where(theirs < _FLESH, 1, closer)
            elif rival.nearer[idx] < 0:
                closer = np.where(mine < _FLESH, 0, closer)
            clothes = cv2.blur(np.take(rival.clothes, colours), (3, 3))
            odds = np.where(theirs < _REACH, np.minimum(clothes - _AGAINST * closer, _FOR), 0).astype(np.float32)
            against, favour = np.minimum(against, odds), np.maximum(favour, odds)
            if not rival.shown[idx]:
                blind |= (mine > _FLESH) & self._is_ghost(rival, idx, affine, size)
        odds = np.where(against < 0, against, favour)
        return odds, blind | (odds < -_CLEAR)

    def _is_ghost(self, rival: Rival, idx: int, affine: NDArray, size: Size) -> NDArray:
        """(h, w) bool: they stand there in so many of the frames around this one that the place may show them."""
        first, last = next(shot for shot in find_shots(self.motion) if shot[0] <= idx < shot[1])
        frames = range(max(first, idx - _AROUND) // _EVERY * _EVERY, min(last, idx + _AROUND), _EVERY)
        frames = [t for t in frames if t >= first and rival.seen[t]]
        count, back = np.zeros(size, np.float32), np.linalg.inv(self.motion.to_first[idx])
        for t in frames:
            points = warp_points(back @ self.motion.to_first[t], rival.points_px[t])
            count += _distance(_apply(affine, points), size) < _REACH
        return count > _OFTEN * max(len(frames), 1)


def find_rivals(
    clip: FrameSource,
    person: Seen,
    others: Mapping[int, tuple[Tracks, Landmarks]],
    motion: BackgroundMotion,
    shown: Likenesses | None = None,
) -> Rivals:
    """Find those who come near the person, and learn in a few frames what they wear.

    Args:
        clip: (H, W, 3) RGB frames.
        person: whom the mask is about.
        others: tracks and landmarks of everybody else, by number; landmarks in every frame of a gap, too.
        motion: of the background.
        shown: who is shown in the place without the person, in some frames.
    """
    rivals = []
    for number, (tracks, landmarks) in seen_beside(person.tracks, others).items():
        near = are_near(person.tracks, tracks)
        if near.any():
            mine = person.landmarks, person.tracks
            front = is_in_front(mine[0], landmarks, mine[1], tracks).astype(np.int8)
            behind = is_in_front(landmarks, mine[0], tracks, mine[1])
            clothes = _learn_clothes(clip, person, tracks, landmarks)
            points, seen, known = landmarks.image_px.copy(), tracks.score > 0, np.zeros(len(near), bool)
            if shown is not None:
                for idx in range(len(near)):
                    there = shown.points(idx, number)
                    known[idx] = there is not None
                    near[idx] &= not (seen[idx] and shown.stands_still(idx, number))
                    points[idx] = points[idx] if seen[idx] or there is None else there
            rivals.append(Rival(points, seen, near, known, front - behind, clothes))
    return Rivals(rivals, motion)


def _learn_clothes(clip: FrameSource, person: Seen, tracks: Tracks, landmarks: Landmarks) -> NDArray:
    """See `Rival.clothes`; from frames in which the two are apart, if there are any."""
    both = (person.tracks.score > 0) & (tracks.score > 0)
    boxes = person.tracks.box_px, tracks.box_px
    apart = both & ((boxes[0][:, 2] < boxes[1][:, 0]) | (boxes[1][:, 2] < boxes[0][:, 0]))
    frames = np.flatnonzero(apart if apart.any() else both)
    counts = None
    for idx in frames[:: -(-len(frames) // _FRAMES)].tolist() if len(frames) else ():
        points = person.landmarks.image_px[idx], landmarks.image_px[idx]
        scale = min(1.0, _LEARN_PX / max(1.0, float(np.ptp(points[0][:, 1]))))
        rgb = np.ascontiguousarray(next(iter(clip.read(idx, idx + 1)))[..., :3])
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mine, theirs = (_distance(each * scale, small.shape[:2]) for each in points)
        share = np.full(small.shape[:2], 0.5, np.float32)
        share[(mine < _CORE) & (theirs > _APART)], share[(theirs < _CORE) & (mine > _APART)] = 1, 0
        found = histograms(color_index(small), share, None)
        counts = found if counts is None else counts + found
    if counts is None or not counts.any((1, 2, 3)).all():
        return np.zeros(BINS**3, np.float32)
    theirs, mine = counts.reshape(2, -1) / counts.sum((1, 2, 3))[:, None]
    unlike = 1 - float(np.sqrt(theirs * mine).sum())
    odds = np.clip(np.log((mine + 1e-5) / (theirs + 1e-5)), -2.5, 2.5)
    return (_CLOTHES * unlike * odds).astype(np.float32)


def _distance(points: NDArray, size: tuple[int, ...]) -> NDArray:
    """(h, w) float32: distance from the bones of (33, 2) points, heights of their body."""
    return bone_distance(points, size) / bone_height(points)


def _apply(affine: NDArray, points: NDArray) -> NDArray:
    """(n, 2): points mapped by (2, 3)."""
    return points @ affine[:, :2].T + affine[:, 2]
