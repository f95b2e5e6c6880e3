"""The human's mask of a network: SAM 2 video, told by the embedded detector whom to follow.

The network is shown the person's box and the middle of their trunk once, and follows them through the frames by what it
remembers of the last ones. Where it loses them while the detector sees them, it is shown them again. Its memory is
kept with every finished piece of work, so that a resumed run gives the same bytes as an unbroken one, and it never
grows: older frames than it can look at are dropped.

Source: Ravi et al. 2024, "SAM 2: Segment Anything in Images and Videos".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.rough import Seen
from engine.types import LANDMARKS, Chunks, FrameSource, Progress, Reel, Size, quiet
from engine.video import LayerWriter, open_layer

if TYPE_CHECKING:
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession, Sam2VideoModel

CHUNK = 32
"""Frames of one finished piece of work."""
PATIENCE = 16
"""Frames between two times that the network is shown the person."""
ASTRAY_IOU = 0.3
"""A mask whose box overlaps the detector's by less is of somebody or something else."""
SURE_SCORE = 0.5
"""Boxes of the detector of a lower score do not correct the network."""
REACH = 0.5
"""What is farther from the person's box than this share of its size is not theirs."""
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_REMEMBERED = ("object_pointer", "object_score_logits", "maskmem_features", "maskmem_pos_enc")
_TRUNK = [LANDMARKS.index(f"{side}_{part}") for side in ("left", "right") for part in ("shoulder", "hip")]
_TWINS = {"prompt_encoder.shared_embedding.positional_embedding": "shared_image_embedding.positional_embedding"}
"""SAM 2 has one such table; the library keeps it twice."""
_CLEAR = 8
"""Steps of 255 within which a mask is nothing, or everything."""


@dataclass(frozen=True)
class Sighting:
    """Where the detector sees the person in a frame."""

    box_px: NDArray
    """(4,) x0, y0, x1, y1, pixels."""
    trunk_px: NDArray
    """(2,) x, y: the middle of shoulders and hips."""
    score: float


def network_mask(
    clip: FrameSource, person: Seen, checkpoint: Path, *, chunks: Chunks, progress: Progress = quiet
) -> Iterator[NDArray]:
    """Yield the mask of one person for every frame, as `human_mask` does.

    Args:
        clip: (H, W, 3) RGB frames.
        person: whom to follow, of the same clip.
        checkpoint: folder of SAM 2 in transformers' layout; loaded only if a piece of work is not done yet.
        chunks: keeps finished pieces of `CHUNK` frames.
        progress: told after every frame.

    Yields:
        (H, W) uint8: 0 not the person ... 255 the person. Empty before the person is seen first; where the detector
        loses them later, the network goes on.

    Raises:
        InputError: the folder does not hold the network.
    """
    network: Sam2VideoModel | None = None
    last: Path | None = None
    reel = Reel(clip)
    for start in range(0, clip.num_frames, CHUNK):
        stop = min(start + CHUNK, clip.num_frames)
        name = f"sam2-{start:06d}-{stop - 1:06d}"
        if chunks.get(name) is None:
            network = network or load_network(checkpoint)
            follower = Follower(network, clip.size)
            if last is not None:
                follower.remember(last / "memory.pt")
            sightings = [sighting_of(person, idx) for idx in range(start, stop)]
            with chunks.make(name) as part:
                frames = zip(range(start, stop), reel.read(start, stop), sightings)
                _write_masks(follower, frames, part, lambda done: progress(done, clip.num_frames))
        last = chunks.get(name)
        assert last is not None, name
        yield from open_layer(last / "mask.mkv", kind="gray8", ours=True).read()
        progress(stop, clip.num_frames)


def load_network(folder: Path) -> "Sam2VideoModel":
    """Load SAM 2 video from a folder with `config.json` and `model.safetensors`."""
    import torch
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

    from engine.weights.pretrained import load_pretrained

    network = load_pretrained(Sam2VideoModel, folder, twins=_TWINS)
    return network.to("cuda" if torch.cuda.is_available() else "cpu")


def sighting_of(person: Seen, idx: int) -> Sighting | None:
    """Where a person is seen in a frame; None where they are not."""
    if person.tracks.score[idx] <= 0:
        return None
    trunk = person.landmarks.image_px[idx, _TRUNK].mean(0)
    return Sighting(person.tracks.box_px[idx], trunk, float(person.tracks.score[idx]))


def _write_masks(
    follower: "Follower",
    frames: Iterator[tuple[int, NDArray, Sighting | None]],
    part: Path,
    progress: Callable[[int], None],
) -> None:
    writer = LayerWriter(part / "mask.mkv", follower.size, "gray8")
    for idx, rgb, sighting in frames:
        writer.write(follower.step(idx, rgb, sighting))
        progress(idx + 1)
    writer.close()
    follower.save(part / "memory.pt")


