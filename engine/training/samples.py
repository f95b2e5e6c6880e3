"""Training samples: which clip, which frames, which noise, decided by (seed, step, place in the batch) alone.

So a resumed run goes on exactly where it was with nothing to restore, and several processes see what one would.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics, load_body
from engine.geometry import project, transform
from engine.raster import rasterize
from engine.synth.dataset import skeleton_px
from engine.training.latents import KeptLatents
from engine.training.recipe import DataRecipe, ModelRecipe
from engine.training.shards import Shards, TrainingClip
from engine.types import JOINT_PARENTS, Camera, Size

_ORDER, _WINDOW, _REFERENCE, _DROP, _NOISE = range(5)
"""Streams of chance."""
BONES = tuple((parent, joint) for joint, parent in enumerate(JOINT_PARENTS[:22]) if parent >= 0)


@dataclass(frozen=True)
class BodyMap:
    """Where the body is seen: what learned codes are interpolated with, or a drawn skeleton."""

    face_idx: NDArray | None = None
    """(T, H, W) int32, -1: no body."""
    bary: NDArray | None = None
    """(T, H, W, 3) float16."""
    skeleton: NDArray | None = None
    """(T, H, W, 3) uint8."""


@dataclass(frozen=True)
class Sample:
    """One clip cut for one step; T frames of S x S, body maps of the size the pose encoder reads."""

    clip_idx: int
    frame_idx: tuple[int, ...]
    rgb: NDArray
    """(T, S, S, 3) uint8."""
    scene: NDArray
    """(T, S, S, 3) uint8."""
    occlusion: NDArray
    """(T, S, S, 3) uint8, on black."""
    body: BodyMap
    reference: NDArray
    """(S, S, 3) uint8."""
    human_mask: NDArray
    """(T, S, S) uint8."""
    latents: dict[str, NDArray] = field(default_factory=dict)
    """Layer to (T, C, h, w) float16, where latents are kept."""


class Samples:
    """Cuts samples out of shards; keeps prepared clips in memory up to a limit."""

    def __init__(
        self,
        shards: Shards,
        data: DataRecipe,
        model: ModelRecipe,
        *,
        map_side: int,
        seed: int,
        kept_latents: KeptLatents | None = None,
    ) -> None:
        self._latents = kept_latents
        self._shards, self._data, self._model, self._map_side, self._seed = shards, data, model, map_side, seed
        self._kept: OrderedDict[int, tuple[TrainingClip, BodyMap]] = OrderedDict()
        self._of_identity: dict[str, list[int]] = {}
        for idx, about in enumerate(shards.about):
            self._of_identity.setdefault(str(about.get("identity", "")), []).append(idx)

    def clip_of(self, position: int) -> int:
        """Which clip stands at a place in the endless order: every clip once an epoch, shuffled anew each time."""
        epoch, place = divmod(position, len(self._shards))
        return int(np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self._shards))[place])

    def draw(self, step: int, place: int, batch: int) -> Sample:
        """Cut the sample at `place` of the batch of `step`."""
        clip_idx = self.clip_of(step * batch + place)
        clip, _ = self._clip(clip_idx)
        rng = np.random.default_rng([self._seed, _WINDOW, step, place])
        span = (self._data.frames - 1) * self._data.stride + 1
        if clip.num_frames < span:
            stride = max((clip.num_frames - 1) // max(self._data.frames - 1, 1), 1)
            frames = np.minimum(np.arange(self._data.frames) * stride, clip.num_frames - 1)
        else:
            frames = rng.integers(clip.num_frames - span + 1) + np.arange(self._data.frames) * self._data.stride
        return self.cut(clip_idx, tuple(int(idx) for idx in frames), seed=[step, place])

    def cut(self, clip_idx: int, frame_idx: tuple[int, ...], *, seed: list[int]) -> Sample:
        """Cut given frames of a clip."""
        clip, body = self._clip(clip_idx)
        idx = list(frame_idx)
        return Sample(
            clip_idx=clip_idx,
            frame_idx=frame_idx,
            rgb=clip.rgb[idx],
            scene=clip.scene[idx],
            occlusion=on_black(clip.occlusion[idx]),
            body=BodyMap(*(None if part is None else part[idx] for part in vars(body).values())),
            reference=self._reference(clip_idx, frame_idx, seed),
            human_mask=clip.human_mask[idx],
            latents={} if self._latents is None else self._kept_latents(clip_idx, clip, idx),
        )

    def _kept_latents(self, clip_idx: int, clip: TrainingClip, idx: list[int]) -> dict[str, NDArray]:
        assert self._latents is not None
        layers = {"rgb": clip.rgb, "scene": clip.scene, "occlusion": on_black(clip.occlusion)}
        latents = {name: self._latents.of(clip_idx, name, frames)[idx] for name, frames in layers.items()}
        if self._model.reference == "canonical":
            latents["reference"] = self._latents.of(clip_idx, "reference", clip.reference[None])
        return latents

    def _reference(self, clip_idx: int, frame_idx: tuple[int, ...], seed: list[int]) -> NDArray:
        """The canonical picture, or a frame that is none of the targets: of another clip of this identity if any."""
        clip, _ = self._clip(clip_idx)
        if self._model.reference == "canonical":
            return clip.reference
        rng = np.random.default_rng([self._seed, _REFERENCE, *seed])
        others = [idx for idx in self._of_identity[clip.identity] if idx != clip_idx]
        if others:
            other, _ = self._clip(others[rng.integers(len(others))])
            return other.rgb[rng.integers(other.num_frames)]
        free = [idx for idx in range(clip.num_frames) if idx not in frame_idx] or [0]
        return clip.rgb[free[rng.integers(len(free))]]

    def _clip(self, clip_idx: int) -> tuple[TrainingClip, BodyMap]:
        if clip_idx not in self._kept:
            clip = fit_square(self._shards.read(clip_idx), self._data.size)
            self._kept[clip_idx] = clip, draw_body(clip, self._map_side, self._model.motion)
            while len(self._kept) > 1 and sum(map(_num_bytes, self._kept.values())) > self._data.cache_mib << 20:
                self._kept.popitem(last=False)
        self._kept.move_to_end(clip_idx)
        return self._kept[clip_idx]


def dropped(seed: int, step: int, place: int, share: float) -> bool:
    """Whether this sample is shown without its identity."""
    return bool(np.random.default_rng([seed, _DROP, step, place]).uniform() < share)


def noise_seed(seed: int, step: int, place: int) -> int:
    """Seed of the noise and the timestep of a sample."""
    return int(np.random.default_rng([seed, _NOISE, step, place]).integers(2**62))


def on_black(rgba: NDArray) -> NDArray:
    """(..., 4) uint8 straight to (..., 3) uint8."""
    wide = rgba.astype(np.uint16)
    return ((wide[..., :3] * wide[..., 3:] + 127) // 255).astype(np.uint8)


def fit_square(clip: TrainingClip, side: int) -> TrainingClip:
    """Cut the middle square out of a clip and scale it, camera included."""
    height, width = clip.rgb.shape[1:3]
    edge = min(height, width)
    y0, x0 = (height - edge) // 2, (width - edge) // 2
    if (height, width) == (side, side):
        return replace(clip, reference=_scaled(clip.reference, side))

    def cut(frames: NDArray) -> NDArray:
        return np.stack([_scaled(frame[y0 : y0 + edge, x0 : x0 + edge], side) for frame in frames])

    K = np.array([[side / edge, 0, -x0 * side / edge], [0, side / edge, -y0 * side / edge], [0, 0, 1]]) @ clip.camera.K
    return replace(
        clip,
        rgb=cut(clip.rgb),
        scene=cut(clip.scene),
        occlusion=cut(clip.occlusion),
        human_mask=cut(clip.human_mask),
        reference=_scaled(clip.reference, side),
        camera=Camera(K.astype(np.float32), clip.camera.world_to_cam),
    )


def _scaled(picture: NDArray, side: int) -> NDArray:
    smaller = side < picture.shape[0]
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def draw_body(clip: TrainingClip, map_side: int, motion: str) -> BodyMap:
    """Rasterize the posed body of every frame at the size the pose encoder reads.

    Args:
        clip: square.
        map_side: pixels.
        motion: "codes" or "skeleton".
    """
    scale = map_side / clip.rgb.shape[1]
    K, size = np.diag([scale, scale, 1.0]) @ clip.camera.K, (map_side, map_side)
    if motion == "skeleton":
        return BodyMap(skeleton=_skeletons(clip, K, size))
    body = load_body()
    face_idx, bary = np.empty((clip.num_frames, *size), np.int32), np.empty((clip.num_frames, *size, 3), np.float16)
    for idx in range(clip.num_frames):
        vertices = body.pose(clip.rotvec[idx], clip.root_m[idx], clip.shape)
        cam = transform(clip.camera.world_to_cam[idx], vertices).astype(np.float32)
        found = rasterize(cam[None], body.faces, K[idx], size, cull_back=True)
        face_idx[idx], bary[idx] = found.face_idx[0], found.bary[0]
    return BodyMap(face_idx, bary)


def _skeletons(clip: TrainingClip, K: NDArray, size: Size) -> NDArray:
    rest = load_body().rest(clip.shape)[1]
    joints = forward_kinematics(clip.rotvec, clip.root_m, rest)[0][:, :22]
    joints_px = project(K, transform(clip.camera.world_to_cam, joints))
    return np.stack([skeleton_px(frame, BONES, size) for frame in joints_px])


def _num_bytes(kept: tuple[TrainingClip, BodyMap]) -> int:
    return sum(value.nbytes for part in kept for value in vars(part).values() if isinstance(value, np.ndarray))
