"""Draws the pictures of the README and of docs/ from a finished swap of the examples.

mimo swap --character examples/cat.png --video examples/game.mp4
mimo fit-motion game.mimo --surface
python docs/make_pictures.py game.mimo
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from engine.video import open_clip, open_layer, write_png

FRAMES = (14, 62)
WIDTH = 400
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write docs/swap.png and docs/surface.png."""
    project = Path(sys.argv[1])
    rows = [_row(project, frame_idx) for frame_idx in FRAMES]
    write_png(ROOT / "docs" / "swap.png", np.vstack(rows))
    surfaces = [_surface_row(project, frame_idx) for frame_idx in FRAMES]
    write_png(ROOT / "docs" / "surface.png", np.vstack(surfaces))


def _row(project: Path, frame_idx: int) -> np.ndarray:
    """Source, human, scene, occlusion and result of one frame, side by side."""
    source = _frame(open_clip(ROOT / "examples" / "game.mp4"), frame_idx)
    mask = _frame(open_layer(project / "layers/human.mask.mkv", kind="gray8"), frame_idx)
    scene = _frame(open_layer(project / "layers/scene.mkv", kind="rgba"), frame_idx)
    front = _frame(open_layer(project / "layers/occlusion.mask.mkv", kind="gray8"), frame_idx)
    result = _frame(open_clip(project / "out/cat.mp4"), frame_idx)
    pale = np.full_like(source, 238)
    panels = [
        source,
        _over(pale, source, np.minimum(mask, 255 - front)),
        _over(source, scene[..., :3], scene[..., 3]),
        _over(pale, source, front),
        result,
    ]
    height = round(source.shape[0] * WIDTH / source.shape[1])
    return np.hstack([cv2.resize(panel, (WIDTH, height), interpolation=cv2.INTER_AREA) for panel in panels])


def _surface_row(project: Path, frame_idx: int) -> np.ndarray:
    """Source, surface, and the one over the other, cut to the person."""
    source = _frame(open_clip(ROOT / "examples" / "game.mp4"), frame_idx)
    surface = _frame(open_layer(project / "motion/surface.mkv", kind="rgb"), frame_idx)
    over = _over(source, surface, np.where(surface.any(-1), 160, 0).astype(np.uint8))
    middle = int(np.mean(np.nonzero(surface.any((0, 2)))[0]))
    left = min(max(middle - 200, 0), source.shape[1] - 400)
    return np.hstack([panel[:, left : left + 400] for panel in (source, surface, over)])


def _frame(source, frame_idx: int) -> np.ndarray:
    return next(iter(source.read(frame_idx, frame_idx + 1)))


def _over(below: np.ndarray, above: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None].astype(np.float32) / 255
    return (above * share + below * (1 - share)).astype(np.uint8)


if __name__ == "__main__":
    main()
