"""How right the layers and the motion are, on clips that know their own truth.

    python benchmarks/synthetic.py                  # all clips
    python benchmarks/synthetic.py game wave-pole   # some of them
    python benchmarks/synthetic.py --json

Targets: human mask IoU 0.93, scene behind the person 30 dB, occluder IoU 0.8 where it covers the body, 3D joint error
after Procrustes 60 mm, joint error in the image 2 % of the person's height.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.body.model import forward_kinematics  # noqa: E402
from engine.geometry import project, transform  # noqa: E402
from engine.synth.clip import ClipSpec, SynthClip, make_clip  # noqa: E402
from engine.types import ArraySource, BackgroundMotion, ClipInfo, FrameTimes, TempChunks  # noqa: E402

CLIPS: dict[str, ClipSpec] = {
    "game": ClipSpec(size=(360, 640), num_frames=125, fps=25, seed=1, noise=1.2, pan_deg=8),
    "handheld": ClipSpec(size=(360, 640), num_frames=75, fps=25, camera="handheld", seed=2, actor_seed=2),
    "walk": ClipSpec(size=(360, 640), num_frames=60, fps=25, motion="walk", occluder="none", seed=3, actor_seed=3),
    "wave-pole": ClipSpec(
        size=(360, 640), num_frames=50, fps=25, motion="wave", occluder="pole", camera="static", seed=4, actor_seed=5
    ),
    "passer-by": ClipSpec(
        size=(360, 640), num_frames=60, fps=25, motion="wave", occluder="passer-by", camera="static", seed=6
    ),
    "dance": ClipSpec(
        size=(360, 640), num_frames=200, fps=25, motion="dance", occluder="none", camera="zoom", exposure=(1.0, 0.85),
        seed=5, actor_seed=1,
    ),
}  # fmt: skip
TARGETS = {
    "human_iou": (0.93, "least"),
    "scene_psnr_db": (30.0, "least"),
    "occluder_iou": (0.8, "least"),
    "joint_pa_mm": (60.0, "most"),
    "joint_image_percent": (2.0, "most"),
}
EXTRAS = ("matte_iou", "background_px", "wall_s")
_COVERS = 0.02
"""An occluder covers the body in a frame where it hides this share of it or more."""

Measures = dict[str, float | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", default=list(CLIPS), help=f"any of: {', '.join(CLIPS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    unknown = sorted(set(args.clips) - set(CLIPS))
    if unknown:
        parser.error(f"no clip {', '.join(unknown)}; there are {', '.join(CLIPS)}")
    results = {}
    if not args.json:
        print(f"{'clip':<11}" + "".join(f"{name:>21}" for name in (*TARGETS, *EXTRAS)))
    for name in args.clips:
        results[name] = measure(make_clip(CLIPS[name]))
        if not args.json:
            print(f"{name:<11}" + "".join(_cell(key, results[name]) for key in (*TARGETS, *EXTRAS)))
    if args.json:
        print(json.dumps(results, indent=2))


def measure(clip: SynthClip) -> Measures:
    """Run people, layers and motion over a clip and hold them to its truth.

    Args:
        clip: the clip.

    Returns:
        By name of `TARGETS`, the mean over the clip, or None where the clip has nothing to measure or a part failed
        (said on stderr). `human_iou` is of the mask without what was found in front, as the compositor uses both;
        `matte_iou` of the mask alone, against the person and what it carries in front of the body; `background_px` the
        mean error of the homographies at the corners; `wall_s` the time.
    """
    from engine.layers.background_motion import track_background
    from engine.layers.human.matte import human_mask
    from engine.layers.human.rivals import find_rivals
    from engine.layers.occlusion.occlusion import find_occlusion
    from engine.layers.scene.hiding import WithPassers
    from engine.layers.scene.plate import build_plate
    from engine.layers.scene.scene import complete_scene
    from engine.people import find_people
    from engine.people.rough import Silhouettes

    chunks, first_chunks, truth = TempChunks(), TempChunks(), _Truth(clip)
    found: Measures = dict.fromkeys((*TARGETS, *EXTRAS))
    start = time.perf_counter()
    try:
        people = find_people(truth.rgb, chunks=chunks)
        if not people:
            print("nobody found", file=sys.stderr)
            return found
        person = max(people, key=lambda one: truth.overlap(one.tracks.box_px))
        others = {k: (one.tracks, one.landmarks) for k, one in enumerate(people, 1) if one is not person}
        rough = Silhouettes(person, truth.rgb.size)
        background = track_background(truth.rgb, rough, chunks=chunks)
        whole = WithPassers(rough, person.tracks, person.landmarks, others)
        first = build_plate(truth.rgb, whole, background, chunks=first_chunks)
        rivals = find_rivals(truth.rgb, person, others, background)
        mask = ArraySource(np.stack(list(human_mask(truth.rgb, person, chunks=chunks, plate=first, rivals=rivals))))
        found["matte_iou"] = float(np.mean([iou(a, b) for a, b in zip(mask.read(), truth.carried)]))
        found["background_px"] = corner_error_px(background, clip)
        hidden = WithPassers(mask, person.tracks, person.landmarks, others)
        plate = build_plate(truth.rgb, hidden, background, chunks=chunks, landmarks=person.landmarks)
        scene = _try("scene", lambda: list(complete_scene(truth.rgb, mask, background, chunks=chunks, plate=plate)))
        if scene is not None:
            found["scene_psnr_db"] = truth.scene_psnr_db(scene)
        things = _try(
            "occlusion",
            lambda: list(
                find_occlusion(
                    *(truth.rgb, mask, background, person.landmarks, person.tracks),
                    chunks=chunks,
                    plate=plate,
                    others={k: one for k, one in enumerate(people, 1) if one is not person},
                )
            ),
        )
        if things is not None:
            found["occluder_iou"] = truth.occluder_iou(things)
        things = things or [np.zeros(clip.spec.size, np.uint8)] * clip.spec.num_frames
        seen = (np.minimum(a, 255 - thing) for a, thing in zip(mask.read(), things))
        found["human_iou"] = float(np.mean([iou(a, b) for a, b in zip(seen, truth.human)]))
        errors = _try("motion", lambda: joint_errors(clip, truth, person.landmarks, background))
        if errors is not None:
            found["joint_pa_mm"], found["joint_image_percent"] = errors
        found["wall_s"] = time.perf_counter() - start
    finally:
        chunks.close(), first_chunks.close()
    return found


class _Truth:
    """The clip drawn once and held in memory: these clips are small."""

    def __init__(self, clip: SynthClip) -> None:
        frames = [clip.frame(idx) for idx in range(clip.spec.num_frames)]
        self.rgb = ArraySource(np.stack([frame.rgb for frame in frames]))
        self.scene = [frame.scene for frame in frames]
        self.human = [frame.human[..., 3] for frame in frames]
        self.full = [frame.human_full for frame in frames]
        self.occluder = [frame.occluder[..., 3] for frame in frames]
        self.carried = [np.maximum(a, np.minimum(b, c)) for a, b, c in zip(self.human, self.occluder, self.full)]
        self.height_px = float(np.median([np.ptp(np.nonzero(mask > 127)[0]) for mask in self.full]))

    def overlap(self, boxes_px: NDArray) -> float:
        """How well boxes (T, 4) of a person found agree with the actor's, mean IoU."""
        values = []
        for box, full in zip(boxes_px, self.full):
            rows, cols = np.nonzero(full > 127)
            mine = np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1])
            common = np.clip(np.minimum(box[2:], mine[2:]) - np.maximum(box[:2], mine[:2]), 0, None).prod()
            values.append(common / (np.prod(box[2:] - box[:2]) + np.prod(mine[2:] - mine[:2]) - common))
        return float(np.mean(values))

    def scene_psnr_db(self, layers: list[NDArray]) -> float:
        """Peak signal-to-noise ratio of the finished scene where the actor was."""
        squares, count = 0.0, 0
        for layer, rgb, want, full in zip(layers, self.rgb.read(), self.scene, self.full):
            alpha = layer[..., 3:] / 255.0
            got = layer[..., :3] * alpha + rgb * (1 - alpha)
            behind = full > 127
            squares += float(((got - want)[behind] ** 2).sum())
            count += 3 * int(behind.sum())
        return 10 * float(np.log10(255**2 / max(squares / max(count, 1), 1e-9)))

    def occluder_iou(self, layers: list[NDArray]) -> float | None:
        """Mean over the frames in which the occluder covers the body; None when it never does."""
        values = []
        for got, want, full in zip(layers, self.occluder, self.full):
            thing = want > 127
            if (thing & (full > 127)).sum() > _COVERS * (full > 127).sum():
                values.append(iou(got, want))
        return float(np.mean(values)) if values else None


