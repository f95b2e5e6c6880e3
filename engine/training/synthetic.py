"""Clips drawn by rule, as training clips in shards."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from engine.synth.clip import SynthClip, make_clip
from engine.synth.dataset import SynthSet, draw_clip, draw_reference, other_actor
from engine.training.shards import CLIPS_PER_SHARD, TrainingClip, write_shards
from engine.types import Progress, quiet

LEAST_CLIPS = 4
"""That a process draws: for fewer it is not worth starting."""


def training_clip(dataset: SynthSet, index: int, *, pair: bool = False) -> TrainingClip:
    """Draw one clip with all its layers.

    Args:
        dataset: the set it belongs to.
        index: which one; the same on any machine.
        pair: also draw the same moment with another actor.

    Raises:
        IndexError: there is no such clip.
    """
    clip = draw_clip(dataset, index)
    about = {
        "identity": _name(clip),
        "source": f"synth seed {dataset.seed} index {index}",
        "motion": clip.spec.motion if isinstance(clip.spec.motion, str) else "file",
        "camera": clip.spec.camera,
        "occluder": clip.spec.occluder,
        "fps": clip.spec.fps,
    }
    if not pair:
        return _drawn(clip, about)
    other = make_clip(other_actor(clip.spec, dataset.identities))
    about["pair_identity"] = _name(other)
    half = _drawn(other, {**about, "identity": _name(other), "pair_identity": _name(clip)})
    return replace(_drawn(clip, about), pair=half)


def _name(clip: SynthClip) -> str:
    return f"actor-{clip.spec.actor_seed}"


def _drawn(clip: SynthClip, about: dict[str, Any]) -> TrainingClip:
    frames = [clip.frame(idx) for idx in range(clip.spec.num_frames)]
    return TrainingClip(
        rgb=np.stack([frame.rgb for frame in frames]),
        scene=np.stack([frame.scene for frame in frames]),
        occlusion=np.stack([frame.occluder for frame in frames]),
        human_mask=np.stack([frame.human[..., 3] for frame in frames]),
        rotvec=clip.motion.rotvec,
        root_m=clip.motion.root_m,
        shape=clip.motion.shape,
        camera=clip.camera,
        reference=draw_reference(clip.spec.actor_seed, clip.spec.size[0]),
        about=about,
    )


def build_synth(
    dataset: SynthSet,
    folder: Path,
    *,
    pairs: bool = False,
    per_shard: int = CLIPS_PER_SHARD,
    workers: int = 1,
    progress: Progress = quiet,
) -> None:
    """Write a set of clips as shards; a killed run goes on with the first shard that is missing.

    Args:
        dataset: what to draw.
        folder: where to.
        pairs: with the other half of a rendered pair.
        per_shard: clips in one file.
        workers: processes that draw; the shards are the same whatever their number.
        progress: in clips.
    """
    one = partial(training_clip, dataset, pair=pairs)
    with _pool(min(workers, dataset.count // LEAST_CLIPS)) as pool:

        def draw(start: int) -> Iterator[TrainingClip]:
            clips = range(start, min(start + per_shard, dataset.count))
            return map(one, clips) if pool is None else pool.map(one, clips)

        for done in write_shards(draw, folder, total=dataset.count, per_shard=per_shard):
            progress(done, dataset.count)


def _pool(workers: int) -> ProcessPoolExecutor | nullcontext[None]:
    """Processes that draw on one core each; none where there is one worker."""
    if workers < 2:
        return nullcontext()
    return ProcessPoolExecutor(workers, get_context("spawn"))
