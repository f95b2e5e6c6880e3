"""animate, compose, export: the character moves, goes into the scene, and out comes a video."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import RecipeError
from engine.types import ClipInfo, Patch, Size
from mimo_cli import __version__, slots, tables
from mimo_cli.artifacts import Slot
from mimo_cli.runs.backdrop import Backdrop
from mimo_cli.runs.chunked import write_layers
from mimo_cli.runs.light import light_on, read_grain, read_shutter, write_light
from mimo_cli.runs.motion import read_body
from mimo_cli.runs.presence import find_presence
from mimo_cli.runs.source import open_source
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.animator.puppet import PuppetAnimator
    from engine.animator.shutter import SmearedAnimator

NOTHING = Patch(0, 0, np.zeros((1, 1, 4), np.uint8), np.zeros((1, 1), np.uint8))
"""Nobody: one clear pixel, since an empty array is none to OpenCV."""
PLAIN_SUFFIXES = (".mp4", ".m4v", ".mov")
ALPHA_SUFFIXES = (".mov", ".webm", ".mkv", ".gif", "/")


@dataclass(frozen=True, kw_only=True)
class NoteParams:
    """What a file says about itself."""

    note: bool = True
    """Say in the metadata which character was put in by which mimo, and the licences of what made it."""


@dataclass(frozen=True, kw_only=True)
class MarkParams(NoteParams):
    """What a result says about itself."""

    mark: bool = False
    """Put a small visible mark into the lower right corner."""


@dataclass(frozen=True, kw_only=True)
class ComposeParams(MarkParams):
    """How the result is written."""

    suffix: str = ".mp4"
    """".mp4", ".m4v" or ".mov": the same streams in another container."""

    def __post_init__(self) -> None:
        if self.suffix not in PLAIN_SUFFIXES:
            raise RecipeError(f'compose.suffix is "{self.suffix}".', fix=f"use one of {', '.join(PLAIN_SUFFIXES)}.")


@dataclass(frozen=True, kw_only=True)
class BackdropParams(MarkParams):
    """What stands behind an animation."""

    color: str = ""
    """A colour name or #rrggbb; empty is a light studio, or the scene of the project when it has one."""


@dataclass(frozen=True, kw_only=True)
class ComposeAloneParams(ComposeParams, BackdropParams):
    """What stands behind an animation, and how the result is written."""


@dataclass(frozen=True, kw_only=True)
class AlphaParams(NoteParams):
    """How the character alone is written."""

    suffix: str = ".mov"
    """".mov" is ProRes 4444, ".webm" VP9, ".mkv" FFV1, ".gif" a GIF, "/" a folder of PNG."""

    def __post_init__(self) -> None:
        if self.suffix not in ALPHA_SUFFIXES:
            raise RecipeError(
                f'export-alpha.suffix is "{self.suffix}".', fix=f"use one of {', '.join(ALPHA_SUFFIXES)}."
            )


def animate(job: Job) -> None:
    """Render the character where the person of the video is, and the shadow it casts."""
    from engine.animator.light import Light
    from engine.animator.pose import pose_puppet
    from engine.animator.puppet import PuppetAnimator, seen_offset
    from engine.animator.shutter import SmearedAnimator
    from engine.identity import load_puppet

    info = tables.read_clip(job.inputs[slots.CLIP])
    motion = read_body(job, tables.read_frames(job.inputs[slots.FRAMES]).time_s)
    puppet = load_puppet(job.inputs[slots.PUPPET])
    camera = tables.read_camera(job.inputs[slots.CAMERA], info.num_frames)
    posed = pose_puppet(puppet, motion, scale=job.params.scale, travel="person", stiff=job.params.stiff)
    light = light_on(job, puppet) if job.params.match_light else Light()
    write_light(job.outputs[slots.LIGHT], light)
    stand = {"shadow": job.params.shadow, "offset_m": seen_offset(camera, job.params.offset)}
    stand |= {"light": light, "posed": posed}
    shutter = read_shutter(job.inputs[slots.SHUTTER]) if job.params.motion_blur else 0.0
    if shutter > 0:
        animator = SmearedAnimator(puppet, motion, camera, info.size, shutter=shutter, **stand)
    else:
        animator = PuppetAnimator(puppet, motion, camera, info.size, **stand)
    _render(job, info, animator, find_presence(job, info))


def animate_alone(job: Job) -> None:
    """Render the character of a motion file, seen by a camera that follows it."""
    from engine.animator.pose import pose_puppet
    from engine.animator.puppet import PuppetAnimator, seen_offset
    from engine.animator.stage_camera import frame_motion
    from engine.identity import load_puppet

    info = tables.read_clip(job.inputs[slots.CLIP])
    motion = read_body(job, tables.read_frames(job.inputs[slots.FRAMES]).time_s)
    puppet = load_puppet(job.inputs[slots.PUPPET])
    posed = pose_puppet(puppet, motion, scale=job.params.scale, travel="stride", stiff=job.params.stiff)
    if slots.CAMERA in job.inputs:
        camera = tables.read_camera(job.inputs[slots.CAMERA], info.num_frames)
    else:
        camera = frame_motion(motion, info.size, puppet, posed=posed)
    stand = {"shadow": job.params.shadow, "offset_m": seen_offset(camera, job.params.offset)}
    _render(job, info, PuppetAnimator(puppet, motion, camera, info.size, posed=posed, **stand))


