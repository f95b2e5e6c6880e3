"""The trainer: optimizer steps over shards, on one CPU or many GPUs, that a kill -9 does not change by a bit."""

import json
import math
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast
from torch import Tensor, nn

from engine.errors import InputError, MimoError, MissingError
from engine.training import checkpoint
from engine.training.batch import MAP_PER_LATENT, encode
from engine.training.codec import Codec, VaeCodec
from engine.training.composer import Composer
from engine.training.feed import Feed, Portion, threads_for
from engine.training.latents import KeptLatents
from engine.training.metrics import Log
from engine.training.objective import loss_of, mix, training_schedule, weights_of
from engine.training.recipe import Recipe
from engine.training.samples import Samples
from engine.training.sharding import gathered, gathered_state, parted, parted_state, shard, wants_shards, whole
from engine.training.shards import Shards

Validate = Callable[[Composer, int], dict[str, float]]
"""Given the averaged network and the step: looks at held-out clips; of what it measures "psnr_db" chooses the best."""


@dataclass(frozen=True)
class StepReport:
    """What a step said."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    step_s: float
    wait_s: float
    """Of them, until the data was there."""
    samples_per_s: float
    """Clips, over all processes."""
    gpu_gib: float
    """The most GPU memory that tensors of this process have taken so far; 0 without a GPU."""


class Trainer:
    """Owns the network, its average, the optimizer and the data of one run."""

    def __init__(self, recipe: Recipe, composer: Composer, codec: Codec, run: Path) -> None:
        """Set everything up, and go on from the newest checkpoint of `run` if there is one.

        Args:
            recipe: of the run.
            composer: fresh or loaded weights.
            codec: of the latents.
            run: folder of the run; `checkpoints/` and `metrics.csv` are written there.

        Raises:
            InputError: no shards; the batch cannot be shared among the processes; a damaged checkpoint.
        """
        self.recipe, self.codec, self.run = recipe, codec, run
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),  # else accelerate takes several processes without a GPU for one
            mixed_precision="bf16" if recipe.optim.precision == "bf16" else "no",
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        if isinstance(codec, VaeCodec):
            codec.vae.to(self.accelerator.device)
        self.parts = self._parts()
        self.step, self.best, self.validated = 0, None, 0
        self._freeze(composer)
        self._layout = layout_of(composer)
        if recipe.optim.gradient_checkpointing:
            composer.denoising_unet.enable_gradient_checkpointing()
            composer.reference_net.enable_gradient_checkpointing()
        last = checkpoint.newest(run / "checkpoints")
        state = None if last is None else checkpoint.load(last)
        if state is not None:
            composer.load_state_dict(state.model)
        self.model = self._prepared(composer)
        self.optimizer = self._optimizer()
        self.ema = {name: value.detach().clone() for name, value in _learning(self.composer).items()}
        if state is not None:
            self._resume(state)
        self._alphas = training_schedule(recipe.objective).alphas_cumprod.to(self.accelerator.device)
        self._feed = self._start_feed()

    @property
    def composer(self) -> Composer:
        """The network without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)

    def train(self, *, validate: Validate | None = None) -> Iterator[StepReport]:
        """Take the steps that are left, or those of `optim.minutes`, keeping checkpoints and telling the log.

        Yields:
            A report after every optimizer step.

        Raises:
            InputError: the loss is not a number (the batch that made it is written down), or memory ran out.
        """
        log = Log(self.run, self.step) if self.accelerator.is_main_process else None
        begun_s, last = time.monotonic(), self.step >= self.recipe.optim.steps
        try:
            while not last:
                report = self._one_step()
                if log is not None:
                    log.step(report)
                last = self.step == self.recipe.optim.steps or self._is_over(begun_s)
                if validate is not None and (self.step % self.recipe.validate.every == 0 or last):
                    self._validate(validate, log)
                if self.step % self.recipe.checkpoint.every == 0 or last:
                    self._save()
                yield report
        except RuntimeError as error:
            if (said := _out_of_memory(error)) is not None:
                raise said from error
            raise
        finally:
            self._feed.close()
            if log is not None:
                log.close()

    def network(self, weights: dict[str, Tensor]) -> Composer:
        """A network of its own with whole weights, to look at pictures with, on the same device."""
        copy = deepcopy(self._layout)
        copy.load_state_dict(weights, assign=True)
        return copy.to(self.accelerator.device).eval()

    def _all_averaged(self) -> dict[str, Tensor]:
        """The averaged weights, and the frozen ones as they are: whole, on the main process; nothing on the others."""
        return gathered({**self.composer.state_dict(), **self.ema})

    def _one_step(self) -> StepReport:
        started_s, waited_s = time.monotonic(), 0.0
        lr = self.lr_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses, portions = [], []
        for part in range(self.parts):
            asked_s = time.monotonic()
            portions.append(self._feed.take(self.step, part))
            waited_s += time.monotonic() - asked_s
            loss = self._loss(portions[-1])
            losses.append(loss.detach())
            self.accelerator.backward(loss / self.parts)
        own_L = torch.stack(losses)
        loss = cast(Tensor, self.accelerator.reduce(own_L.mean(), reduction="mean"))
        norm = whole(cast(Tensor, self.accelerator.clip_grad_norm_(self._trained(), self.recipe.optim.clip_norm)))
        self.optimizer.step()
        said = torch.stack([loss, norm.to(loss), *own_L]).tolist()  # the one time in a step that a GPU is waited for
        if not (math.isfinite(said[0]) and math.isfinite(said[1])):
            raise self._not_a_number(said[:2], said[2:], portions)
        self.step += 1
        self._average()
        step_s = time.monotonic() - started_s
        return StepReport(
            self.step, said[0], lr, said[1], step_s, waited_s, self.recipe.optim.batch / step_s, self._peak_gib()
        )

    def _loss(self, portion: Portion) -> Tensor:
        recipe, device = self.recipe, self.accelerator.device
        batch = encode(portion.pictures.to(device), self.codec, recipe.model)
        timesteps_B = portion.timesteps_B.to(device, non_blocking=True)
        noise_BCTHW = portion.noise_BCTHW.to(device, non_blocking=True)
        alphas_B = self._alphas[timesteps_B]
        noisy_BCTHW, wanted_BCTHW = mix(batch.target_BCTHW, noise_BCTHW, alphas_B, recipe.objective.prediction)
        with self.accelerator.autocast():
            predicted_BCTHW = self.model(noisy_BCTHW, timesteps_B, batch)
        return loss_of(predicted_BCTHW, wanted_BCTHW, weights_of(alphas_B, recipe.objective))

    def lr_at(self, step: int) -> float:
        """The learning rate of a step."""
        optim = self.recipe.optim
        if step < optim.warmup_steps:
            return optim.lr * (step + 1) / optim.warmup_steps
        if optim.decay == "none":
            return optim.lr
        along = (step - optim.warmup_steps) / max(optim.steps - optim.warmup_steps, 1)
        return optim.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))

    def _places(self) -> list[list[int]]:
        """The places of the global batch that fall to this process, part by part."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        mine = list(range(rank, self.recipe.optim.batch, world))
        size = len(mine) // self.parts
        return [mine[start : start + size] for start in range(0, len(mine), size)]

    def _peak_gib(self) -> float:
        """The most GPU memory that tensors have taken so far; 0 without a GPU."""
        device = self.accelerator.device
        return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0

    def _is_over(self, begun_s: float) -> bool:
        """Whether `optim.minutes` have passed, by the clock of the main process."""
        if not self.recipe.optim.minutes:
            return False
        passed = torch.tensor(time.monotonic() - begun_s, device=self.accelerator.device)
        return float(cast(Tensor, broadcast(passed))) > 60 * self.recipe.optim.minutes

    def _parts(self) -> int:
        optim, world = self.recipe.optim, self.accelerator.num_processes
        if optim.batch % (world * optim.accumulate):
            raise InputError(
                f"optim.batch is {optim.batch}; {world} processes times optim.accumulate {optim.accumulate} do not "
                "share it evenly.",
                fix=f"use a multiple of {world * optim.accumulate}.",
            )
        return optim.accumulate

    def _start_feed(self) -> Feed:
        recipe, data = self.recipe, self.recipe.data
        shards, kept = Shards(Path(data.shards)), None
        if data.keep_latents and isinstance(self.codec, VaeCodec):
            kept = KeptLatents(shards, self.codec, data.size)
        side = data.size // self.codec.factor * MAP_PER_LATENT
        samples = Samples(shards, data, recipe.model, map_side=side, seed=recipe.seed, kept_latents=kept)
        clip_side = int(self.composer.image_encoder.config.image_size)  # type: ignore[union-attr, arg-type]
        threads = threads_for(self.accelerator.device, self.accelerator.num_processes)
        return Feed(samples, recipe, self.codec, self._places(), clip_side=clip_side, threads=threads)

    def _freeze(self, composer: Composer) -> None:
        single = self.recipe.data.frames == 1  # nothing to learn over time from one frame
        for part, _, parameter in composer.parts():
            parameter.requires_grad_(part in self.recipe.optim.train and not (single and part == "motion_modules"))

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _prepared(self, composer: Composer) -> nn.Module:
        """The network on its device, ready to learn together with those of the other processes."""
        if wants_shards(self.recipe.optim.shard):
            return shard(composer, self.accelerator.device)
        return self.accelerator.prepare(composer)

    def _optimizer(self) -> torch.optim.Optimizer:
        optim, trained = self.recipe.optim, self._trained()
        kind: Any = partial(torch.optim.AdamW, fused=True)  # one pass over the weights instead of a dozen
        if optim.eight_bit:
            if wants_shards(optim.shard):
                raise InputError(
                    "optim.eight_bit does not go with weights that are shared out among processes.",
                    fix="set optim.eight_bit = false, or optim.shard = false and start without --use_fsdp.",
                )
            try:
                from bitsandbytes.optim import AdamW8bit as kind  # type: ignore[import-not-found]
            except ImportError as error:
                raise MissingError(
                    "optim.eight_bit needs bitsandbytes.",
                    fix="pip install bitsandbytes, or --set optim.eight_bit=false",
                ) from error
        return kind(trained, lr=optim.lr, weight_decay=optim.weight_decay)

    @torch.no_grad()
    def _average(self) -> None:
        """The average follows faster while there are few steps to average."""
        decay = min(self.recipe.optim.ema, (1 + self.step) / (10 + self.step))
        learning = _learning(self.composer)
        torch._foreach_lerp_([self.ema[name] for name in learning], list(learning.values()), 1 - decay)  # type: ignore[attr-defined]

    def _validate(self, validate: Validate, log: Log | None) -> None:
        self.validated = self.step
        weights = self._all_averaged()
        if not self.accelerator.is_main_process:
            return
        measured = validate(self.network(weights), self.step)
        psnr = measured["psnr_db"]
        if log is not None:
            log.validation(self.step, measured)
        if self.best is None or psnr > self.best:
            self.best = psnr
            checkpoint.save_best(weights, self.run / "checkpoints", {"step": self.step, "psnr_db": psnr})

    def _save(self) -> None:
        self.accelerator.wait_for_everyone()
        model, averaged = gathered(self.composer.state_dict()), self._all_averaged()
        optimizer = gathered_state(self.optimizer.state_dict())
        if self.accelerator.is_main_process:
            state = checkpoint.State(self.step, model, averaged, optimizer, self.best)
            checkpoint.save(state, self.run / "checkpoints", keep=self.recipe.checkpoint.keep)

    def _resume(self, state: checkpoint.State) -> None:
        self.optimizer.load_state_dict(parted_state(state.optimizer, self._trained()))
        self.ema = {name: parted(state.ema[name], value) for name, value in self.ema.items()}
        self.step, self.best = state.step, state.best

    def _not_a_number(self, said: list[float], own: list[float], portions: list[Portion]) -> MimoError:
        """Write down the batch that broke the run: the parts whose loss is not a number, else all of them."""
        loss, norm = said
        broken = [portion for value, portion in zip(own, portions) if not math.isfinite(value)]
        about = [sample for portion in broken or portions for sample in portion.about]
        rank = f"-{self.accelerator.process_index}" if self.accelerator.num_processes > 1 else ""
        path = self.run / f"nan-step-{self.step:06d}{rank}.json"
        facts = {"loss": str(loss), "grad_norm": str(norm), "batch": about}
        path.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        what = (
            f"loss of step {self.step + 1} is {loss}"
            if not math.isfinite(loss)
            else f"gradient of step {self.step + 1} is {norm}"
        )
        return InputError(
            f"the {what}; the batch that made it is in {path}.",
            fix="lower optim.lr, or take those clips out; the same command goes on from the last checkpoint.",
        )


def layout_of(composer: Composer) -> Composer:
    """A network without weights: all else of it is there."""
    empty = {id(one): nn.Parameter(torch.empty_like(one, device="meta"), False) for one in composer.parameters()}
    return deepcopy(composer, empty)


def _learning(composer: Composer) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in composer.named_parameters() if parameter.requires_grad}


def _out_of_memory(error: RuntimeError) -> MimoError | None:
    """The sentence for memory that ran out; None for any other error."""
    text = str(error).lower()
    if not (isinstance(error, torch.cuda.OutOfMemoryError) or "not enough memory" in text or "out of memory" in text):
        return None
    return InputError(
        "memory ran out in a training step.",
        fix="double optim.accumulate, set optim.gradient_checkpointing = true, or lower data.frames or data.size.",
    )
