"""The human's mask: from the network's rough one to a steady one with the edges of the picture.

Per frame, on a small copy of the part around the person: evidence from the network, from where the last mask moved to
(optical flow), from the bones, from what differs from the place without the person, and from the colours of person and
surroundings; smoothed along the edges of the picture by guided filters (He et al. 2013), and brought back to full size
by the same filter's coefficients and, where the place is known, by what mixture of person and place a pixel is.
"""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.human.alpha import mixed_alpha
from engine.layers.human.colors import color_index, histograms
from engine.layers.human.difference import place_odds, without_strangers
from engine.layers.human.guided import GuidedFilter, apply, split_01
from engine.layers.human.piece import Piece, as_arrays, from_arrays, trim, unfold
from engine.layers.human.rivals import Rivals
from engine.layers.membrane import above, shrink_to
from engine.layers.scene.plate import Plate
from engine.layers.scene.plate_window import BORROWED, Box
from engine.people.roi import Roi, at_indices
from engine.people.rough import Seen, bridged_masks
from engine.types import Chunks, FrameSource, Glimpse, Progress, Reel, Size, glimpse, quiet

CHUNK = 32
"""Frames of one finished piece of work."""
PENDING = 4
"""Frames in memory at most that wait to be finished."""
WORK_PX = 288
"""Longer side of the small copy, pixels; the network's own mask has 256 for the same part."""
MARGIN = 0.15
"""Room around the person, in shares of their size."""
COLOR = 2.0
"""Weight of the colours' log odds, times the squared distance of the histograms (0 the same, 1 no colour shared)."""
_PLAIN = np.r_[np.zeros(6), 6:250, np.full(6, 255)].astype(np.uint8)
"""What becomes of the levels of a mask: almost nothing is nothing, almost all is all."""
_SHARE = np.clip(np.arange(256, dtype=np.float32) / 255, 0.018, 0.982)
_ODDS = np.log(_SHARE / (1 - _SHARE))
"""(256,) float32: the log odds that the levels of a rough mask stand for."""
LIKE_THEM = 0.15
"""Share of a guessed mask that must have the person's colours; half a person beside a trunk has more."""
NOT_THE_PLACE = 0.6
"""Share of a guessed mask that must differ from the place where the person was not seen before."""
BONES = (
    (11, 13, 0.14), (13, 15, 0.10), (12, 14, 0.14), (14, 16, 0.10), (15, 19, 0.08), (16, 20, 0.08),
    (23, 25, 0.20), (25, 27, 0.14), (24, 26, 0.20), (26, 28, 0.14), (27, 31, 0.10), (28, 32, 0.10),
    (11, 12, 0.16), (23, 24, 0.20), (11, 23, 0.20), (12, 24, 0.20),
)  # fmt: skip
"""Landmarks at both ends and thickness in lengths of the torso: what is surely body if the landmarks are right."""


@dataclass
class Memory:
    """What one frame leaves for the next, in the small copy's pixels."""

    gray: NDArray
    """(h, w) uint8."""
    belief: NDArray
    """(h, w) float32: log odds."""
    affine: NDArray
    """(2, 3) float64: from the picture to the small copy."""
    colors: NDArray
    """(2, 16, 16, 16) float32: histograms of surroundings and person."""