def _render(
    job: Job, info: ClipInfo, animator: "PuppetAnimator | SmearedAnimator", present: NDArray | None = None
) -> None:
    def frames(start: int, stop: int) -> Iterator[tuple[NDArray, NDArray]]:
        full = _FullFrames(info.size)
        for idx, patch in enumerate(animator.render_range(start, stop), start):
            yield full.show(patch if present is None or present[idx] else NOTHING)

    write_layers(job, info.num_frames, info.size, [(slots.HUMAN, "rgba"), (slots.SHADOW, "gray8")], frames)


def compose(job: Job) -> None:
    """Put everything together and write the video to watch and to send: H.264, with the source's sound."""
    _encode(job, _marked(job, _swapped(job, slots.LOOK)), job.output(slots.OUT, job.params.suffix), "h264")


def compose_lossless(job: Job) -> None:
    """Put everything together and write it without loss, with the source's sound."""
    _encode(job, _marked(job, _swapped(job, slots.LOOK_LOSSLESS)), job.outputs[slots.OUT_LOSSLESS], "lossless")


def compose_alone(job: Job) -> None:
    """Put the character before a colour, a picture or a video, and write it as H.264."""
    _encode(job, _marked(job, _before_backdrop(job, slots.LOOK)), job.output(slots.OUT, job.params.suffix), "h264")


def compose_alone_lossless(job: Job) -> None:
    """Put the character before a colour, a picture or a video, and write it without loss."""
    _encode(job, _marked(job, _before_backdrop(job, slots.LOOK_LOSSLESS)), job.outputs[slots.OUT_LOSSLESS], "lossless")


def export_alpha(job: Job) -> None:
    """Write the character alone, on nothing."""
    info = tables.read_clip(job.inputs[slots.CLIP])
    frames = _counted(job, _open(job, slots.HUMAN, "rgba", info).read(), info.num_frames)
    _encode(job, frames, job.output(slots.OUT_ALPHA, job.params.suffix), "alpha")


def _swapped(job: Job, look_at: Slot) -> Iterator[list[NDArray]]:
    """Scene, shadow, character and occlusion over the source; everything else is left alone."""
    from engine.compositor import compose as compose_frame
    from engine.grain import Grain
    from engine.report import LookWriter
    from engine.threads import map_in_order
    from engine.video import read_overlays

    clip = open_source(job)
    scenes = read_overlays(job.inputs[slots.SCENE], clip.info, ours=job.ours(slots.SCENE))
    fronts = _open(job, slots.OCCLUSION, "gray8", clip.info).read()
    grain, look = Grain(read_grain(job.inputs[slots.LIGHT])), LookWriter(clip.info)

    def put_together(layers):
        frame, bare, front, (rgba, shadow) = layers
        clean, scene = _cut(rgba, shadow), grain.lay_on_planes(bare, frame.idx, clip.info)
        patch = replace(clean, rgba=grain.lay_on(clean.rgba, frame.idx))
        planes, num_changed = compose_frame(frame, scene=scene, patch=patch, occlusion=front, info=clip.info)
        return frame, planes, num_changed, {"scene": scene, "patch": patch, "front": front}

    changed = 0
    layers = zip(clip.read_frames(), scenes, fronts, _read_character(job, clip.info), strict=True)
    for frame, planes, num_changed, parts in map_in_order(put_together, layers):
        changed += num_changed
        look.add(frame, planes, num_changed=num_changed, **parts)
        yield planes
        job.progress(frame.idx + 1, clip.num_frames)
    look.save(job.outputs[look_at])
    job.facts["changed"] = round(changed / (clip.num_frames * clip.size[0] * clip.size[1]), 4)
    job.note(f"{100 * job.facts['changed']:.1f} % of the pixels changed; all others are the source's own")


def _before_backdrop(job: Job, look_at: Slot) -> Iterator[list[NDArray]]:
    from engine.compositor import compose as compose_frame
    from engine.report import LookWriter
    from engine.threads import map_in_order
    from engine.video import Frame

    info = tables.read_clip(job.inputs[slots.CLIP])
    times = tables.read_frames(job.inputs[slots.FRAMES])
    backdrop = Backdrop(job.inputs.get(slots.BACKDROP), job.params.color, info.size)
    look = LookWriter(info)

    def put_together(layers):
        idx, (behind, (rgba, shadow)) = layers
        frame, patch = Frame(idx, behind, info), _cut(rgba, shadow)
        return frame, patch, compose_frame(frame, scene=None, patch=patch, occlusion=None, info=info)[0]

    pictures = _as_planes(backdrop.read(times.time_s), info)
    layers = enumerate(zip(pictures, _read_character(job, info), strict=True))
    for frame, patch, planes in map_in_order(put_together, layers):
        look.add(frame, planes, patch=patch, has_source=False)
        yield planes
        job.progress(frame.idx + 1, info.num_frames)
    look.save(job.outputs[look_at])


