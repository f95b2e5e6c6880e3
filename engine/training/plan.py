"""What a run will take, before it starts: parameters, memory, time per step, disk."""

import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.training.batch import MAP_PER_LATENT, Batch
from engine.training.composer import Composer
from engine.training.recipe import PARTS, Recipe

BACKWARD = 2.0
"""A backward pass computes twice what the forward pass did; with checkpointing that is done once more."""

SEEN = 10
"""One pixel in so many sees the body."""


@dataclass(frozen=True)
class Plan:
    """Estimates of a run."""

    parameters: dict[str, int]
    """Of each part."""
    trained: int
    """Parameters that learn."""
    step_flop: float
    """Floating-point operations of one optimizer step, all processes together."""
    state_bytes: float
    """Weights, gradients, AdamW's two averages and the averaged weights, of one process."""
    activation_bytes: float
    """What a forward pass keeps for the backward pass, of one process; measured, not guessed, when a step was tried."""
    checkpoint_bytes: float
    """One checkpoint on disk."""


def plan_run(recipe: Recipe, channels: int, factor: int, *, processes: int = 1) -> Plan:
    """Count what a run takes, without memory: the network is laid out on torch's meta device.

    Args:
        recipe: of the run.
        channels: of the codec's latents; factor: its pixels along one side of a latent.
        processes: that share the batch.
    """
    codec = _Layout(channels, factor)
    with torch.device("meta"):
        composer = Composer(recipe.model, codec, image_encoder=_published_encoder(recipe))  # type: ignore[arg-type]
        batch = _one(recipe, codec)
        noisy, timesteps = torch.empty_like(batch.target_BCTHW), torch.zeros(1, dtype=torch.int64)
        counter, kept = FlopCounterMode(display=False), _Kept(composer, recipe)
        with counter, torch.no_grad():
            composer(noisy, timesteps, batch)
    parameters = {part: 0 for part in PARTS}
    for part, _, parameter in composer.parts():
        parameters[part] += parameter.numel()
    single = recipe.data.frames == 1
    learning = [part for part in recipe.optim.train if not (single and part == "motion_modules")]
    trained, total = sum(parameters[part] for part in learning), sum(parameters.values())
    passes = 1 + BACKWARD + (1 if recipe.optim.gradient_checkpointing else 0)
    optimizer = 2 if recipe.optim.eight_bit else 8
    micro = recipe.optim.batch / processes / recipe.optim.accumulate
    return Plan(
        parameters=parameters,
        trained=trained,
        step_flop=counter.get_total_flops() * passes * recipe.optim.batch,
        state_bytes=4.0 * total + trained * (4.0 + 4.0 + optimizer),
        activation_bytes=micro * kept.num_bytes,
        checkpoint_bytes=4.0 * total * 2 + 8.0 * trained,
    )


def measured_flops(device: str = "cpu", precision: str = "fp32") -> float:
    """Floating-point operations a second of this machine in a matrix product, as a floor for the time of a step.

    Args:
        device: "cpu" or "cuda".
        precision: "fp32" or "bf16", as `OptimRecipe`.
    """
    side, wait = (1024, lambda: None) if device == "cpu" else (8192, torch.cuda.synchronize)
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    for _ in range(2):
        torch.matmul(a, a)
    wait()
    started_s, count = time.monotonic(), 0
    while time.monotonic() - started_s < 0.3:
        torch.matmul(a, a)
        wait()
        count += 1
    return count * 2 * side**3 / (time.monotonic() - started_s)


@dataclass(frozen=True)
class _Layout:
    """The shape of a codec, without one."""

    channels: int
    factor: int


def _published_encoder(recipe: Recipe) -> torch.nn.Module | None:
    if recipe.model.codec == "pixels":
        return None
    from transformers.models.clip.configuration_clip import CLIPVisionConfig
    from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

    large = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=224,
        patch_size=14,
        projection_dim=recipe.model.cross_attention_dim,
    )
    return CLIPVisionModelWithProjection(large)


def _one(recipe: Recipe, codec: _Layout) -> Batch:
    """One sample without values."""
    side, frames, model = recipe.data.size // codec.factor, recipe.data.frames, recipe.model
    large = side * MAP_PER_LATENT
    latents = torch.empty(1, codec.channels, frames, side, side)
    codes = torch.empty(1, codec.channels * (model.scene + model.occlusion), frames, side, side)
    seen = frames * large * large // SEEN
    drawn, picture = model.motion == "codes", 64 if model.codec == "pixels" else 224
    return Batch(
        target_BCTHW=latents,
        codes_BCTHW=codes if model.scene or model.occlusion else None,
        reference_BCHW=latents[:, :, 0],
        picture_BCHW=torch.empty(1, 3, picture, picture),
        pixel_P=torch.zeros(seen, dtype=torch.int64) if drawn else None,
        face_P=torch.zeros(seen, dtype=torch.int32) if drawn else None,
        bary_P3=torch.empty(seen, 3) if drawn else None,
        skeleton_BCTHW=None if drawn else torch.empty(1, 3, frames, large, large),
    )


class _Kept:
    """Counts the bytes that one sample keeps: outputs of all leaf layers, or of all blocks with checkpointing."""

    def __init__(self, composer: Composer, recipe: Recipe) -> None:
        self.num_bytes = 0.0
        self._each = 2.0 if recipe.optim.precision == "bf16" else 4.0
        whole = ("BasicTransformerBlock", "TemporalBlock", "ResnetBlock2D")
        for module in composer.modules():
            is_kept = (
                type(module).__name__ in whole if recipe.optim.gradient_checkpointing else not any(module.children())
            )
            if is_kept:
                module.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            self.num_bytes += output.numel() * self._each
