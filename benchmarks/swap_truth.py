"""How near a swap comes to the truth: rendered pairs, the whole `mimo swap` against the true second render.

    python benchmarks/swap_truth.py                    # all pairs
    python benchmarks/swap_truth.py same-build --frames 50 --sheet sheet.png
    python benchmarks/swap_truth.py --json

Each pair films one place, camera, motion and ball with two actors. `mimo swap` gets the first film and a picture of the
second actor; the second film is the answer. Beside it stand three ways to do without: the source unchanged, the picture
pasted over the person, and the puppet over the source without the scene behind it.

Over the pixels where either actor is, "figure", and over those and their shadows, "edit": PSNR; over the edit SSIM,
flicker (changes from frame to frame that the truth has not, levels) and seam (edges along its outline that the truth
has not, levels). A pixel's error counts fully where a limb lies a few pixels aside: an unchanged arm at its place can
score above a right arm beside it.
Last, how the drawn figure's outline lies on the true one's.
"ball in front": of the pixels where the ball hides the true actor, the share within 32 levels of the truth.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.metrics.picture import flicker, psnr_db, seam_energy, ssim  # noqa: E402
from engine.synth.clip import ClipSpec  # noqa: E402
from engine.synth.pair import Pair, make_pair  # noqa: E402
from engine.video import open_clip, open_layer, write_png  # noqa: E402

SIZE = (360, 640)
PAIRS: dict[str, Callable[[], Pair]] = {
    "same-build": lambda: make_pair(ClipSpec(size=SIZE, num_frames=75, fps=25, seed=1, noise=1.2, pan_deg=8), 6),
    "other-build": lambda: make_pair(
        ClipSpec(size=SIZE, num_frames=75, fps=25, camera="handheld", seed=2, noise=1.2, motion="wave"), 3,
        other_build=True,
    ),
}  # fmt: skip
SHADOW = 12  # of 255: a shadow lighter than this is none
ROOM_PX = 8
NEAR_TRUTH = 32  # levels: noise, H.264 and shading; another surface is much farther


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", default=list(PAIRS), help=f"any of: {', '.join(PAIRS)} (default: all)")
    parser.add_argument("--frames", type=int, help="only the first so many")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, with every frame")
    parser.add_argument("--sheet", type=Path, help="write a picture of some frames: truth, swap and the other ways")
    args = parser.parse_args()
    found = {name: measure_pair(name, args) for name in args.pairs}
    if args.json:
        print(json.dumps(found))


def measure_pair(name: str, args: argparse.Namespace) -> dict:
    pair = PAIRS[name]()
    if args.frames:
        pair = Pair(*(cut(clip, args.frames) for clip in (pair.source, pair.truth)), pair.reference)
    for clip in (pair.source, pair.truth):
        clip.frame = cache(clip.frame)  # each is looked at five times
    with tempfile.TemporaryDirectory(prefix="mimo-bench-") as folder:
        work = Path(folder)
        film(pair.source.rgb.read(), work / "source.mp4", pair.source.spec.fps)
        write_png(work / "other.png", pair.reference)
        command = [sys.executable, "-m", "mimo_cli", "swap", "-q", "--project", "p.mimo", "--video", "source.mp4"]
        command += ["--character", "other.png", "--lossless", "-o", "result.mkv"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL, env=environment)
        ways = dict(ways_of(pair, work))
        outline = outline_of(pair, work)
    truth = np.stack(list(pair.truth.rgb.read()))
    regions = [np.stack(a) for a in zip(*(where(pair, frame) for frame in range(len(truth))))]
    rows = {way: measure(frames, truth, *regions) for way, frames in ways.items()}
    rows["mimo swap"] |= outline
    if not args.json:
        show(name, rows)
    if args.sheet:
        sheet(args.sheet.with_name(f"{args.sheet.stem}-{name}{args.sheet.suffix}"), truth, ways)
    return rows


def cut(clip, num_frames: int):
    """The same film, only its start."""
    motion = clip.motion
    shorter = replace(
        motion, rotvec=motion.rotvec[:num_frames], root_m=motion.root_m[:num_frames], time_s=motion.time_s[:num_frames],
        contact=None if motion.contact is None else motion.contact[:num_frames],
    )  # fmt: skip
    return type(clip)(replace(clip.spec, num_frames=num_frames, motion=shorter))


def film(frames: Iterator[NDArray], path: Path, fps: float) -> None:
    """Write H.264 of good quality."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=round(fps), options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for rgb in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())


def ways_of(pair: Pair, work: Path) -> Iterator[tuple[str, NDArray]]:
    """Name and frames (T, H, W, 3) of the swap and of the ways to do without."""
    source = np.stack(list(open_clip(work / "source.mp4").read()))
    yield "mimo swap", np.stack(list(open_clip(work / "result.mkv").read()))
    yield "source unchanged", source
    masks = np.stack(list(pair.source.human_full_mask.read()))
    yield "picture pasted", np.stack([paste(rgb, mask, pair.reference) for rgb, mask in zip(source, masks)])
    yield "puppet, no scene", np.stack([over(rgb, drawn) for rgb, drawn in zip(source, figures(work))])


def figures(work: Path) -> Iterator[NDArray]:
    """The drawn character of every frame, (H, W, 4) uint8 straight RGBA."""
    return open_layer(next((work / "p.mimo/render").glob("*/human.mkv")), kind="rgba").read()


