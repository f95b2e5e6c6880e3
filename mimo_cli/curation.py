"""From a video to training clips: decompose it, fit the motion, find who it is, keep the stretches that are good."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import MimoError
from mimo_cli import disk, slots, tables
from mimo_cli.project import Project

if TYPE_CHECKING:
    from engine.training.curation import CurationConfig, Observations
    from engine.training.shards import TrainingClip

WHO = "person"
"""Name of the identity in the project of a video."""
_MARGIN = 0.15
"""Room around the person in a cut-out square, as a share of the larger side of where they are."""


@dataclass(frozen=True)
class Verdict:
    """What became of one video."""

    video: str
    clips: int
    frames: int
    dropped: dict[str, int]
    """Reason to frames."""
    error: str = ""
    """The sentence that ended it, where the whole video is of no use."""


def shard_name(video: Path) -> str:
    """A name for a video's shard that no other video has: its stem and eight digits of its place."""
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in video.stem)[:48]
    return f"{stem}-{hashlib.sha256(str(video.resolve()).encode()).hexdigest()[:8]}"


def build_video(video: Path, out: Path, size: int, config: "CurationConfig") -> Verdict:
    """Make the shard of one video, or say why there is none; done once, whatever became of it.

    Args:
        video: the file.
        out: folder of the data set: `projects/`, `verdicts/` and the shards.
        size: pixels of the square clips.
        config: what a clip must be.

    Returns:
        The verdict; a video that cannot be used is one too, never an error.
    """
    name = shard_name(video)
    path = out / "verdicts" / f"{name}.json"
    if path.is_file():
        return Verdict(**json.loads(path.read_text(encoding="utf-8")))
    try:
        verdict = _build(video, out, name, size, config)
    except MimoError as error:
        verdict = Verdict(str(video), 0, 0, {}, str(error))
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write_text(path, json.dumps(asdict(verdict), indent=1))
    return verdict


def _build(video: Path, out: Path, name: str, size: int, config: "CurationConfig") -> Verdict:
    from engine.training.curation import judge
    from engine.training.shards import write_shard
    from mimo_cli.stages import VIDEO_STAGES

    project = Project.create(out / "projects" / f"{name}.mimo", {"video": video}, stages=VIDEO_STAGES)
    goals = (slots.CLIP, slots.FRAMES, slots.HUMAN_MASK, slots.SCENE, slots.OCCLUSION, slots.TRACKS, slots.LANDMARKS)
    goals += (slots.BODY, slots.SHAPE, slots.CAMERA)
    files = project.run(goals)
    seen = _observe(video, files)
    kept, dropped = judge(seen, config)
    if kept:
        reference = _identity(project, video, files, seen, kept, size)
        write_shard(_clips(video, files, kept, reference, size, name), out / f"{name}.tar")
    return Verdict(str(video), len(kept), len(seen.sharpness), dict(dropped))


def _observe(video: Path, files: dict) -> "Observations":
    """Walk the video once, for what the filters look at."""
    from engine.training.curation import Observations, colours_of, sharpness_of, text_over_person
    from engine.video import open_clip, open_layer

    clip = open_clip(video)
    masks = open_layer(files[slots.HUMAN_MASK], kind="gray8", num_frames=clip.num_frames)
    sharpness, difference, before = [], [], None
    for rgb, mask in zip(clip.read(), masks.read(), strict=True):
        sharpness.append(sharpness_of(rgb, mask))
        colours = colours_of(rgb)
        difference.append(0.0 if before is None else float(np.abs(colours - before).sum() / 2))
        before = colours
    landmarks = tables.read_landmarks(files[slots.LANDMARKS], clip.num_frames)
    return Observations(
        tracks=tables.read_tracks(files[slots.TRACKS], clip.num_frames),
        landmarks=landmarks,
        sharpness=np.array(sharpness, np.float32),
        difference=np.array(difference, np.float32),
        text=text_over_person(clip, landmarks),
        fps=float(clip.info.rate),
        size=clip.size,
    )


