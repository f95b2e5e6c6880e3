"""The paper's model at its full size: what it counts, and one real step of stage 2 on a CPU."""

import resource
import sys

import psutil
import pytest
from filmed import ROOT

from engine.training.plan import plan_run
from engine.training.recipe import ModelRecipe, read_recipe
from engine.training.start import make_codec, make_composer
from engine.training.trainer import Trainer

GIB = 2.0**30
NEEDED_GIB = 16.5


@pytest.mark.slow
def test_the_papers_model_has_the_papers_size(tiny_recipe):
    recipe = tiny_recipe(model=ModelRecipe())
    plan = plan_run(recipe, 4, 8)
    extra = 3 * 3 * 4 * 320  # four more input channels than the release's eight
    assert plan.parameters["denoising_unet"] == 859_532_484 + extra  # counted from the published file's shapes
    assert plan.parameters["reference_net"] == 859_508_800


@pytest.mark.slow
def test_the_papers_model_takes_a_real_step(tiny_shards, tmp_path):
    """Forwards, backwards and AdamW over 2.2 billion weights at 8x8 latents; what the plan said is what it takes."""
    if psutil.virtual_memory().available < NEEDED_GIB * GIB:
        pytest.skip(f"needs {NEEDED_GIB} GiB of free memory")
    tiny = ("data.size=64", "data.frames=2", "data.stride=1", "data.keep_latents=false", "data.held_out=")
    short = ("optim.batch=1", "optim.steps=2", "optim.precision=fp32", "optim.warmup_steps=1", "init.run=")
    recipe = read_recipe(ROOT / "recipes" / "stage2.toml", [f"data.shards={tiny_shards}", *tiny, *short])
    codec = make_codec(recipe, "random")
    trainer = Trainer(recipe, make_composer(recipe, codec, "random"), codec, tmp_path)
    assert sum(parameter.numel() for parameter in trainer.composer.parameters()) > 2.1e9
    module = trainer.composer.denoising_unet.down_blocks[0].motion_modules[0]
    assert not module.proj_out.weight.any()
    report = next(iter(trainer.train()))
    assert report.loss > 0 and report.grad_norm > 0
    assert module.proj_out.weight.any()  # it began at zero
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / GIB
    plan = plan_run(recipe, 4, 8)
    planned_gib = (plan.state_bytes + plan.activation_bytes) / GIB
    print(f"a step of {report.step_s:.0f} s; {peak_gib:.1f} GiB at most, {planned_gib:.1f} planned")
    assert peak_gib < planned_gib + 2  # Python, the libraries, the VAE and a batch
