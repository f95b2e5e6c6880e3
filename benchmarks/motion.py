"""Holds the fit of a body to a video to the truth: filmed motion files, real videos, and the clock.

    python benchmarks/motion.py                  # 36 filmed clips, every sample video, speed: long, the first time
    python benchmarks/motion.py --quick          # 12 filmed clips, two videos
    python benchmarks/motion.py --jobs 16        # as many clips at once, each in a process of its own
    python benchmarks/motion.py --json           # one JSON object on stdout

Filmed: six motion files, three bodies, a camera at rest and one that follows; 480x360, 60 frames at 30 a second,
through the real networks. `raw` is what the networks say of each frame alone. What they saw is kept in the temporary
folder, so that a second run takes a minute. The sample media are looked for in $MIMO_SAMPLE_DATA, else ../shared/data.

Measures (engine/metrics/motion.py has the definitions): PA-MPJPE, MPJPE over 22 joints, millimetres, roots aligned,
camera axes; over the 12 joints of the limbs (limb) for fit and raw alike; acceleration error, m/s^2; foot slide,
millimetres a frame of 1/30 s; jitter, 10 m/s^3. Videos: PCK@0.05 of the fitted landmarks against what was seen
(visibility above 0.5); IoU of the body's silhouette with the matte, and with DAVIS's own masks where there are any.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from motion_clips import (  # noqa: E402
    BODIES,
    CAMERAS,
    MOTIONS,
    CameraKind,
    Evidence,
    data_folder,
    film,
    filmed_evidence,
    video_evidence,
)

from engine.body.model import forward_kinematics, load_body  # noqa: E402
from engine.geometry import project, transform  # noqa: E402
from engine.metrics.motion import (  # noqa: E402
    acceleration_error_m_s2,
    foot_slide_m,
    jitter_m_s3,
    mask_iou,
    mpjpe_m,
    pa_mpjpe_m,
    pck,
)
from engine.motion.fit import fit_motion  # noqa: E402
from engine.motion.person import SOLES, make_person  # noqa: E402
from engine.motion.posing import NUM_JOINTS, Pose, pose_points  # noqa: E402
from engine.raster import rasterize  # noqa: E402
from engine.synth.clip import SynthClip  # noqa: E402
from engine.types import JOINTS, LANDMARKS, Camera, Motion  # noqa: E402

LIMBS = [f"{s}_{p}" for p in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in ("left", "right")]
_LIMB_JOINTS = [JOINTS.index(name) for name in LIMBS]
_LIMB_LANDMARKS = [LANDMARKS.index(name) for name in LIMBS]
_HIPS = (LIMBS.index("left_hip"), LIMBS.index("right_hip"))
TARGETS = {"pa_mpjpe": 45.0, "mpjpe": 70.0, "slide": 10.0, "accel_share": 0.5}
"""At most, over all filmed clips."""
VIDEO_TARGETS = {"pck": 0.95, "iou": 0.70}
"""At least."""
SPEED_TARGET = 20.0
QUICK_VIDEOS = ("davis_dance-twirl", "sam2_juggle")
_EVERY = 5
"""Silhouettes are compared in every fifth frame."""

Measures = dict[str, float]
Item = TypeVar("Item")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="12 filmed clips and two videos")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="clips at once, in processes")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    data = data_folder()
    if data is None:
        parser.error("sample media not found; set MIMO_SAMPLE_DATA to their folder")
    say = (lambda *_: None) if args.json else print
    found = {
        "filmed": _filmed(data, args.quick, args.jobs, say),
        "videos": _videos(data, args.quick, args.jobs, say),
        "speed": _speed(data, say),
    }
    if args.json:
        print(json.dumps(found, indent=2))


def _filmed(data: Path, quick: bool, jobs: int, say) -> dict[str, Measures]:
    found: dict[str, Measures] = {}
    for name, row in _each(_filmed_row, [(data, *chosen) for chosen in _chosen(quick)], jobs):
        found[name] = row
        _row(say, found)
    mean = {key: float(np.mean([row[key] for row in found.values()])) for key in next(iter(found.values()))}
    found["mean"] = mean
    _row(say, found)
    share = mean["accel"] / mean["raw_accel"]
    reached = {**{key: mean[key] for key in ("pa_mpjpe", "mpjpe", "slide")}, "accel_share": share}
    for key, value in reached.items():
        say(f"  {key:<12} {value:7.2f}   aim at most {TARGETS[key]:g}   {'ok' if value <= TARGETS[key] else 'MISSED'}")
    return found


def _filmed_row(item: tuple[Path, str, str, CameraKind]) -> tuple[str, Measures]:
    data, name, body, camera = item
    clip = film(name, body, camera, data)
    evidence = filmed_evidence(clip)
    return f"{name} {body} {camera}", measure_filmed(clip, evidence, *_fit(evidence))


def _each(work: Callable[[Item], tuple[str, Measures]], items: list[Item], jobs: int) -> Iterator[tuple[str, Measures]]:
    """Do some items, in order, `jobs` at once."""
    if jobs <= 1:
        yield from map(work, items)
        return
    os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")})  # for the new processes
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _alone) as pool:
        yield from pool.map(work, items)


def _alone() -> None:
    import cv2

    cv2.setNumThreads(1)


def _chosen(quick: bool):
    for idx, name in enumerate(MOTIONS):
        for turn, camera in enumerate(CAMERAS):
            for number, body in enumerate(BODIES):
                if not quick or number == (idx + turn) % len(BODIES):
                    yield name, body, camera


def measure_filmed(clip: SynthClip, evidence: Evidence, motion: Motion, camera: Camera) -> Measures:
    """Hold a fitted motion, and the raw landmarks, to the truth of a filmed clip; see the top for the units."""
    fps, body = clip.spec.fps, load_body()
    both = (motion, clip.motion)
    posed = [forward_kinematics(m.rotvec.astype(float), m.root_m.astype(float), m.rest_m) for m in both]
    got, want = posed[0][0][:, :NUM_JOINTS], posed[1][0][:, :NUM_JOINTS]
    got_cam, want_cam = transform(camera.world_to_cam, got), transform(clip.camera.world_to_cam, want)
    feet = [body.landmarks_of(*p, m.shape)[:, SOLES] for p, m in zip(posed, both)]
    limbs = [_from_hips(points) for points in (got_cam[:, _LIMB_JOINTS], want_cam[:, _LIMB_JOINTS])]
    raw = _from_hips(evidence.raw.world_m[:, _LIMB_LANDMARKS].astype(float))
    return {
        "pa_mpjpe": 1e3 * pa_mpjpe_m(got_cam, want_cam),
        "mpjpe": 1e3 * mpjpe_m(got_cam, want_cam),
        "limb_pa": 1e3 * pa_mpjpe_m(limbs[0], limbs[1]),
        "raw_pa": 1e3 * pa_mpjpe_m(raw, limbs[1]),
        "limb_mpjpe": 1e3 * mpjpe_m(limbs[0], limbs[1], root=_HIPS),
        "raw_mpjpe": 1e3 * mpjpe_m(raw, limbs[1], root=_HIPS),
        "accel": acceleration_error_m_s2(limbs[0], limbs[1], fps),
        "raw_accel": acceleration_error_m_s2(raw, limbs[1], fps),
        "slide": 1e3 * foot_slide_m(feet[0], feet[1], fps),
        "jitter": jitter_m_s3(got, fps) / 10,
        "true_jitter": jitter_m_s3(want, fps) / 10,
    }


def _from_hips(points_m: NDArray) -> NDArray:
    return points_m - points_m[:, list(_HIPS)].mean(1, keepdims=True)


def _fit(evidence: Evidence) -> tuple[Motion, Camera]:
    return fit_motion(evidence.landmarks, evidence.times, evidence.background, evidence.info, masks=evidence.silhouette)


def _videos(data: Path, quick: bool, jobs: int, say) -> dict[str, Measures]:
    found: dict[str, Measures] = {}
    videos = [path for path in sorted((data / "videos").glob("*.mp4")) if not quick or path.stem in QUICK_VIDEOS]
    for name, row in _each(_video_row, [(data, path) for path in videos], jobs):
        found[name] = row
        _row(say, found)
    return found


def _video_row(item: tuple[Path, Path]) -> tuple[str, Measures]:
    data, path = item
    evidence = video_evidence(path)
    return path.stem, measure_video(evidence, *_fit(evidence), data / "masks" / path.stem / "masks")


def measure_video(evidence: Evidence, motion: Motion, camera: Camera, truth: Path) -> Measures:
    """Hold a fitted motion to what is seen in a video: PCK@0.05; IoU with the matte, and with true masks (or NaN)."""
    person = make_person(load_body(), motion.shape.astype(float))
    pose = Pose(motion.rotvec[:, :NUM_JOINTS].astype(float), motion.root_m.astype(float))
    points = pose_points(pose, person.points).points_m[:, : len(LANDMARKS)]
    pixels = project(camera.K.astype(float), transform(camera.world_to_cam.astype(float), points))
    seen = (evidence.landmarks.visibility > 0.5) & (evidence.landmarks.score > 0)[:, None]
    overlap, true_overlap = [], []
    for idx, mask in enumerate(evidence.matte.read()):
        if idx % _EVERY == 0 and evidence.landmarks.score[idx] > 0:
            drawn = silhouette(motion, camera, idx, evidence.info.size)
            overlap.append(mask_iou(drawn, mask))
            if truth.is_dir():
                true_overlap.append(mask_iou(drawn, _true_mask(truth, idx)))
    return {
        "pck": pck(pixels, evidence.landmarks.image_px, seen),
        "iou": float(np.mean(overlap)),
        "true_iou": float(np.mean(true_overlap)) if true_overlap else float("nan"),
    }


def silhouette(motion: Motion, camera: Camera, idx: int, size: tuple[int, int]) -> NDArray:
    """(H, W) uint8: where the body of a frame is in the picture."""
    body = load_body()
    vertices = body.pose(motion.rotvec[idx], motion.root_m[idx], motion.shape)
    seen = transform(camera.world_to_cam[idx], vertices).astype(np.float32)
    found = rasterize(seen[None], body.faces, camera.K[idx], size, cull_back=True)
    return (found.face_idx[0] >= 0) * np.uint8(255)


def _true_mask(folder: Path, idx: int) -> NDArray:
    import cv2

    path = sorted(folder.glob("*.png"))[idx]
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert mask is not None, path
    return (mask > 0) * np.uint8(255)


def _speed(data: Path, say) -> Measures:
    """The fit alone, from landmarks to motion, on the 720p clip, and on four times as many frames: time, memory."""
    evidence = video_evidence(data / "videos" / "sam2_juggle.mp4")
    _fit(evidence)  # the first run loads libraries
    start, before = time.perf_counter(), _peak_mib()
    _fit(evidence)
    seconds = time.perf_counter() - start
    once = _peak_mib()
    _fit(_repeated(evidence, 4))
    count = evidence.info.num_frames
    found = {"fps": count / seconds, "seconds": seconds, "mib": once, "mib_four_times": _peak_mib() - once}
    say(f"\nfit of {count} frames at 1280x720: {seconds:.1f} s, {count / seconds:.0f} frames/s (aim {SPEED_TARGET:g});")
    found["video_seconds"] = _whole_seconds(data / "videos" / "sam2_juggle.mp4")
    found["video_fps"] = count / found["video_seconds"]
    say(f"from the video, all included: {found['video_seconds']:.1f} s, {found['video_fps']:.0f} frames/s;")
    say(f"peak {once:.0f} MiB (+{once - before:.0f}); a clip four times as long: +{found['mib_four_times']:.0f} MiB")
    return found


def _whole_seconds(video: Path) -> float:
    """Wall time of `mimo fit-motion VIDEO`, from nothing to the report."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mimo_cli", "fit-motion", str(video), "-p", f"{folder}/clip.mimo"]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return time.perf_counter() - start


def _repeated(evidence: Evidence, times: int) -> Evidence:
    """The same clip played again and again, forwards and backwards."""
    from dataclasses import replace

    from engine.types import BackgroundMotion, FrameTimes, Landmarks

    count = evidence.info.num_frames
    order = np.concatenate([np.arange(count)[:: 1 if turn % 2 == 0 else -1] for turn in range(times)])
    duration = np.tile(evidence.times.duration_s, times)
    clock = FrameTimes(np.arange(len(order)), np.cumsum(duration) - duration[0], duration)
    return replace(
        evidence,
        info=replace(evidence.info, num_frames=len(order)),
        times=clock,
        landmarks=Landmarks(*(values[order] for values in vars(evidence.landmarks).values())),
        background=BackgroundMotion(evidence.background.to_first[order], evidence.background.inliers[order]),
        order=order,
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _row(say, found: dict[str, Measures]) -> None:
    name, row = next(reversed(found.items()))
    if len(found) == 1:
        say("\n" + " " * 42 + "".join(f"{key:>12}" for key in row))
    say(f"{name:<42}" + "".join(f"{value:12.2f}" for value in row.values()))


if __name__ == "__main__":
    main()
