"""Samples side by side: as they are stored, small enough to be moved, and as what a step computes with."""

# Shapes: B clips, T frames, S picture size, C channels, H W latent size; body maps are 8H x 8W, P of their pixels see
#         a body.

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.diffusion.prepare import clip_pixels
from engine.training.codec import Codec, encode_frames
from engine.training.recipe import ModelRecipe
from engine.training.samples import Sample

MAP_PER_LATENT = 8  # the pose encoder halves three times


@dataclass(frozen=True)
class Batch:
    """Samples as tensors. The first `num_dropped` are shown without their identity."""

    target_BCTHW: Tensor
    """Latents of the frames."""
    codes_BCTHW: Tensor | None
    """Scene and occlusion latents on the channel axis, those that the recipe gives."""
    reference_BCHW: Tensor
    """Latents of the identity picture."""
    picture_BCHW: Tensor
    """The identity picture as CLIP reads it."""
    pixel_P: Tensor | None
    """Pixels of the body maps that see a body, see `VertexCodes.draw`."""
    face_P: Tensor | None
    bary_P3: Tensor | None
    skeleton_BCTHW: Tensor | None
    num_dropped: int = 0


@dataclass(frozen=True)
class Stack:
    """Samples side by side, as they are stored. The first `num_dropped` are shown without their identity."""

    layers: dict[str, Tensor]
    """"rgb", "scene", "occlusion", "reference" to (B, T, S, S, 3) uint8, or to (B, T, C, H, W) float16 latents."""
    picture_BCHW: Tensor
    """The identity picture as CLIP reads it."""
    body: dict[str, Tensor]
    """See `BodyMap`: pixels are counted through the whole stack."""
    num_dropped: int = 0

    def pinned(self) -> "Stack":
        """The same in memory that a GPU reads by itself, while others compute."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Stack":
        """The same on a device; from pinned memory nobody waits for it."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Stack":
        layers, body = ({name: change(one) for name, one in group.items()} for group in (self.layers, self.body))
        return replace(self, layers=layers, body=body, picture_BCHW=change(self.picture_BCHW))


def stack(samples: Sequence[Sample], recipe: ModelRecipe, *, clip_side: int, num_dropped: int = 0) -> Stack:
    """Lay samples side by side; the first `num_dropped` are those without identity.

    Args:
        samples: of equal sizes.
        recipe: which codes are given.
        clip_side: pixels of the picture that the image encoder reads.
        num_dropped: see `Stack`.
    """
    given = ["rgb", *(["scene"] if recipe.scene else []), *(["occlusion"] if recipe.occlusion else []), "reference"]
    pictures = [clip_pixels(sample.reference, clip_side) for sample in samples]
    return Stack(
        layers={name: _stacked([_layer(sample, name) for sample in samples]) for name in given},
        picture_BCHW=_stacked(pictures),
        body=_bodies(samples),
        num_dropped=num_dropped,
    )


def encode(pictures: Stack, codec: Codec, recipe: ModelRecipe) -> Batch:
    """Turn pictures into what the network computes with, where they are.

    Args:
        pictures: of `stack`.
        codec: makes the latents.
        recipe: which codes are given.
    """

    def latents(name: str) -> Tensor:
        layer = pictures.layers[name]
        encoded = layer.float() if layer.is_floating_point() else encode_frames(layer.flatten(0, 1), codec)
        return (encoded if layer.is_floating_point() else encoded.unflatten(0, layer.shape[:2])).transpose(1, 2)

    codes = [latents(name) for name, given in (("scene", recipe.scene), ("occlusion", recipe.occlusion)) if given]
    skeleton = pictures.body.get("skeleton_THW3")
    return Batch(
        target_BCTHW=latents("rgb"),
        codes_BCTHW=torch.cat(codes, 1) if codes else None,
        reference_BCHW=latents("reference")[:, :, 0],
        picture_BCHW=pictures.picture_BCHW,
        pixel_P=pictures.body.get("pixel_P"),
        face_P=pictures.body.get("face_P"),
        bary_P3=pictures.body.get("bary_P3"),
        skeleton_BCTHW=None if skeleton is None else skeleton.float().permute(0, 4, 1, 2, 3) / 255,
        num_dropped=pictures.num_dropped,
    )


def _layer(sample: Sample, name: str) -> NDArray:
    if name in sample.latents:
        return sample.latents[name]
    return sample.reference[None] if name == "reference" else getattr(sample, name)


def _bodies(samples: Sequence[Sample]) -> dict[str, Tensor]:
    bodies = [sample.body for sample in samples]
    if bodies[0].pixel_P is None:
        return {"skeleton_THW3": _stacked([cast(NDArray, body.skeleton_THW3) for body in bodies])}
    size = bodies[0].size[0] * bodies[0].size[1] * len(samples[0].rgb)
    shifted = [cast(NDArray, body.pixel_P).astype(np.int64) + place * size for place, body in enumerate(bodies)]
    joined = {name: torch.from_numpy(np.concatenate([vars(b)[name] for b in bodies])) for name in ("face_P", "bary_P3")}
    return {"pixel_P": torch.from_numpy(np.concatenate(shifted)), **joined}


def _stacked(arrays: Sequence[NDArray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
