"""animate, by the network: the character generated where the person of the video is, or as a motion file says."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo, FrameSource, Size
from mimo_cli import slots, tables
from mimo_cli.artifacts import Slot
from mimo_cli.runs.backdrop import Backdrop
from mimo_cli.runs.chunked import write_layers
from mimo_cli.runs.light import read_scene_light, write_light
from mimo_cli.runs.motion import read_body
from mimo_cli.runs.source import open_source
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.animator.diffusion import DiffusionAnimator
    from engine.animator.fragments import BodyFragments
    from engine.animator.shots import RenderConfig
    from engine.diffusion.loaded import LoadedNetwork

POSES: dict[str, Slot] = {"sdc": slots.SDC, "surface": slots.SURFACE, "skeleton": slots.SKELETON}
"""What shows the motion to the network, by the setting `pose`."""
WHITE = "white"
"""What the published network animates a figure before."""


def diffuse(job: Job) -> None:
    """Generate the character in the scene of a video."""
    from engine.animator.diffusion import Shown
    from engine.animator.light import Light

    info = tables.read_clip(job.inputs[slots.CLIP])
    clip = open_source(job)
    shown = Shown(
        pose=_open(job, POSES[job.params.pose], "rgb", info),
        scene=_Frames(info, _scene(job, clip, info)),
        time_s=tables.read_frames(job.inputs[slots.FRAMES]).time_s,
        occlusion=_Frames(info, _in_front(job, clip, info)),
        body=_body(job, info),
    )
    write_light(job.outputs[slots.LIGHT], Light(grain=read_scene_light(job.inputs[slots.SCENE_LIGHT]).grain))
    _render(job, info, shown, alone=False)


def diffuse_alone(job: Job) -> None:
    """Generate the character of a motion file before its backdrop, or before white."""
    from engine.animator.diffusion import Shown

    info = tables.read_clip(job.inputs[slots.CLIP])
    time_s = tables.read_frames(job.inputs[slots.FRAMES]).time_s
    given = job.inputs.get(slots.BACKDROP)
    backdrop = Backdrop(given, "" if given else WHITE, info.size)
    black = np.zeros((*info.size, 3), np.uint8)
    shown = Shown(
        pose=_open(job, POSES[job.params.pose], "rgb", info),
        scene=_Frames(info, lambda start, stop: backdrop.read(time_s[start:stop])),
        time_s=time_s,
        occlusion=_Frames(info, lambda start, stop: iter([black] * (stop - start))),
        body=_body(job, info),
    )
    _render(job, info, shown, alone=given is None)


def draw_skeleton(job: Job) -> None:
    """Draw the person's landmarks as the skeleton that Moore-AnimateAnyone's network reads."""
    from engine.diffusion.skeleton_drawing import draw_landmarks

    info = tables.read_clip(job.inputs[slots.CLIP])
    landmarks = tables.read_landmarks(job.inputs[slots.LANDMARKS], info.num_frames)

    def frames(start: int, stop: int) -> Iterator[tuple[NDArray]]:
        for idx in range(start, stop):
            yield (draw_landmarks(landmarks, idx, info.size),)

    write_layers(job, info.num_frames, info.size, [(slots.SKELETON, "rgb")], frames)


def _render(job: Job, info: ClipInfo, shown, *, alone: bool) -> None:
    from engine.animator.diffusion import DiffusionAnimator
    from engine.video import concat_layers

    config = render_config(job.params, alone=alone)
    animator = DiffusionAnimator(lambda: _load(job), shown, config, progress=job.progress)
    _say_what_comes(job, animator)
    concat_layers(animator.render(job.chunks), job.outputs[slots.HUMAN])
    dark = np.zeros(info.size, np.uint8)
    write_layers(
        job, info.num_frames, info.size, [(slots.SHADOW, "gray8")], lambda start, stop: iter([(dark,)] * (stop - start))
    )
    _say_what_became(job, animator)


def render_config(params, *, alone: bool) -> "RenderConfig":
    """Turn settings of the stage into those of the animator."""
    from engine.animator.shots import RenderConfig
    from engine.diffusion.fast import fast_steps
    from engine.diffusion.windows import SamplingConfig

    num_steps = fast_steps(params.steps) if params.fast else params.steps
    sampling = SamplingConfig(
        num_steps=num_steps, guidance_scale=params.guidance, window=params.window, overlap=params.overlap
    )
    return RenderConfig(
        sampling=sampling,
        seed=params.seed,
        streaming=params.windows == "stream",
        anchor=params.anchor,
        whole_box=params.region == "box",
        alone=alone,
    )


def _load(job: Job) -> "LoadedNetwork":
    from engine.diffusion.checkpoint import variant_of
    from engine.diffusion.loaded import LoadedNetwork
    from engine.diffusion.prepare import prepare_reference
    from engine.video import read_image

    params = job.params
    folders = find_folders(job.weights, params)
    wanted = params.reference
    if wanted == "auto":
        wanted = "canonical" if variant_of(folders.network) == "paper" else "cutout"
    rgba = read_image(job.inputs[slots.CANONICAL if wanted == "canonical" else slots.CUTOUT])
    return LoadedNetwork(
        folders,
        prepare_reference(rgba),
        (params.side, params.side),
        precision=params.precision,
        fast=params.fast,
        device=device(),
        say=job.note,
    )


def find_folders(find: Callable, params):
    """Find the folders of a network: that of its files, its VAE's and its image encoder's."""
    from engine.diffusion.loaded import Folders

    vae, encoder = (_config_folder(find(name)) for name in (params.vae, params.image_encoder))
    return Folders(find(params.network).folder, vae, encoder)


def device() -> str:
    """Return where networks run on this machine; no setting, since it changes no meaning."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _config_folder(found) -> Path:
    """The folder that `from_pretrained` reads: the one with config.json."""
    return next((path.parent for path in found.files if path.name == "config.json"), found.folder)


