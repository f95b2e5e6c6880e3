"""Draws docs/preview.jpg from finished previews: squares around the person, one row for each word.

mimo fit-motion examples/game.mp4 --preview
mimo fit-motion dance-twirl.mp4 --preview
python docs/make_preview.py game.mimo:9,41,82,66 dance-twirl.mimo:5,29,53,65
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from engine.video import open_clip
from mimo_cli.tables import read_tracks

TARGET = Path(__file__).resolve().parent / "preview.jpg"
SIDE = 320


def main() -> None:
    """Write docs/preview.jpg."""
    rows = []
    for word in sys.argv[1:]:
        project, _, numbers = word.partition(":")
        rows.append(np.hstack(_squares(Path(project), [int(number) for number in numbers.split(",")])))
    cv2.imwrite(str(TARGET), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])


def _squares(project: Path, frames: list[int]) -> list[np.ndarray]:
    preview = open_clip(project / "motion/preview.mp4")
    tracks = read_tracks(project / "layers/tracks.csv", preview.num_frames)
    height, width = preview.size
    squares = []
    for frame_idx in frames:
        rgb = next(iter(preview.read(frame_idx, frame_idx + 1)))
        left = int(np.clip(tracks.box_px[frame_idx, ::2].mean() - height / 2, 0, width - height))
        squares.append(cv2.resize(rgb[:, left : left + height], (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return squares


if __name__ == "__main__":
    main()
