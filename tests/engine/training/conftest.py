"""A network of the real classes at the smallest sizes, and three clips for it."""

from pathlib import Path

import pytest
import torch

from engine.synth.dataset import SynthSet
from engine.training.codec import PixelCodec
from engine.training.composer import Composer
from engine.training.recipe import CheckpointRecipe, DataRecipe, ModelRecipe, ObjectiveRecipe, OptimRecipe, Recipe
from engine.training.synthetic import build_synth
from engine.training.trainer import Trainer

MODEL = ModelRecipe(
    codec="pixels",
    patch=4,
    block_out_channels=(32, 32, 64, 64),
    cross_attention_dim=16,
    num_attention_heads=2,
    norm_num_groups=8,
    code_channels=4,
)


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-shards")
    build_synth(SynthSet(count=3, identities=2, size=(32, 32), num_frames=4, fps=6), folder)
    return folder


@pytest.fixture
def tiny_recipe(tiny_shards):
    def make(*, steps: int = 4, model: ModelRecipe = MODEL, batch: int = 2, every: int = 2, **optim) -> Recipe:
        return Recipe(
            data=DataRecipe(shards=str(tiny_shards), size=32, frames=2),
            model=model,
            objective=ObjectiveRecipe(drop_reference=0.4),
            optim=OptimRecipe(steps=steps, batch=batch, lr=1e-3, warmup_steps=2, ema=0.9, **optim),
            checkpoint=CheckpointRecipe(every=every, keep=2),
        )

    return make


@pytest.fixture
def tiny_trainer():
    def make(recipe: Recipe, run: Path) -> Trainer:
        torch.manual_seed(recipe.seed)
        codec = PixelCodec(recipe.model.patch)
        return Trainer(recipe, Composer(recipe.model, codec), codec, run)

    return make
