"""Draws docs/puppet_best.jpg and docs/puppet_worst.jpg: pictures, and the figures lifted from them as they move.

python docs/make_puppets.py gopher_robin-hood.png
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from engine.animator.pose import pose_puppet, rest_motion
from engine.animator.puppet import PuppetAnimator
from engine.animator.stage_camera import frame_motion
from engine.identity.cutout import cut_out
from engine.identity.joints import find_joints
from engine.identity.lift import lift
from engine.synth.motions import make_act
from engine.types import Puppet
from engine.video.still import read_image
from tests.engine.identity.figures import draw_dog

ROOT = Path(__file__).resolve().parent.parent
HEIGHT, WIDTH = 260, 230
PAPER = 250
UPRIGHT = (("turn", 0), ("turn", 30), ("turn", 60), ("wave", 45), ("walk", 60))
FOUR_LEGS = (("turn", 45), ("turn", 90), ("walk", 30), ("walk", 52), ("walk", 75))
"""Acts and their frames, of 120."""


def main() -> None:
    """Write both pictures: one row for each figure, its picture on the left."""
    best = [_row(read_image(ROOT / "examples/cat.png"), UPRIGHT), _row(draw_dog(), FOUR_LEGS)]
    _write("puppet_best.jpg", best)
    _write("puppet_worst.jpg", [_row(read_image(Path(sys.argv[1])), UPRIGHT)])


def _write(name: str, rows: list[np.ndarray]) -> None:
    cv2.imwrite(str(ROOT / "docs" / name), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def _row(picture: np.ndarray, frames: tuple[tuple[str, int], ...]) -> np.ndarray:
    cutout = cut_out(picture)
    puppet = lift(cutout, find_joints(cutout))
    return np.hstack([_drawn(cutout), *(_moved(puppet, act, frame_idx) for act, frame_idx in frames)])


def _drawn(cutout: np.ndarray) -> np.ndarray:
    """The picture itself, straight RGBA, as large as it fits."""
    x, y, width, height = cv2.boundingRect((cutout[..., 3] > 0).astype(np.uint8))
    scale = min(0.88 * HEIGHT / height, 0.88 * WIDTH / width)
    rgba = cutout[y : y + height, x : x + width].astype(np.float32)
    rgba[..., :3] *= rgba[..., 3:] / 255
    rgba = cv2.resize(rgba, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return _on_paper(rgba, (WIDTH - rgba.shape[1]) // 2, (HEIGHT - rgba.shape[0]) // 2)


def _moved(puppet: Puppet, act: str, frame_idx: int) -> np.ndarray:
    motion = make_act(act, rest_motion().rest_m, np.arange(120) / 30.0).motion
    posed = pose_puppet(puppet, motion, travel="stride")
    camera = frame_motion(motion, (HEIGHT, WIDTH), puppet, posed=posed)
    patch = PuppetAnimator(puppet, motion, camera, (HEIGHT, WIDTH), posed=posed).render(frame_idx)
    return _on_paper(patch.rgba.astype(np.float32), patch.x0, patch.y0, 1 - patch.shadow[..., None] / 255)


def _on_paper(rgba: np.ndarray, x: int, y: int, light: np.ndarray | float = 1.0) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: premultiplied colour on light paper, its top-left corner at (x, y)."""
    paper = np.full((HEIGHT, WIDTH, 3), PAPER, np.float32)
    there = np.s_[y : y + rgba.shape[0], x : x + rgba.shape[1]]
    paper[there] = rgba[..., :3] + paper[there] * light * (1 - rgba[..., 3:] / 255)
    return np.clip(paper, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
