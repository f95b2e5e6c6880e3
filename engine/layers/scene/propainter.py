"""The scene of a network: ProPainter paints what the person hides, stretch by stretch.

Every stretch of a shot is seen with some frames before and after it, cut out around the person and made small enough
for the network; what it paints is enlarged and shown where the person was. Finished stretches are kept, so memory does
not grow with the clip and a resumed run gives the same bytes. Not for commercial use (S-Lab License 1.0).

Source: Zhou et al. 2023, "ProPainter: Improving Propagation and Transformer for Video Inpainting"; its networks are
those of `pytorchcv`, which the `propainter` package brings along.
"""

# Shapes: T frames of a stretch with its surroundings, H W of the cut-out, h w of the network's pictures.

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import MissingError
from engine.layers.background_motion import find_shots
from engine.layers.grow import grow_mask
from engine.layers.scene.plate_window import surroundings
from engine.types import BackgroundMotion, Chunks, FrameSource, Progress, Size, quiet
from engine.video import LayerWriter, open_layer

STRETCH = 32
"""Frames of one finished piece of work."""
CONTEXT = 16
"""Frames before and after it that the network sees too."""
SIDE = 640
"""Longest side of the network's pictures, pixels."""
_MULTIPLE = 8
_LEAST = 128
"""Shortest side: the network's attention needs some windows."""
_FEATHER = 2
"""Pixels over which the painted place turns into the source."""
FILES = {
    "raft": "raft_things-0000-d74fed4b.pth",
    "flow": "propainter_rfc-0000-a865ddc0.pth",
    "painter": "propainter-0000-5f3cc1e7.pth",
}
"""Of `mimo weights path propainter`: optical flow, its completion, and the painter."""

Paint = Callable[[NDArray, NDArray], NDArray]
"""(T, h, w, 3) uint8 RGB and (T, h, w) bool holes to (T, h, w, 3) uint8."""


@dataclass(frozen=True)
class Stretch:
    """Frames that are painted together."""

    start: int
    stop: int
    first: int
    last: int
    """Frames first ... last - 1 are seen; start ... stop - 1 are kept."""


def network_scene(
    clip: FrameSource,
    gone: FrameSource,
    motion: BackgroundMotion,
    folder: Path,
    *,
    chunks: Chunks,
    progress: Progress = quiet,
) -> Iterator[NDArray]:
    """Show, for every frame, the place behind the person, as `complete_scene` does.

    Args:
        clip: (H, W, 3) uint8 RGB frames.
        gone: (H, W) uint8, 0 ... 255: what is to go.
        motion: tells where shots end.
        folder: of `FILES`; loaded only if a stretch is not done yet.
        chunks: keeps finished stretches.
        progress: called with frames done and frames in all.

    Yields:
        (H, W, 4) uint8 straight RGBA: alpha 0 where the source's pixel is the scene already.

    Raises:
        MissingError: pytorchcv, or a torchvision that fits PyTorch, is not installed.
        InputError: a file does not hold the network.
    """
    paint: Paint | None = None
    for stretch in list_stretches(find_shots(motion)):
        name = f"propainter-{stretch.start:06d}-{stretch.stop - 1:06d}"
        if chunks.get(name) is None:
            with chunks.make(name) as part:
                holes = [grow_mask(mask) for mask in gone.read(stretch.first, stretch.last)]
                box = _box_of(holes, clip.size)
                np.save(part / "box.npy", box)
                if box.any():
                    paint = paint or load_painter(folder)
                    _paint_stretch(paint, clip, stretch, holes, box, part)
        part = chunks.get(name)
        assert part is not None, name
        yield from _frames(part, stretch, clip.size)
        progress(stretch.stop, clip.num_frames)


