"""mimo train: a recipe becomes a network."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mimo_cli import console

if TYPE_CHECKING:
    from engine.training.codec import Codec
    from engine.training.recipe import Recipe
    from engine.training.trainer import StepReport

FREE = ("optim.steps", "optim.minutes", "optim.shard", "validate.", "checkpoint.")
"""What a run may go on with another value of."""


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A .toml file of recipes/, or your own.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Folder of the run [default: runs/RECIPE].")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe.")
    ] = None,
    init: Annotated[
        str, typer.Option("--init", metavar="HOW", help='"recipe", or "random": with no weights to be found.')
    ] = "recipe",
    plan: Annotated[
        bool, typer.Option("--plan", help="Print parameters, memory, time and disk; train nothing.")
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", metavar="N", min=1, help="With --plan: GPUs that share the batch.")
    ] = 1,
) -> None:
    """Train the network from a recipe.

    \b
    mimo train recipes/nano.toml                           learns something on a laptop, from nothing
    mimo train recipes/paper.toml --plan --processes 8     what the paper's run takes
    mimo train recipes/stage1.toml --set optim.lr=2e-5
    accelerate launch -m mimo_cli train recipes/stage1.toml        on several GPUs

    The run's folder holds the recipe, metrics.csv, samples/ and checkpoints/. After a crash type the same command
    again: it goes on from the last checkpoint, to the same bits.
    """
    from engine.errors import UsageError
    from engine.training.recipe import read_recipe

    if init not in ("recipe", "random"):
        raise UsageError(f"--init {init} is none.", fix="use --init recipe or --init random.")
    read = read_recipe(recipe, changes or ())
    if plan:
        _print_plan(read, processes)
        return
    _train(read, Path("runs") / recipe.stem if out is None else out, init)  # type: ignore[arg-type]


def _train(recipe: "Recipe", run: Path, init: Literal["recipe", "random"]) -> None:
    import torch
    from accelerate import PartialState

    from engine.training.checkpoint import load_ema
    from engine.training.start import export_network, make_codec, make_composer, needed_weights
    from engine.weights import find

    for name in needed_weights(recipe, init):  # before any work
        find(name, run / "weights")
    processes = PartialState(cpu=not torch.cuda.is_available())
    if not processes.is_main_process:
        console.use(console.Console(quiet=True))
    with processes.main_process_first():
        _keep_recipe(recipe, run, init)
        _build(recipe)
    voice = console.current()
    codec = make_codec(recipe, init, run / "weights")
    composer = make_composer(recipe, codec, init, run / "weights")

    from engine.training.trainer import Trainer
    from engine.training.validation import Validation

    trainer = Trainer(recipe, composer, codec, run)
    if trainer.step:
        voice.say(f"going on from step {trainer.step}")
    validate = Validation(recipe, codec, run)
    loss, reports = 0.0, []
    begun_s = time.monotonic()
    voice.started("train", f"train {run.name}")
    for report in trainer.train(validate=validate):
        loss = 0.98 * loss + 0.02 * report.loss if loss else report.loss
        voice.progressed("train", report.step, recipe.optim.steps)
        voice.event("step", **vars(report))
        reports.append(report)
        if report.step == trainer.validated:
            best = "" if trainer.best is None else f", best held-out PSNR {trainer.best:.2f} dB"
            voice.noted("train", f"step {report.step}: loss {loss:.4f}{best}")
    voice.finished("train", time.monotonic() - begun_s)
    if not processes.is_main_process:
        return
    if reports:
        _say_speed(recipe, codec, reports, run)
    if export_network(trainer.network(load_ema(run)), recipe, run / "network"):
        voice.say(f"to use it: mimo swap --animator diffusion --network {run / 'network'} {_as_trained(recipe)}...")
    voice.result(run)


def _as_trained(recipe: "Recipe") -> str:
    """The options with which a small network is used as it was validated; the paper's needs none."""
    if recipe.model.codec == "vae":
        return ""
    validate = recipe.validate
    return f"--side {max(64, recipe.data.size)} --steps {validate.num_steps} --guidance {validate.guidance_scale:g} "


