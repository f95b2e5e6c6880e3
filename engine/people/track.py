"""Follows several people through a clip, one frame after the other; everything it knows fits in a small table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.detect import Detector, Raw, Tile, tiles
from engine.people.landmarks import MIN_PRESENCE, Landmarker, Pose
from engine.people.roi import Roi, at_indices

MAX_PEOPLE = 6
"""People followed at once; the largest ones."""
SEARCH_EVERY = (12, 24, 96)
"""Frames between two looks for newcomers while someone is followed: on the whole frame, on tiles, on small tiles."""
SEARCH_EVERY_ALONE = (1, 2, 8)
"""The same while nobody is followed."""
FORGET_AFTER = 72
"""Frames after which a lost person is not waited for any more; at most twice as long as they were seen."""
MIN_SIDE = 48.0
"""Smallest square that is worth a look, pixels."""
SAME_POSE = 0.12
"""Two poses whose landmarks are nearer than this share of their size are one person."""
CUT = 0.4
"""Correlation of two following frames (as 64x36 thumbnails) below which the camera has cut."""


@dataclass
class Track:
    """One person being followed."""

    track_id: int
    roi: Roi
    """Where to look next."""
    box_px: NDArray
    """(4,) float32: where they were seen last."""
    points_px: NDArray
    """(33, 2) float32: their landmarks there."""
    look: NDArray
    """(72,) float32: colours of the torso, a histogram."""
    missed: int = 0
    """Frames since they were seen last."""
    hits: int = 0
    """Frames in which they were seen."""
    smooth: NDArray = field(default_factory=lambda: np.zeros((3, 2, 2)))
    """One-euro filter of the alignment points: value, speed, last raw value."""

    def is_awaited(self, frame_idx: int) -> bool:
        """Whether they are looked for in a frame where they were last: often at first, later now and then."""
        return self.missed > 0 and (self.missed <= 12 or frame_idx % 4 == 0)


@dataclass(frozen=True)
class Sighting:
    """One person in one frame."""

    frame_idx: int
    track_id: int
    pose: Pose
    look: NDArray


@dataclass(frozen=True)
class Scouted:
    """A frame, and what is known of it before its turn comes."""

    rgb: NDArray
    """(H, W, 3) uint8."""
    thumb: NDArray
    """(36, 64) float32: its greys, of mean 0."""
    found: dict[Tile, Raw]
    """What the detector saw in the parts that are searched in this frame, whoever is followed."""


class Tracker:
    """Steps through a clip; `state` and `restore` carry it over a restart, bit for bit."""

    def __init__(self, detector: Detector, landmarker: Landmarker) -> None:
        self._detector, self._landmarker = detector, landmarker
        self._tracks: list[Track] = []
        self._next_id = 0
        self._thumb = np.zeros((36, 64), np.float32)

    def scout(self, frame_idx: int, rgb: NDArray, *, search: bool) -> Scouted:
        """Work out of a frame what does not depend on the frames before it; may be called from other threads.

        Args:
            frame_idx: number of the frame.
            rgb: (H, W, 3) uint8.
            search: look for people where they are looked for in this frame in any case.
        """
        levels = [level for level, every in enumerate(SEARCH_EVERY) if search and not frame_idx % every]
        due = [tile for level in levels for tile in _tiles(rgb, level)]
        return Scouted(rgb, _thumb(rgb), {tile: self._detector.look(rgb, tile) for tile in due})

    def step(self, frame_idx: int, scouted: Scouted) -> list[Sighting]:
        """Follow everybody into the next frame.

        Args:
            frame_idx: number of the frame.
            scouted: what `scout` found in it.
        """
        rgb, cut = scouted.rgb, self._is_cut(scouted.thumb)
        if cut:
            for track in self._tracks:
                track.missed = FORGET_AFTER + 1
        seen = self._follow(frame_idx, rgb)
        self._look_around(frame_idx, scouted, seen, cut=cut)
        for track in self._tracks:
            track.missed += all(track.track_id != sighting.track_id for sighting in seen)
        self._tracks = [track for track in self._tracks if track.missed <= min(FORGET_AFTER, 2 * track.hits)]
        return seen

    def _is_cut(self, thumb: NDArray) -> bool:
        spread = float(np.sqrt((thumb**2).sum() * (self._thumb**2).sum()))
        alike = float((thumb * self._thumb).sum()) / spread if spread > 1 else 1.0
        self._thumb = thumb
        return alike < CUT

    def _follow(self, frame_idx: int, rgb: NDArray) -> list[Sighting]:
        """Look where everybody should be; where two meet on one body, it is whose it was: who moved less."""
        found: list[tuple[float, Track, Pose]] = []
        for track in self._tracks:
            if track.missed:
                continue
            pose = self._landmarker.find(rgb, track.roi)
            if pose.score > MIN_PRESENCE and is_sound(pose, rgb):
                moved = float(np.median(np.hypot(*(pose.image_px - track.points_px).T))) / pose.roi.side
                found.append((moved, track, pose))
        seen: list[Sighting] = []
        for _, track, pose in sorted(found, key=lambda entry: (entry[0], entry[1].track_id)):
            if not any(is_same(pose, other.pose) for other in seen):
                seen.append(self._see(track, frame_idx, rgb, pose))
        return sorted(seen, key=lambda sighting: sighting.track_id)

    def _see(self, track: Track, frame_idx: int, rgb: NDArray, pose: Pose) -> Sighting:
        track.roi, track.smooth = align_step(None if track.missed else track.smooth, pose)
        track.box_px, track.points_px = pose.box_px, pose.image_px
        track.missed, track.hits = 0, track.hits + 1
        look = torso_colors(rgb, pose)
        track.look = look if not track.look.any() else (0.9 * track.look + 0.1 * look).astype(np.float32)
        return Sighting(frame_idx, track.track_id, pose, look)

    def _look_around(self, frame_idx: int, scouted: Scouted, seen: list[Sighting], *, cut: bool) -> None:
        """Search for newcomers where that is due in this frame, and for the lost."""
        rgb = scouted.rgb
        every = SEARCH_EVERY_ALONE if all(track.missed for track in self._tracks) else SEARCH_EVERY
        due = [level for level, frames in enumerate(every) if cut or not frame_idx % frames]
        where = [tile for level in due if level < 2 for tile in _tiles(rgb, level)]
        where += [tile for track in self._tracks if track.is_awaited(frame_idx) for tile in _around(track, rgb)]
        self._search(where, frame_idx, scouted, seen)
        # Beside somebody who fills the picture nobody matters who would be seen in its small parts alone.
        if 2 in due and not any(not track.missed and track.roi.side > min(rgb.shape[:2]) for track in self._tracks):
            self._search(_tiles(rgb, 2), frame_idx, scouted, seen)

    def _search(self, where: list[Tile], frame_idx: int, scouted: Scouted, seen: list[Sighting]) -> None:
        """Detect, look closer at what nobody follows yet, and give it its old or a new name."""
        if not where:
            return
        rgb = scouted.rgb
        for detection in self._detector.detect(rgb, where, known=scouted.found):
            roi = detection.roi
            if roi.side < MIN_SIDE or any(_covers(sighting.pose, detection.points_px[0], roi) for sighting in seen):
                continue
            pose = self._landmarker.find(rgb, roi)
            if pose.score <= MIN_PRESENCE or not is_sound(pose, rgb):
                continue
            if any(is_same(pose, other.pose) or _shares_pixels(pose, other.pose) for other in seen):
                continue
            track = self._known(pose, rgb, seen)
            if track is None:
                if len(self._tracks) >= MAX_PEOPLE:
                    continue
                track = Track(self._next_id, roi, pose.box_px, pose.image_px, np.zeros(72, np.float32), missed=1)
                self._next_id += 1
                self._tracks.append(track)
            seen.append(self._see(track, frame_idx, rgb, pose))

    def _known(self, pose: Pose, rgb: NDArray, seen: list[Sighting]) -> Track | None:
        """The lost person who this most likely is, or None."""
        taken = {sighting.track_id for sighting in seen}
        look, box = torso_colors(rgb, pose), pose.box_px
        best, best_score = None, 0.45
        for track in self._tracks:
            if track.missed == 0 or track.track_id in taken:
                continue
            height, was = box[3] - box[1], track.box_px[3] - track.box_px[1]
            away = np.hypot(*((box[:2] + box[2:]) / 2 - (track.box_px[:2] + track.box_px[2:]) / 2)) / max(height, was)
            near = float(np.exp(-away / (0.5 + 0.05 * track.missed)))
            alike = float(np.sqrt(look * track.look).sum())
            score = alike * (0.4 + 0.6 * near) * min(height, was) / max(height, was)
            if score > best_score:
                best, best_score = track, score
        return best

    def state(self) -> dict[str, NDArray]:
        """Everything that the next step depends on, as arrays."""
        tracks = self._tracks
        return {
            "state_ids": np.array([[t.track_id, t.missed, t.hits] for t in tracks], np.int64).reshape(-1, 3),
            "state_roi": np.array([track.roi.as_array() for track in tracks], np.float64).reshape(-1, 4),
            "state_box": np.array([track.box_px for track in tracks], np.float32).reshape(-1, 4),
            "state_points": np.array([track.points_px for track in tracks], np.float32).reshape(-1, 33, 2),
            "state_look": np.array([track.look for track in tracks], np.float32).reshape(-1, 72),
            "state_smooth": np.array([track.smooth for track in tracks], np.float64).reshape(-1, 3, 2, 2),
            "state_thumb": self._thumb,
            "state_next": np.array(self._next_id),
        }

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on from what `state` returned."""
        rows = zip(*(state[f"state_{name}"] for name in ("ids", "roi", "box", "points", "look", "smooth")))
        self._tracks = [
            Track(int(ids[0]), Roi.from_array(roi), box, points, look, int(ids[1]), int(ids[2]), smooth)
            for ids, roi, box, points, look, smooth in rows
        ]
        self._thumb = state["state_thumb"]
        self._next_id = int(state["state_next"])


