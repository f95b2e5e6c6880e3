"""A clip and one person's boxes to SMPL parameters of every frame, batch by batch, kept piece by piece."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.motion.hmr2.crop import Square, normalise, square_around, take_crop
from engine.types import Chunks, FrameSource, Progress, Tracks, quiet

if TYPE_CHECKING:
    from engine.motion.hmr2.network import Hmr2

CHUNK = 64
"""Frames of one finished piece of work; batches never cross it, so that a resumed run gives the same numbers."""
BATCH = 8
_TO_INDEX = 0.5
"""Boxes count from the corner of the first pixel, the network's squares from its centre."""


@dataclass(frozen=True)
class Predictions:
    """What the network says of T frames of one person."""

    rotation: NDArray
    """(T, 24, 3, 3) float32: joint 0 in the camera axes of the crop (x right, y down, z forward), the others relative
    to their parents; the identity where the person was not seen."""
    betas: NDArray
    """(T, 10) float32: SMPL's shape."""
    camera: NDArray
    """(T, 3) float32: scale, x, y of the crop's weak-perspective camera."""
    center_px: NDArray
    """(T, 2) float64: middle of the crop, pixels of the frame."""
    side_px: NDArray
    """(T,) float64: height of the crop, pixels of the frame."""
    seen: NDArray
    """(T,) bool."""


def predict_bodies(
    clip: FrameSource,
    tracks: Tracks,
    checkpoint: Path,
    *,
    chunks: Chunks,
    pixel_aspect: float = 1.0,
    who: str = "",
    progress: Progress = quiet,
) -> Predictions:
    """Predict the body of one person in every frame that they are seen in.

    Args:
        clip: (H, W, 3) RGB frames.
        tracks: where the person is; frames of score 0 are left out.
        checkpoint: HMR 2.0; loaded only when a piece of work is not done yet. Runs on CUDA where there is one.
        chunks: keeps finished pieces of `CHUNK` frames.
        pixel_aspect: width of a pixel over its height.
        who: tells the pieces of several people apart.
        progress: told after every batch.

    Returns:
        The predictions of all frames.

    Raises:
        InputError: the checkpoint does not fit, or gives values that are no numbers.
    """
    network: Callable[[NDArray], dict[str, NDArray]] | None = None
    parts = []
    for start in range(0, clip.num_frames, CHUNK):
        stop = min(start + CHUNK, clip.num_frames)
        name = f"hmr2{who}-{start:06d}-{stop - 1:06d}"
        if chunks.get(name) is None:
            network = network or _runner(checkpoint)
            squares = [
                square_around(tracks.box_px[t] - _TO_INDEX, pixel_aspect=pixel_aspect) if tracks.score[t] > 0 else None
                for t in range(start, stop)
            ]
            with chunks.make(name) as folder:
                crops = _crops(clip, start, squares, pixel_aspect)
                arrays = _predict(network, crops, squares, lambda done: progress(start + done, clip.num_frames))  # noqa: B023
                np.savez(folder / "bodies.npz", **arrays)  # pyright: ignore[reportArgumentType]
        folder = chunks.get(name)
        assert folder is not None, name
        with np.load(folder / "bodies.npz") as table:
            parts.append({field.name: table[field.name] for field in fields(Predictions)})
        progress(stop, clip.num_frames)
    return Predictions(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _crops(
    clip: FrameSource, start: int, squares: list[Square | None], pixel_aspect: float
) -> Iterator[tuple[int, NDArray]]:
    """Yield the place in the chunk and the (3, 256, 256) input of each frame in which the person is seen."""
    for place, (rgb, square) in enumerate(zip(clip.read(start, start + len(squares)), squares)):
        if square is not None:
            yield place, normalise(take_crop(rgb[..., :3], square, pixel_aspect=pixel_aspect))


def _predict(
    network: Callable[[NDArray], dict[str, NDArray]],
    crops: Iterator[tuple[int, NDArray]],
    squares: list[Square | None],
    progress: Callable[[int], None],
) -> dict[str, NDArray]:
    """The columns of `Predictions` for one chunk."""
    count = len(squares)
    columns = {
        "rotation": np.tile(np.eye(3, dtype=np.float32), (count, 24, 1, 1)),
        "betas": np.zeros((count, 10), np.float32),
        "camera": np.zeros((count, 3), np.float32),
        "center_px": np.array([square.center_px + _TO_INDEX if square else (0, 0) for square in squares], np.float64),
        "side_px": np.array([square.side_px if square else 0 for square in squares], np.float64),
        "seen": np.array([square is not None for square in squares]),
    }
    while batch := [crop for _, crop in zip(range(BATCH), crops)]:
        places = [place for place, _ in batch]
        for name, values in network(np.stack([pixels for _, pixels in batch])).items():
            columns[name][places] = values
        progress(places[-1] + 1)
    return columns


def _runner(checkpoint: Path) -> Callable[[NDArray], dict[str, NDArray]]:
    """The network as a function of arrays."""
    import torch

    from engine.motion.hmr2.network import load_hmr2

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network: Hmr2 = load_hmr2(checkpoint, device=device)

    def run(pixels: NDArray) -> dict[str, NDArray]:
        with torch.inference_mode():
            body = network(torch.from_numpy(pixels).to(device))
        found = {"rotation": body.rotation_BJ33, "betas": body.betas_B10, "camera": body.camera_B3}
        arrays = {name: tensor.cpu().numpy() for name, tensor in found.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise InputError(
                f"{checkpoint} gives values that are no numbers.",
                fix="get the checkpoint again: mimo weights pull hmr2",
            )
        return arrays

    return run
