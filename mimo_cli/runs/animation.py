"""Settings of the animate stage: which animator, and how each of them works."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from engine.errors import RecipeError

MAX_WINDOW = 32
"""Frames that the motion modules know positions for."""


@dataclass(frozen=True, kw_only=True)
class AnimateParams:
    """How the character stands in the scene."""

    animator: Literal["puppet", "diffusion"] = "puppet"
    """The embedded puppet, or the MIMO network."""
    scale: float = 1.0
    """Height of the character over the height of the person replaced; the puppet's."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Metres the character is moved by: to the right, up, towards the viewer; the puppet's."""
    stiff: bool = False
    """Tails and ears do not swing; the puppet's."""
    shadow: float = 0.7
    """Strength of the contact shadow, 0 ... 1; the puppet's."""
    match_light: bool = True
    """Bring brightness and cast of the character to those of the scene; the puppet's."""
    motion_blur: bool = True
    """Smear what moves fast as much as the source does; the puppet's."""

    network: str = "mimo"
    """The network: a name of `mimo weights list`, of a folder of weights, or a path."""
    vae: str = "sd-vae-ft-mse"
    """Its VAE."""
    image_encoder: str = "image-encoder"
    """Its CLIP image encoder."""
    pose: Literal["auto", "sdc", "surface", "skeleton"] = "auto"
    """What shows it the motion: "sdc" to the published network, "surface" to one trained here, "skeleton" to Moore's;
    auto: by the name of the network."""
    reference: Literal["auto", "cutout", "canonical"] = "auto"
    """The character as in its picture, or in A-pose; auto: as the network was trained."""
    side: int = 784
    """Side of the picture the network makes, pixels, a multiple of 8; crops are scaled to it and back."""
    steps: int = 25
    """Denoising steps."""
    guidance: float = 3.5
    """How far to go past the prediction that knows the character; 1 or below: no guidance, half the time."""
    window: int = 24
    """Frames made together, at most 32."""
    overlap: int = 4
    """Frames that neighbouring windows share."""
    windows: Literal["stream", "closed"] = "stream"
    """"closed": the published closed loop, for which a crop has to fit into memory from first to last frame."""
    seed: int = 42
    """Of the noise."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the network's numbers; auto: float16 on a GPU, as published, float32 on a CPU."""
    anchor: bool = True
    """Keep colours where the reference put them, over long clips."""
    region: Literal["figure", "box"] = "figure"
    """What is shown: what differs from the scene, or the whole crop with a faded border, as the published code."""
    fast: bool = False
    """Fewer steps, and features reused between them: another result, in about a fifth of the time."""

    def __post_init__(self) -> None:
        if not 0.05 <= self.scale <= 20:
            raise RecipeError(f"animate.scale is {self.scale}.", fix="use 0.05 to 20; 1 is the height of the person.")
        if not all(abs(metres) <= 100 for metres in self.offset):
            raise RecipeError(f"animate.offset is {list(self.offset)}.", fix="use metres, at most 100 each way.")
        if not 0 <= self.shadow <= 1:
            raise RecipeError(f"animate.shadow is {self.shadow}.", fix="use 0 (none) to 1 (black).")
        if self.side % 8 or not 64 <= self.side <= 2048:
            raise RecipeError(f"animate.side is {self.side}.", fix="use a multiple of 8 from 64 to 2048, e.g. 784.")
        if not 1 <= self.steps <= 1000:
            raise RecipeError(f"animate.steps is {self.steps}.", fix="use 1 to 1000, e.g. 25.")
        if not 2 <= self.window <= MAX_WINDOW:
            raise RecipeError(f"animate.window is {self.window}.", fix=f"use 2 to {MAX_WINDOW} frames, e.g. 24.")
        if not 1 <= self.overlap < self.window:
            raise RecipeError(f"animate.overlap is {self.overlap}.", fix=f"use 1 to {self.window - 1} frames, e.g. 4.")


_PUPPETS = ("scale", "offset", "stiff", "shadow", "match_light", "motion_blur")


def resolve(params: AnimateParams) -> AnimateParams:
    """Decide what "auto" is on this machine, and forget what the animator does not read, so that it changes nothing."""
    defaults = AnimateParams()
    if params.animator == "puppet":
        others = [field.name for field in fields(params) if field.name not in ("animator", *_PUPPETS)]
        return replace(params, **{name: getattr(defaults, name) for name in others})
    params = replace(params, **{name: getattr(defaults, name) for name in _PUPPETS})
    params = replace(params, pose=pose_of(vars(params)), **_own_parts(params.network))
    if params.precision == "auto":
        import torch

        params = replace(params, precision="float16" if torch.cuda.is_available() else "float32")
    return params


def _own_parts(network: str) -> dict[str, str]:
    """The VAE and the image encoder that lie beside a network in its folder: it was trained with them."""
    folder = Path(network) / "network" if (Path(network) / "network").is_dir() else Path(network)
    parts = {"vae": folder / "vae", "image_encoder": folder / "image_encoder"}
    return {name: str(path) for name, path in parts.items() if (path / "config.json").is_file()}


def pose_of(settings: Mapping[str, Any]) -> Any:
    """Tell what shows the motion to the network of some settings: "sdc", "surface" or "skeleton"."""
    pose, network = settings.get("pose", "auto"), settings.get("network", "mimo")
    if pose != "auto":
        return pose
    return "sdc" if network == "mimo" else "skeleton" if network == "moore-animate-anyone" else "surface"


def weights_of(params: AnimateParams) -> tuple[str, ...]:
    """Return the names of the weights that an animator needs."""
    return (params.network, params.vae, params.image_encoder) if params.animator == "diffusion" else ()
