"""Recipes: strict, extended, changed from the shell; those we ship can be read."""

import pytest

from engine.errors import InputError, RecipeError
from engine.training.recipe import read_recipe

NANO = "[data]\nshards = 'x'\nsize = 64\nframes = 4\n[optim]\nsteps = 10\nbatch = 2\n"


def test_a_recipe_extends_another(tmp_path):
    (tmp_path / "one.toml").write_text(NANO)
    (tmp_path / "two.toml").write_text('extends = "one.toml"\n[optim]\nlr = 1e-3\n[model]\ncodec = "pixels"\n')
    recipe = read_recipe(tmp_path / "two.toml", ["optim.steps=30", "data.shards=other", "model.scene=false"])
    assert (recipe.optim.lr, recipe.optim.batch, recipe.optim.steps) == (1e-3, 2, 30)
    assert (recipe.data.shards, recipe.model.scene, recipe.model.codec) == ("other", False, "pixels")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("optim.lrr=3", "did you mean lr"),
        ("optim.lr=-1", "positive"),
        ("optim.lr=fast", "a number"),
        ("optim", "write --set"),
        ("data.size=50", "multiple of 32"),
        ("data.frames=40", "1 to 32"),
        ("optim.accumulate=4", "divisor"),
        ("objective.prediction=epsilon", "zero_terminal_snr"),
        ('optim.train=["denoiser"]', "denoising_unet"),
        ("optim.lr.peak=1", "a number"),
        ("seed.peak=1", "whole number"),
        ("data.size.a.b=1", "not a table"),
    ],
)
def test_a_wrong_value_is_refused_with_what_to_type(tmp_path, change, says):
    (tmp_path / "one.toml").write_text(NANO)
    with pytest.raises(RecipeError) as caught:
        read_recipe(tmp_path / "one.toml", [change])
    assert says in str(caught.value)


def test_missing_broken_and_circular_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="not there"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[data\n")
    with pytest.raises(RecipeError, match="not TOML"):
        read_recipe(tmp_path / "broken.toml")
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(RecipeError, match="extends itself"):
        read_recipe(tmp_path / "a.toml")


def test_our_recipes_are_the_papers():
    from filmed import ROOT

    paper = read_recipe(ROOT / "recipes" / "paper.toml")
    assert (paper.data.size, paper.data.frames, paper.data.stride) == (768, 24, 4)  # PAPER 4
    assert (paper.optim.steps, paper.optim.batch) == (50_000, 8)
    assert "image_encoder" not in paper.optim.train
    one, two = (read_recipe(ROOT / "recipes" / f"stage{number}.toml") for number in (1, 2))
    assert (one.data.frames, one.optim.steps, one.optim.batch) == (1, 30_000, 64)  # Animate Anyone's two stages
    assert "motion_modules" not in one.optim.train and two.optim.train == ("motion_modules",)
    for path in (ROOT / "recipes").glob("*.toml"):
        read_recipe(path)
