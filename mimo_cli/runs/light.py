"""light: how the scene lights who stands in it, measured once for every character."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import InputError
from engine.types import Puppet
from mimo_cli import slots
from mimo_cli.runs.source import open_source
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.animator.light import Light, SceneLight

NUM_FRAMES = 7
SCENE_TEXT = """# The scene around the person: mean colour (0 ... 1), blur (pixels), noise (levels of 0 ... 255).
rgb = [{rgb[0]:.4f}, {rgb[1]:.4f}, {rgb[2]:.4f}]
blur_px = {blur_px:.4f}
grain = {grain:.4f}
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
    from engine.video import open_layer

    clip = open_source(job)
    ours = job.ours(slots.HUMAN_MASK)
    mask = open_layer(job.inputs[slots.HUMAN_MASK], kind="gray8", ours=ours, num_frames=clip.num_frames, size=clip.size)
    picks = np.unique(np.linspace(0, clip.num_frames - 1, NUM_FRAMES).astype(int)).tolist()
    masks = (next(iter(mask.read(idx, idx + 1))) for idx in picks)
    seen = measure_scene(clip.pick(picks), masks)
    job.outputs[slots.SCENE_LIGHT].write_text(SCENE_TEXT.format(**vars(seen)), encoding="utf-8")


def light_on(job: Job, puppet: Puppet) -> "Light":
    """The light of the scene on a character."""
    from engine.animator.light import match_light

    return match_light(read_scene_light(job.inputs[slots.SCENE_LIGHT]), puppet)


def read_scene_light(path: Path) -> "SceneLight":
    """Read `layers/light.toml`; raises InputError when a value is missing."""
    from engine.animator.light import SceneLight

    table = _numbers(path, "rgb", "blur_px", "grain")
    return SceneLight(**{**table, "rgb": tuple(table["rgb"])})


def write_light(path: Path, light: "Light") -> None:
    """Write `render/NAME/light.toml`."""
    path.write_text(FIGURE_TEXT.format(**vars(light)), encoding="utf-8")


def read_grain(path: Path) -> float:
    """Read the grain in `render/NAME/light.toml`; raises InputError when there is none."""
    return float(_numbers(path, "grain")["grain"])


def _numbers(path: Path, *names: str) -> dict:
    """The named numbers and triples of numbers of a TOML file."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        values = {name: table[name] for name in names}
        if not all(np.isfinite(np.array(value, float)).all() for value in values.values()):
            raise ValueError("a value is not a number")
        if len(values.get("rgb", (0, 0, 0))) != 3:
            raise ValueError("rgb is not three numbers")
        return values
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "delete it and mimo makes a new one.") from error