def same_tracks(known: Mapping[str, NDArray], begun: Mapping[str, NDArray]) -> dict[int, int] | None:
    """Tell whether a tracker that has just begun follows everybody whom another knows.

    Args:
        known: `Tracker.state` of one after a frame.
        begun: of another, after the same frame.

    Returns:
        Names of the second, each to the first's name for the same person; None where the first waits for somebody who
        is lost, or follows somebody whom the second does not see.
    """
    if known["state_ids"][:, 1].any():
        return None
    names: dict[int, int] = {}
    seen = [(int(row[0]), points) for row, points in zip(begun["state_ids"], begun["state_points"]) if not row[1]]
    for row, points in zip(known["state_ids"], known["state_points"]):
        found = next((name for name, theirs in seen if name not in names and is_same_place(points, theirs)), None)
        if found is None:
            return None
        names[found] = int(row[0])
    return names


def _tiles(rgb: NDArray, level: int) -> list[Tile]:
    return tiles(rgb.shape[:2], level)


def _thumb(rgb: NDArray) -> NDArray:
    few = max(1, min(rgb.shape[:2]) // 180)  # lines and columns of 180 are plenty for 36
    sparse = cv2.resize(rgb, (rgb.shape[1] // few, rgb.shape[0] // few), interpolation=cv2.INTER_NEAREST)
    thumb = cv2.resize(sparse, (64, 36), interpolation=cv2.INTER_AREA).mean(2, dtype=np.float32)
    return thumb - thumb.mean()


def align_step(smooth: NDArray | None, pose: Pose) -> tuple[Roi, NDArray]:
    """The next square, steadied by a one-euro filter (Casiez et al. 2012; constants of MediaPipe's graph).

    Args:
        smooth: (3, 2, 2) state of the filter: value, speed, last raw value; None to start it.
        pose: what was just seen.

    Returns:
        The square and the new state.
    """
    raw = pose.align_px.astype(np.float64)
    if smooth is None:
        smooth = np.stack([raw, np.zeros((2, 2)), raw])
    else:
        value, speed, last = smooth
        scale = 1 / max(1.0, 2 * float(np.hypot(*(raw[1] - raw[0]))))
        speed = speed + _gain(np.array(1.0)) * ((raw - last) * scale * 30 - speed)
        value = value + _gain(0.01 + 10 * np.abs(speed)) * (raw - value)
        smooth = np.stack([value, speed, raw])
    return Roi.from_points(*smooth[0]), smooth


def _gain(cutoff_hz: NDArray) -> NDArray:
    """Gain of a low-pass filter of first order at 30 steps a second."""
    return 1 / (1 + 30 / (2 * np.pi * cutoff_hz))


def is_sound(pose: Pose, rgb: NDArray) -> bool:
    """The pose is not folded to a point, its middle is in the picture, and its next square is not a wild jump."""
    height, width = rgb.shape[:2]
    middle, above = pose.align_px
    radius = float(np.hypot(*(above - middle)))
    ratio = 2.5 * radius / pose.roi.side
    inside = -0.2 * width < middle[0] < 1.2 * width and -0.2 * height < middle[1] < 1.2 * height
    return bool(0.4 < ratio < 2.5 and radius * 2.5 >= MIN_SIDE and inside)


def is_same(pose: Pose, other: Pose) -> bool:
    """Two poses of one person, joint by joint."""
    return is_same_place(pose.image_px, other.image_px)


def is_same_place(points_px: NDArray, others_px: NDArray) -> bool:
    """Two sets (33, 2) of landmarks that belong to one person."""
    size = max(float(np.ptp(points_px[:, 1])), float(np.ptp(others_px[:, 1])))
    return float(np.median(np.hypot(*(points_px - others_px).T))) < SAME_POSE * size


def _shares_pixels(pose: Pose, other: Pose) -> bool:
    """Most of one mask lies in the other: a second reading of one body (upside down, or half of it)."""
    low = np.minimum(pose.box_px[:2], other.box_px[:2])
    span = np.maximum(pose.box_px[2:], other.box_px[2:]) - low
    if (span > np.ptp(pose.box_px.reshape(2, 2), axis=0) + np.ptp(other.box_px.reshape(2, 2), axis=0)).any():
        return False
    scale = 48 / float(span.max())
    to_grid = np.array([[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale]])
    masks = []
    for each in (pose, other):
        crop_to_image = np.vstack([each.roi.to_image(len(each.mask)), [0, 0, 1]])
        masks.append(cv2.warpAffine(each.mask, at_indices(to_grid @ crop_to_image), (48, 48)) > 127)
    smaller = min(masks[0].sum(), masks[1].sum())
    return bool((masks[0] & masks[1]).sum() > 0.6 * max(1, smaller))


def _covers(pose: Pose, hips_px: NDArray, roi: Roi) -> bool:
    """A detection whose hips and size are those of somebody who is followed already."""
    away = float(np.hypot(*(hips_px - pose.align_px[0])))
    return away < 0.12 * pose.roi.side and 0.5 < roi.side / pose.roi.side < 2


def _around(track: Track, rgb: NDArray) -> list[Tile]:
    """A square part of the picture around where somebody was lost, twice as large as their square."""
    height, width = rgb.shape[:2]
    side = int(min(2 * track.roi.side, height, width))
    if side < MIN_SIDE:
        return []
    x0 = int(np.clip(track.roi.center_x - side / 2, 0, width - side))
    y0 = int(np.clip(track.roi.center_y - side / 2, 0, height - side))
    return [(x0, y0, x0 + side, y0 + side)]


def torso_colors(rgb: NDArray, pose: Pose) -> NDArray:
    """(72,) float32 that sums to 1: hue and saturation (8 x 4), and lightness for greys, of the torso and thighs."""
    quad = pose.image_px[[11, 12, 24, 23]]
    to_patch = cv2.getPerspectiveTransform(
        quad.astype(np.float32), np.array([[24, 0], [0, 0], [0, 24], [24, 24]], np.float32)
    )
    patch = cv2.warpPerspective(rgb, to_patch, (24, 32))
    hue, saturation, value = cv2.split(cv2.cvtColor(patch, cv2.COLOR_RGB2HSV_FULL))
    colored = saturation > 48
    bins = np.where(colored, (hue // 32).astype(int) * 8 + value // 32, 64 + value // 32)
    histogram = np.bincount(bins.ravel(), minlength=72).astype(np.float32)
    return histogram / histogram.sum()
