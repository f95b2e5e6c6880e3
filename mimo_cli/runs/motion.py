"""fit-motion: a posed body per frame, from a video or from a motion file."""

import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.config import nearest
from engine.errors import RecipeError
from engine.types import Camera, ClipInfo, FrameSource, FrameTimes, Landmarks, Motion, Progress, Tracks
from mimo_cli import slots, tables
from mimo_cli.runs.people import read_person
from mimo_cli.runs.source import open_source, part_of
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.motion.prior import PosePrior

BACKENDS = ("embedded", "hmr2")
"""What can see a body in a frame."""
MAX_RATE = 60
"""Motion files of more frames per second than this are watched at 30: mocap runs at 100 to 240."""

_PREDICTING = 0.95
"""Share of the time that a network takes of a fit on a CPU."""


@dataclass(frozen=True, kw_only=True)
class FitParams:
    """How the body is fitted."""

    iterations: int = 6
    """Gauss-Newton steps of each round."""
    backend: str = "embedded"
    """What sees the body in a frame: "embedded" (BlazePose) or "hmr2" (HMR 2.0 of 4D-Humans; see `mimo weights`)."""

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise RecipeError(f"fit.backend is {self.backend}.", fix=nearest(self.backend, BACKENDS, "backends"))


@dataclass(frozen=True, kw_only=True)
class ImportParams:
    """How a motion file becomes a clip."""

    width: int = 0
    """Pixels; 0 takes the size of the scene, or 512."""
    height: int = 0
    """Pixels; 0 takes the size of the scene, or 512."""
    fps: float = 0.0
    """Frames per second; 0 keeps the file's own up to 60, and takes 30 above."""

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 0 or max(self.width, self.height) > 8192:
            raise RecipeError(f"the size is {self.width}x{self.height}.", fix="use 16 to 8192 pixels, e.g. 1280x720.")
        if self.fps < 0 or self.fps > 240:
            raise RecipeError(
                f"import.fps is {self.fps}.", fix="use 1 to 240 frames per second, or 0 for the file's own."
            )


def fit_weights(params: FitParams) -> tuple[str, ...]:
    """Return the weights that a fit of these settings uses."""
    return ("hmr2",) if params.backend == "hmr2" else ()


def fit(job: Job) -> None:
    """Fit the embedded body to what is seen of the person."""
    info, tracks, landmarks = _person(job)
    _say_licence(job)
    motion, camera = _fit_person(job, info, tracks, landmarks, masks=_masks(job, info), share=(0, 1))
    tables.write_camera(camera, job.outputs[slots.CAMERA])
    _write_body(motion, job.outputs[slots.BODY], job.outputs[slots.SHAPE])


def fit_people(job: Job) -> None:
    """Fit a body to everybody of the clip, each in a world and before a camera of their own."""
    info, tracks, landmarks = _person(job)
    people = tables.read_others(job.inputs[slots.OTHERS], info.num_frames)
    number = next(idx for idx in range(1, len(people) + 2) if idx not in people)  # whom the layers are about
    people[number] = tracks, landmarks
    _say_licence(job)
    folder = job.output(slots.PEOPLE, "/")
    for done, (person, (tracks, landmarks)) in enumerate(sorted(people.items())):
        name = f"person-{person}"
        if job.chunks.get(name) is None:
            share = (done / len(people), (done + 1) / len(people))
            masks = _masks(job, info) if person == number else None
            motion, camera = _fit_person(job, info, tracks, landmarks, masks=masks, share=share, who=f"-{person}")
            with job.chunks.make(name) as part:
                tables.write_camera(camera, part / "camera.csv")
                _write_body(motion, part / "body.bvh", part / "shape.toml")
        shutil.copytree(job.chunks.get(name) or "", folder / name)
        job.note(f"{name}: seen in {int((tracks.score > 0).sum())} of {info.num_frames} frames")
        job.progress(round(info.num_frames * (done + 1) / len(people)), info.num_frames)


def _person(job: Job) -> tuple[ClipInfo, Tracks, Landmarks]:
    """What is known of the person whom the layers are about."""
    info = tables.read_clip(job.inputs[slots.CLIP])
    tracks = tables.read_tracks(job.inputs[slots.TRACKS], info.num_frames)
    return info, tracks, tables.read_landmarks(job.inputs[slots.LANDMARKS], info.num_frames)


def _say_licence(job: Job) -> None:
    if job.params.backend == "hmr2":
        job.note(
            "HMR 2.0 predicts SMPL's parameters; SMPL is for non-commercial research only (--backend embedded is free)"
        )


def _masks(job: Job, info: ClipInfo) -> FrameSource:
    """The rough mask of the person whom the layers are about; a body has no finer edge."""
    from engine.people.rough import Silhouettes

    return Silhouettes(read_person(job), info.size)