def _as_planes(pictures: Iterator[NDArray], info: ClipInfo) -> Iterator[list[NDArray]]:
    from engine.video.color import rgb_to_planes

    shown, planes = None, []
    for rgb in pictures:
        if rgb is not shown:  # a still backdrop is converted once
            shown, planes = rgb, rgb_to_planes(rgb, info)
        yield planes


def _marked(job: Job, frames: Iterator[list[NDArray]]) -> Iterator[list[NDArray]]:
    """The frames, with the visible mark where it is asked for."""
    if not job.params.mark:
        yield from frames
        return
    from engine.compositor import compose as compose_frame
    from engine.video import Frame, draw_mark

    info = tables.read_clip(job.inputs[slots.CLIP])
    mark = draw_mark(info)
    for idx, planes in enumerate(frames):
        yield compose_frame(Frame(idx, planes, info), scene=mark, patch=None, occlusion=None, info=info)[0]
    job.note("the mark is in the lower right corner")


def _note(job: Job) -> str:
    """What the metadata of a result says."""
    if not job.params.note:
        return ""
    who = f'the character "{job.identity}"'
    filmed = slots.VIDEO in job.inputs
    what = f"the person was replaced by {who}" if filmed else f"{who} is animated"
    return f"Made with mimo {__version__}: {what}. Parts: {'; '.join(job.credits)}."


def _encode(job: Job, frames: Iterator, path: Path, mode: str) -> None:
    from engine.video import encode_result

    info = tables.read_clip(job.inputs[slots.CLIP])
    sound = job.inputs.get(slots.VIDEO) or job.inputs.get(slots.BACKDROP)
    times = tables.read_frames(job.inputs[slots.FRAMES])
    final = path if path.suffix in (*PLAIN_SUFFIXES, *ALPHA_SUFFIXES) else path.with_name("frames")
    notes = encode_result(frames, info, times, path, audio_from=sound, mode=mode, final_path=final, note=_note(job))
    for note in notes:
        job.note(note)


def _counted(job: Job, frames: Iterator, num_frames: int) -> Iterator:
    for done, frame in enumerate(frames, start=1):
        yield frame
        job.progress(done, num_frames)


def _open(job: Job, slot, kind: str, info: ClipInfo):
    from engine.video import open_layer

    return open_layer(job.inputs[slot], kind=kind, ours=job.ours(slot), num_frames=info.num_frames, size=info.size)


def _read_character(job: Job, info: ClipInfo) -> Iterator[tuple[NDArray, NDArray]]:
    """The rendered character, straight RGBA, and its shadow, of each frame."""
    human = _open(job, slots.HUMAN, "rgba", info).read()
    return zip(human, _open(job, slots.SHADOW, "gray8", info).read(), strict=True)


def _cut(rgba: NDArray, shadow: NDArray) -> Patch:
    """The part of a frame that shows something, premultiplied."""
    import cv2

    alpha = cv2.extractChannel(rgba, 3)
    x, y, width, height = cv2.boundingRect(cv2.max(alpha, shadow))
    if width == 0:
        return NOTHING
    window = np.s_[y : y + height, x : x + width]
    alpha = alpha[window]
    pixels = rgba.view(np.uint32)[..., 0][window] * (alpha > 0)  # nothing has no colour
    part = pixels.view(np.uint8).reshape(height, width, 4)
    row, column = _partly(alpha)
    edge = part[row, column].astype(np.uint16)
    part[row, column, :3] = (edge[:, :3] * edge[:, 3:] + 127) // 255
    return Patch(x, y, part, shadow[window])


class _FullFrames:
    """Patches as straight RGBA and shadow of the whole frame; each call writes over what the one before returned."""

    def __init__(self, size: Size) -> None:
        self._rgba, self._shadow = np.zeros((*size, 4), np.uint8), np.zeros(size, np.uint8)
        self._window = np.s_[0:0, 0:0]

    def show(self, patch: Patch) -> tuple[NDArray, NDArray]:
        """The frame (H, W, 4) and its shadow (H, W), uint8."""
        self._rgba[self._window], self._shadow[self._window] = 0, 0
        height, width = patch.shadow.shape
        self._window = np.s_[patch.y0 : patch.y0 + height, patch.x0 : patch.x0 + width]
        here = self._rgba[self._window]
        here[:], self._shadow[self._window] = patch.rgba, patch.shadow
        row, column = _partly(patch.rgba[..., 3])
        edge = here[row, column].astype(np.uint16)
        alpha = edge[:, 3:]
        here[row, column, :3] = np.minimum((edge[:, :3] * 255 + alpha // 2) // np.maximum(alpha, 1), 255)
        return self._rgba, self._shadow


def _partly(alpha: NDArray) -> tuple[NDArray, NDArray]:
    """Rows and columns of the pixels that are partly covered."""
    import cv2

    pixels = cv2.findNonZero(cv2.inRange(alpha, 1, 254))
    pixels = np.zeros((0, 2), np.int32) if pixels is None else pixels.reshape(-1, 2)
    return pixels[:, 1], pixels[:, 0]
