"""light, shutter: how the scene lights who stands in it and how it was filmed, measured once for every character."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.types import Puppet
from mimo_cli import slots, tables
from mimo_cli.runs.motion import read_body
from mimo_cli.runs.source import open_source
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.animator.light import Light, SceneLight
    from engine.video import Clip

NUM_FRAMES = 7
NUM_FAST_FRAMES = 8
"""Frames that are looked at for what moves fast."""
SHUTTER_TEXT = """# Share of the time between frames that the shutter was open; 0 is sharp. What is fast is smeared so.
shutter = {:.4f}
"""
SCENE_TEXT = """# The scene around the person: mean colour (0 ... 1), blur (pixels), noise (levels of 0 ... 255).
# A saturation of 0 makes the character grey, as in a film without colours; 1 leaves it its own.
rgb = [{rgb[0]:.4f}, {rgb[1]:.4f}, {rgb[2]:.4f}]
blur_px = {blur_px:.4f}
grain = {grain:.4f}
saturation = {saturation:.4f}
"""
FIGURE_TEXT = """# How scene and source look to the character. `grain` (levels of 0 ... 255) may be changed: 0 is none.
gain_rgb = [{gain_rgb[0]:.4f}, {gain_rgb[1]:.4f}, {gain_rgb[2]:.4f}]
ambient = {ambient:.4f}
blur_px = {blur_px:.4f}
grain = {grain:.4f}
"""


def light(job: Job) -> None:
    """Read colour, blur and grain of the scene from a few frames around the person."""
    from engine.animator.light import measure_scene

    clip = open_source(job)
    picks = np.unique(np.linspace(0, clip.num_frames - 1, NUM_FRAMES).astype(int)).tolist()
    seen = measure_scene(clip.pick(picks), _masks(job, clip, picks))
    job.outputs[slots.SCENE_LIGHT].write_text(SCENE_TEXT.format(**vars(seen)), encoding="utf-8")


def shutter(job: Job) -> None:
    """Read from the frames in which limbs are fastest how long the shutter was open."""
    found = _measure_shutter(job)
    job.outputs[slots.SHUTTER].write_text(SHUTTER_TEXT.format(found), encoding="utf-8")
    if found:
        job.note(f"the source's shutter is open {100 * found:.0f} % of the time: what moves fast will be smeared alike")


def _measure_shutter(job: Job) -> float:
    from engine.animator.shutter import FAST_PX, estimate_shutter, limbs_in_picture

    clip = open_source(job)
    motion = read_body(job, tables.read_frames(job.inputs[slots.FRAMES]).time_s)
    limbs, tall = limbs_in_picture(motion, tables.read_camera(job.inputs[slots.CAMERA], clip.num_frames))
    if len(limbs) < 3:
        return 0.0
    steps = np.gradient(limbs, axis=0)
    speed = np.sort(np.linalg.norm(steps, axis=-1), axis=1)[:, -2]  # one alone may be a slip
    fastest = np.argsort(-speed, kind="stable")[:NUM_FAST_FRAMES]
    picks = sorted(int(idx) for idx in fastest if speed[idx] >= FAST_PX)
    if not picks:
        return 0.0
    frames = list(zip(clip.pick(picks), _masks(job, clip, picks), strict=True))
    return estimate_shutter(frames, [limbs[idx] for idx in picks], [steps[idx] for idx in picks], 0.06 * tall)


def _masks(job: Job, clip: "Clip", picks: list[int]) -> Iterator[NDArray]:
    """The mask of the person (H, W) uint8 in some frames."""
    from engine.video import open_layer

    ours = job.ours(slots.HUMAN_MASK)
    mask = open_layer(job.inputs[slots.HUMAN_MASK], kind="gray8", ours=ours, num_frames=clip.num_frames, size=clip.size)
    return (next(iter(mask.read(idx, idx + 1))) for idx in picks)


def light_on(job: Job, puppet: Puppet) -> "Light":
    """The light of the scene on a character."""
    from engine.animator.light import match_light

    return match_light(read_scene_light(job.inputs[slots.SCENE_LIGHT]), puppet)


def read_scene_light(path: Path) -> "SceneLight":
    """Read `layers/light.toml`; raises InputError when a value is missing."""
    from engine.animator.light import SceneLight

    table = _numbers(path, "rgb", "blur_px", "grain", saturation=1.0)
    return SceneLight(**{**table, "rgb": tuple(table["rgb"])})


def write_light(path: Path, light: "Light") -> None:
    """Write `render/NAME/light.toml`."""
    path.write_text(FIGURE_TEXT.format(**vars(light)), encoding="utf-8")


def read_grain(path: Path) -> float:
    """Read the grain in `render/NAME/light.toml`; raises InputError when there is none."""
    return float(_numbers(path, "grain")["grain"])


def read_shutter(path: Path) -> float:
    """Read `layers/shutter.toml`; raises InputError when it holds no share of time."""
    found = float(_numbers(path, "shutter")["shutter"])
    if not 0 <= found <= 1:
        raise InputError(f"{path}: shutter is {found}.", "use 0 (sharp) to 1 (open all the time).")
    return found


def _numbers(path: Path, *names: str, **otherwise: float) -> dict:
    """The named numbers and triples of numbers of a TOML file; those with a default may be missing."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        values = {name: table[name] for name in names} | {
            name: table.get(name, value) for name, value in otherwise.items()
        }
        if not all(np.isfinite(np.array(value, float)).all() for value in values.values()):
            raise ValueError("a value is not a number")
        if len(values.get("rgb", (0, 0, 0))) != 3:
            raise ValueError("rgb is not three numbers")
        return values
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "delete it and mimo makes a new one.") from error