def list_stretches(shots: list[tuple[int, int]]) -> list[Stretch]:
    """Cut shots (start, stop) into stretches of about equal length; none sees into another shot."""
    stretches = []
    for begin, end in shots:
        edges = np.linspace(begin, end, -(-(end - begin) // STRETCH) + 1).round().astype(int).tolist()
        stretches += [
            Stretch(start, stop, max(begin, start - CONTEXT), min(end, stop + CONTEXT))
            for start, stop in itertools.pairwise(edges)
        ]
    return stretches


def load_painter(folder: Path) -> Paint:
    """Load the three networks from a folder with `FILES`."""
    import torch

    try:
        from pytorchcv.models.propainter import propainter  # pyright: ignore[reportMissingImports]
        from pytorchcv.models.propainter_rfc import propainter_rfc  # pyright: ignore[reportMissingImports]
        from pytorchcv.models.propainter_stream import ProPainterIterator, TensorSequencer  # pyright: ignore[reportMissingImports]
        from pytorchcv.models.raft import raft_things  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that was built for another PyTorch
        raise MissingError(
            f"scene.backend is propainter, whose package does not start: {str(error).splitlines()[0]}.",
            fix="pip install 'mimo[propainter]' beside a CUDA build of PyTorch, or take --backend scene=embedded",
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = {"raft": raft_things(in_normalize=False, iters=20), "flow": propainter_rfc(), "painter": propainter()}
    networks = {name: _filled(network, folder / FILES[name]).to(device) for name, network in made.items()}

    def paint(rgb_THW3: NDArray, holes_THW: NDArray) -> NDArray:
        frames = torch.from_numpy(rgb_THW3).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        masks = torch.from_numpy(holes_THW).to(device)[:, None].float()
        with torch.inference_mode():
            parts = list(
                ProPainterIterator(
                    frames=TensorSequencer(data=frames),
                    masks=TensorSequencer(data=masks),
                    raft_model=networks["raft"],
                    pprfc_model=networks["flow"],
                    pp_model=networks["painter"],
                    use_cuda=device.type == "cuda",
                )
            )
        painted = torch.cat(parts)[: len(frames)].permute(0, 2, 3, 1)
        return ((painted + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()

    return paint


def _filled(network: Any, path: Path) -> Any:
    """The network with the tensors of a file; every one is accounted for."""
    from engine.diffusion.tensor_file import check_tensors, read_tensors

    tensors = read_tensors(path)
    check_tensors({name: tuple(x.shape) for name, x in network.state_dict().items()}, tensors, source=str(path))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _paint_stretch(
    paint: Paint, clip: FrameSource, stretch: Stretch, holes: list[NDArray], box: NDArray, part: Path
) -> None:
    x0, y0, x1, y1 = box
    size = network_size((y1 - y0, x1 - x0))
    frames = np.stack([_shrunk(rgb[y0:y1, x0:x1], size) for rgb in clip.read(stretch.first, stretch.last)])
    masks = np.stack([_shrunk(hole[y0:y1, x0:x1], size) > 0 for hole in holes])
    painted = paint(frames, masks)
    writer = LayerWriter(part / "scene.mkv", (int(y1 - y0), int(x1 - x0)), "rgba")
    for idx in range(stretch.start - stretch.first, stretch.stop - stretch.first):
        hole = holes[idx][y0:y1, x0:x1]
        alpha = cv2.max(hole, cv2.blur(cv2.dilate(hole, _square(_FEATHER)), (2 * _FEATHER + 1,) * 2))
        rgb = cv2.resize(painted[idx], hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
        rgb[alpha == 0] = 0
        writer.write(np.dstack([rgb, alpha]))
    writer.close()


def network_size(size: Size) -> Size:
    """How large a cut-out is shown to the network: multiples of 8, nothing enlarged but what is very small."""
    scale = min(1.0, SIDE / max(size))
    height, width = (max(_LEAST, round(side * scale / _MULTIPLE) * _MULTIPLE) for side in size)
    return height, width


def _box_of(holes: list[NDArray], size: Size) -> NDArray:
    """(4,) x0, y0, x1, y1: all holes and the room around them; zeros where there are none."""
    boxes = [cv2.boundingRect(hole) for hole in holes if hole.any()]
    if not boxes:
        return np.zeros(4, int)
    x, y, width, height = np.array(boxes).T
    return np.array(surroundings(np.array([x.min(), y.min(), (x + width).max(), (y + height).max()]), size))


def _frames(part: Path, stretch: Stretch, size: Size) -> Iterator[NDArray]:
    x0, y0, x1, y1 = np.load(part / "box.npy")
    if x1 == 0:
        for _ in range(stretch.start, stretch.stop):
            yield np.zeros((*size, 4), np.uint8)
        return
    for cut in open_layer(part / "scene.mkv", kind="rgba", ours=True).read():
        frame = np.zeros((*size, 4), np.uint8)
        frame[y0:y1, x0:x1] = cut
        yield frame


def _shrunk(picture: NDArray, size: Size) -> NDArray:
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)


def _square(radius: int) -> NDArray:
    return np.ones((2 * radius + 1,) * 2, np.uint8)
