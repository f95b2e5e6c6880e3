"""project.toml: read strictly, written once, and from then on changed one line at a time."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.config import nearest
from engine.errors import InputError, RecipeError

SCHEMA = 1
"""Form of project.toml. A file with a higher number was written by a newer mimo and is refused."""

FILE = "project.toml"


def read_settings(folder: Path) -> dict[str, Any]:
    """Read project.toml.

    Raises:
        InputError: it is not there, is no TOML, or was written by a newer mimo.
    """
    path = folder / FILE
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if not folder.exists():
            raise InputError(f"{folder} is not there.", fix="make a project first: mimo decompose VIDEO") from None
        raise InputError(
            f"{folder} is not a project of mimo: it has no {FILE}.", fix="make one: mimo decompose VIDEO"
        ) from None
    except NotADirectoryError:
        raise InputError(
            f"{folder} is a file, not a project folder.", fix="make a project: mimo decompose VIDEO"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(
            f"{path} is not TOML: {error}.", fix=f"open {path} in an editor and mend that line."
        ) from error
    schema = settings.get("schema")
    if not isinstance(schema, int):
        raise RecipeError(f"{path} has no schema.", fix=f"add as its first line: schema = {SCHEMA}")
    if schema > SCHEMA:
        raise InputError(
            f"{folder} was made by a newer mimo (form {schema}; this one knows {SCHEMA}).",
            fix="update mimo: git pull && pip install .   (in mimo's folder)",
        )
    return settings


def set_line(text: str, table: str, key: str, value: Any) -> str:
    """Return TOML text in which `[table] key` has a new value; every other line stays as it is."""
    line = f"{key} = {_toml(value)}"
    lines = text.split("\n")
    header = next((idx for idx, row in enumerate(lines) if re.match(rf"\s*\[\s*{re.escape(table)}\s*\]", row)), None)
    if header is None:
        return text.rstrip("\n") + f"\n\n[{table}]\n{line}\n"
    end = next((idx for idx in range(header + 1, len(lines)) if re.match(r"\s*\[", lines[idx])), len(lines))
    for idx in range(header + 1, end):
        if re.match(rf"\s*{re.escape(key)}\s*=", lines[idx]):
            comment = re.search(r'\s+#[^"\']*$', lines[idx])
            lines[idx] = line + (comment.group() if comment else "")
            return "\n".join(lines)
    while end > header + 1 and not lines[end - 1].strip():
        end -= 1
    return "\n".join([*lines[:end], line, *lines[end:]])


def first_text(root: Path, sources: Mapping[str, Path], params: Mapping[str, Mapping], stages: Iterable[str]) -> str:
    """Return the text of a new project.toml.

    Args:
        root: the project folder, absolute.
        sources: name to file.
        params: stage name to setting to value.
        stages: names of the stages that have settings.
    """
    names = ", ".join(stages)
    text = f"""\
# This file is yours: mimo reads it, and writes only what you say on the command line.
# To change how a stage works, add its table and the setting, e.g.
#     [people]
#     person = 2
# `mimo status` shows what that would run again. Stages with settings: {names or "none"}.
schema = {SCHEMA}

[source]
# Of several places the first that exists is used.
"""
    for name, path in sources.items():
        text += f"{name} = {_toml(source_value(root, path))}\n"
    for table, values in params.items():
        for key, value in values.items():
            text = set_line(text, table, key, value)
    return text


def source_value(root: Path, path: Path) -> list[str] | str:
    """Return a source as project.toml names it: also relative when it lies inside or beside the project."""
    path = path.resolve()
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    if path.is_relative_to(root.parent):
        return [f"../{path.relative_to(root.parent).as_posix()}", str(path)]
    return str(path)


def first_there(root: Path, value: str | list[str]) -> Path:
    """Return the first place of a source that exists, else the last one, absolute."""
    places = [root / Path(place).expanduser() for place in ([value] if isinstance(value, str) else value)]
    return next((place for place in places if place.exists()), places[-1]).resolve()


def check_tables(settings: Mapping[str, Any], tables: list[str], known: list[str]) -> None:
    """Refuse what means nothing.

    Args:
        settings: all of project.toml.
        tables: names of the stages.
        known: names of the sources.

    Raises:
        RecipeError: a table, a source or a form that does not exist; the nearest name is offered.
    """
    for key, value in settings.items():
        if key not in ("schema", "source", *tables):
            raise RecipeError(f"[{key}] in {FILE} is not a stage.", fix=nearest(key, ["source", *tables], "tables"))
        if key != "schema" and not isinstance(value, Mapping):
            raise RecipeError(f"{key} in {FILE} is not a table.", fix=f"write it as [{key}]")
    for name, value in settings.get("source", {}).items():
        if name not in known:
            raise RecipeError(f"source.{name} is not a source.", fix=nearest(name, known, "sources"))
        places = [value] if isinstance(value, str) else value
        if not (isinstance(places, list) and places and all(isinstance(place, str) and place for place in places)):
            raise RecipeError(f"source.{name} is not a path.", fix=f'write it in quotes: {name} = "/path/to/file"')


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        signs = "".join(
            f"\\u{ord(sign):04x}" if ord(sign) < 32 or ord(sign) == 127 else sign
            for sign in value.replace("\\", "\\\\")
        )
        return '"' + signs.replace('"', '\\"') + '"'
    return repr(value)
