"""How right the scene behind the person is, beside simple ways to make it, and how long it takes.

    python benchmarks/scene.py                  # all synthetic clips, and a hole that moves over DAVIS frames
    python benchmarks/scene.py pan handheld     # some of them
    python benchmarks/scene.py --data FOLDER    # holds masks/davis_*/{frames,masks}

Every way gets the same true mask (grown in the same way), and the same homographies, which we track ourselves. Printed,
where the person was: PSNR in dB and SSIM; how much the picture flickers there (mean difference, levels, of a frame and
the next one warped onto it by the true scene's optical flow), also of the true scene, whose grain and edges no flow
carries along quite; the share of those pixels that some frame shows; milliseconds per frame. Baselines: inpainting
frame by frame (Telea, Navier-Stokes), and the median of the other frames after a homography, Telea where none shows
the pixel.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.layers.background_motion import track_background  # noqa: E402
from engine.layers.grow import grow_mask  # noqa: E402
from engine.layers.scene.scene import complete_scene  # noqa: E402
from engine.layers.scene.warp import warp_picture  # noqa: E402
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


NAMES = [*CLIPS, "parallax"]
WAYS = ("mimo", "Telea", "NS", "median")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("MIMO_SAMPLE_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, metavar="FOLDER", help="default: $MIMO_SAMPLE_DATA")
    args, words = parser.parse_known_args()
    holes = {path.name.removeprefix("davis_"): path for path in sorted((args.data / "masks").glob("davis_*"))}
    unknown = sorted(set(words) - {*NAMES, *holes})
    if unknown:
        parser.error(f"no clip {', '.join(unknown)}; there are {', '.join([*NAMES, *holes])}")
    heads = [f"{way} {unit}" for unit in ("dB", "SSIM", "flick") for way in WAYS]
    print(f"{'clip':<12}" + "".join(f"{head:>13}" for head in (*heads, "truth flick", "seen", "track ms", "scene ms")))
    rows = []
    for name in words or [*NAMES, *holes]:
        row = measure(*(davis_hole(holes[name]) if name in holes else synthetic(name)))
        if name not in holes:
            rows.append(row)
        print(f"{name:<12}" + "".join(f"{value:>13.3f}" for value in row), flush=True)
    if rows:
        print(f"{'mean, drawn':<12}" + "".join(f"{value:>13.3f}" for value in np.mean(rows, axis=0)))


def synthetic(name: str) -> tuple[NDArray, ...]:
    """Frames, mask of the person, the same with everything that moves, and the true scene of a drawn clip."""
    clip = make_clip(CLIPS["static" if name == "parallax" else name])
    frames = [clip.frame(idx) for idx in range(clip.spec.num_frames)]
    rgb, human, truth = (np.stack([getattr(f, key) for f in frames]) for key in ("rgb", "human_full", "scene"))
    if name != "parallax":
        return rgb, human, human, truth
    place = truth[0]
    noise = np.random.default_rng(8)
    for idx, frame in enumerate(frames):
        truth[idx] = from_the_side(place, 0.5 * (idx - len(frames) / 2))
        share = frame.human[..., 3:] / 255.0
        seen = frame.human[..., :3] * share + truth[idx] * (1 - share)
        rgb[idx] = np.clip(seen + noise.normal(0, clip.spec.noise, seen.shape) + 0.5, 0, 255)
    return rgb, human, human, truth


def from_the_side(place: NDArray, shift: float) -> NDArray:
    """A picture whose lower half is ground that moves with its nearness, before which posts of three depths stand."""
    height, width = place.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    nearness = 1 + 2 * np.clip(y / height - 0.5, 0, 1)
    large = cv2.copyMakeBorder(place, 0, 0, 80, 80, cv2.BORDER_REFLECT)
    out = cv2.remap(large, x + 80 - shift * nearness, y, cv2.INTER_CUBIC)
    for at, depth, colour in ((0.2, 1.5, (150, 60, 50)), (0.55, 2.0, (60, 110, 70)), (0.8, 2.6, (70, 70, 160))):
        left, bottom = at * width + shift * depth, round(height * (0.5 + (depth - 1) / 2))
        corners = [(round(16 * left), 16 * (bottom - 70)), (round(16 * left) + 16 * 9, 16 * bottom)]
        cv2.rectangle(out, *corners, colour, -1, cv2.LINE_AA, 4)
    return out


def davis_hole(sequence: Path, num: int = 32) -> tuple[NDArray, ...]:
    """A hole like a walker that crosses filmed frames, whose true content is known; who is filmed is left out."""
    frames, masks = (sorted((sequence / part).iterdir())[:num] for part in ("frames", "masks"))
    rgb = np.stack([cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in frames])
    filmed = np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in masks])
    filmed = np.stack([cv2.dilate(mask, np.ones((25, 25), np.uint8)) for mask in filmed])
    hole = np.zeros(rgb.shape[:3], np.uint8)
    height, width = hole.shape[1:]
    for idx, mask in enumerate(hole):
        x, y = width * (0.2 + 0.6 * idx / len(hole)), 0.55 * height
        cv2.ellipse(mask, (round(x), round(y)), (round(0.05 * height), round(0.18 * height)), 0, 0, 360, 255, -1)
        cv2.circle(mask, (round(x), round(y - 0.21 * height)), round(0.04 * height), 255, -1)
    holed = np.where(hole[..., None] > 0, 128, rgb).astype(np.uint8)
    return holed, np.where(filmed > 127, 0, hole), np.maximum(hole, filmed), rgb


def measure(rgb: NDArray, person: NDArray, moving: NDArray, truth: NDArray) -> list[float]:
    """Run all ways over one clip; one row of the table.

    Args:
        rgb: (T, H, W, 3) uint8.
        person: (T, H, W) uint8, where the ways are judged.
        moving: (T, H, W) uint8, what is taken away.
        truth: (T, H, W, 3) uint8.
    """
    clip, mask, behind = ArraySource(rgb), ArraySource(moving), person > 127
    chunks = TempChunks()
    start = time.perf_counter()
    motion = track_background(clip, mask, chunks=chunks)
    tracked = time.perf_counter()
    layers = np.stack(list(complete_scene(clip, mask, motion, chunks=chunks)))
    done = time.perf_counter()
    chunks.close()
    share = layers[..., 3:] / 255.0
    ours = (layers[..., :3] * share + rgb * (1 - share) + 0.5).astype(np.uint8)
    hidden = [grow_mask(frame) for frame in moving]
    telea, stokes = (
        np.stack([cv2.inpaint(a, b, 3, way) for a, b in zip(rgb, hidden)])
        for way in (cv2.INPAINT_TELEA, cv2.INPAINT_NS)
    )
    median, seen = temporal_median(list(rgb), hidden, motion.to_first, telea)
    ways = (ours, telea, stokes, median)
    return [
        *(psnr(pictures[behind], truth[behind]) for pictures in ways),
        *(similarity(pictures, truth, behind) for pictures in ways),
        *flicker((*ways, truth), truth, behind),
        float((seen & behind).sum() / behind.sum()),
        1000 * (tracked - start) / len(rgb),
        1000 * (done - tracked) / len(rgb),
    ]


def similarity(got: NDArray, want: NDArray, behind: NDArray) -> float:
    """Mean SSIM where the person was, of lightness, in windows of 7 pixels (Wang et al. 2004)."""
    values = []
    for a, b, inside in zip(got, want, behind):
        x, y = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32) for each in (a, b))
        mean_x, mean_y, xx, yy, xy = (cv2.blur(each, (7, 7)) for each in (x, y, x * x, y * y, x * y))
        var_x, var_y, both = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        index = (2 * mean_x * mean_y + c1) * (2 * both + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
        values.append(index[inside])
    return float(np.concatenate(values).mean())


def flicker(ways: tuple[NDArray, ...], truth: NDArray, behind: NDArray) -> list[float]:
    """Mean difference of every frame and the next one moved onto it, where the person was, levels; per way."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    rows, cols = np.mgrid[: truth.shape[1], : truth.shape[2]].astype(np.float32)
    total, count = np.zeros(len(ways)), 0
    for idx in range(len(truth) - 1):
        now, then = (cv2.cvtColor(truth[at], cv2.COLOR_RGB2GRAY) for at in (idx, idx + 1))
        motion = flow.calc(now, then, None)  # type: ignore[call-overload]
        for k, pictures in enumerate(ways):
            moved = cv2.remap(pictures[idx + 1], cols + motion[..., 0], rows + motion[..., 1], cv2.INTER_LINEAR)
            total[k] += float(cv2.absdiff(moved, pictures[idx])[behind[idx]].astype(np.float64).sum())
        count += 3 * int(behind[idx].sum())
    return [float(value) for value in total / max(count, 1)]


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