def _say_what_comes(job: Job, animator: "DiffusionAnimator") -> None:
    shots, windows = len(animator.shots), len(animator.tasks)
    crops = "one crop" if shots == 1 else f"{shots} crops"
    job.note(f"{windows} window{'' if windows == 1 else 's'} of up to {job.params.window} frames in {crops}")


def _say_what_became(job: Job, animator: "DiffusionAnimator") -> None:
    fast = animator.network.fast if animator.network is not None else None
    if fast is not None and fast.difference is not None:
        job.facts["fast_difference"] = round(fast.difference, 4)
        job.note(
            f"--fast is another result: {render_config(job.params, alone=False).sampling.num_steps} steps instead of "
            f"{job.params.steps}; a reused prediction was {100 * fast.difference:.1f} % away from a whole one"
        )
    drift = animator.drift.per_minute()
    job.facts |= {"windows": len(animator.tasks), "crops": [shot.box for shot in animator.shots]}
    if drift is not None:
        job.facts["drift_per_minute"] = round(drift, 2)
        job.note(f"the figure's colour drifts by {drift:.1f} levels of 255 a minute")


class _Frames:
    """A `FrameSource` out of a function."""

    def __init__(self, info: ClipInfo, read: Callable[[int, int], Iterator[NDArray]]) -> None:
        self._read, self.num_frames = read, info.num_frames
        self.size: Size = info.size

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """See `FrameSource.read`."""
        return self._read(start, self.num_frames if stop is None else stop)


def _scene(job: Job, clip: FrameSource, info: ClipInfo) -> Callable[[int, int], Iterator[NDArray]]:
    """The source without the person: the scene layer over the source."""
    layer = _open(job, slots.SCENE, "rgba", info)

    def read(start: int, stop: int) -> Iterator[NDArray]:
        for rgb, rgba in zip(clip.read(start, stop), layer.read(start, stop), strict=True):
            alpha = rgba[..., 3:].astype(np.uint16)
            yield ((rgb * (255 - alpha) + rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)

    return read


def _in_front(job: Job, clip: FrameSource, info: ClipInfo) -> Callable[[int, int], Iterator[NDArray]]:
    """The source where something passes in front, black elsewhere."""
    layer = _open(job, slots.OCCLUSION, "gray8", info)

    def read(start: int, stop: int) -> Iterator[NDArray]:
        for rgb, mask in zip(clip.read(start, stop), layer.read(start, stop), strict=True):
            yield ((rgb * mask[..., None].astype(np.uint16) + 127) // 255).astype(np.uint8)

    return read


def _body(job: Job, info: ClipInfo) -> "BodyFragments | None":
    """The body itself, where the network reads its surface."""
    if job.params.pose != "surface":
        return None
    from dataclasses import replace

    from engine.animator.fragments import BodyFragments
    from mimo_cli.runs.conditions import read_shape, seen_by

    motion = read_body(job, tables.read_frames(job.inputs[slots.FRAMES]).time_s)
    motion = replace(motion, shape=read_shape(job.inputs[slots.SHAPE]))
    return BodyFragments(motion, seen_by(job, info, motion))


def _open(job: Job, slot: Slot, kind: str, info: ClipInfo):
    from engine.video import open_layer

    return open_layer(job.inputs[slot], kind=kind, ours=job.ours(slot), num_frames=info.num_frames, size=info.size)
