"""Clips drawn by rule: an actor, a motion, a place, a camera, something in front. Index i is the same anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.synth.actor import Actor, make_costume
from engine.synth.clip import ClipSpec, SynthClip, actor_shape, make_clip
from engine.synth.motions import MOTIONS
from engine.types import JOINTS, Motion, Size

A_POSE_RAD = np.deg2rad(50.0)
"""How far the arms of the canonical pose hang below the horizontal."""
_REFERENCE_FILL = 0.9
"""Share of the canonical picture's height that the figure takes."""
_CAMERAS = ("static", "pan", "handheld", "zoom")
_OCCLUDERS = ("ball", "pole", "none")


@dataclass(frozen=True, kw_only=True)
class SynthSet:
    """A set of clips; equal sets give equal clips."""

    count: int
    seed: int = 0
    identities: int = 4
    """Clip i shows actor i modulo this."""
    size: Size = (256, 256)
    num_frames: int = 24
    fps: float = 24.0
    motions: tuple[Motion, ...] = ()
    """Of the person's files, resampled to `fps`; empty: the motions made by rule."""
    acts: tuple[str, ...] = ()
    """Which of the motions made by rule; empty: all."""
    cast_seed: int | None = None
    """Seed of the actors; None: `seed`. Two sets of one cast show the same people in other motions and places."""


def clip_spec(dataset: SynthSet, index: int) -> ClipSpec:
    """Return what clip `index` films.

    Raises:
        IndexError: there is no such clip.
    """
    if not 0 <= index < dataset.count:
        raise IndexError(f"clip {index} of {dataset.count}")
    rng = np.random.default_rng([dataset.seed, 17, index])
    occluder = _OCCLUDERS[rng.integers(3)]
    acts = dataset.acts or tuple(MOTIONS)
    name = acts[rng.integers(len(acts))]
    gain = rng.uniform(0.8, 1.1, 2)
    camera = _CAMERAS[rng.integers(4)]
    place = int(rng.integers(2**31))
    start = float(rng.uniform())
    cast = dataset.seed if dataset.cast_seed is None else dataset.cast_seed
    return ClipSpec(
        size=dataset.size,
        num_frames=dataset.num_frames,
        fps=dataset.fps,
        camera=camera,
        occluder=occluder,
        motion=_cut(dataset, int(rng.integers(len(dataset.motions))), start) if dataset.motions else name,
        seed=place,
        actor_seed=1 + index % dataset.identities + 1000 * cast,
        noise=0.0,
        exposure=(float(gain[0]), float(gain[1])),
        pan_deg=float(rng.uniform(-9, 9)),
    )


def _cut(dataset: SynthSet, which: int, start: float) -> Motion:
    """`num_frames` frames of a motion, over the middle of the stage."""
    motion = dataset.motions[which]
    first = int(start * max(len(motion) - dataset.num_frames, 0))
    idx = np.minimum(np.arange(first, first + dataset.num_frames), len(motion) - 1)
    root = motion.root_m[idx].copy()
    root[:, (0, 2)] -= root[:, (0, 2)].mean(0)
    times = np.arange(dataset.num_frames) / dataset.fps
    return replace(motion, rotvec=motion.rotvec[idx], root_m=root, time_s=times, contact=None)


def other_actor(spec: ClipSpec, identities: int) -> ClipSpec:
    """The same place, motion and moment with the next actor: the other half of a rendered pair."""
    base = (spec.actor_seed - 1) // 1000 * 1000
    return replace(spec, actor_seed=base + 1 + (spec.actor_seed - base) % max(identities, 2))


def draw_clip(dataset: SynthSet, index: int) -> SynthClip:
    """Set up clip `index` for drawing."""
    return make_clip(clip_spec(dataset, index))


def draw_reference(actor_seed: int, side: int) -> NDArray:
    """Draw an actor in the canonical A-pose, from the front, on white.

    Args:
        actor_seed: as in `ClipSpec`.
        side: pixels of the square picture.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    shape = actor_shape(actor_seed)
    rest = load_body().rest(shape)[1]
    rotvec = np.zeros((1, len(JOINTS), 3), np.float32)
    for name, sign in (("left_shoulder", -1), ("right_shoulder", 1)):
        rotvec[0, JOINTS.index(name), 2] = sign * A_POSE_RAD
    motion = Motion(rotvec=rotvec, root_m=rest[:1].copy(), time_s=np.zeros(1), rest_m=rest, shape=shape)
    actor = Actor(make_costume(actor_seed), shape)
    vertices = actor.pose(motion, 0)
    more = 2
    low, high = vertices.min(0), vertices.max(0)
    distance = 6.0
    focal = _REFERENCE_FILL * side * more * distance / float(max(high[1] - low[1], high[0] - low[0]))
    K = np.array([[focal, 0, side * more / 2], [0, focal, side * more / 2], [0, 0, 1.0]])
    world_to_cam = np.diag([1.0, -1.0, -1.0, 1.0])
    world_to_cam[:3, 3] = -world_to_cam[:3, :3] @ [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, distance]
    rgb, mask, _ = actor.draw(vertices, K, world_to_cam, (side * more, side * more))
    rgb[~mask] = 255
    small = rgb.reshape(side, more, side, more, 3).mean((1, 3))
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def skeleton_px(joints_px: NDArray, bones: Sequence[tuple[int, int]], size: Size) -> NDArray:
    """Draw 2D bones, each in its own hue, on black.

    Args:
        joints_px: (J, 2) float, pixels.
        bones: pairs of joints.
        size: (height, width).

    Returns:
        (H, W, 3) uint8 RGB.
    """
    import colorsys

    import cv2

    picture = np.zeros((*size, 3), np.uint8)
    width = max(round(size[0] / 64), 1)
    for idx, (start, end) in enumerate(bones):
        color = [round(255 * part) for part in colorsys.hsv_to_rgb(idx / len(bones), 1, 1)]
        ends = [tuple(round(16 * (float(value) - 0.5)) for value in joints_px[joint]) for joint in (start, end)]
        cv2.line(picture, ends[0], ends[1], color, width, cv2.LINE_AA, shift=4)
    return picture
