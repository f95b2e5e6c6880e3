"""A recipe: everything a training run depends on, in one strict TOML file."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.config import from_table
from engine.errors import InputError, RecipeError

PARTS = ("codes", "pose_encoder", "reference_net", "denoising_unet", "motion_modules", "image_encoder")
"""What can be trained: boxes of the paper's figure; the motion modules are counted apart from the UNet they sit in."""


@dataclass(frozen=True, kw_only=True)
class SynthRecipe:
    """Clips that are made when the shards are not there yet; see `engine.synth.dataset`."""

    count: int
    """Clips."""
    seed: int = 0
    identities: int = 4
    """Different actors; clip i shows actor i modulo this."""
    num_frames: int = 16
    fps: float = 12.0
    acts: tuple[str, ...] = ()
    """Motions that occur, of `engine.synth.motions.MOTIONS`; empty: all."""
    cast_seed: int | None = None
    """Seed of the actors, where it is to be another than that of motions and places."""
    pairs: bool = False
    """Every clip a second time with another actor: twice the clips, and held-out ones are the true answer to a swap."""

    def __post_init__(self) -> None:
        from engine.config import nearest
        from engine.synth.motions import MOTIONS

        for name in self.acts:
            if name not in MOTIONS:
                raise RecipeError(f"acts names {name}.", fix=nearest(name, MOTIONS, "motions"))


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """Which clips, and how they are cut."""

    shards: str
    """Folder of .tar shards."""
    held_out: str = ""
    """Folder of shards for validation; empty: none."""
    size: int
    """Pixels, square."""
    frames: int
    """Frames of a training sample; 1 trains on single pictures."""
    stride: int = 1
    """Every how many frames of the clip; 4 in the paper."""
    cache_mib: int = 512
    """Memory for clips that stay decoded and drawn."""
    keep_latents: bool = False
    """Encode every clip once and keep its latents beside the shards; only with codec "vae"."""
    synth: SynthRecipe | None = None
    synth_held_out: SynthRecipe | None = None

    def __post_init__(self) -> None:
        if self.size % 32 or self.size < 32:
            raise RecipeError(f"data.size is {self.size}.", fix="use a multiple of 32.")
        if not 1 <= self.frames <= 32:
            raise RecipeError(f"data.frames is {self.frames}.", fix="use 1 to 32: the motion modules hold 32 frames.")


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """The size of the network and which codes it gets; the defaults are the paper's model."""

    codec: Literal["vae", "pixels"] = "vae"
    """"vae": latents of SD 1.5's image codec; "pixels": blocks of pixels as channels, nothing to download."""
    patch: int = 4
    """Side of a block, pixels; only with codec "pixels"."""
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    """One number a level; the lowest level does not attend."""
    layers_per_block: int = 2
    cross_attention_dim: int = 768
    num_attention_heads: int = 8
    norm_num_groups: int = 32
    code_channels: int = 16
    """Channels of a learned vertex code."""
    scene: bool = True
    """Give the scene code; without it the network has to make up the whole frame."""
    occlusion: bool = True
    """Give the occlusion code."""
    motion: Literal["codes", "skeleton"] = "codes"
    """Learned codes on the body's surface, or a drawn 2D skeleton."""
    reference: Literal["canonical", "frame"] = "canonical"
    """The A-posed identity, or a frame of another clip of the same identity."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveRecipe:
    """What is minimised."""

    prediction: Literal["v", "epsilon", "x0"] = "v"
    """What the network says: v and the noise as published; the clean latents learn fastest where the codes tell nearly
    everything and the network is too narrow to pass the noise through."""
    zero_terminal_snr: bool = True
    """Lin et al. 2023; not with prediction "epsilon": at the last step there is no signal to take noise from."""
    min_snr_gamma: float = 5.0
    """Hang et al. 2023; 0: every timestep counts the same."""
    noise_offset: float = 0.0
    """Share of noise that is the same over the whole picture."""
    drop_reference: float = 0.1
    """Share of samples whose identity is withheld, for classifier-free guidance."""

    def __post_init__(self) -> None:
        if self.zero_terminal_snr and self.prediction == "epsilon":
            raise RecipeError(
                "objective.zero_terminal_snr does not go with prediction epsilon.",
                fix='set prediction = "v", or zero_terminal_snr = false.',
            )
        if not 0 <= self.drop_reference < 1:
            raise RecipeError(f"objective.drop_reference is {self.drop_reference}.", fix="use 0 to less than 1.")


@dataclass(frozen=True, kw_only=True)
class OptimRecipe:
    """How it is minimised."""

    steps: int
    """Optimizer steps."""
    minutes: float = 0.0
    """Stop after so many minutes of one start of the command, with everything that comes after the last step; 0: after
    `steps` alone."""
    batch: int
    """Clips a step, over all processes."""
    lr: float = 1e-5
    """Peak learning rate, reached after warm-up."""
    warmup_steps: int = 500
    """Optimizer steps, linear from zero."""
    decay: Literal["none", "cosine"] = "none"
    """After warm-up: stay, or go down to a hundredth at the last step."""
    accumulate: int = 1
    """Parts a batch is computed in, one after the other, to save memory."""
    clip_norm: float = 1.0
    weight_decay: float = 0.01
    ema: float = 0.9999
    """Decay of the averaged weights that are validated and delivered."""
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    shard: bool = False
    """Share the weights out among the processes (FSDP), as `accelerate launch --use_fsdp` does too."""
    eight_bit: bool = False
    """AdamW with 8-bit states, when bitsandbytes is installed."""
    train: tuple[str, ...] = PARTS
    """Parts that learn; all others are frozen."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate"):
            if getattr(self, name) < 1:
                raise RecipeError(f"optim.{name} is {getattr(self, name)}.", fix="use 1 or more.")
        if self.minutes < 0:
            raise RecipeError(f"optim.minutes is {self.minutes}.", fix="use 0 for no limit, or a positive number.")
        if self.lr <= 0:
            raise RecipeError(f"optim.lr is {self.lr}.", fix="use a positive number, e.g. 1e-5.")
        if self.batch % self.accumulate:
            raise RecipeError(
                f"optim.batch {self.batch} cannot be computed in {self.accumulate} parts.", fix="choose a divisor."
            )
        for part in self.train:
            if part not in PARTS:
                from engine.config import nearest

                raise RecipeError(f"optim.train names {part}.", fix=nearest(part, PARTS, "parts"))


