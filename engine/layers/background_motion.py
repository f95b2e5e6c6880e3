"""How the still part of the picture moves: one homography per frame, from points tracked outside the human.

Points of a keyframe are followed straight into every later frame (Lucas-Kanade, started where the last homography says
they are), so errors do not add up from frame to frame; a new keyframe is taken only when too few points are left. The
model (nothing, translation, similarity, homography) is chosen once per shot, by evidence, and fitted to all its frames:
a camera on a tripod gives exact identities, not jitter.
"""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import shrink_whole
from engine.threads import NUM_THREADS, map_in_order
from engine.types import BackgroundMotion, Chunks, FrameSource, Glimpse, Progress, Reel, Size, glimpse, quiet

CHUNK = 64
"""Frames per finished piece of work."""
_LONG_SIDE = 640
"""Points are tracked in pictures whose longer side is at most this."""
_MAX_POINTS = 360
_MIN_POINTS = 14
"""With fewer agreeing points a homography is not trusted."""
_RANSAC_PX = 0.9
"""Pixels of the small picture; Lucas-Kanade on clean corners is good to about 0.1."""
_LK: dict[str, Any] = {
    "winSize": (17, 17),
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 24, 0.01),
}
_BACK: dict[str, Any] = {**_LK, "maxLevel": 1}
"""The way back begins where it should end: it need not look far."""
_MODELS = ("identity", "translation", "similarity", "homography")
_PARAMETERS = {"identity": 0, "translation": 2, "similarity": 4, "homography": 8}


@dataclass
class _State:
    """What tracking carries from frame to frame; saved at the end of each chunk."""

    key_idx: int = -1
    key_gray: NDArray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    points: NDArray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    key_to_last: NDArray = field(default_factory=lambda: np.eye(3))
    last_gray: NDArray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))


@dataclass
class _Link:
    """One frame's ties to its keyframe."""

    key_idx: int
    """Index of the keyframe; the frame itself where a shot begins."""
    source: NDArray
    """(N, 2) float32: inlier points in the keyframe, small pixels."""
    target: NDArray
    """(N, 2) float32: the same points in the frame."""
    inliers: float
    guess: NDArray
    """(3, 3) float64: keyframe to frame, small pixels; used as it is where there are too few points."""


def track_background(
    clip: FrameSource, human_mask: FrameSource, *, chunks: Chunks, progress: Progress = quiet
) -> BackgroundMotion:
    """Find how the background moves, frame by frame, looking only outside the human.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        human_mask: uint8, 0 ... 255, one per frame of `clip` and of its size or smaller (`tracking_scale` is enough);
            it is grown before use.
        chunks: where finished pieces of the work are kept.
        progress: called with frames done and frames in all.

    Returns:
        BackgroundMotion: `to_first` (T, 3, 3) float64 in pixels whose top-left centre is (0.5, 0.5); `inliers` (T,).
        A frame that nothing ties to the ones before it (a cut) has inliers exactly 0, and its `to_first` starts again
        at the identity; `find_shots` splits there. Where the background could not be followed for a moment (blur, a
        blank wall) the last motion is carried on and inliers is small but not 0.

    Source: Shi and Tomasi 1994, Lucas and Kanade 1981 (pyramidal, Bouguet 2000), MAGSAC++ (Barath 2020) for outliers,
        Torr's GRIC (1998) in spirit for the choice of the model.
    """
    scale = tracking_scale(clip.size)
    links: list[_Link] = []
    state = _State()
    reel = Reel(clip)
    for start in range(0, clip.num_frames, CHUNK):
        stop = min(start + CHUNK, clip.num_frames)
        name = f"motion-{start:06d}-{stop - 1:06d}"
        folder = chunks.get(name)
        if folder is None:
            state, new = _track_chunk(reel, human_mask, start, stop, scale, state)
            with chunks.make(name) as part:
                _save(part, state, new)
        else:
            state, new = _load(folder)
        links += new
        progress(stop, clip.num_frames)
    return _chain(links, clip.size, scale)


def tracking_scale(size: Size) -> float:
    """How much smaller than the frames (height, width) the pictures are in which points are tracked."""
    return min(1.0, _LONG_SIDE / max(*size, 1))


def find_shots(motion: BackgroundMotion) -> list[tuple[int, int]]:
    """Split a clip where `track_background` found cuts.

    Returns:
        (start, stop) frame indices, stop excluded; they cover the clip in order.
    """
    starts = [0, *(int(idx) for idx in np.flatnonzero(motion.inliers == 0) if idx > 0)]
    return list(zip(starts, [*starts[1:], len(motion.inliers)]))