def _fit_person(
    job: Job,
    info: ClipInfo,
    tracks: Tracks,
    landmarks: Landmarks,
    *,
    masks: FrameSource | None,
    share: tuple[float, float],
    who: str = "",
) -> tuple[Motion, Camera]:
    """Fit the body to one person.

    Args:
        job: gives background, times, settings and chunks.
        info: the clip.
        tracks: where the person is.
        landmarks: what BlazePose sees of them.
        masks: where they are in the picture, if that is known.
        share: which part of the stage this is, 0 ... 1.
        who: tells the chunks of several people apart.
    """
    from engine.motion import fit as engine_fit

    start, stop = share
    prior = None
    if job.params.backend == "hmr2":
        middle = start + _PREDICTING * (stop - start)
        prior = _predict(job, info, tracks, who, part_of(job, start, middle, info.num_frames))
        start = middle
    return engine_fit.fit_motion(
        landmarks,
        tables.read_frames(job.inputs[slots.FRAMES]),
        tables.read_background(job.inputs[slots.BACKGROUND], info.num_frames),
        info,
        masks=masks,
        prior=prior,
        params=engine_fit.FitParams(iterations=job.params.iterations),
        progress=part_of(job, start, stop, info.num_frames),
    )


def _predict(job: Job, info: ClipInfo, tracks: Tracks, who: str, progress: Progress) -> "PosePrior":
    """Ask HMR 2.0 what pose the person is in, frame by frame."""
    from engine.motion.hmr2.evidence import pose_prior
    from engine.motion.hmr2.predict import predict_bodies

    predictions = predict_bodies(
        open_source(job),
        tracks,
        job.weights("hmr2").files[0],
        chunks=job.chunks,
        pixel_aspect=float(info.pixel_aspect),
        who=who,
        progress=progress,
    )
    if predictions.seen.any():
        betas = np.median(predictions.betas[predictions.seen], axis=0)
        job.facts[f"smpl_betas{who}"] = [round(float(beta), 4) for beta in betas]
    return pose_prior(predictions, info)


def import_motion(job: Job) -> None:
    """Read a motion file, and choose a clock and a picture size."""
    from engine.motion.files import read_motion_file
    from engine.motion.given import read_mapping
    from engine.motion.resample import resample

    given = read_mapping(job.inputs[slots.MAPPING]) if slots.MAPPING in job.inputs else None
    read = read_motion_file(job.inputs[slots.MOTION], given)
    motion = read.motion
    job.facts["mapping"] = list(read.lines)
    for line in read.lines:
        job.note(line)
    rate = _rate(motion, job.params.fps)
    # Files round their frame time (.0333333 is not quite 1/30): the last frame is not lost for that.
    num_frames = max(1, int((motion.time_s[-1] - motion.time_s[0]) * rate + 0.05) + 1)
    time_s = np.arange(num_frames) / float(rate)
    motion = resample(motion, motion.time_s[0] + time_s)
    height, width = _size(job)
    info = ClipInfo(width=width, height=height, num_frames=num_frames, time_base=1 / rate, rate=rate,
                    pix_fmt="yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p")  # fmt: skip
    tables.write_clip(info, job.outputs[slots.CLIP])
    times = FrameTimes(np.arange(num_frames), time_s, np.full(num_frames, 1 / float(rate)))
    tables.write_frames(times, job.outputs[slots.FRAMES])
    _write_body(motion, job.outputs[slots.BODY], job.outputs[slots.SHAPE])


def read_body(job: Job, time_s: np.ndarray) -> Motion:
    """Read the motion of the project, ours or the person's, at the times of the clip."""
    from engine.motion.rig import read_motion

    return read_motion(job.inputs[slots.BODY], time_s=time_s)


def _write_body(motion: Motion, body: Path, shape_file: Path) -> None:
    from engine.motion.rig import write_motion

    write_motion(motion, body)
    height_m = float(motion.rest_m[:, 1].max() - motion.rest_m[:, 1].min())
    shape = ", ".join(repr(round(float(value), 4)) for value in motion.shape)
    shape_file.write_text(
        "# Shape of the embedded body: ten components in standard deviations, and the height of its joints.\n"
        f"shape = [{shape}]\njoints_height_m = {height_m:.4f}\n",
        encoding="utf-8",
    )


def _rate(motion: Motion, fps: float) -> Fraction:
    if fps:
        return Fraction(fps).limit_denominator(1001)
    span = float(motion.time_s[-1] - motion.time_s[0])
    own = (len(motion) - 1) / span if span > 0 else 30.0
    nearest = Fraction(round(own)) if abs(own - round(own)) < 0.02 * own else Fraction(own).limit_denominator(1001)
    return nearest if 1 <= nearest <= MAX_RATE else Fraction(30)


def _size(job: Job) -> tuple[int, int]:
    height, width = job.params.height, job.params.width
    if not (height and width) and slots.BACKDROP in job.inputs:
        from engine.video import open_clip

        seen = open_clip(job.inputs[slots.BACKDROP]).size
        return (height or seen[0], width or seen[1]) if not (height or width) else _scaled(height, width, seen)
    return height or width or 512, width or height or 512


def _scaled(height: int, width: int, seen: tuple[int, int]) -> tuple[int, int]:
    if height:
        return height, max(2, round(seen[1] * height / seen[0] / 2) * 2)
    return max(2, round(seen[0] * width / seen[1] / 2) * 2), width