def outline_of(pair: Pair, work: Path) -> dict[str, float]:
    """How the drawn figure lies on the true one: IoU of their outlines, and its area and height over the true ones."""
    both, either, areas, heights = 0, 0, [], []
    for rgba, full in zip(figures(work), pair.truth.human_full_mask.read()):
        ours, true = rgba[..., 3] > 127, full > 127
        both, either = both + int((ours & true).sum()), either + int((ours | true).sum())
        if ours.any() and true.any():
            areas.append(ours.sum() / true.sum())
            heights.append(np.ptp(np.nonzero(ours.any(1))[0]) / np.ptp(np.nonzero(true.any(1))[0]))
    return {"outline_iou": both / either, "area": float(np.mean(areas)), "height": float(np.mean(heights))}


def paste(rgb: NDArray, mask: NDArray, picture: NDArray) -> NDArray:
    """The picture of the character over the person, as tall as they are."""
    rows, columns = np.nonzero(mask > 127)
    if not len(rows):
        return rgb
    inside = np.nonzero(picture[..., 3].any(1))[0]
    height = int(rows.max() - rows.min() + 1)
    scale = height / (inside[-1] - inside[0] + 1)
    figure = cv2.resize(picture[inside[0] : inside[-1] + 1], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x0, y0 = int(columns.mean() - figure.shape[1] / 2), int(rows.min())
    canvas = np.zeros((*rgb.shape[:2], 4), np.uint8)
    left, right = max(x0, 0), min(x0 + figure.shape[1], rgb.shape[1])
    bottom = min(y0 + figure.shape[0], rgb.shape[0])
    canvas[y0:bottom, left:right] = figure[: bottom - y0, left - x0 : right - x0]
    return over(rgb, canvas)


def over(rgb: NDArray, rgba: NDArray) -> NDArray:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha + rgb * (1 - alpha)).astype(np.uint8)


def where(pair: Pair, frame: int) -> tuple[NDArray, NDArray, NDArray]:
    """(H, W) bool each: pixels where either actor is, those with the shadows, and where the ball hides the true one."""
    drawn = [clip.frame(frame) for clip in (pair.source, pair.truth)]
    figure = np.any([one.human_full > 0 for one in drawn], axis=0)
    front = (drawn[1].occluder[..., 3] > 250) & (drawn[1].human_full > 127)
    return figure, figure | np.any([one.shadow > SHADOW for one in drawn], axis=0), front


def around(mask: NDArray) -> tuple[slice, slice]:
    """The box of a mask with room for every window and gradient that counts a pixel of it."""
    rows, columns = (np.nonzero(mask.any(axis))[0] for axis in (1, 0))
    return tuple(slice(max(at[0] - ROOM_PX, 0), at[-1] + ROOM_PX + 1) for at in (rows, columns))


def measure(got: NDArray, want: NDArray, figure: NDArray, edit: NDArray, front: NDArray) -> dict:
    assert got.shape == want.shape, (got.shape, want.shape)
    frames = []
    near, hidden = 0, 0
    for idx, (a, b, mask, ball) in enumerate(zip(got, want, edit, front)):
        right = int((np.abs(a.astype(int) - b).max(-1)[ball] <= NEAR_TRUTH).sum())
        near, hidden = near + right, hidden + int(ball.sum())
        pairs = slice(max(idx - 1, 0), idx + 1)
        box = around(mask)
        row = {
            "psnr_db": psnr_db(a, b, mask),
            "ssim": ssim(a[box], b[box], mask[box]),
            "seam": seam_energy(a[box], b[box], mask[box]),
            "flicker": flicker(got[pairs], want[pairs], edit[pairs]),
            "ball_in_front": right / ball.sum() if ball.any() else math.nan,
        }
        frames.append(row)
    mean = {key: float(np.nanmean([row[key] for row in frames])) for key in ("ssim", "seam")}
    return {
        **mean,
        "psnr_db": psnr_db(got, want, edit),
        "psnr_figure_db": psnr_db(got, want, figure),
        "flicker": flicker(got, want, edit),
        "ball_in_front": near / hidden if hidden else math.nan,
        "psnr_everywhere_db": psnr_db(got, want),
        "frames": [{key: None if math.isnan(value) else round(float(value), 4) for key, value in row.items()}
                   for row in frames],
    }  # fmt: skip


def show(name: str, rows: dict) -> None:
    print(f"{name:18} PSNR dB: figure   edit  picture   SSIM  flicker   seam  ball in front")
    for way, row in rows.items():
        print(
            f"  {way:16} {row['psnr_figure_db']:15.2f} {row['psnr_db']:6.2f} {row['psnr_everywhere_db']:8.2f} "
            f"{row['ssim']:6.3f} {row['flicker']:8.2f} {row['seam']:6.2f} {row['ball_in_front']:14.3f}"
        )
    found = rows["mimo swap"]
    print(
        f"  the drawn figure on the true one: IoU {found['outline_iou']:.3f}, {100 * found['area']:.0f} % of its area, "
        f"{100 * found['height']:.0f} % of its height"
    )


def sheet(path: Path, truth: NDArray, ways: dict[str, NDArray]) -> None:
    picks = np.linspace(0, len(truth) - 1, 4).astype(int)
    columns = [truth, *ways.values()]
    rows = [np.hstack([cv2.resize(frames[idx], (400, 225), interpolation=cv2.INTER_AREA) for frames in columns])
            for idx in picks]  # fmt: skip
    write_png(path, np.vstack(rows))


if __name__ == "__main__":
    main()
