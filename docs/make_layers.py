"""Draws docs/layers.jpg from finished projects: source with its masks, and the scene without the person, by frame.

python docs/make_layers.py game.mimo=examples/game.mp4:62 bmx.mimo=bmx.mp4:10 ...
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from engine.video import open_clip, open_layer

WIDTH = 560
TARGET = Path(__file__).resolve().parent / "layers.jpg"


def main() -> None:
    """Write docs/layers.jpg: one row for each word."""
    rows = []
    for word in sys.argv[1:]:
        project, _, rest = word.partition("=")
        video, _, frame_idx = rest.rpartition(":")
        rows.append(_row(Path(project) / "layers", Path(video), int(frame_idx)))
    cv2.imwrite(str(TARGET), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def _row(layers: Path, video: Path, frame_idx: int) -> np.ndarray:
    """The source with human (red), props (blue) and occlusion (green) over it; the scene."""
    source = _frame(open_clip(video), frame_idx)
    marked = source.astype(np.float32)
    for name, colour in (("human", (230, 40, 40)), ("props", (40, 90, 240)), ("occlusion", (40, 200, 60))):
        mask = _frame(open_layer(layers / f"{name}.mask.mkv", kind="gray8"), frame_idx)
        share = 0.6 * mask[..., None].astype(np.float32) / 255
        marked = marked * (1 - share) + np.array(colour, np.float32) * share
    scene = _frame(open_layer(layers / "scene.mkv", kind="rgba"), frame_idx)
    share = scene[..., 3:] / 255
    without = source * (1 - share) + scene[..., :3] * share
    size = WIDTH, round(source.shape[0] * WIDTH / source.shape[1])
    return np.hstack(
        [cv2.resize(each.astype(np.uint8), size, interpolation=cv2.INTER_AREA) for each in (marked, without)]
    )


def _frame(source, frame_idx: int) -> np.ndarray:
    return next(iter(source.read(frame_idx, frame_idx + 1)))


if __name__ == "__main__":
    main()
