"""How right the scene behind the person is, beside two simple ways to make it, and how long it takes.

    python benchmarks/scene.py                  # all synthetic clips
    python benchmarks/scene.py pan handheld     # some of them

Every way gets the same true mask (grown in the same way), and the same homographies, which we track ourselves. Printed:
PSNR in dB where the person was; the share of those pixels that some frame shows; milliseconds per frame.
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.layers.background_motion import track_background  # noqa: E402
from engine.layers.mosaic import grow_mask, warp_picture  # noqa: E402
from engine.layers.scene import complete_scene  # noqa: E402
from engine.synth.clip import ClipSpec, make_clip  # noqa: E402
from engine.types import ArraySource, TempChunks  # noqa: E402

SIZE = (360, 640)
CLIPS = {
    "static": ClipSpec(size=SIZE, num_frames=48, camera="static", motion="walk", occluder="none", seed=3),
    "pan": ClipSpec(size=SIZE, num_frames=48, camera="pan", motion="walk", occluder="none", seed=4),
    "handheld": ClipSpec(size=SIZE, num_frames=48, camera="handheld", motion="walk", occluder="none", seed=5),
    "zoom": ClipSpec(size=SIZE, num_frames=48, camera="zoom", motion="walk", occluder="none", seed=6),
    "exposure": ClipSpec(
        size=SIZE, num_frames=48, camera="pan", motion="walk", occluder="none", seed=7, exposure=(1.0, 0.75)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", default=list(CLIPS), help=f"any of: {', '.join(CLIPS)} (default: all)")
    args = parser.parse_args()
    unknown = sorted(set(args.clips) - set(CLIPS))
    if unknown:
        parser.error(f"no clip {', '.join(unknown)}; there are {', '.join(CLIPS)}")
    print(f"{'clip':<10}{'mimo dB':>9}{'Telea dB':>10}{'median dB':>11}{'seen':>7}{'track ms':>10}{'scene ms':>10}")
    for name in args.clips:
        print(f"{name:<10}" + measure(CLIPS[name]))


def measure(spec: ClipSpec) -> str:
    """Run all three ways over one clip; one row of the table."""
    clip = make_clip(spec)
    frames = [clip.frame(idx) for idx in range(spec.num_frames)]
    rgb = ArraySource(np.stack([frame.rgb for frame in frames]))
    human = ArraySource(np.stack([frame.human_full for frame in frames]))
    truth = np.stack([frame.scene for frame in frames])
    behind = np.stack([frame.human_full for frame in frames]) > 127
    chunks = TempChunks()
    start = time.perf_counter()
    motion = track_background(rgb, human, chunks=chunks)
    tracked = time.perf_counter()
    layers = list(complete_scene(rgb, human, motion, chunks=chunks))
    done = time.perf_counter()
    chunks.close()
    ours = np.stack([layer[..., :3] for layer in layers])
    hidden = [grow_mask(mask) for mask in human.read()]
    telea = np.stack([cv2.inpaint(a, b, 3, cv2.INPAINT_TELEA) for a, b in zip(rgb.read(), hidden)])
    median, seen = temporal_median(list(rgb.read()), hidden, motion.to_first, telea)
    share = float((seen & behind).sum() / behind.sum())
    scores = [psnr(pictures[behind], truth[behind]) for pictures in (ours, telea, median)]
    per_frame = [1000 * (tracked - start) / len(frames), 1000 * (done - tracked) / len(frames)]
    return (
        f"{scores[0]:>9.1f}{scores[1]:>10.1f}{scores[2]:>11.1f}{share:>7.2f}{per_frame[0]:>10.1f}{per_frame[1]:>10.1f}"
    )


def temporal_median(
    rgb: list[NDArray], hidden: list[NDArray], to_first: NDArray, telea: NDArray
) -> tuple[NDArray, NDArray]:
    """Baseline: for each frame, the plain median of the others warped onto it; Telea where none shows the pixel."""
    result, seen = telea.copy(), np.zeros(telea.shape[:3], bool)
    for idx in range(len(rgb)):
        warped = []
        for other in range(0, len(rgb), 4):
            matrix = np.linalg.inv(to_first[other]) @ to_first[idx]
            picture, visible = warp_picture(rgb[other], 255 - hidden[other], matrix, rgb[idx].shape[:2])
            warped.append(np.where(visible[..., None] > 0, picture.astype(np.float32), np.nan))
        inside = hidden[idx] > 0
        stack = np.stack([picture[inside] for picture in warped])
        known = ~np.isnan(stack[..., 0]).all(0)
        values = result[idx][inside]
        values[known] = np.nanmedian(stack[:, known], axis=0).round()
        result[idx][inside] = values
        seen[idx][inside] = known
    return result, seen


def psnr(got: NDArray, want: NDArray) -> float:
    """Decibels, of 255."""
    return float(10 * np.log10(255**2 / max(float(np.mean((got.astype(np.float32) - want) ** 2)), 1e-9)))


if __name__ == "__main__":
    main()
