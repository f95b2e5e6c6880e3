"""TOML holds values, Python holds meaning: turn a table of values into the frozen dataclass that explains them."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from engine.errors import RecipeError

T = TypeVar("T")


def from_table(config: type[T], values: Mapping[str, Any], *, table: str) -> T:
    """Make a config dataclass from the values of one TOML table.

    Args:
        config: a frozen dataclass; fields without a default are required.
        values: keys and values as `tomllib` gives them.
        table: name of the table, for messages ("segment").

    Returns:
        The config, ints widened to float and lists to tuples where the field says so, hence equal values are equal.

    Raises:
        RecipeError: a key the dataclass does not have (the nearest name is offered), a value of the wrong kind,
            a required key that is missing; also whatever the dataclass raises in `__post_init__`.
    """
    hints = typing.get_type_hints(config)
    names = [field.name for field in dataclasses.fields(config) if field.init]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            raise RecipeError(f"{table}.{key} is not a setting.", fix=nearest(key, names, "settings"))
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise RecipeError(f"{table}.{field.name} is missing.", fix=f"add a line to [{table}]: {field.name} = ...")
    return config(**{key: _convert(value, hints[key], f"{table}.{key}") for key, value in values.items()})


def nearest(word: str, names: typing.Iterable[str], kind: str) -> str:
    """Say which name was probably meant, else which ones there are.

    Args:
        word: what was typed.
        names: what exists.
        kind: what they are, plural ("settings", "commands").

    Returns:
        One sentence, without a capital: "did you mean threshold?".
    """
    names = list(names)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]}?"
    return f"the {kind} are: {', '.join(names)}." if names else f"there are no {kind} here."


def to_table(config: object) -> dict[str, Any]:
    """Return every value of a config dataclass as plain JSON values, defaults filled in.

    Args:
        config: a dataclass instance whose values are bool, int, float, str, None, tuples and dataclasses of these.

    Returns:
        Field name to value; tuples become lists.

    Raises:
        TypeError: a value that has no exact JSON form (NaN, infinity, a path, an array).
    """
    return {
        field.name: _plain(getattr(config, field.name), field.name)
        for field in dataclasses.fields(config)  # type: ignore[arg-type]
    }


def _plain(value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_table(value)
    if isinstance(value, tuple | list):
        return [_plain(item, name) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{name} is {value}, which JSON cannot hold")
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}; a setting is a bool, int, float, str or a tuple of these")


def _convert(value: Any, hint: Any, name: str) -> Any:
    """Check one TOML value against the type of its field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, args, name)
    if origin is typing.Literal:
        if value not in args:
            choices = " or ".join(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in args)
            raise RecipeError(f"{name} is {_show(value)}.", fix=f"use {choices}.")
        return value
    if origin is tuple or origin is list:
        return _convert_list(value, args, name)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{name} is {_show(value)}, not a table.", fix=f"write it as a table: [{name}]")
        return from_table(typing.cast(Any, hint), value, table=name)
    if hint is float and type(value) is int:
        return float(value)
    if hint is float and type(value) is float and not math.isfinite(value):
        raise RecipeError(f"{name} is {value}.", fix="use a finite number.")
    if type(value) is not hint:
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}
        raise RecipeError(f"{name} is {_show(value)}.", fix=f"use {kinds.get(hint, str(hint))}.")
    return value


def _convert_union(value: Any, hints: tuple, name: str) -> Any:
    if value is None and type(None) in hints:
        return None
    error = None
    for hint in hints:
        if hint is type(None):
            continue
        try:
            return _convert(value, hint, name)
        except RecipeError as problem:
            error = error or problem
    assert error is not None
    raise error


def _convert_list(value: Any, hints: tuple, name: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise RecipeError(f"{name} is {_show(value)}, not a list.", fix=f"write it in brackets: [{_show(value)}]")
    if (len(hints) == 2 and hints[1] is Ellipsis) or len(hints) == 1:
        hints = (hints[0],) * len(value)
    if len(value) != len(hints):
        raise RecipeError(f"{name} has {len(value)} values, not {len(hints)}.", fix=f"give {len(hints)} values.")
    return tuple(_convert(item, hint, f"{name}[{idx}]") for idx, (item, hint) in enumerate(zip(value, hints)))


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