# --- tracking --------------------------------------------------------------------------------------------------------


def _track_chunk(
    clip: FrameSource, mask: FrameSource, start: int, stop: int, scale: float, state: _State
) -> tuple[_State, list[_Link]]:
    links: list[_Link] = []
    frames = enumerate(_small_frames(clip, mask, start, stop, scale), start)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        while some := list(itertools.islice(frames, NUM_THREADS)):
            asked = state  # all at once, from where the last frame was; a new keyframe asks for another look
            found = [pool.submit(_match, asked, asked.key_to_last, *frame) for _, frame in some]
            for (idx, (gray, still)), match in zip(some, found):
                link = match.result() if state is asked else _match(state, state.key_to_last, gray, still)
                link = link or _look_again(state, gray, still)
                if link is None:
                    link = _Link(idx, np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), 0.0, np.eye(3))
                    state = _new_key(gray, still, idx)
                elif link.inliers < 0.45 or _overlap(link.guess, gray.shape) < 0.6:
                    state = _new_key(gray, still, idx)
                else:
                    state.key_to_last = link.guess
                links.append(link)
                state.last_gray = gray
    return state, links


def _small_frames(
    clip: FrameSource, mask: FrameSource, start: int, stop: int, scale: float
) -> Iterator[tuple[NDArray, NDArray]]:
    """Yield (gray, still): uint8 pictures at tracking size; still is 255 where a point may be the background's."""
    height, width = clip.size
    size: Size = (max(1, round(height * scale)), max(1, round(width * scale)))
    grow = np.ones((2 * max(2, size[0] // 60) + 1,) * 2, np.uint8)

    def reduce(pair: tuple[Glimpse, NDArray]) -> tuple[NDArray, NDArray]:
        frame, human = pair
        gray = cv2.cvtColor(shrink_whole(frame, size), cv2.COLOR_RGB2GRAY)
        small = human if human.shape == size else cv2.resize(human, size[::-1], interpolation=cv2.INTER_AREA)
        return gray, 255 - cv2.dilate((small > 24).astype(np.uint8), grow) * 255

    yield from map_in_order(reduce, zip(glimpse(clip, start, stop), mask.read(start, stop)), ahead=16)


def _new_key(gray: NDArray, still: NDArray, idx: int) -> _State:
    return _State(idx, gray, _find_points(gray, still), np.eye(3), gray)


def _find_points(gray: NDArray, still: NDArray) -> NDArray:
    """Corners spread over the picture: the best of each cell of a grid, so that one bush does not take them all."""
    strength = cv2.cornerMinEigenVal(gray, 5, ksize=3)
    strength[(still == 0)] = 0
    border = 6
    strength[:border], strength[-border:], strength[:, :border], strength[:, -border:] = 0, 0, 0, 0
    cell = max(8, int(np.sqrt(gray.size / _MAX_POINTS)))
    rows, cols = gray.shape[0] // cell, gray.shape[1] // cell
    if rows < 1 or cols < 1:
        return np.zeros((0, 2), np.float32)
    cells = strength[: rows * cell, : cols * cell].reshape(rows, cell, cols, cell).transpose(0, 2, 1, 3)
    cells = cells.reshape(rows * cols, cell * cell)
    best = cells.argmax(1)
    value = cells[np.arange(len(best)), best]
    # Lawns and walls have weak corners only: the bar is low, wrong tracks are left to RANSAC.
    good = value > max(1e-5, 2e-3 * float(np.quantile(value, 0.98)))
    y = (np.arange(rows * cols) // cols) * cell + best // cell
    x = (np.arange(rows * cols) % cols) * cell + best % cell
    return np.stack([x, y], 1)[good].astype(np.float32)


def _look_again(state: _State, gray: NDArray, still: NDArray) -> _Link | None:
    """Tie a frame to the keyframe that was not where it was looked for; None where there is none, and at a cut."""
    if state.key_idx < 0:
        return None
    guess = state.key_to_last
    link = _match(state, _coarse_shift(state.last_gray, gray) @ guess, gray, still)  # a jump: the whole pictures tell
    if link is None and not _is_cut(state.last_gray, gray):
        none = np.zeros((0, 2), np.float32)
        link = _Link(state.key_idx, none, none, 1e-3, guess)
    return link


def _match(state: _State, guess: NDArray, gray: NDArray, still: NDArray) -> _Link | None:
    """Tie a frame to the keyframe, near to where a guess puts that; None where too little agrees."""
    points = state.points
    if len(points) < _MIN_POINTS:
        return None
    start = cv2.perspectiveTransform(points[:, None], guess)
    height, width = gray.shape
    inside = ((start[:, 0] > 4) & (start[:, 0] < (width - 5, height - 5))).all(1)
    if inside.sum() < _MIN_POINTS:
        return None
    source = points[inside][:, None]
    found, good = _find(state.key_gray, gray, source, start[inside])
    pixel = np.clip(found[:, 0].round().astype(int), 0, (width - 1, height - 1))
    good &= still[pixel[:, 1], pixel[:, 0]] > 0
    if good.sum() < _MIN_POINTS:
        return None
    source, target = source[good, 0], found[good, 0]
    matrix, agree = cv2.findHomography(source, target, cv2.USAC_MAGSAC, _RANSAC_PX, maxIters=1000, confidence=0.999)
    if matrix is None or not _is_sane(matrix, gray.shape):
        return None
    agree = agree[:, 0] > 0
    if agree.sum() < max(_MIN_POINTS, 0.2 * len(agree)):
        return None
    inliers = float(agree.sum() / max(1, inside.sum()))
    return _Link(state.key_idx, source[agree], target[agree], max(inliers, 2e-3), matrix)


def _find(key: NDArray, gray: NDArray, source: NDArray, start: NDArray) -> tuple[NDArray, NDArray]:
    """Follow points (N, 1, 2) of a keyframe, from where they may be: where they are, and (N,) whether that is sure."""
    found, ok, _ = cv2.calcOpticalFlowPyrLK(key, gray, source, start.copy(), **_LK, flags=cv2.OPTFLOW_USE_INITIAL_FLOW)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(
        gray, key, found, source.copy(), **_BACK, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    return found, (ok[:, 0] > 0) & (ok_back[:, 0] > 0) & (np.linalg.norm(back - source, axis=2)[:, 0] < 0.6)


def _coarse_shift(last: NDArray, gray: NDArray) -> NDArray:
    """Translation between two pictures by phase correlation, (3, 3), small pixels."""
    if min(gray.shape) < 16:
        return np.eye(3)
    window = cv2.createHanningWindow((gray.shape[1], gray.shape[0]), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(last.astype(np.float32), gray.astype(np.float32), window)
    shift = np.eye(3)
    shift[:2, 2] = dx, dy
    return shift


def _is_cut(last: NDArray, gray: NDArray) -> bool:
    """Whether two pictures show different places: their blurred thumbnails do not correlate, however shifted."""
    small = [cv2.GaussianBlur(cv2.resize(x, (48, 27), interpolation=cv2.INTER_AREA), (0, 0), 1.0) for x in (last, gray)]
    if float(np.std(small[0])) < 3 and float(np.std(small[1])) < 3:
        return abs(float(small[0].mean()) - float(small[1].mean())) > 40
    score = cv2.matchTemplate(
        small[1].astype(np.float32), small[0][5:-5, 8:-8].astype(np.float32), cv2.TM_CCOEFF_NORMED
    )
    return float(score.max()) < 0.7


def _is_sane(matrix: NDArray, shape: tuple[int, ...]) -> bool:
    """No mirror, no fold, no wild zoom: the corners stay a convex quadrilateral of a like area."""
    corners = _corners(shape)
    moved = cv2.perspectiveTransform(corners[:, None], matrix)[:, 0]
    area = cv2.contourArea(moved.astype(np.float32), oriented=True)
    whole = cv2.contourArea(corners.astype(np.float32), oriented=True)
    return bool(cv2.isContourConvex(moved.astype(np.float32)) and 0.2 < area / whole < 5)


def _overlap(matrix: NDArray, shape: tuple[int, ...]) -> float:
    """Share of the picture that still shows the keyframe."""
    corners = _corners(shape).astype(np.float32)
    moved = cv2.perspectiveTransform(corners[:, None], matrix)[:, 0].astype(np.float32)
    area, _ = cv2.intersectConvexConvex(corners, moved)
    return float(area / max(1.0, cv2.contourArea(corners)))


def _corners(shape: tuple[int, ...]) -> NDArray:
    height, width = shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


# --- from ties to homographies ---------------------------------------------------------------------------------------


def _chain(links: list[_Link], size: tuple[int, int], scale: float) -> BackgroundMotion:
    """Choose one model per shot, fit it to every frame, and join the keyframes up to each shot's first frame."""
    inliers = np.array([link.inliers for link in links], np.float32)
    if len(links):
        inliers[0] = 1.0
    height, width = size
    sx, sy = max(1, round(width * scale)) / max(width, 1), max(1, round(height * scale)) / max(height, 1)
    # cv2 counts pixel centres from 0, the project from 0.5; the small picture is the big one times (sx, sy).
    to_small = np.array([[sx, 0, -0.5], [0, sy, -0.5], [0, 0, 1.0]])
    to_first = np.tile(np.eye(3), (len(links), 1, 1))
    starts = [0, *(idx for idx in range(1, len(links)) if links[idx].inliers == 0), len(links)]
    for start, stop in itertools.pairwise(starts):
        model = _choose_model(links[start:stop])
        small = {start: np.eye(3)}  # frame of the small picture -> the shot's first frame
        for idx in range(start + 1, stop):
            link = links[idx]
            key_to_frame = _fit(model, link)
            small[idx] = small[link.key_idx] @ np.linalg.inv(key_to_frame)
            full = np.linalg.inv(to_small) @ small[idx] @ to_small
            to_first[idx] = np.eye(3) if model == "identity" else full / full[2, 2]
    return BackgroundMotion(to_first=to_first, inliers=inliers)


def _choose_model(links: list[_Link]) -> str:
    """The simplest model that explains the shot: its typical error is not clearly worse than the homography's."""
    frames = [link for link in links if len(link.source) >= _MIN_POINTS]
    if not frames:
        return "identity"
    frames = [frames[i] for i in np.linspace(0, len(frames) - 1, min(len(frames), 120)).astype(int)]
    errors = {model: np.array([_residual(_fit(model, link), link) for link in frames]) for model in _MODELS}
    best = errors["homography"]
    for model in _MODELS[:-1]:
        # 0.06 px of the small picture is Lucas-Kanade's own noise on compressed video. The 90th percentile over the
        # frames counts: a camera that moves in one second of ten is not still.
        slack = 0.12 if model == "identity" else 0.03
        if float(np.quantile(errors[model] - best, 0.9)) < slack:
            return model
    return "homography"


def _residual(matrix: NDArray, link: _Link) -> float:
    moved = cv2.perspectiveTransform(link.source[:, None].astype(np.float64), matrix)[:, 0]
    return float(np.median(np.linalg.norm(moved - link.target, axis=1)))


def _fit(model: str, link: _Link) -> NDArray:
    """Least squares of one model on the agreeing points; (3, 3) keyframe to frame."""
    if model == "identity" or (len(link.source) == 0 and model != "homography"):
        return np.eye(3) if model == "identity" else link.guess
    if len(link.source) < _MIN_POINTS:
        return link.guess
    source, target = link.source.astype(np.float64), link.target.astype(np.float64)
    if model == "translation":
        matrix = np.eye(3)
        matrix[:2, 2] = np.median(target - source, axis=0)
        return matrix
    if model == "similarity":
        return _fit_similarity(source, target)
    matrix, _ = cv2.findHomography(source, target, 0)
    return link.guess if matrix is None else matrix


def _fit_similarity(source: NDArray, target: NDArray) -> NDArray:
    """Scale, rotation, translation in closed form (Umeyama 1991, two dimensions as complex numbers)."""
    a, b = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    mean_a, mean_b = a.mean(), b.mean()
    turn = (np.conj(a - mean_a) * (b - mean_b)).sum() / max(float((np.abs(a - mean_a) ** 2).sum()), 1e-9)
    shift = mean_b - turn * mean_a
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag], [0, 0, 1.0]])


# --- chunks ----------------------------------------------------------------------------------------------------------


def _save(folder: Path, state: _State, links: list[_Link]) -> None:
    counts = [len(link.source) for link in links]
    table = {
        "key_idx": state.key_idx,
        "links": [[link.key_idx, link.inliers, link.guess.tolist()] for link in links],
        "counts": counts,
    }
    (folder / "links.json").write_text(json.dumps(table))
    np.savez(
        folder / "arrays.npz",
        source=np.concatenate([link.source for link in links]),
        target=np.concatenate([link.target for link in links]),
        key_gray=state.key_gray,
        points=state.points,
        key_to_last=state.key_to_last,
        last_gray=state.last_gray,
    )


def _load(folder: Path) -> tuple[_State, list[_Link]]:
    table = json.loads((folder / "links.json").read_text())
    with np.load(folder / "arrays.npz") as arrays:
        state = _State(
            table["key_idx"], arrays["key_gray"], arrays["points"], arrays["key_to_last"], arrays["last_gray"]
        )
        ends = np.cumsum(table["counts"])[:-1]
        pairs = zip(np.split(arrays["source"], ends), np.split(arrays["target"], ends))
        links = [
            _Link(key, source, target, inliers, np.array(guess))
            for (key, inliers, guess), (source, target) in zip(table["links"], pairs)
        ]
    return state, links
