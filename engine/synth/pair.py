"""Rendered pairs: the same place, camera, motion and ball with two actors, so that a swap has a true answer."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.synth.actor import Actor, make_costume
from engine.synth.clip import ClipSpec, SynthClip, actor_shape, make_clip
from engine.types import JOINTS, Motion, Size

_ARMS_DOWN_RAD = np.radians(50.0)
_FIGURE_SHARE = 0.86
"""Height of the figure in its picture."""
_FAR_M = 12.0


@dataclass(frozen=True)
class Pair:
    """A clip, the picture of another actor, and what the clip is with that actor in it."""

    source: SynthClip
    truth: SynthClip
    reference: NDArray
    """(H, W, 4) uint8 straight RGBA: the other actor from the front, arms lowered, on nothing."""


def make_pair(spec: ClipSpec, character_seed: int, *, other_build: bool = False) -> Pair:
    """Film a clip twice, with its actor and with another one.

    Args:
        spec: the clip; its `motion` is a name. A ball flies its own way, so that it is the same in both.
        character_seed: skin, hair and clothes of the other actor, and their build where `other_build`.
        other_build: the other actor has a body of their own; else the clip's.

    Returns:
        The pair. Both actors turn their joints by the same angles; the pelvis of the other is as much higher as their
        legs are longer.
    """
    motion = make_clip(spec).motion
    shape = actor_shape(character_seed) if other_build else motion.shape
    source = make_clip(replace(spec, motion=motion))
    truth = make_clip(replace(spec, motion=_with_body(motion, shape), actor_seed=character_seed))
    return Pair(source, truth, draw_reference(character_seed, shape))


def draw_reference(actor_seed: int, shape: NDArray, size: Size = (768, 640)) -> NDArray:
    """Draw an actor as a picture to make a character of.

    Args:
        actor_seed: as in `ClipSpec`.
        shape: (10,) float, of the body.
        size: (height, width), pixels.

    Returns:
        (H, W, 4) uint8 straight RGBA: from the front, from afar, arms lowered by 50 degrees.
    """
    rest = load_body().rest(shape)[1]
    rotvec = np.zeros((1, len(JOINTS), 3), np.float32)
    rotvec[0, JOINTS.index("left_shoulder"), 2] = -_ARMS_DOWN_RAD
    rotvec[0, JOINTS.index("right_shoulder"), 2] = _ARMS_DOWN_RAD
    still = Motion(rotvec=rotvec, root_m=rest[:1], time_s=np.zeros(1), rest_m=rest, shape=np.asarray(shape, np.float32))
    actor = Actor(make_costume(actor_seed), shape)
    vertices = actor.pose(still, 0)
    low, high = vertices[:, 1].min(), vertices[:, 1].max()
    more = 2
    focal = more * size[0] * _FIGURE_SHARE / (high - low) * _FAR_M
    K = np.array([[focal, 0, more * size[1] / 2], [0, focal, more * size[0] / 2], [0, 0, 1.0]])
    world_to_cam = np.diag([1.0, -1, -1, 1])
    world_to_cam[:3, 3] = 0, (low + high) / 2, _FAR_M
    rgb, mask, _ = actor.draw(vertices, K, world_to_cam, (more * size[0], more * size[1]))
    parts = np.concatenate([rgb * mask[..., None], 255.0 * mask[..., None]], -1)
    mean = parts.reshape(size[0], more, size[1], more, 4).mean((1, 3))
    alpha = mean[..., 3:] / 255
    straight = np.where(alpha > 0, mean[..., :3] / np.maximum(alpha, 1e-6), 0)
    return np.floor(np.concatenate([straight, mean[..., 3:]], -1) + 0.5).clip(0, 255).astype(np.uint8)


def _with_body(motion: Motion, shape: NDArray) -> Motion:
    rest = load_body().rest(shape)[1]
    taller = rest[0, 1] / motion.rest_m[0, 1]
    root_m = (motion.root_m * np.array([1, taller, 1])).astype(np.float32)
    return replace(motion, shape=np.asarray(shape, np.float32), rest_m=rest, root_m=root_m)