def human_mask(
    clip: FrameSource,
    person: Seen,
    *,
    chunks: Chunks,
    plate: Plate | None = None,
    rivals: Rivals | None = None,
    progress: Progress = quiet,
    name: str = "matte",
) -> Generator[NDArray, None, None]:
    """Yield the mask of one person for every frame.

    Args:
        clip: (H, W, 3) RGB frames.
        person: whom to cut out, of the same clip.
        chunks: keeps finished pieces of `CHUNK` frames.
        plate: the place without the person, if it is known: what differs from it is the person's.
        rivals: who comes near the person: what is nearer to their bones is theirs.
        progress: told after every frame.
        name: of the pieces.

    Yields:
        (H, W) uint8: 0 not the person ... 255 the person; the edge is about 2 pixels wide. Empty where the person was
        not seen for longer than a moment. What the person carries in front of the body is in it as far as it looks like
        a part of them.
    """
    memory: Memory | None = None
    reel = Reel(clip)
    begun: deque[tuple[Future[dict[int, Piece]], int]] = deque()
    with ThreadPoolExecutor(1) as pool:  # what is known small is finished at full size while the next frame begins
        for start in range(0, clip.num_frames, CHUNK):
            stop = min(start + CHUNK, clip.num_frames)
            piece = f"{name}-{start:06d}-{stop - 1:06d}"
            folder = chunks.get(piece)
            if folder is None:
                pieces, memory = _mask_chunk(reel, person, plate, rivals, (start, stop), memory, pool, progress)
                done = pool.submit(_keep, chunks, piece, pieces, memory)
            else:
                found, memory = _remember(folder)
                done = Future()
                done.set_result(found)
            begun.append((done, stop - start))
            if len(begun) > 1:  # a chunk is finished while the next one begins
                done, num = begun.popleft()
                yield from unfold(done.result(), num, clip.size)
            progress(stop, clip.num_frames)
        for done, num in begun:
            yield from unfold(done.result(), num, clip.size)


def _mask_chunk(
    clip: FrameSource,
    person: Seen,
    plate: Plate | None,
    rivals: Rivals | None,
    span: tuple[int, int],
    memory: Memory | None,
    pool: ThreadPoolExecutor,
    progress: Progress,
) -> tuple[dict[int, Future[Piece]], Memory | None]:
    """Look at some frames; returns what is being finished of each, and what the frame after them may use."""
    start, stop = span
    pieces: dict[int, Future[Piece]] = {}
    pending: deque[Future[Piece]] = deque()
    rough = bridged_masks(person, start, stop)
    for frame_idx, rgb in enumerate(glimpse(clip, start, stop), start):
        found = next(rough)
        if found is None:
            memory = None  # what was before is of no use when they come back
            continue
        roi, mask, is_seen = found
        points, seen = person.landmarks.image_px[frame_idx], person.landmarks.visibility[frame_idx]
        seen = seen if is_seen else np.zeros_like(seen)  # bones between two sightings are a guess
        place = None if plate is None else partial(plate.render, frame_idx, kernel=cv2.INTER_LINEAR)
        beside = None if rivals is None else rivals.beside(frame_idx, points)
        known = believe(rgb, roi, mask, points, seen, memory, place, beside)
        told = person.hidden[frame_idx] and beside is not None  # what is in front of them is known
        if not is_seen and not told and not known.is_theirs(memory):
            continue  # hidden, not missed
        memory = known.memory
        pending.append(pool.submit(_finish, known))
        pieces[frame_idx - start] = pending[-1]
        if len(pending) > PENDING:
            pending.popleft().result()
        progress(frame_idx + 1, clip.num_frames)
    return pieces, memory


def _finish(known: "Belief") -> Piece:
    return trim(known.finish(), known.x0, known.y0)


def _keep(chunks: Chunks, name: str, pieces: dict[int, Future[Piece]], memory: Memory | None) -> dict[int, Piece]:
    """Write a chunk when its pieces are finished, and return them."""
    done = {k: piece.result() for k, piece in pieces.items()}
    state = {} if memory is None else {f"state_{name}": value for name, value in vars(memory).items()}
    with chunks.make(name) as part:
        np.savez(part / "matte.npz", **as_arrays(done), **state)  # pyright: ignore[reportArgumentType]
    return done


def _remember(folder: Path) -> tuple[dict[int, Piece], Memory | None]:
    """What `_keep` wrote."""
    with np.load(folder / "matte.npz") as file:
        state = {name[6:]: file[name] for name in file.files if name.startswith("state_")}
        return from_arrays(file), Memory(**state) if state else None