class Follower:
    """SAM 2 at work on one person: frame after frame, with what it remembers."""

    def __init__(self, network: "Sam2VideoModel", size: Size) -> None:
        self.size = size
        self._network = network
        side = network.config.image_size
        self._side_px = int(side if isinstance(side, int) else side[0])
        self._reach = max(network.config.num_maskmem, network.config.max_object_pointers_in_encoder)
        self._session: Sam2VideoInferenceSession | None = None
        self._shown_idx = -PATIENCE

    def step(self, idx: int, rgb: NDArray, sighting: Sighting | None) -> NDArray:
        """Return the (H, W) uint8 mask of the next frame."""
        if self._session is None and sighting is None:
            return np.zeros(self.size, np.uint8)
        if self._session is None and sighting is not None:
            self._show(idx, sighting)
        mask, there = self._follow(idx, rgb)
        may_correct = idx - self._shown_idx >= PATIENCE and sighting is not None and sighting.score >= SURE_SCORE
        if sighting is not None and may_correct and (not there or _overlap(mask, sighting.box_px) < ASTRAY_IOU):
            self._show(idx, sighting)
            mask, _ = self._follow(idx, rgb)
        return mask if sighting is None else _near(mask, sighting.box_px)

    def save(self, path: Path) -> None:
        """Write what is remembered."""
        import torch

        outputs = self._session.output_dict_per_obj[0] if self._session else {}
        torch.save({"shown_idx": self._shown_idx, "outputs": outputs}, path)

    def remember(self, path: Path) -> None:
        """Go on from what was saved."""
        import torch

        state = torch.load(path, map_location=self._network.device, weights_only=True)
        self._shown_idx = state["shown_idx"]
        if state["outputs"]:
            self._session = self._empty_session()
            self._session.output_dict_per_obj[0] = state["outputs"]

    def _empty_session(self) -> "Sam2VideoInferenceSession":
        import torch
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        device = self._network.device
        session = Sam2VideoInferenceSession(
            video_height=self.size[0],
            video_width=self.size[1],
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=torch.float32,
        )
        session.obj_id_to_idx(1)
        return session

    def _show(self, idx: int, sighting: Sighting) -> None:
        """Begin anew with the person's box and a point that is surely theirs."""
        import torch

        height, width = self.size
        x0, y0, x1, y1 = sighting.box_px
        points = np.array([(x0, y0), (x1, y1), sighting.trunk_px], np.float32)
        points = np.clip(points, 0, (width, height)) * (self._side_px / np.array([width, height], np.float32))
        self._session = self._empty_session()
        self._session.add_point_inputs(
            0,
            idx,
            {
                "point_coords": torch.from_numpy(points.astype(np.float32))[None, None],
                "point_labels": torch.tensor([[[2, 3, 1]]], dtype=torch.int32),  # two corners, a point inside
            },
        )
        self._session.obj_with_new_inputs = [1]
        self._shown_idx = idx

    def _follow(self, idx: int, rgb: NDArray) -> tuple[NDArray, bool]:
        """The mask (H, W) uint8 of a frame, and whether the network sees the person at all."""
        import torch

        session: Any = self._session
        small = cv2.resize(np.ascontiguousarray(rgb[..., :3]), (self._side_px,) * 2, interpolation=cv2.INTER_LINEAR)
        pixels = ((small.astype(np.float32) / 255 - _MEAN) / _STD).transpose(2, 0, 1)
        answer = self._network(
            inference_session=session,
            frame=torch.from_numpy(np.ascontiguousarray(pixels))[None],
            frame_idx=idx,
        )
        session.processed_frames.clear()
        for kept in session.output_dict_per_obj[0].values():
            for old in kept:
                kept[old] = {name: value for name, value in kept[old].items() if name in _REMEMBERED}
        recent = session.output_dict_per_obj[0]["non_cond_frame_outputs"]
        for old in [old for old in recent if old <= idx - self._reach]:
            del recent[old]
        session.frames_tracked_per_obj[0].clear()
        logits = answer.pred_masks[0, 0].float().cpu().numpy()
        logits = cv2.resize(logits, self.size[::-1], interpolation=cv2.INTER_LINEAR)
        mask = np.round(255 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.uint8)
        mask[mask < _CLEAR] = 0
        mask[mask > 255 - _CLEAR] = 255
        return mask, bool(answer.object_score_logits[0] > 0)


def _overlap(mask: NDArray, box_px: NDArray) -> float:
    """Overlap of a mask's box with another: intersection over union."""
    rows, cols = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
    if not len(rows):
        return 0.0
    mine = np.array([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1], np.float64)
    low, high = np.maximum(mine[:2], box_px[:2]), np.minimum(mine[2:], box_px[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / max(float(np.prod(mine[2:] - mine[:2]) + np.prod(box_px[2:] - box_px[:2])) - shared, 1e-6)


def _near(mask: NDArray, box_px: NDArray) -> NDArray:
    """The mask without what is far from the person's box."""
    height, width = mask.shape
    grow = REACH * (box_px[2:] - box_px[:2])
    x0, y0 = np.clip(np.floor(box_px[:2] - grow), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(box_px[2:] + grow), 0, (width, height)).astype(int)
    kept = np.zeros_like(mask)
    kept[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    return kept