def _say_speed(recipe: "Recipe", codec: "Codec", reports: list["StepReport"], run: Path) -> None:
    """Say how fast the steps were and what they took, and write it into `speed.json`."""
    import json

    from engine.training.speed import speed_of

    speed = speed_of(recipe, codec, reports)
    (run / "speed.json").write_text(json.dumps(vars(speed), indent=1), encoding="utf-8")
    memory = f", {speed.gpu_gib:.2f} GiB of GPU memory at most" if speed.gpu_gib else ""
    console.current().say(
        f"{speed.samples_per_s:.3g} clips/s, {speed.utilisation:.0%} of what a matrix product reaches on this "
        f"{speed.device} ({speed.matmul_tflops:.3g} TFLOP/s){memory}"
    )


def _build(recipe: "Recipe") -> None:
    """Draw the clips that the recipe asks for and that are not there."""
    import os

    from engine.synth.dataset import SynthSet
    from engine.training.synthetic import build_synth

    voice, data = console.current(), recipe.data
    for folder, wanted in ((data.shards, data.synth), (data.held_out, data.synth_held_out)):
        if wanted is None or not folder:
            continue
        dataset = SynthSet(
            count=wanted.count,
            seed=wanted.seed,
            identities=wanted.identities,
            size=(data.size, data.size),
            num_frames=wanted.num_frames,
            fps=wanted.fps,
            acts=wanted.acts,
            cast_seed=wanted.cast_seed,
        )
        begun_s = time.monotonic()
        voice.started("synth", f"draw {wanted.count} clips for {folder}")

        def progress(done: int, total: int) -> None:
            voice.progressed("synth", done, total)

        build_synth(dataset, Path(folder), pairs=wanted.pairs, workers=os.cpu_count() or 1, progress=progress)
        voice.finished("synth", time.monotonic() - begun_s)


def _keep_recipe(recipe: "Recipe", run: Path, init: str) -> None:
    """Write the resolved recipe into the run; a run goes on only with the recipe that began it."""
    import json

    from engine.config import to_table
    from engine.errors import InputError

    run.mkdir(parents=True, exist_ok=True)
    path, table = run / "recipe.json", {**to_table(recipe), "init_from": init}
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in _names(table) if _at(table, name) != _at(before, name)]
        changed = [name for name in changed if not name.startswith(FREE)]
        if changed:
            raise InputError(
                f"{run} was begun with {changed[0]} = {_at(before, changed[0])}; now it is {_at(table, changed[0])}.",
                fix=f"train into another folder: --out {run}-2",
            )
    path.write_text(json.dumps(table, indent=1), encoding="utf-8")


def _names(table: dict, prefix: str = "") -> list[str]:
    found = []
    for key, value in table.items():
        found += _names(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return found


def _at(table: Any, name: str) -> Any:
    for key in name.split("."):
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _print_plan(recipe: "Recipe", processes: int) -> None:
    from engine.training.plan import measured_flops, plan_run

    channels, factor = (3 * recipe.model.patch**2, recipe.model.patch) if recipe.model.codec == "pixels" else (4, 8)
    plan = plan_run(recipe, channels, factor, processes=processes)
    here = measured_flops()
    voice = console.current()
    rows = [(f"{part}", f"{count / 1e6:9.2f} M parameters", "") for part, count in plan.parameters.items()]
    step_s = plan.step_flop / here
    gib = 2.0**30
    keeps = recipe.checkpoint.keep + 1
    rows += [
        (
            "trained",
            f"{plan.trained / 1e6:9.2f} M parameters",
            f"{recipe.optim.steps} steps, batch {recipe.optim.batch}",
        ),
        ("one step", f"{plan.step_flop / 1e12:9.3f} TFLOP", f"at least {step_s:.2f} s here ({here / 1e9:.0f} GFLOP/s)"),
        ("memory", f"{(plan.state_bytes + plan.activation_bytes) / gib:9.2f} GiB", _memory(plan, processes)),
        ("disk", f"{plan.checkpoint_bytes * keeps / gib:9.2f} GiB", f"{keeps} checkpoints"),
        ("the run", f"{step_s * recipe.optim.steps / 3600:9.2f} h", "at least, on this machine's CPU"),
    ]
    if voice.as_json:
        voice.event("plan", **{**vars(plan), "step_s": step_s, "processes": processes})
        return
    for name, amount, note in rows:
        print(f"{name:16s}{amount}  {note}".rstrip())


def _memory(plan: Any, processes: int) -> str:
    gib = 2.0**30
    each = f" of each of {processes} processes" if processes > 1 else ""
    return f"{plan.state_bytes / gib:.2f} weights and optimizer, {plan.activation_bytes / gib:.2f} activations{each}"
