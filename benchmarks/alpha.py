"""How right the soft edge of the human mask is, on a drawn clip whose shutter is open for half of each frame's time.

    python benchmarks/alpha.py

Printed, in the band of pixels around the true edge: SAD (sum of absolute differences of alpha, thousands, a frame) and
gradient error (Rhemann et al. 2009: sum of squared differences of the alpha's gradients, Gaussian of 1.4 pixels,
thousands, a frame), of the network's own mask, of ours, and of hard masks: the network's, ours and the true one, cut at
one half.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.layers.background_motion import track_background  # noqa: E402
from engine.layers.human.matte import human_mask  # noqa: E402
from engine.layers.scene.plate import build_plate  # noqa: E402
from engine.people import choose_person, find_people  # noqa: E402
from engine.people.rough import Silhouettes  # noqa: E402
from engine.synth.clip import ClipSpec, make_clip  # noqa: E402
from engine.types import ArraySource, TempChunks  # noqa: E402

SIZE = (360, 640)
NUM_FRAMES = 16
MOMENTS, OPEN = 6, 3
"""Moments drawn in the time of a frame, and those of them in which the shutter is open."""
BAND_PX = 6
MOTIONS = ("dance", "juggle")


def blurred(motion: str) -> tuple[NDArray, NDArray]:
    """(T, H, W, 3) and (T, H, W) uint8: frames, and how much of the time the person covered a pixel."""
    clip = make_clip(
        ClipSpec(
            size=SIZE, num_frames=MOMENTS * NUM_FRAMES, fps=25 * MOMENTS, motion=motion, occluder="none", noise=2.5,
            camera="static", seed=9, actor_seed=1,
        )
    )  # fmt: skip
    rgb, alpha = [], []
    for first in range(0, clip.spec.num_frames, MOMENTS):
        moments = [clip.frame(idx) for idx in range(first, first + OPEN)]
        rgb.append(np.mean([moment.rgb for moment in moments], axis=0) + 0.5)
        alpha.append(np.mean([moment.human_full for moment in moments], axis=0) + 0.5)
    return np.array(rgb).astype(np.uint8), np.array(alpha).astype(np.uint8)


def gradient(alpha: NDArray) -> NDArray:
    """(H, W) float32: length of the gradient of alpha (0 ... 1), smoothed by a Gaussian of 1.4 pixels."""
    soft = cv2.GaussianBlur(alpha, (0, 0), 1.4)
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8))


def errors(found: NDArray, truth: NDArray) -> tuple[float, float]:
    """SAD and gradient error in the band, thousands, mean over the frames."""
    sums = []
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND_PX + 1,) * 2)
    for got, want in zip(found, truth):
        fraction = ((want > 5) & (want < 250)).astype(np.uint8)
        band = cv2.dilate(fraction, wide) > 0
        a, b = got.astype(np.float32) / 255, want.astype(np.float32) / 255
        sums.append((np.abs(a - b)[band].sum(), ((gradient(a) - gradient(b)) ** 2)[band].sum()))
    sad, slope = np.mean(sums, axis=0) / 1000
    return float(sad), float(slope)


def measure(motion: str) -> dict[str, tuple[float, float]]:
    """By mask, its errors."""
    rgb, truth = blurred(motion)
    clip, chunks = ArraySource(rgb), TempChunks()
    people = find_people(clip, chunks=chunks)
    person = people[choose_person(people, clip.size)]
    rough = Silhouettes(person, clip.size)
    plate = build_plate(clip, rough, track_background(clip, rough, chunks=chunks), chunks=chunks)
    ours = np.stack(list(human_mask(clip, person, chunks=chunks, plate=plate)))
    network = np.stack(list(rough.read()))
    chunks.close()
    cut = {"network, cut": network, "ours, cut": ours, "truth, cut": truth}
    masks = {"network": network, "mimo": ours, **{k: np.where(v > 127, 255, 0) for k, v in cut.items()}}
    return {name: errors(mask.astype(np.uint8), truth) for name, mask in masks.items()}


def main() -> None:
    print(f"{'motion':<10}{'mask':<14}{'SAD':>9}{'gradient':>11}")
    for motion in MOTIONS:
        for name, (sad, slope) in measure(motion).items():
            print(f"{motion:<10}{name:<14}{sad:>9.3f}{slope:>11.4f}", flush=True)


if __name__ == "__main__":
    main()