@dataclass(frozen=True)
class Belief:
    """What is known of one frame at working size."""

    full: NDArray
    """(h, w, 3) uint8: the part of the picture around the person."""
    x0: int
    y0: int
    """Its left and top edge, pixels."""
    small: NDArray
    """The same, reduced."""
    memory: Memory
    """What the next frame may use."""
    place: tuple[NDArray, NDArray] | None
    """The part without the person, see `Plate.render`."""
    differs: NDArray
    """(h, w) float32: log odds by how it differs from the place; 0 where that is not known."""

    def finish(self) -> NDArray:
        """The mask of the part, (h, w) uint8."""
        return _full_size(self.full, self.small, self.memory.belief, self.place)

    def is_theirs(self, before: Memory | None) -> bool:
        """Whether a part of what is believed to be the person has colours of theirs, not the place's; or, where nothing
        was known of them before, most of it is not the place."""
        inside = self.memory.belief > 0
        if before is None:
            return bool(inside.any()) and float((self.differs > 0)[inside].mean()) > NOT_THE_PLACE
        surroundings, person = before.colors.reshape(2, -1)
        index = color_index(self.small)[inside]
        return index.size > 0 and float((person > 1.5 * surroundings)[index].mean()) > LIKE_THEM


def believe(
    rgb: Glimpse,
    roi: Roi,
    rough: NDArray,
    points_px: NDArray,
    visibility: NDArray,
    memory: Memory | None,
    place: Callable[[Box], tuple[NDArray, NDArray]] | None = None,
    beside: Callable[[NDArray, NDArray], tuple[NDArray, NDArray]] | None = None,
) -> Belief:
    """Tell person from background in one frame, at working size.

    Args:
        rgb: (H, W, 3) uint8.
        roi: the square of the rough mask.
        rough: (256, 256) uint8.
        points_px: (33, 2) float32 landmarks, pixels.
        visibility: (33,) float32.
        memory: of the frame before, or None.
        place: shows a box of the frame without the person, see `Plate.render`; None where nothing is known of it.
        beside: weighs the person against others, see `Rivals.weigh`; None where nobody is near.

    Returns:
        Belief: `finish` makes the mask of it.
    """
    x0, y0, x1, y1 = _part(rgb.shape[:2], roi, rough, points_px)
    full = np.ascontiguousarray(rgb[y0:y1, x0:x1][..., :3])
    scale = min(1.0, WORK_PX / max(full.shape[:2]))
    width, height = max(8, round((x1 - x0) * scale)), max(8, round((y1 - y0) * scale))
    small = shrink_to(full, (height, width))
    sx, sy = width / (x1 - x0), height / (y1 - y0)
    affine = np.array([[sx, 0, -x0 * sx], [0, sy, -y0 * sy]])
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    prior = network = _network_odds(roi, rough, affine, gray.shape)
    moved = np.full(gray.shape, -3, np.float32)
    if memory is not None:
        moved, sure = _carry(memory, gray, affine)
        prior = prior + 0.45 * sure * np.clip(moved - prior, -4, 4)
    bones = _bones(points_px, visibility, affine, gray.shape)
    prior = prior + 1.5 * bones
    blind = np.zeros(gray.shape, bool)
    if beside is not None:
        others, blind = beside(affine, small)  # two who touch are one body to the network
        prior = prior + others - np.maximum(network, 0) * np.clip(-others / 3, 0, 1)
    shown = None if place is None else place((x0, y0, x1, y1))
    differs = np.zeros(gray.shape, np.float32)
    if shown is not None:
        differs = _place_odds(*shown, small, prior)
        prior = prior + np.where(blind, np.minimum(differs, 0), differs)
    belief, colors = _settle(small, prior, None if memory is None else memory.colors)
    if shown is not None:
        # A shoe seen from the front is as round as a ball: landmarks tell.
        belief = without_strangers(belief, np.where(bones > 0.5, np.float32(1), network), moved)
    return Belief(full, x0, y0, small, Memory(gray, belief, affine, colors), shown, differs)


