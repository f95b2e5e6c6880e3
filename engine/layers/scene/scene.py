"""The scene layer: the place without the person, frame by frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.caption import caption_scale
from engine.layers.grow import dilate_disc, grow_mask
from engine.layers.membrane import above, amplify, apply_exposure, enlarge, fit_exposure, shrink
from engine.layers.scene.bystander import draw_legs, find_feet
from engine.layers.scene.falloff import fit_falloff
from engine.layers.scene.plate import Plate, build_plate
from engine.layers.scene.plate_window import ASIDE, NEAR, surroundings
from engine.layers.scene.restless import bridge, calm
from engine.layers.scene.shadow import find_shadow, is_darker, reached
from engine.layers.scene.sun import Bystanders
from engine.layers.scene.warp import Box
from engine.threads import map_in_order
from engine.types import BackgroundMotion, Chunks, FrameSource, Glimpse, Landmarks, Progress, Size, glimpse, quiet

_TIP = 0.04
"""Area of a ribbon or a hand that the mask lacks, areas of the person: what is larger is somebody or something else."""
_FAR = 0.7
"""Heights of the person from which on even the frame's own edge ends no shadow."""
_SURE = 0.3
"""Share of it that must differ twice as much as noise does."""
_QUIET, _STRAY = 0.06, 0.05
"""Half the side of its surroundings, heights of the picture, and how much of them may be strange, too."""
_RESTLESS = 64
"""Of 255: where the place changes so much, what differs from it is no sign of a person or their shadow."""
_STEP = 4
"""Pixels per node of everything but the colours themselves."""


def complete_scene(
    clip: FrameSource,
    human_mask: FrameSource,
    motion: BackgroundMotion,
    *,
    chunks: Chunks,
    progress: Progress = quiet,
    plate: Plate | None = None,
    others: Sequence[Landmarks] = (),
) -> Iterator[NDArray]:
    """Show, for every frame, the place behind the person and its shadow.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        human_mask: (H, W) uint8, 0 ... 255.
        motion: of the background.
        chunks: where the plate is kept; frames themselves are made in one pass and are cheap to make again.
        progress: called with frames done and frames in all.
        plate: the plate, where the caller has built it already.
        others: landmarks of everybody else, who keep their legs.

    Yields:
        (H, W, 4) uint8 straight RGBA per frame: alpha 0 (and colour 0) where the source's pixel is the scene already,
        255 where the person or its shadow was, a feathered edge between.
    """
    if plate is None:
        plate = build_plate(clip, human_mask, motion, chunks=chunks, others=others)
    shown = plate

    def complete(frame: tuple[int, Glimpse, NDArray]) -> NDArray:
        return complete_frame(shown, *frame, draw_legs(others, frame[0], clip.size), find_feet(others, frame[0]))

    frames = zip(range(clip.num_frames), glimpse(clip), human_mask.read())
    for idx, scene in enumerate(map_in_order(complete, frames)):
        yield scene
        progress(idx + 1, clip.num_frames)


def complete_frame(plate: Plate, idx: int, rgb: Glimpse, human: NDArray, others: NDArray, feet: NDArray) -> NDArray:
    """Make one frame of the scene layer; see `complete_scene`; `draw_legs` for the `others`, `find_feet` for theirs."""
    result = np.zeros((*human.shape, 4), np.uint8)
    hidden = grow_mask(human)
    if not hidden.any():
        return result
    look = _look(plate, idx, rgb, hidden, others, feet, NEAR)
    if look.is_cut:
        look = _without_endless(_look(plate, idx, rgb, hidden, others, feet, ASIDE), hidden.shape[1])
    (x0, y0, x1, y1), scene, state, gain, lift = look.box, look.scene, look.state, look.gain, look.lift
    hidden = hidden[y0:y1, x0:x1]
    small_alpha = cv2.max(_feather(look.removed), look.shade)
    a, b, width, height = (value * _STEP for value in cv2.boundingRect(small_alpha))
    a, b = max(0, a - 2 * _STEP), max(0, b - 2 * _STEP)
    part = slice(b, b + height + 4 * _STEP), slice(a, a + width + 4 * _STEP)
    shown = above(state[part], 0)
    alpha, lift = (_enlarge_part(each, hidden.shape, part) for each in (small_alpha, lift))
    alpha = cv2.bitwise_and(cv2.max(alpha, hidden[part]), shown)
    bright = scene[part] if (gain == 1).all() else amplify(scene[part], gain, cv2.CV_32F)
    colour = cv2.add(bright, lift, dtype=cv2.CV_8U)
    unknown = cv2.bitwise_and(hidden[part], cv2.bitwise_not(shown))
    if unknown.any():  # painted by hand beyond what was gathered around the person
        frame = rgb[y0:y1, x0:x1][part]
        painted = cv2.inpaint(np.ascontiguousarray(frame), unknown, 3, cv2.INPAINT_TELEA)
        colour[unknown > 0], alpha[unknown > 0] = painted[unknown > 0], 255
    colour = cv2.bitwise_and(colour, cv2.cvtColor(above(alpha, 0), cv2.COLOR_GRAY2RGB))
    where = result[y0 + b : y0 + b + alpha.shape[0], x0 + a : x0 + a + alpha.shape[1]]
    where[:] = cv2.merge([*cv2.split(colour), alpha])
    return result


