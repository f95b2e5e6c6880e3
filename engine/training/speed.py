"""How fast the steps of a run were, beside the floor that this machine's matrix products set."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from accelerate import PartialState

from engine.training.codec import Codec
from engine.training.plan import measured_flops, plan_run
from engine.training.recipe import Recipe
from engine.training.trainer import StepReport


@dataclass(frozen=True)
class Speed:
    """Of the steps that one start of the command took; validation and checkpoints are not counted."""

    device: str
    processes: int
    steps: int
    seconds: float
    """Of all steps."""
    samples_per_s: float
    """Clips, over all steps and processes; the first steps, which read and draw the clips, are among them."""
    step_s: float
    """Median."""
    wait_s: float
    """Of all steps, until the data was there."""
    gpu_gib: float
    """The most GPU memory that tensors took; 0 without a GPU."""
    step_tflop: float
    """Counted operations of a step, all processes together."""
    matmul_tflops: float
    """TFLOP/s of a large matrix product in the recipe's precision, measured."""
    utilisation: float
    """The floor of a step, its operations at that rate, over its median: 0 ... 1."""


def speed_of(recipe: Recipe, codec: Codec, reports: Sequence[StepReport]) -> Speed:
    """Sum up the steps, count their operations and measure a matrix product.

    Args:
        recipe: of the run.
        codec: of the latents.
        reports: of the steps; one at least.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    seconds, step_s = sum(one.step_s for one in reports), median(one.step_s for one in reports)
    processes = PartialState().num_processes
    flop = plan_run(recipe, codec.channels, codec.factor).step_flop
    flops = measured_flops(kind, recipe.optim.precision)
    return Speed(
        device=torch.cuda.get_device_name() if kind == "cuda" else "CPU",
        processes=processes,
        steps=len(reports),
        seconds=seconds,
        samples_per_s=len(reports) * recipe.optim.batch / seconds,
        step_s=step_s,
        wait_s=sum(one.wait_s for one in reports),
        gpu_gib=max(one.gpu_gib for one in reports),
        step_tflop=flop / 1e12,
        matmul_tflops=flops / 1e12,
        utilisation=flop / (processes * flops) / step_s,
    )
