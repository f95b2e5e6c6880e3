"""Training samples: which clip, which frames, which noise, decided by (seed, step, place in the batch) alone.

So a resumed run goes on exactly where it was with nothing to restore, and several processes see what one would.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.body_map import BodyMap, draw_body
from engine.training.latents import KeptLatents
from engine.training.recipe import DataRecipe, ModelRecipe
from engine.training.shards import Shards, TrainingClip
from engine.types import Camera

_ORDER, _WINDOW, _REFERENCE, _DROP, _NOISE = range(5)
"""Streams of chance."""


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
        self._kept_bytes, self._lock = 0, Lock()
        self._making: dict[int, Lock] = {}
        self._paired = [idx for idx in range(len(shards)) if shards.has_pair(idx)]
        self._of_identity: dict[str, list[int]] = {}
        names = [str(about.get("identity", "")) for about in shards.about]
        names += [str(shards.about[idx]["pair_identity"]) for idx in self._paired]
        for idx, name in enumerate(names):
            self._of_identity.setdefault(name, []).append(idx)

    def __len__(self) -> int:
        """Clips; the other half of a rendered pair is one of its own, after all those of the shards."""
        return len(self._shards) + len(self._paired)

    def pair_of(self, clip_idx: int) -> int | None:
        """The clip that shows the same moment with another identity."""
        return len(self._shards) + self._paired.index(clip_idx) if clip_idx in self._paired else None

    def clip_of(self, position: int) -> int:
        """Which clip stands at a place in the endless order: every clip once an epoch, shuffled anew each time."""
        epoch, place = divmod(position, len(self))
        return int(np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self))[place])

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
            occlusion=clip.occlusion[idx],
            body=body.cut(idx),
            reference=self._reference(clip_idx, frame_idx, seed),
            human_mask=clip.human_mask[idx],
            latents={} if self._latents is None else self._kept_latents(clip_idx, clip, idx),
        )

    def _kept_latents(self, clip_idx: int, clip: TrainingClip, idx: list[int]) -> dict[str, NDArray]:
        assert self._latents is not None
        layers = {"rgb": clip.rgb, "scene": clip.scene, "occlusion": clip.occlusion}
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
        """A clip with its occlusion on black, and where its body is; threads may ask at the same time."""
        with self._lock:
            making = self._making.setdefault(clip_idx, Lock())
        with making:  # others wait for this clip alone
            with self._lock:
                found = self._kept.get(clip_idx)
            if found is None:
                clip = fit_square(self._read(clip_idx), self._data.size)
                clip = replace(clip, occlusion=on_black(clip.occlusion))
                found = clip, draw_body(clip, self._map_side, self._model.motion)
            with self._lock:
                self._keep(clip_idx, found)
        return found

    def _read(self, clip_idx: int) -> TrainingClip:
        past = clip_idx - len(self._shards)
        if past < 0:
            return replace(self._shards.read(clip_idx), pair=None)
        pair = self._shards.read(self._paired[past]).pair
        assert pair is not None
        return pair

    def _keep(self, clip_idx: int, found: tuple[TrainingClip, BodyMap]) -> None:
        """Hold on to a clip, and let go of those that were not asked for longest, beyond the limit."""
        if clip_idx not in self._kept:
            self._kept_bytes += _num_bytes(found)
        self._kept[clip_idx] = found
        self._kept.move_to_end(clip_idx)
        while len(self._kept) > 1 and self._kept_bytes > self._data.cache_mib << 20:
            self._kept_bytes -= _num_bytes(self._kept.popitem(last=False)[1])


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


def _num_bytes(kept: tuple[TrainingClip, BodyMap]) -> int:
    return sum(value.nbytes for part in kept for value in vars(part).values() if isinstance(value, np.ndarray))