def _identity(
    project: Project, video: Path, files: dict, seen: "Observations", kept: list[tuple[int, int]], size: int
) -> NDArray:
    """The person in the A-pose on white: lifted from the frame that shows them best, turned by the puppet."""
    from engine.types import LANDMARKS
    from engine.video import open_clip, open_layer, read_image, write_png

    frames = np.concatenate([np.arange(*window) for window in kept])
    left, right = LANDMARKS.index("left_shoulder"), LANDMARKS.index("right_shoulder")
    points = seen.landmarks.image_px[frames]
    frontal = (points[:, left, 0] - points[:, right, 0]) / np.maximum(np.ptp(points[..., 1], axis=1), 1)
    best = int(frames[np.argmax(frontal + 0.5 * seen.landmarks.visibility[frames].mean(1))])
    rgb = next(iter(open_clip(video).read(best, best + 1)))
    mask = next(iter(open_layer(files[slots.HUMAN_MASK], kind="gray8").read(best, best + 1)))
    x0, y0, x1, y1 = _square(seen.tracks.box_px[best : best + 1], seen.size)
    picture = project.root / ".mimo" / f"{WHO}.png"
    write_png(picture, np.ascontiguousarray(np.dstack([rgb, mask])[y0:y1, x0:x1]))
    project.put(slots.REFERENCE, picture, WHO)
    canonical = project.run((slots.CANONICAL,), identity=WHO)[slots.CANONICAL]
    rgba = read_image(canonical)
    return _on_white(rgba[:, : rgba.shape[1] // 2], size)  # front, then back


def _clips(
    video: Path, files: dict, kept: list[tuple[int, int]], reference: NDArray, size: int, name: str
) -> Iterator["TrainingClip"]:
    from engine.motion.rig import read_motion
    from engine.training.shards import TrainingClip
    from engine.types import Camera
    from engine.video import open_clip, open_layer
    from mimo_cli.runs.conditions import read_shape

    clip = open_clip(video)
    camera = tables.read_camera(files[slots.CAMERA], clip.num_frames)
    times = tables.read_frames(files[slots.FRAMES]).time_s
    motion = read_motion(files[slots.BODY], time_s=times, shape=read_shape(files[slots.SHAPE]))
    tracks = tables.read_tracks(files[slots.TRACKS], clip.num_frames)
    for start, stop in kept:
        x0, y0, x1, y1 = _square(tracks.box_px[start:stop], clip.size)
        scale = size / (x1 - x0)
        window = np.s_[y0:y1, x0:x1]
        K = np.array([[scale, 0, -x0 * scale], [0, scale, -y0 * scale], [0, 0, 1]]) @ camera.K[start:stop]
        rgb = [_scaled(frame[window], size) for frame in clip.read(start, stop)]
        behind = open_layer(files[slots.SCENE], kind="rgba").read(start, stop)
        scenes = [_over(frame, _scaled(layer[window], size)) for frame, layer in zip(rgb, behind, strict=True)]
        masks = open_layer(files[slots.HUMAN_MASK], kind="gray8").read(start, stop)
        fronts = open_layer(files[slots.OCCLUSION], kind="gray8").read(start, stop)
        yield TrainingClip(
            rgb=np.stack(rgb),
            scene=np.stack(scenes),
            occlusion=np.stack(
                [np.dstack([frame, _scaled(front[window], size)]) for frame, front in zip(rgb, fronts, strict=True)]
            ),
            human_mask=np.stack([_scaled(mask[window], size) for mask in masks]),
            rotvec=motion.rotvec[start:stop],
            root_m=motion.root_m[start:stop],
            shape=motion.shape,
            camera=Camera(K.astype(np.float32), camera.world_to_cam[start:stop]),
            reference=reference,
            about={"identity": name, "source": f"{video.name} frames {start} to {stop - 1}"},
        )


def _square(boxes_px: NDArray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square of whole pixels around boxes, with room, inside the picture: x0, y0, x1, y1."""
    low, high = boxes_px[:, :2].min(0), boxes_px[:, 2:].max(0)
    side = min(int(np.ceil((high - low).max() * (1 + 2 * _MARGIN))), *size)
    middle = (low + high) / 2
    x0, y0 = (int(np.clip(round(float(at) - side / 2), 0, edge - side)) for at, edge in zip(middle, size[::-1]))
    return x0, y0, x0 + side, y0 + side


def _scaled(picture: NDArray, side: int) -> NDArray:
    import cv2

    way = cv2.INTER_AREA if side < picture.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture), (side, side), interpolation=way)


def _over(rgb: NDArray, layer: NDArray) -> NDArray:
    """The scene: what the layer shows where it shows something, else the source."""
    alpha = layer[..., 3:].astype(np.float32) / 255
    return np.rint(rgb * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8)


def _on_white(rgba: NDArray, side: int) -> NDArray:
    """A picture in the middle of a white square: (side, side, 3) uint8."""
    height, width = rgba.shape[:2]
    edge = max(height, width)
    square = np.full((edge, edge, 3), 255, np.float32)
    y0, x0 = (edge - height) // 2, (edge - width) // 2
    alpha = rgba[..., 3:].astype(np.float32) / 255
    square[y0 : y0 + height, x0 : x0 + width] = rgba[..., :3] * alpha + 255 * (1 - alpha)
    return _scaled(np.rint(square).astype(np.uint8), side)


def write_statistics(verdicts: list[Verdict], path: Path) -> None:
    """Write the page of what was kept and dropped, and why."""
    from html import escape

    kept, frames = sum(one.clips for one in verdicts), sum(one.frames for one in verdicts)
    reasons: Counter[str] = Counter()
    for one in verdicts:
        reasons.update(one.dropped)
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{count}<td>{_share(count, frames)}" for name, count in reasons.most_common()
    )
    videos = "".join(
        f"<tr><td>{escape(Path(one.video).name)}<td>{one.frames}<td>{one.clips}<td>{escape(one.error or _why(one))}"
        for one in sorted(verdicts, key=lambda one: one.video)
    )
    page = (
        "<!doctype html><meta charset=utf-8><title>Data set</title><style>body{font:15px system-ui;margin:2em auto;"
        "max-width:60em;color-scheme:light dark}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #8884}"
        f"</style><h1>Data set</h1><p>{len(verdicts)} videos, {frames} frames, {kept} clips.</p>"
        f"<h2>Dropped</h2><table><tr><th>why<th>frames<th>share{rows}</table>"
        f"<h2>Videos</h2><table><tr><th>video<th>frames<th>clips<th>dropped{videos}</table>"
    )
    disk.write_text(path, page)


def _share(count: int, frames: int) -> str:
    return f"{100 * count / max(frames, 1):.1f} %"


def _why(one: Verdict) -> str:
    return ", ".join(f"{name}: {count}" for name, count in one.dropped.items())