def iou(got: NDArray, want: NDArray) -> float:
    """Intersection over union of two masks (H, W) uint8, cut at half; 1 when both are empty."""
    a, b = got > 127, want > 127
    return float((a & b).sum() / max((a | b).sum(), 1)) if (a | b).any() else 1.0


def corner_error_px(background: BackgroundMotion, clip: SynthClip) -> float:
    """Mean distance between where both homographies put the corners of the picture."""
    height, width = clip.spec.size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    got, want = (corners @ np.swapaxes(m.to_first, 1, 2) for m in (background, clip.background_motion))
    return float(np.linalg.norm(got[..., :2] / got[..., 2:] - want[..., :2] / want[..., 2:], axis=-1).mean())


def joint_errors(clip: SynthClip, truth: _Truth, landmarks, background: BackgroundMotion) -> tuple[float, float]:
    """Mean joint error of the fitted body: mm after Procrustes; percent of the person's height in the image."""
    from engine.motion.fit import fit_motion

    spec = clip.spec
    times = FrameTimes(
        pts=np.arange(spec.num_frames), time_s=clip.times_s, duration_s=np.full(spec.num_frames, 1 / spec.fps)
    )
    rate = Fraction(spec.fps).limit_denominator(1000)
    info = ClipInfo(width=spec.size[1], height=spec.size[0], num_frames=spec.num_frames, time_base=1 / rate, rate=rate)
    motion, camera = fit_motion(landmarks, times, background, info)
    joints = forward_kinematics(motion.rotvec, motion.root_m, motion.rest_m)[0][:, :22]
    pixels = project(camera.K, transform(camera.world_to_cam, joints))
    image = np.linalg.norm(pixels - clip.joints_px, axis=-1).mean() / truth.height_px
    errors = [procrustes_error(got, want) for got, want in zip(joints, clip.joints_world_m)]
    return 1000 * float(np.mean(errors)), 100 * float(image)


def procrustes_error(got: NDArray, want: NDArray) -> float:
    """Mean distance of points (N, 3) after the best similarity transform, in the unit of `want` (Umeyama 1991)."""
    a, b = got - got.mean(0), want - want.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation, scale = (u * sign) @ vt, (s * sign).sum() / max((a * a).sum(), 1e-12)
    return float(np.linalg.norm(scale * a @ rotation.T - b, axis=1).mean())


def _try(part: str, run: Callable):
    """Run a part; one that fails is reported on stderr and leaves its measure empty."""
    try:
        return run()
    except Exception as error:
        print(f"{part} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return None


def _cell(key: str, found: Measures) -> str:
    value = found[key]
    if value is None:
        return f"{'-':>21}"
    if key not in TARGETS:
        return f"{value:>21.2f}"
    bound, kind = TARGETS[key]
    good = value >= bound if kind == "least" else value <= bound
    return f"{value:>16.2f} {'ok' if good else 'BAD':<4}"


if __name__ == "__main__":
    main()
