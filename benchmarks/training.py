"""How good trained networks are on held-out clips, beside what needs no training, in one run.

    mimo train recipes/nano.toml
    python benchmarks/training.py runs/nano runs/nano-skeleton ...

Rows: the runs (where there are rendered pairs also the swap of the same clips), then what needs no training: the
training frame of the same actor whose pose is nearest, as it is; the mean of all training frames; and the given scene
and occlusion with nobody in between. Columns: PSNR of whole frames and where the person is seen (dB), and the share of
edges that are wrong, in whole frames and around the person (a distance like LPIPS that needs no network: mean
difference of oriented gradients at three scales, 0 is equal).
"""

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engine.body.model import forward_kinematics, load_body
from engine.config import from_table
from engine.training.checkpoint import load_ema
from engine.training.recipe import Recipe
from engine.training.samples import Sample
from engine.training.shards import Shards
from engine.training.start import make_codec, make_composer
from engine.training.validation import Validation, score, sheet

SCALES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--sheet", type=Path, help="write a picture of every run's clips here")
    options = parser.parse_args()
    print(f"{'':28s}{'PSNR':>8s}{'person':>8s}{'edges':>8s}{'person':>8s}")
    looks = {}
    for run in options.runs:
        recipe = read_run(run)
        look = Validation(recipe, make_codec(recipe, "random"), run)
        codec = make_codec(recipe, "random")
        composer = make_composer(recipe, codec, "random")
        composer.load_state_dict(load_ema(run))
        composer.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        made = [look.sample(composer, sample, number) for number, sample in enumerate(look.samples)]
        row(run.name, look.samples, made)
        if look.swaps:
            swapped = [look.sample(composer, sample, number) for number, sample in enumerate(look.swaps, len(made))]
            row("  swapped", look.swaps, swapped)
        looks[run.name] = (recipe, look, made)
    recipe, look, _ = next(iter(looks.values()))
    shards = Shards(Path(recipe.data.shards))
    held = Shards(Path(recipe.data.held_out or recipe.data.shards))
    row("nearest training frame", look.samples, nearest_frames(shards, held, look.samples))
    row("mean training frame", look.samples, mean_frames(shards, look.samples))
    row("scene without the person", look.samples, [empty(sample) for sample in look.samples])
    if options.sheet:
        pictures = [sheet(look.samples, made) for _, look, made in looks.values()]
        cv2.imwrite(str(options.sheet), np.vstack(pictures)[..., ::-1])


def read_run(run: Path) -> Recipe:
    table = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    table.pop("init_from")
    table = {name: value for name, value in table.items() if name in {field.name for field in fields(Recipe)}}
    recipe = from_table(Recipe, table, table=run.name)
    return replace(recipe, validate=replace(recipe.validate, clips=64))


def row(name: str, samples: list[Sample], made: list[NDArray]) -> None:
    means = score(samples, made).mean()
    frames = [pair for s, m in zip(samples, made) for pair in zip(m, s.rgb, s.human_mask)]
    edges = np.mean([edge_distance(got, want, np.full_like(mask, 255)) for got, want, mask in frames])
    around = np.mean([edge_distance(*frame) for frame in frames if (frame[2] > 127).any()])
    print(f"{name:28s}{means['psnr_db']:8.2f}{means['psnr_human_db']:8.2f}{edges:8.3f}{around:8.3f}", flush=True)


def edge_distance(got: NDArray, want: NDArray, mask: NDArray) -> float:
    """Mean difference of gradients in a mask over the mean of both, at three scales: 0 equal, 1 nothing in common."""
    distances = []
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in (got, want))
    inside = cv2.dilate(mask, np.ones((5, 5), np.uint8)).astype(np.float32) / 255  # the outline counts
    for _ in range(SCALES):
        pairs = [(cv2.Sobel(a, cv2.CV_32F, *axis), cv2.Sobel(b, cv2.CV_32F, *axis)) for axis in ((1, 0), (0, 1))]
        wrong = sum((inside * np.abs(x - y)).sum() for x, y in pairs)
        all_edges = sum((inside * (np.abs(x) + np.abs(y))).sum() for x, y in pairs)
        distances.append(wrong / max(all_edges, 1e-6))
        a, b, inside = cv2.pyrDown(a), cv2.pyrDown(b), cv2.pyrDown(inside)
    return float(np.mean(distances))


def empty(sample: Sample) -> NDArray:
    """The scene with what passes in front: all that is given, and nobody there."""
    front = sample.occlusion.max(-1, keepdims=True) > 0  # the occlusion is on black
    return np.where(front, sample.occlusion, sample.scene)


def nearest_frames(shards: Shards, held: Shards, samples: list[Sample]) -> list[NDArray]:
    """For every held-out frame the training frame of that actor whose joints, about the pelvis, are nearest."""
    library: dict[str, list[tuple[NDArray, NDArray]]] = {}
    for idx in range(len(shards)):
        clip = shards.read(idx)
        library.setdefault(clip.identity, []).extend(zip(pose_of(clip), clip.rgb))
    made = []
    for sample in samples:
        clip = held.read(sample.clip_idx)
        known = library.get(clip.identity) or [entry for entries in library.values() for entry in entries]
        poses = np.stack([pose for pose, _ in known])
        picks = [int(np.square(poses - pose_of(clip)[frame]).sum((1, 2)).argmin()) for frame in sample.frame_idx]
        made.append(np.stack([known[pick][1] for pick in picks]))
    return made


def pose_of(clip) -> NDArray:
    joints = forward_kinematics(clip.rotvec, clip.root_m, load_body().rest(clip.shape)[1])[0][:, :22]
    return joints - joints[:, :1]


def mean_frames(shards: Shards, samples: list[Sample]) -> list[NDArray]:
    total, count = 0.0, 0
    for idx in range(len(shards)):
        rgb = shards.read(idx).rgb.astype(np.float64)
        total, count = total + rgb.sum(0), count + len(rgb)
    mean = np.rint(total / count).astype(np.uint8)
    return [np.repeat(mean[None], len(sample.rgb), 0) for sample in samples]


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