@dataclass(frozen=True, kw_only=True)
class InitRecipe:
    """Where the weights come from; empty names are random."""

    stable_diffusion: str = ""
    """Name in `mimo weights list` of a Stable Diffusion 1.5 folder."""
    motion_module: str = ""
    """Name of an AnimateDiff file."""
    run: str = ""
    """A run folder whose last weights are taken, e.g. stage 1's."""


@dataclass(frozen=True, kw_only=True)
class ValidateRecipe:
    """Looks at held-out clips in between."""

    every: int = 1000
    """Optimizer steps."""
    clips: int = 4
    num_steps: int = 20
    """Denoising steps."""
    guidance_scale: float = 2.0


@dataclass(frozen=True, kw_only=True)
class CheckpointRecipe:
    """What is kept on disk."""

    every: int = 1000
    """Optimizer steps."""
    keep: int = 3
    """Newest checkpoints; the best one by validation is kept besides."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a run depends on."""

    data: DataRecipe
    model: ModelRecipe = field(default_factory=ModelRecipe)
    objective: ObjectiveRecipe = field(default_factory=ObjectiveRecipe)
    optim: OptimRecipe
    init: InitRecipe = field(default_factory=InitRecipe)
    validate: ValidateRecipe = field(default_factory=ValidateRecipe)
    checkpoint: CheckpointRecipe = field(default_factory=CheckpointRecipe)
    seed: int = 0


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe with everything it extends.

    Args:
        path: the .toml file; `extends = "other.toml"` is looked for beside it.
        changes: "optim.lr=1e-4" and the like, as TOML values.

    Returns:
        The recipe, checked.

    Raises:
        InputError: a file is missing.
        RecipeError: not TOML, a circle of `extends`, an unknown key (the nearest is offered), a bad value.
    """
    table = _read(path, ())
    for change in changes:
        _set(table, change)
    return from_table(Recipe, table, table=path.stem)


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise RecipeError(f"{path} extends itself.", fix="cut the circle of extends.")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path} is not there.", fix="ls recipes shows the recipes.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{path} is not TOML: {error}.", fix="mend that line.") from error
    parent = table.pop("extends", None)
    if parent is None:
        return table
    return _merged(_read(path.parent / str(parent), (*seen, path.resolve())), table)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both_tables else value
    return merged


def _set(table: dict[str, Any], change: str) -> None:
    """Apply one --set; a value that is no TOML is text."""
    name, equals, text = change.partition("=")
    if not equals or not name:
        raise RecipeError(f"--set {change} is not a setting.", fix="write --set optim.lr=1e-4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = name.split(".")
    for key in path:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise RecipeError(f"{name}: {key} is not a table.", fix="check the name.")
    table[last] = value