def _part(size: tuple[int, ...], roi: Roi, rough: NDArray, points_px: NDArray) -> Box:
    """The part of the picture around mask and landmarks."""
    x0, y0, width, height = cv2.boundingRect(above(rough, 64))
    low, high = points_px.min(0), points_px.max(0)
    if width:
        to_image = roi.to_image(len(rough))
        corners = np.array([[x, y] for x in (x0, x0 + width) for y in (y0, y0 + height)])
        corners = corners @ to_image[:, :2].T + to_image[:, 2]
        low, high = np.minimum(low, corners.min(0)), np.maximum(high, corners.max(0))
    margin = MARGIN * float(np.max(high - low))
    limit = np.array(size[::-1])
    low = np.clip(np.floor(low - margin), 0, limit - 8).astype(int) // 2 * 2  # even sizes are halved fast
    high = np.clip(np.ceil(high + margin) // 2 * 2, low + 8, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _network_odds(roi: Roi, rough: NDArray, affine: NDArray, size: Size) -> NDArray:
    """(h, w) float32 log odds of the rough mask in the small copy; -3 outside of its square."""
    odds = cv2.LUT(rough, _ODDS)
    crop_to_small = affine @ np.vstack([roi.to_image(len(rough)), [0, 0, 1]])
    return cv2.warpAffine(odds, at_indices(crop_to_small), size[::-1], borderMode=cv2.BORDER_CONSTANT, borderValue=-3.0)


def _carry(memory: Memory, gray: NDArray, affine: NDArray) -> tuple[NDArray, NDArray]:
    """The last belief moved into this frame, and (0 ... 1) how well the pictures agree there."""
    back = cv2.invertAffineTransform(affine)
    now_to_then = memory.affine @ np.vstack([back, [0, 0, 1]])
    size = gray.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    then = cv2.warpAffine(memory.gray, at_indices(now_to_then), size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    belief = cv2.warpAffine(memory.belief, at_indices(now_to_then), size, flags=flags, borderValue=-3.0)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    motion = flow.calc(gray, then, None)  # pyright: ignore[reportCallIssue, reportArgumentType]
    map_x = motion[..., 0] + np.arange(size[0], dtype=np.float32)
    map_y = motion[..., 1] + np.arange(size[1], dtype=np.float32)[:, None]
    moved = cv2.remap(belief, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-3.0)
    seen = cv2.remap(then, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = cv2.blur(cv2.absdiff(seen, gray).astype(np.float32), (5, 5))
    return moved, np.exp(-error / 12)


def _bones(points_px: NDArray, visibility: NDArray, affine: NDArray, size: Size) -> NDArray:
    """(h, w) float32, 0 ... 1: along the bones of the landmarks, as far as they are seen."""
    points = points_px @ affine[:, :2].T + affine[:, 2]
    torso = float(np.linalg.norm(points[[11, 12]].mean(0) - points[[23, 24]].mean(0)))
    out = np.zeros(size, np.float32)
    bones = sorted((float(min(visibility[a], visibility[b])), a, b, thickness) for a, b, thickness in BONES)
    for seen, a, b, thickness in bones:  # the surest last, over the others
        if seen > 0.5:
            ends = [tuple(round(16 * (float(v) - 0.5)) for v in points[k]) for k in (a, b)]
            cv2.line(out, ends[0], ends[1], seen, max(1, round(0.7 * thickness * torso)), cv2.LINE_8, 4)
    return out


def _place_odds(place: NDArray, state: NDArray, small: NDArray, prior: NDArray) -> NDArray:
    """(h, w) float32 log odds of the small copy, by how it differs from the place."""
    size = small.shape[1::-1]
    person = (prior > 0).astype(np.uint8)
    height = cv2.boundingRect(person)[3]
    if height == 0:
        return np.zeros(size[::-1], np.float32)
    known = cv2.resize(state, size, interpolation=cv2.INTER_NEAREST) >= BORROWED
    place = shrink_to(place, size[::-1])
    return place_odds(small, place, known, person, height)


def _settle(small: NDArray, prior: NDArray, held: NDArray | None) -> tuple[NDArray, NDArray]:
    """Add the evidence of colours and smooth along edges; returns log odds and the histograms."""
    edges = GuidedFilter(small, radius=6, eps=1e-3, step=2)
    index = color_index(small)
    belief, colors = prior, held
    for _ in range(2 if held is None else 1):
        share = 1 / (1 + np.exp(-belief))
        colors = histograms(index, share, held)
        evidence = np.log(colors[1] + 1e-6) - np.log(colors[0] + 1e-6)
        apart = 1 - float(np.sqrt(colors[0] * colors[1]).sum())
        odds = prior + (COLOR * apart**2 * np.clip(evidence, -2.5, 2.5)).ravel()[index]
        share = 1 / (1 + np.exp(-odds))
        smooth = np.clip(edges.smooth(share.astype(np.float32)), 0.01, 0.99)
        belief = (0.4 * odds + 0.6 * np.log(smooth / (1 - smooth))).astype(np.float32)
    assert colors is not None
    return np.clip(belief, -4, 4), colors


def _full_size(full: NDArray, small: NDArray, belief: NDArray, place: tuple[NDArray, NDArray] | None) -> NDArray:
    """Bring the belief to the picture's size with the picture's own edges."""
    share = _largest(1 / (1 + np.exp(-2 * belief))).astype(np.float32)
    size = full.shape[1::-1]
    coarse = np.asarray(cv2.resize(share, size))
    mask, unsure = above(coarse, 0.5), cv2.inRange(coarse, 0.02, 0.98)  # type: ignore[call-overload]
    x, y, width, height = cv2.boundingRect(unsure)
    if width == 0:
        return mask
    rows, cols = slice(y, y + height), slice(x, x + width)
    coarse = coarse[rows, cols]
    large = [np.asarray(cv2.resize(each, size))[rows, cols] for each in _edges(small, share)]
    fine = apply(split_01(full[rows, cols]), large)
    # No wisps of background that happen to have a body's colour.
    fine = cv2.add(coarse, np.clip(cv2.subtract(fine, coarse), -0.35, 0.35))
    np.maximum(fine, 0.17, out=fine)  # becomes black
    levels = cv2.convertScaleAbs(fine, alpha=1.3 * 255, beta=-0.22 * 255)
    if place is None:
        cv2.copyTo(cv2.LUT(levels, _PLAIN), unsure[rows, cols], mask[rows, cols])
        return mask
    guess = mask.copy()
    cv2.copyTo(levels, unsure[rows, cols], guess[rows, cols])
    known = place[1] >= BORROWED
    return cv2.LUT(mixed_alpha(full, place[0], known, guess, mask, small, (share > 0.5).astype(np.uint8)), _PLAIN)


def _edges(small: NDArray, share: NDArray) -> list[NDArray]:
    """The coefficients that draw a share (h, w) with the edges of its picture; 0 far from where it is in doubt."""
    radius = 3
    x, y, width, height = cv2.boundingRect(cv2.inRange(share, 0.02, 0.98))  # type: ignore[call-overload]
    room = 2 * radius + 2
    part = slice(max(0, y - room), y + height + room), slice(max(0, x - room), x + width + room)
    out = [np.zeros_like(share) for _ in range(4)]
    for whole, piece in zip(out, GuidedFilter(small[part], radius=radius, eps=4e-4).coefficients(share[part])):
        whole[part] = piece
    return out


def _largest(share: NDArray) -> NDArray:
    """Drop specks that are not joined to the body, and fill pinholes."""
    labels, areas = _pieces((share > 0.5).astype(np.uint8))
    if len(areas) < 2:
        return share
    largest = areas[1:].max()
    keep = areas > max(0.04 * largest, 12)
    keep[0] = True
    out = np.where(np.take(keep, labels), share, np.minimum(share, 0.2))
    labels, areas = _pieces((out <= 0.5).astype(np.uint8))
    holes = areas < 0.004 * largest
    holes[0] = False
    return np.where(np.take(holes, labels), 0.9, out)


def _pieces(mask: NDArray) -> tuple[NDArray, NDArray]:
    """The connected pieces of a mask: (h, w) int64 labels, 0 outside, and (n,) areas; quicker than with all stats."""
    labels = np.asarray(cv2.connectedComponents(mask)[1], np.int64)
    return labels, np.bincount(labels.ravel())
