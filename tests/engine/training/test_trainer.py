"""The trainer: to the bit the same with or without an interruption, and with one process or two."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from filmed import ROOT

from engine.errors import InputError
from engine.training import checkpoint
from engine.training.batch import encode, stack
from engine.training.codec import PixelCodec
from engine.training.composer import Composer
from engine.training.plan import plan_run
from engine.training.recipe import ValidateRecipe
from engine.training.samples import Samples
from engine.training.shards import Shards
from engine.training.speed import speed_of


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / "checkpoints" / f"step-{step:06d}").model


def test_an_interrupted_run_is_the_same_to_the_bit(tiny_recipe, tiny_trainer, tmp_path):
    straight = [report.loss for report in tiny_trainer(tiny_recipe(steps=4), tmp_path / "a").train()]
    broken = []
    for report in tiny_trainer(tiny_recipe(steps=4), tmp_path / "b").train():
        broken.append(report.loss)
        if report.step == 3:  # the checkpoint of step 2 is there; step 3 is lost
            break
    again = tiny_trainer(tiny_recipe(steps=4), tmp_path / "b")
    assert again.step == 2
    broken = broken[:2] + [report.loss for report in again.train()]
    assert broken == straight
    a, b = weights(tmp_path / "a", 4), weights(tmp_path / "b", 4)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    rows = (tmp_path / "b" / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3", "4"]


def test_eight_bit_states_learn_nearly_the_same_and_go_on_to_the_bit(tiny_recipe, tiny_trainer, tmp_path):
    """A CPU does it too. Tensors below 4096 numbers keep their states whole; of the rest eight bits: 1 % of a loss."""
    pytest.importorskip("bitsandbytes", reason="8-bit optimizer: pip install bitsandbytes")
    full = [report.loss for report in tiny_trainer(tiny_recipe(steps=4), tmp_path / "full").train()]
    straight = tiny_trainer(tiny_recipe(steps=4, eight_bit=True), tmp_path / "a")
    losses = [report.loss for report in straight.train()]
    assert losses == pytest.approx(full, rel=1e-2) and losses != full
    states = [value for values in straight.optimizer.state.values() for value in values.values()]
    assert any(torch.is_tensor(value) and value.dtype == torch.uint8 for value in states)
    list(tiny_trainer(tiny_recipe(steps=2, eight_bit=True), tmp_path / "b").train())
    again = [report.loss for report in tiny_trainer(tiny_recipe(steps=4, eight_bit=True), tmp_path / "b").train()]
    assert again == losses[2:]
    a, b = weights(tmp_path / "a", 4), weights(tmp_path / "b", 4)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_parts_of_a_batch_add_up(tiny_recipe, tiny_trainer, tmp_path):
    """Accumulating in two parts takes the same step; float32 sums in another order."""
    whole = [report.loss for report in tiny_trainer(tiny_recipe(steps=2), tmp_path / "a").train()]
    parts = [report.loss for report in tiny_trainer(tiny_recipe(steps=2, accumulate=2), tmp_path / "b").train()]
    assert parts == pytest.approx(whole, rel=1e-4)


def test_half_precision_with_checkpointing_takes_nearly_the_same_step(tiny_recipe, tiny_trainer, tmp_path):
    """bf16 keeps eight bits: two losses agree to about one in a hundred; what is computed twice is the same."""
    whole = [report.loss for report in tiny_trainer(tiny_recipe(steps=2), tmp_path / "a").train()]
    saving = {"precision": "bf16", "gradient_checkpointing": True}
    AcceleratorState._reset_state()  # one precision a process: ours are one run each
    try:
        half = [report.loss for report in tiny_trainer(tiny_recipe(steps=2, **saving), tmp_path / "b").train()]
    finally:
        AcceleratorState._reset_state()
    assert half == pytest.approx(whole, rel=2e-2) and half != whole


TWO = """
[data]
shards = "{shards}"
size = 32
frames = 2
[model]
codec = "pixels"
block_out_channels = [32, 64]
layers_per_block = 1
cross_attention_dim = 16
num_attention_heads = 2
norm_num_groups = 8
code_channels = 4
[objective]
drop_reference = 0.4
[optim]
steps = 3
batch = 2
lr = 1e-3
warmup_steps = 2
ema = 0.9
[validate]
every = 2
clips = 1
num_steps = 1
[checkpoint]
every = 2
keep = 2
"""


def losses_of(run: Path) -> list[float]:
    rows = (run / "metrics.csv").read_text().splitlines()[1:]
    return [float(row.split(",")[1]) for row in rows if row.split(",")[1]]


@pytest.mark.slow
@pytest.mark.parametrize("shard", ["false", "true"])
def test_two_processes_see_what_one_sees(shard, tiny_recipe, tiny_trainer, tmp_path):
    """Weights held twice, or shared out: the same losses, and checkpoints that they and one alone go on from."""
    model = replace(tiny_recipe().model, block_out_channels=(32, 64), layers_per_block=1)
    recipe = tiny_recipe(steps=4, model=model)
    one = [report.loss for report in tiny_trainer(recipe, tmp_path / "one").train()]
    (tmp_path / "two.toml").write_text(TWO.format(shards=recipe.data.shards))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command += ["-m", "mimo_cli", "train", str(tmp_path / "two.toml"), "--out", str(tmp_path / "two"), "-q"]
    command += ["--set", f"optim.shard={shard}", "--set"]
    for steps in (2, 3):
        done = subprocess.run(
            [*command, f"optim.steps={steps}"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=500
        )
        assert done.returncode == 0, done.stderr
    alone = [report.loss for report in tiny_trainer(recipe, tmp_path / "two").train()]
    assert len(alone) == 1
    # six printed digits, and gradients summed in another order
    assert losses_of(tmp_path / "two") == pytest.approx(one, rel=1e-3)
    whole, parts = (checkpoint.load(tmp_path / run / "checkpoints" / "step-000004") for run in ("one", "two"))
    for name, tensor in whole.ema.items():  # AdamW divides by what it saw: what is near zero may go either way
        assert (parts.ema[name] - tensor).abs().mean() < 1e-4, name


def test_an_uneven_batch_is_refused(tiny_recipe, tiny_trainer, tmp_path):
    recipe = tiny_recipe()
    odd = replace(recipe, optim=replace(recipe.optim, batch=2, accumulate=1))
    trainer = tiny_trainer(odd, tmp_path)
    trainer.accelerator.state._shared_state["num_processes"] = 4
    try:
        with pytest.raises(InputError, match="share it evenly"):
            trainer._parts()
    finally:
        trainer.accelerator.state._shared_state["num_processes"] = 1


def test_a_loss_that_is_no_number_stops_with_its_batch(tiny_recipe, tiny_trainer, tmp_path):
    trainer = tiny_trainer(tiny_recipe(), tmp_path)
    with torch.no_grad():
        trainer.composer.denoising_unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(InputError, match="nan"):
        next(iter(trainer.train()))
    said = json.loads((tmp_path / "nan-step-000000.json").read_text())
    assert len(said["batch"]) == 2 and {"clip", "frames", "timestep"} <= set(said["batch"][0])


@pytest.mark.parametrize("place", ["forward", "backward"])
def test_memory_that_runs_out_says_which_knob_to_turn(place, tiny_recipe, tiny_trainer, tmp_path):
    trainer = tiny_trainer(tiny_recipe(), tmp_path)

    def fail(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory")

    bias = trainer.composer.denoising_unet.conv_out.bias
    if place == "forward":
        trainer.composer.denoising_unet.register_forward_pre_hook(fail)
    else:
        bias.register_hook(fail)
    with pytest.raises(InputError, match="memory ran out") as refused:
        next(iter(trainer.train()))
    assert "optim.accumulate" in refused.value.fix and "gradient_checkpointing" in refused.value.fix


def test_the_best_by_validation_is_kept(tiny_recipe, tiny_trainer, tmp_path):
    looks = {1: 10.0, 2: 12.0, 3: 11.0, 4: 9.0}
    recipe = replace(tiny_recipe(steps=4), validate=ValidateRecipe(every=1))
    trainer, seen = tiny_trainer(recipe, tmp_path), {}

    def validate(composer, step):
        seen[step] = {name: value.clone() for name, value in composer.state_dict().items()}
        return {"psnr_db": looks[step]}

    list(trainer.train(validate=validate))
    kept = checkpoint.load_ema(tmp_path)
    assert all(torch.equal(kept[name], seen[2][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[4][name]) for name in kept)


def test_the_clock_ends_a_run_as_its_last_step_would(tiny_recipe, tiny_trainer, tmp_path):
    trainer = tiny_trainer(tiny_recipe(steps=4, every=4, minutes=1e-6), tmp_path)
    reports = list(trainer.train(validate=lambda composer, step: {"psnr_db": 8.5}))
    assert [report.step for report in reports] == [1] and trainer.validated == 1
    assert checkpoint.newest(tmp_path / "checkpoints").name == "step-000001"
    speed = speed_of(trainer.recipe, trainer.codec, reports)
    assert speed.samples_per_s == pytest.approx(2 / reports[0].step_s)  # a batch of two
    assert 0 < speed.wait_s < speed.seconds and 0 < speed.utilisation < 1


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_takes_the_same_steps(precision, tiny_recipe, tiny_trainer, tmp_path, monkeypatch):
    """Fed by threads; TF32 keeps ten bits of a product, bf16 seven: losses agree to one or two in a hundred."""
    on_gpu, losses = [True, False], []
    for is_gpu in on_gpu:
        AcceleratorState._reset_state(reset_partial_state=True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda is_gpu=is_gpu: is_gpu)
        trainer = tiny_trainer(tiny_recipe(steps=6, precision=precision), tmp_path / str(is_gpu))
        assert trainer.accelerator.device.type == ("cuda" if is_gpu else "cpu")
        reports = list(trainer.train())
        assert (reports[-1].gpu_gib > 0) == is_gpu
        losses.append([report.loss for report in reports])
    AcceleratorState._reset_state(reset_partial_state=True)
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)


def test_events_are_written_for_tensorboard(tiny_recipe, tiny_trainer, tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard: pip install '.[train]'"
    )
    reports = list(tiny_trainer(tiny_recipe(steps=2), tmp_path).train(validate=lambda composer, step: {"psnr_db": 8.5}))
    events = accumulator.EventAccumulator(str(tmp_path / "events")).Reload()
    assert {"loss", "lr", "grad_norm", "step_s", "psnr_db"} <= set(events.Tags()["scalars"])
    losses = events.Scalars("loss")
    assert [event.step for event in losses] == [1, 2]
    assert [event.value for event in losses] == pytest.approx([report.loss for report in reports])
    assert [(event.step, event.value) for event in events.Scalars("psnr_db")] == [(2, 8.5)]


def test_frozen_parts_stay_and_the_codes_learn(tiny_recipe, tiny_trainer, tmp_path):
    trainer = tiny_trainer(tiny_recipe(steps=2, train=("codes", "pose_encoder")), tmp_path)
    before = {name: value.clone() for name, value in trainer.composer.state_dict().items()}
    list(trainer.train())
    after = trainer.composer.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"codes", "pose_encoder"}


def test_only_the_newest_checkpoints_are_kept_and_half_ones_ignored(tiny_recipe, tiny_trainer, tmp_path):
    list(tiny_trainer(tiny_recipe(steps=3, every=1), tmp_path).train())
    folder = tmp_path / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-000002", "step-000003"]
    (folder / "step-000004.tmp").mkdir()
    assert checkpoint.newest(folder).name == "step-000003"
    (folder / "step-000003" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="damaged"):
        checkpoint.load(folder / "step-000003")


def test_a_sample_without_identity_does_not_see_it(tiny_recipe):
    recipe = tiny_recipe()
    torch.manual_seed(0)
    codec = PixelCodec(4)
    composer = Composer(recipe.model, codec).eval()
    torch.nn.init.normal_(composer.pose_encoder.conv_out.weight, std=0.1)
    samples = Samples(Shards(Path(recipe.data.shards)), recipe.data, recipe.model, map_side=64, seed=0)
    pair = [samples.cut(0, (0, 1), seed=[0]), samples.cut(1, (1, 2), seed=[0])]
    other = [replace(pair[0], reference=pair[1].reference), pair[1]]
    noisy = torch.randn(2, 48, 2, 8, 8)
    batches = [
        encode(stack(two, recipe.model, clip_side=64, num_dropped=num_dropped), codec, recipe.model)
        for num_dropped in (0, 1)
        for two in (pair, other)
    ]
    said = [composer(noisy, torch.tensor([500, 500]), batch) for batch in batches]
    assert not torch.equal(said[0][0], said[1][0])  # with its identity the answer depends on it
    torch.testing.assert_close(said[2][0], said[3][0], rtol=0, atol=0)  # without, it does not
    torch.testing.assert_close(said[2][1], said[0][1], rtol=1e-4, atol=1e-5)  # and its neighbour keeps its own


@pytest.mark.parametrize(
    "change", [{"scene": False}, {"occlusion": False}, {"motion": "skeleton"}, {"reference": "frame"}]
)
def test_every_ablation_takes_a_step(change, tiny_recipe, tiny_trainer, tmp_path):
    recipe = tiny_recipe(steps=1)
    reports = list(tiny_trainer(replace(recipe, model=replace(recipe.model, **change)), tmp_path).train())
    assert len(reports) == 1 and reports[0].grad_norm > 0


def test_the_plan_counts_the_networks_parameters(tiny_recipe):
    recipe = tiny_recipe()
    composer = Composer(recipe.model, PixelCodec(4))
    plan = plan_run(recipe, 48, 4)
    assert sum(plan.parameters.values()) == sum(parameter.numel() for parameter in composer.parameters())
    assert plan.trained == sum(plan.parameters.values())
    assert plan.step_flop > 6 * plan.trained  # every weight meets more than one position, forwards and backwards