@dataclass(frozen=True)
class _Look:
    """The place around the person in one frame, as frame and plate show it."""

    box: Box
    scene: NDArray
    """(h, w, 3) uint8: the plate."""
    state: NDArray
    """(h, w) uint8: where that comes from."""
    gain: NDArray
    lift: NDArray
    """See `fit_exposure`."""
    removed: NDArray
    """(h / 4, w / 4) uint8: 255 where the person is."""
    shade: NDArray
    """(h / 4, w / 4) uint8: their shadow."""
    is_cut: bool
    """The shadow goes on beyond the box."""


def _look(plate: Plate, idx: int, rgb: Glimpse, hidden: NDArray, others: NDArray, feet: NDArray, aside: float) -> _Look:
    """Compare frame and plate in the `surroundings` of what is hidden."""
    x, y, width, height = cv2.boundingRect(hidden)
    x0, y0, x1, y1 = box = surroundings(np.array([x, y, x + width, y + height]), hidden.shape, aside)
    (scene, state), noise = plate.render(idx, box, fine=True), plate.noise(idx)
    pictures = rgb[y0:y1, x0:x1], scene, hidden[y0:y1, x0:x1]
    small_frame, small_scene, small_hidden = (shrink(picture, _STEP) for picture in pictures)
    known = shrink(above(state, 0), _STEP) == 255
    gain, lift = fit_exposure(small_scene, small_frame, known & (small_hidden == 0))
    fitted = apply_exposure(small_scene, gain, lift)
    slope, unrest = fit_falloff(small_frame, fitted, known & (small_hidden == 0))
    if slope is not None:
        lift, fitted = lift + slope * fitted, fitted + slope * fitted
    restless = plate.restless(idx, box, known.shape)
    steady = known if restless is None else known & (restless < _RESTLESS)
    beside = Bystanders(feet - (x0 // _STEP, y0 // _STEP), plate.sun(idx)) if len(feet) else None
    own = steady if beside is None else steady & (beside.own(_dark(small_frame, fitted, noise), small_hidden) == 0)
    plain = own & ~_lettered(plate, idx, y0, known.shape)
    removed = _grow_by_evidence(small_frame, fitted, small_hidden > 0, own, plain, noise)
    legs = cv2.resize(others[y0 // _STEP : -(-y1 // _STEP), x0 // _STEP : -(-x1 // _STEP)], removed.shape[::-1])
    given = small_frame, fitted, removed, steady & (legs == 0), noise
    shade = find_shadow(*given, unrest=unrest, bystanders=beside, behind=legs)
    if restless is not None:
        wanted = bridge(small_frame, cv2.max(removed, shade))
        scene, lift = calm(scene, small_scene, gain, lift, wanted, restless)
    is_cut = bool(_ends(box, hidden.shape[1], cv2.max(shade, reached(legs, shade)), removed).any())
    return _Look(box, scene, state, gain, lift, removed, shade, is_cut)


def _dark(frame: NDArray, scene: NDArray, noise: float) -> NDArray:
    """(h, w) uint8, 0 or 1: where a frame is the scene in a shadow."""
    return is_darker(frame.astype(np.float32), scene, noise).astype(np.uint8)


def _lettered(plate: Plate, idx: int, y0: int, size: Size) -> NDArray:
    """(h, 1) bool: the small rows of a picture of `size`, whose top is given in pixels, over which lie words."""
    rows = np.zeros((size[0], 1), bool)
    scale = caption_scale(plate.size)
    for line in (line for first, last, line in plate.captions if first <= idx < last):
        top, bottom = (line.top - line.rim) / scale - y0, (line.bottom + line.rim) / scale - y0
        rows[max(0, int(top // _STEP)) : max(0, int(bottom // _STEP) + 1)] = True
    return rows


def _ends(box: Box, width: int, shade: NDArray, removed: NDArray) -> NDArray:
    """Like the shade: what of it lies on the left or right edge of the box, if that is not the frame's or is far."""
    x, _, wide, height = cv2.boundingRect(removed)
    edge = np.zeros_like(shade)
    edge[:, 0] = box[0] > 0 or x > _FAR * height
    edge[:, -1] = box[2] < width or shade.shape[1] - x - wide > _FAR * height
    return shade * edge


def _without_endless(look: _Look, width: int) -> _Look:
    """A look from afar without the dark ground that goes on beyond it: that is not their shadow."""
    count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents((look.shade > 0).astype(np.uint8)))
    ends = np.ones(count, np.uint8)
    ends[labels[_ends(look.box, width, look.shade, look.removed) > 0]] = 0
    return replace(look, shade=look.shade * ends[labels])


def _grow_by_evidence(
    frame: NDArray, scene: NDArray, hidden: NDArray, known: NDArray, plain: NDArray, noise: float
) -> NDArray:
    """Add what touches the mask and is not the scene (a foot, a blurred hand that the mask missed), up to a limit.

    All arguments are shrunk: the pictures, what the mask hides, what of the scene is known, and what of that has no
    words over it. Returns (h, w) uint8, 0 or 255.
    """
    height = len(hidden)
    core = hidden.astype(np.uint8)
    band = dilate_disc(core, max(2, round(0.035 * height))) > 0
    away = cv2.absdiff(frame.astype(np.float32), scene)
    away = cv2.max(cv2.max(away[..., 0], away[..., 1]), away[..., 2])
    other = ((away > 14 + 4 * noise) & band & known).astype(np.uint8)
    other = cast(NDArray, cv2.morphologyEx(other, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)))
    count, labels = cast("tuple[int, NDArray]", cv2.connectedComponents(core | other, connectivity=4))
    table = np.zeros(count, np.uint8)
    table[labels[hidden]] = 255
    table[0] = 0
    strange = np.where(plain, away / (14 + 4 * noise), 0)
    grown = cv2.max(table[labels], _tips(strange, cv2.max(core, table[labels]) > 0))
    grown = cv2.dilate(grown, np.ones((3, 3), np.uint8))
    return cv2.max(grown, core * 255)


def _tips(strange: NDArray, grown: NDArray) -> NDArray:
    """Find the ribbons and fingers that reach out of what is removed, before ground or wall that is quiet.

    Args:
        strange: (h, w) float: how far from the scene; above 1 it is no noise.
        grown: (h, w) bool: what is removed.

    Returns:
        (h, w) uint8, 255 on small pieces that touch `grown` and have little that is strange around them.
    """
    outside = ((strange > 1) & ~grown).astype(np.uint8)
    near = cv2.bitwise_and(cv2.dilate(grown.astype(np.uint8), np.ones((3, 3), np.uint8)), outside)
    if not near.any():
        return near
    count, labels, stats, _ = cast(
        "tuple[int, NDArray, NDArray, NDArray]", cv2.connectedComponentsWithStats(outside, connectivity=8)
    )
    area = stats[:, cv2.CC_STAT_AREA]
    touching = np.unique(labels[near > 0])
    table = np.zeros(count, np.uint8)
    table[touching[area[touching] <= _TIP * np.count_nonzero(grown)]] = 255
    if table.any():
        side = 2 * max(1, round(_QUIET * len(grown))) + 1
        apart = np.arange(count) > 0
        apart[touching] = False
        stray = cv2.blur(np.take(apart, labels).astype(np.float32), (side, side)).ravel()
        at = np.flatnonzero(np.take(table, labels))
        own, sure = labels.ravel()[at], strange.ravel()[at] > 2
        table[np.bincount(own, sure, count) <= _SURE * area] = 0
        table[own[stray[at] > _STRAY]] = 0
    return np.take(table, labels)


def _feather(removed: NDArray) -> NDArray:
    """255 inside, falling to 0 over some nodes outside; `enlarge` makes it smooth."""
    wide = cv2.dilate(removed, np.ones((3, 3), np.uint8))
    return cv2.max(removed, cv2.blur(wide, (3, 3)))


def _enlarge_part(picture: NDArray, size: tuple[int, ...], part: tuple[slice, slice]) -> NDArray:
    """`enlarge(picture, size)[part]`, without the rest; the part begins at nodes."""
    if (picture.shape[0] * _STEP, picture.shape[1] * _STEP) != tuple(size):
        return enlarge(picture, size)[part].copy()
    (y0, y1), (x0, x1) = (
        (max(0, s.start // _STEP - 1), min(most, -(-s.stop // _STEP) + 1)) for s, most in zip(part, picture.shape)
    )
    wide = enlarge(picture[y0:y1, x0:x1], ((y1 - y0) * _STEP, (x1 - x0) * _STEP))
    rows, cols = (slice(s.start - at * _STEP, s.stop - at * _STEP) for s, at in zip(part, (y0, x0)))
    return wide[rows, cols]
