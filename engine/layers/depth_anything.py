"""The depth layer of a network: Depth Anything V2, steadied over time, in metres as far as a person gives the scale.

The network says the inverse depth of every pixel up to a scale and an offset that it chooses for every frame anew. Two
things that hardly change from frame to frame fix them: the person, whose distance follows from their size, and the
farthest part of the picture, which is taken to be 40 metres away.

Source: Yang et al. 2024, "Depth Anything V2".
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.depth import BACKDROP_M, NEAREST_M, person_distance, smooth_over_time
from engine.types import Chunks, FrameSource, Landmarks, Progress, Reel, Size, Tracks, quiet
from engine.video import LayerWriter, open_layer

CHUNK = 32
"""Frames of one finished piece of work."""
_ENDS_PERCENT = (2.0, 98.0)
"""Shares of a frame that are as far as the backdrop, and not among the nearest."""
_LEAST_SHARE = 0.05
"""A person is at least this far from the backdrop towards the nearest things."""
_PERSON = 200
"""Masks above this are surely the person, not the edge."""

Network = Callable[[NDArray], NDArray]
"""(H, W, 3) uint8 RGB to (h, w) float32 inverse depth, relative."""


@dataclass(frozen=True)
class _Inputs:
    """How the network wants its pictures, as `preprocessor_config.json` says."""

    side_px: int
    multiple_px: int
    mean: NDArray
    std: NDArray


def network_depth(
    clip: FrameSource,
    landmarks: Landmarks,
    tracks: Tracks,
    human_mask: FrameSource,
    checkpoint: Path,
    *,
    chunks: Chunks,
    progress: Progress = quiet,
) -> Iterator[NDArray]:
    """Measure the depth of a clip.

    Args:
        clip: (H, W, 3) RGB frames.
        landmarks: of the person.
        tracks: the person's box, used where landmarks were not seen.
        human_mask: (H, W) uint8 per frame.
        checkpoint: folder of Depth Anything V2 in transformers' layout; loaded only if a piece of work is not done yet.
        chunks: keeps finished pieces of `CHUNK` frames.
        progress: called with frames done and frames in all.

    Yields:
        (H, W) uint16 per frame: inverse depth as of `coarse_depth`: metres are `NEAREST_M * 65535 / value`.

    Raises:
        InputError: the folder does not hold the network.
    """
    network: Network | None = None
    folders = []
    reel = Reel(clip)
    for start in range(0, clip.num_frames, CHUNK):
        stop = min(start + CHUNK, clip.num_frames)
        name = f"depth-anything-{start:06d}-{stop - 1:06d}"
        if chunks.get(name) is None:
            network = network or load_network(checkpoint)
            with chunks.make(name) as folder:
                pictures = zip(reel.read(start, stop), human_mask.read(start, stop))
                _measure(network, pictures, folder, lambda done: progress(start + done, clip.num_frames))  # noqa: B023
        folder = chunks.get(name)
        assert folder is not None, name
        folders.append(folder)
        progress(stop, clip.num_frames)
    distance_m, _ = person_distance(landmarks, tracks, clip.size)
    yield from _in_metres(folders, distance_m, clip.size)


def load_network(folder: Path) -> Network:
    """Load Depth Anything V2 from a folder with `config.json`, `preprocessor_config.json` and `model.safetensors`."""
    import torch
    from transformers.models.depth_anything.modeling_depth_anything import DepthAnythingForDepthEstimation

    from engine.weights.pretrained import load_pretrained

    network = load_pretrained(DepthAnythingForDepthEstimation, folder)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    inputs = _read_inputs(folder)

    def run(rgb: NDArray) -> NDArray:
        pixels = torch.from_numpy(_prepared(rgb, inputs))[None].to(network.device)
        with torch.inference_mode():
            return network(pixel_values=pixels).predicted_depth[0].float().cpu().numpy()

    return run


def _read_inputs(folder: Path) -> _Inputs:
    table = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    size = table.get("size", {})
    mean, std = (np.array(table.get(f"image_{name}"), np.float32) for name in ("mean", "std"))
    return _Inputs(int(size.get("height", 518)), int(table.get("ensure_multiple_of", 14)), mean, std)


def _prepared(rgb: NDArray, inputs: _Inputs) -> NDArray:
    """(3, h, w) float32: resized so that one side is the network's, normalised."""
    height, width = rgb.shape[:2]
    scale = min((inputs.side_px / height, inputs.side_px / width), key=lambda scale: abs(1 - scale))
    unit = inputs.multiple_px
    h, w = (max(unit, round(side * scale / unit) * unit) for side in (height, width))
    small = cv2.resize(
        np.ascontiguousarray(rgb[..., :3]).astype(np.float32) / 255, (w, h), interpolation=cv2.INTER_CUBIC
    )
    return np.ascontiguousarray(((small - inputs.mean) / inputs.std).transpose(2, 0, 1))


def _measure(
    network: Network, pictures: Iterator[tuple[NDArray, NDArray]], folder: Path, progress: Callable[[int], None]
) -> None:
    """Write the relative depth of some frames, each stretched to 16 bits, and what ties them together."""
    writer, rows = None, []
    for done, (rgb, mask) in enumerate(pictures, 1):
        inverse = network(rgb)
        writer = writer or LayerWriter(folder / "relative.mkv", inverse.shape, "gray16")
        low, high = float(inverse.min()), float(inverse.max())
        writer.write(np.round((inverse - low) / max(high - low, 1e-6) * 65535).astype(np.uint16))
        person = cv2.resize(mask, inverse.shape[::-1], interpolation=cv2.INTER_AREA) > _PERSON
        body = float(np.median(inverse[person])) if person.any() else np.nan
        rows.append((low, high, *np.percentile(inverse, _ENDS_PERCENT), body))
        progress(done)
    assert writer is not None
    writer.close()
    np.save(folder / "anchors.npy", np.array(rows))


def _in_metres(folders: list[Path], distance_m: NDArray, size: Size) -> Iterator[NDArray]:
    """Read the pieces again, each frame on the scale of its anchors, the anchors steady over time."""
    low, high, far, close, body = np.concatenate([np.load(folder / "anchors.npy") for folder in folders]).T
    spread = np.maximum(close - far, 1e-6)
    seen = np.isfinite(body)
    if not seen.any():
        body, seen = close, np.ones_like(seen)
    # Offset and scale of the frame come off: where the person is between far and close changes slowly, as scenes do.
    frames = np.arange(len(body))
    share = np.interp(frames, frames[seen], ((body - far) / spread)[seen])
    share = smooth_over_time(np.maximum(share, _LEAST_SHARE), np.where(seen, 1.0, 0.05))
    near = NEAREST_M / np.maximum(distance_m, NEAREST_M)
    idx = 0
    for folder in folders:
        for stretched in open_layer(folder / "relative.mkv", kind="gray16", ours=True).read():
            inverse = low[idx] + stretched.astype(np.float32) / 65535 * (high[idx] - low[idx])
            place = (inverse - far[idx]) / (share[idx] * spread[idx])
            inverse = NEAREST_M / BACKDROP_M + place * (near[idx] - NEAREST_M / BACKDROP_M)
            full = cv2.resize(inverse.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
            yield np.clip(65535 * full + 0.5, 0, 65535).astype(np.uint16)
            idx += 1
