"""The person's rough mask of an instance network, Mask2Former, in place of the landmark network's own.

The network looks at the upright square around the person that the embedded detector found, so a small figure fills its
picture as a large one does. Of the people it sees there, the one who best covers the embedded rough mask is meant;
where none does, that mask stays. Everything after it (time, colours, the edge) is `matte`'s.

Source: Cheng et al. 2022, "Masked-attention Mask Transformer for Universal Image Segmentation".
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.layers.human.matte import human_mask
from engine.layers.human.rivals import Rivals
from engine.layers.scene.plate import Plate
from engine.people.roi import Roi
from engine.people.rough import Seen
from engine.types import Chunks, FrameSource, Progress, Reel, quiet

if TYPE_CHECKING:
    from transformers import Mask2FormerForUniversalSegmentation

SIDE_PX = 384
"""Side of the square that the network is shown."""
SURE = 0.5
"""Least probability that what a query found is a person."""
ALIKE = 0.3
"""Least overlap (of soft masks) with the embedded rough mask."""
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


def detected_mask(
    clip: FrameSource,
    person: Seen,
    checkpoint: Path,
    *,
    chunks: Chunks,
    plate: Plate | None = None,
    rivals: Rivals | None = None,
    progress: Progress = quiet,
) -> Generator[NDArray, None, None]:
    """Yield the mask of one person for every frame, as `human_mask` does.

    Args:
        clip: (H, W, 3) RGB frames.
        person: whom to cut out, of the same clip.
        checkpoint: folder of Mask2Former in transformers' layout; loaded only if a piece of work is not done yet.
        chunks: keeps finished pieces of work.
        plate, rivals: see `human_mask`.
        progress: told after every frame.

    Yields:
        (H, W) uint8: 0 not the person ... 255 the person.

    Raises:
        InputError: the folder does not hold the network, or it knows no people.
    """
    known = {"plate": plate, "rivals": rivals}
    return human_mask(clip, Detected(clip, person, checkpoint), chunks=chunks, progress=progress, **known)


class Detected:
    """A person whose rough masks are the network's."""

    def __init__(self, clip: FrameSource, person: Seen, checkpoint: Path) -> None:
        self.tracks, self.landmarks, self.hidden = person.tracks, person.landmarks, person.hidden
        self._clip, self._person, self._checkpoint = Reel(clip), person, checkpoint
        self._network: Mask2FormerForUniversalSegmentation | None = None

    def rough_masks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Roi, NDArray] | None]:
        """See `Seen.rough_masks`."""
        self._network = self._network or load_network(self._checkpoint)
        for rgb, found in zip(self._clip.read(start, stop), self._person.rough_masks(start, stop)):
            yield None if found is None else (found[0], refine(self._network, rgb, *found))


def load_network(folder: Path) -> "Mask2FormerForUniversalSegmentation":
    """Load Mask2Former from a folder with `config.json` and `model.safetensors`.

    Raises:
        InputError: it cannot be read, or "person" is not among its classes.
    """
    import torch
    from transformers import Mask2FormerForUniversalSegmentation

    from engine.weights.pretrained import load_pretrained

    network = load_pretrained(Mask2FormerForUniversalSegmentation, folder)
    if "person" not in network.config.id2label.values():
        raise InputError(
            f"{folder} knows no class named person.",
            fix="get one that was trained on COCO: mimo weights pull mask2former",
        )
    return network.to("cuda" if torch.cuda.is_available() else "cpu")


def refine(network: "Mask2FormerForUniversalSegmentation", rgb: NDArray, roi: Roi, rough: NDArray) -> NDArray:
    """Look at one person.

    Args:
        network: of `load_network`.
        rgb: (H, W, 3) uint8.
        roi: the upright square around them.
        rough: (256, 256) uint8, the embedded mask in it.

    Returns:
        (256, 256) uint8: the network's, or `rough` where it sees nobody like that.
    """
    import torch

    names = dict(network.config.id2label or {})
    person = next(idx for idx, name in names.items() if name == "person")
    square = roi.crop(np.ascontiguousarray(rgb[..., :3]), SIDE_PX)
    pixels = ((square.astype(np.float32) / 255 - _MEAN) / _STD).transpose(2, 0, 1)
    answer: Any = network(pixel_values=torch.from_numpy(np.ascontiguousarray(pixels))[None].to(network.device))
    sure = answer.class_queries_logits[0].softmax(-1)[:, int(person)].float().cpu().numpy()
    masks = answer.masks_queries_logits[0].sigmoid().float().cpu().numpy()  # (queries, h, w)
    wanted = cv2.resize(rough, masks.shape[:0:-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    alike = np.minimum(masks, wanted).sum((1, 2)) / np.maximum(np.maximum(masks, wanted).sum((1, 2)), 1e-6)
    score = np.where((sure >= SURE) & (alike >= ALIKE), alike, 0)
    if not score.any():
        return rough
    mask = cv2.resize(masks[int(score.argmax())], rough.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.rint(255 * mask).astype(np.uint8)
