"""TOML tables become config dataclasses; what does not fit is refused with a sentence."""

from dataclasses import dataclass
from typing import Literal

import pytest

from engine.config import from_table, nearest, to_table
from engine.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Light:
    strength: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    steps: int
    lr: float = 1e-5
    mode: Literal["fast", "fine"] = "fast"
    size: tuple[int, int] = (64, 64)
    names: tuple[str, ...] = ()
    person: int | None = None
    light: Light = Light()
    shadow: bool = True


def test_values_are_taken_and_widened():
    recipe = from_table(
        Recipe, {"steps": 3, "lr": 1, "size": [4, 5], "names": ["a"], "light": {"strength": 2}}, table="t"
    )
    assert recipe == Recipe(steps=3, lr=1.0, size=(4, 5), names=("a",), light=Light(strength=2.0))
    assert type(recipe.lr) is float  # 1 and 1.0 in a file must be one key


def test_round_trip():
    recipe = Recipe(steps=2, person=4, names=("x", "y"))
    assert from_table(Recipe, {k: v for k, v in to_table(recipe).items() if v is not None}, table="t") == recipe


@pytest.mark.parametrize(
    ("values", "what", "fix"),
    [
        ({}, "t.steps is missing.", "add a line to [t]: steps = ..."),
        ({"steps": 1, "stepps": 2}, "t.stepps is not a setting.", "did you mean steps?"),
        ({"steps": 1.5}, "t.steps is 1.5.", "use a whole number."),
        ({"steps": True}, "t.steps is true.", "use a whole number."),
        ({"steps": 1, "lr": "big"}, 't.lr is "big".', "use a number."),
        ({"steps": 1, "lr": float("nan")}, "t.lr is nan.", "use a finite number."),
        ({"steps": 1, "mode": "best"}, 't.mode is "best".', 'use "fast" or "fine".'),
        ({"steps": 1, "size": [1]}, "t.size has 1 values, not 2.", "give 2 values."),
        ({"steps": 1, "size": 3}, "t.size is 3, not a list.", "write it in brackets: [3]"),
        ({"steps": 1, "person": "me"}, 't.person is "me".', "use a whole number."),
        ({"steps": 1, "light": {"strenth": 1}}, "t.light.strenth is not a setting.", "did you mean strength?"),
        ({"steps": 1, "shadow": 1}, "t.shadow is 1.", "use true or false."),
    ],
)
def test_refusals(values, what, fix):
    with pytest.raises(RecipeError) as caught:
        from_table(Recipe, values, table="t")
    assert (caught.value.what, caught.value.fix) == (what, fix)


def test_nearest_lists_all_when_none_is_near():
    assert nearest("zzzz", ["swap", "animate"], "commands") == "the commands are: swap, animate."
