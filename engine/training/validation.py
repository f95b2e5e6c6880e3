"""A look at held-out clips: sample them, measure them, lay them side by side."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engine.diffusion.sampler import Conditions, denoise
from engine.diffusion.windows import SamplingConfig
from engine.metrics.picture import psnr_db
from engine.training.batch import MAP_PER_LATENT, encode, stack
from engine.training.codec import Codec
from engine.training.composer import Composer
from engine.training.objective import draw_noise, training_schedule
from engine.training.recipe import Recipe
from engine.training.samples import Sample, Samples
from engine.training.shards import Shards
from engine.types import ClipInfo, FrameTimes
from engine.video import encode_result
from engine.video.color import rgb_to_planes

SHEET_FRAMES = 4
FILM_FPS = 8


@dataclass
class Scores:
    """Means over clips and frames."""

    psnr_db: list[float] = field(default_factory=list)
    """Of whole frames."""
    psnr_human_db: list[float] = field(default_factory=list)
    """Where the person is seen."""

    def mean(self) -> dict[str, float]:
        """Name to mean."""
        return {name: float(np.mean(values)) for name, values in vars(self).items()}


class Validation:
    """Fixed clips, fixed frames, fixed noise: numbers of two steps, or of two runs, can be compared."""

    def __init__(self, recipe: Recipe, codec: Codec, run: Path, *, folder: str | None = None) -> None:
        """Choose the clips.

        Args:
            recipe: of the run.
            codec: of the latents.
            run: `samples/` is written there.
            folder: shards to look at; by default the held-out ones, else the training ones.
        """
        self._recipe, self._codec, self._run = recipe, codec, run
        data = recipe.data
        shards = Shards(Path(folder or data.held_out or data.shards))
        side = data.size // codec.factor * MAP_PER_LATENT
        samples = Samples(shards, data, recipe.model, map_side=side, seed=recipe.seed)
        span = (data.frames - 1) * data.stride + 1
        self.samples: list[Sample] = []
        self.swaps: list[Sample] = []
        """The same moments with another identity, where the shards have rendered pairs."""
        for idx in range(min(recipe.validate.clips, len(shards))):
            last = int(shards.read(idx).num_frames) - 1
            start = max(last + 1 - span, 0) // 2
            frames = tuple(min(start + number * data.stride, last) for number in range(data.frames))
            self.samples.append(samples.cut(idx, frames, seed=[0, idx]))
            if (pair := samples.pair_of(idx)) is not None:
                self.swaps.append(samples.cut(pair, frames, seed=[0, pair]))

    def __call__(self, composer: Composer, step: int) -> dict[str, float]:
        """Sample all clips, write `samples/step-000500.png` and `.mp4`, and return the means of `Scores` by name.

        Those of swaps are called swap_db and swap_human_db; only where there are rendered pairs.
        """
        shown = [*self.samples, *self.swaps]
        made = [self.sample(composer, sample, number) for number, sample in enumerate(shown)]
        folder = self._run / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"step-{step:06d}.png"), sheet(shown, made)[..., ::-1])
        write_film(film(shown, made), folder / f"step-{step:06d}.mp4")
        means, count = score(self.samples, made).mean(), len(self.samples)
        if self.swaps:
            swapped = score(self.swaps, made[count:]).mean()
            means |= {"swap_db": swapped["psnr_db"], "swap_human_db": swapped["psnr_human_db"]}
        return means

    @torch.no_grad()
    def sample(self, composer: Composer, sample: Sample, number: int) -> NDArray:
        """Denoise one clip: (T, S, S, 3) uint8."""
        recipe, device = self._recipe, next(composer.parameters()).device
        clip_side = int(composer.image_encoder.config.image_size)  # type: ignore[union-attr, arg-type]
        batch = encode(stack([sample], recipe.model, clip_side=clip_side).to(device), self._codec, recipe.model)
        tokens_BSC, reference = composer.identity(batch)
        assert reference is not None
        pose_BCTHW = composer.motion(batch)
        noise_CTHW, _ = draw_noise(tuple(batch.target_BCTHW.shape[1:]), 1000 + number, 0.0)
        latents_BCTHW = denoise(
            composer.denoising_unet,
            training_schedule(recipe.objective),
            noise_CTHW[None].to(device),
            Conditions(reference, tokens_BSC, lambda frames: pose_BCTHW[:, :, frames], batch.codes_BCTHW),
            SamplingConfig(
                num_steps=recipe.validate.num_steps,
                guidance_scale=recipe.validate.guidance_scale,
                window=max(recipe.data.frames, 24),
            ),
        )
        pixels = self._codec.decode(latents_BCTHW[0].transpose(0, 1)).cpu()
        return np.rint((pixels.permute(0, 2, 3, 1).numpy() + 1) * 127.5).astype(np.uint8)


def score(samples: list[Sample], made: list[NDArray]) -> Scores:
    """Measure made clips against the true ones."""
    scores = Scores()
    for sample, frames in zip(samples, made):
        for got, want, mask in zip(frames, sample.rgb, sample.human_mask):
            scores.psnr_db.append(psnr_db(got, want))
            if (mask > 127).any():
                scores.psnr_human_db.append(psnr_db(got, want, mask > 127))
    return scores


def sheet(samples: list[Sample], made: list[NDArray]) -> NDArray:
    """A row a clip: identity, then true and made frames by turns; (H, W, 3) uint8."""
    rows = []
    for sample, frames in zip(samples, made):
        picks = np.unique(np.linspace(0, len(frames) - 1, SHEET_FRAMES).astype(int))
        cells = [sample.reference]
        for idx in picks:
            cells += [sample.rgb[idx], frames[idx]]
        rows.append(np.hstack(cells))
    return np.vstack(rows)


def film(samples: list[Sample], made: list[NDArray]) -> NDArray:
    """A row a clip: identity, true and made, side by side and moving; (T, H, W, 3) uint8."""
    rows = []
    for sample, frames in zip(samples, made):
        still = np.repeat(sample.reference[None], len(frames), 0)
        rows.append(np.concatenate([still, sample.rgb, frames], axis=2))
    return np.concatenate(rows, axis=1)


def write_film(frames: NDArray, path: Path, fps: int = FILM_FPS) -> None:
    """Write (T, H, W, 3) uint8 frames of even size as a video."""
    rate = Fraction(fps)
    info = ClipInfo(
        width=frames.shape[2], height=frames.shape[1], num_frames=len(frames), time_base=1 / rate, rate=rate
    )
    ticks = np.arange(len(frames))
    times = FrameTimes(ticks, ticks / fps, np.full(len(frames), 1 / fps))
    encode_result((rgb_to_planes(frame, info) for frame in frames), info, times, path)
