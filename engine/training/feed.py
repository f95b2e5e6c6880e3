"""What the steps compute with, made ahead of them by threads where a GPU would wait for it."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.training.batch import Stack, stack
from engine.training.codec import Codec
from engine.training.objective import draw_noise
from engine.training.recipe import Recipe
from engine.training.samples import Sample, Samples, dropped, noise_seed

MOST_THREADS = 12


@dataclass(frozen=True)
class Portion:
    """What a process computes at once: some places of the batch of a step."""

    about: list[dict[str, int | tuple[int, ...]]]
    """Of each sample: clip, frames and timestep."""
    pictures: Stack
    noise_BCTHW: Tensor
    timesteps_B: Tensor

    def pinned(self) -> "Portion":
        """The same in memory that a GPU reads by itself."""
        noise, timesteps = self.noise_BCTHW.pin_memory(), self.timesteps_B.pin_memory()
        return replace(self, pictures=self.pictures.pinned(), noise_BCTHW=noise, timesteps_B=timesteps)


class Feed:
    """Gives portions in the order in which steps take them."""

    def __init__(
        self, samples: Samples, recipe: Recipe, codec: Codec, places: list[list[int]], *, clip_side: int, threads: int
    ) -> None:
        """Start nothing yet.

        Args:
            samples: to cut.
            recipe: of the run.
            codec: of the latents; only their shape is asked for.
            places: of the batch that fall to this process, a list for each part of a step.
            clip_side: pixels of the picture that the image encoder reads.
            threads: that make portions ahead, in memory from which a GPU reads; 0: each is made when it is asked for.
        """
        side = recipe.data.size // codec.factor
        self._shape = (codec.channels, recipe.data.frames, side, side)
        self._samples, self._recipe, self._places, self._clip_side = samples, recipe, places, clip_side
        self._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) if threads else None
        self._ahead = 1 + -(-threads // len(places))
        """Steps that are being made."""
        self._waiting: dict[tuple[int, int], Future[Portion]] = {}
        """Portions; the samples of each are cut by all threads, so that the first step does not wait for the rest."""

    def take(self, step: int, part: int) -> Portion:
        """The portion of a part of a step; those of the steps after it are begun."""
        if self._pool is None:
            return self.make(step, part)
        last = min(step + self._ahead, self._recipe.optim.steps - 1)
        for soon in range(step, last + 1):
            for of_it in range(len(self._places)):
                if (soon, of_it) not in self._waiting and (soon, of_it) >= (step, part):
                    self._waiting[soon, of_it] = self._begin(self._pool, soon, of_it)
        return self._waiting.pop((step, part)).result()

    def make(self, step: int, part: int) -> Portion:
        """Cut and stack the samples of a part of a step, and draw their noise."""
        places = self._ordered(step, part)
        return self._stack(step, places, [self._cut(step, place) for place in places])

    def _ordered(self, step: int, part: int) -> list[int]:
        """Places of a part, those without identity first."""
        return sorted(self._places[part], key=lambda place: not self._is_dropped(step, place))

    def _is_dropped(self, step: int, place: int) -> bool:
        return dropped(self._recipe.seed, step, place, self._recipe.objective.drop_reference)

    def _cut(self, step: int, place: int) -> Sample:
        return self._samples.draw(step, place, self._recipe.optim.batch)

    def _begin(self, pool: ThreadPoolExecutor, step: int, part: int) -> "Future[Portion]":
        """Have a portion made; its samples are begun before what waits for them, hence nothing waits for ever."""
        places = self._ordered(step, part)
        cut = [pool.submit(self._cut, step, place) for place in places]
        return pool.submit(lambda: self._pinned(self._stack(step, places, [one.result() for one in cut])))

    def _stack(self, step: int, places: list[int], samples: list[Sample]) -> Portion:
        recipe = self._recipe
        num_dropped = sum(self._is_dropped(step, place) for place in places)
        drawn = [
            draw_noise(self._shape, noise_seed(recipe.seed, step, place), recipe.objective.noise_offset)
            for place in places
        ]
        return Portion(
            [
                {"clip": sample.clip_idx, "frames": sample.frame_idx, "timestep": timestep}
                for sample, (_, timestep) in zip(samples, drawn)
            ],
            stack(samples, recipe.model, clip_side=self._clip_side, num_dropped=num_dropped),
            torch.stack([noise for noise, _ in drawn]),
            torch.tensor([timestep for _, timestep in drawn]),
        )

    def close(self) -> None:
        """Let go of what was made for nobody."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._waiting.clear()

    def _pinned(self, portion: Portion) -> Portion:
        return portion.pinned() if torch.cuda.is_available() else portion


def threads_for(device: torch.device, processes: int) -> int:
    """Threads that feed one of `processes` on this machine: none on a CPU, whose cores have the step to compute."""
    if device.type == "cpu":
        return 0
    return max(1, min(MOST_THREADS, (os.cpu_count() or 1) // processes - 1))
