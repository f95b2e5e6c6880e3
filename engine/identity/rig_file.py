"""Skeletons of pictures as files a person can edit."""

import difflib
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.identity.skeleton import BODY_PARENTS, complete_body
from engine.types import BODY_JOINTS, JOINTS, PictureJoints, Size

_HEADER = """\
# Joints of the character, in pixels of the cutout (x to the right, y down, from the top-left corner).
# Left and right are the character's own: the left hand of one that faces you is on the right of the picture.
# Move a joint by changing its xy. Add parts of your own (a tail, an ear) with a new name, a parent, and the
# joint of the body whose motion they follow as driver. hidden = true: the picture does not show it.
"""

_KEYS = ("xy", "parent", "driver", "hidden")

_CHAR_CFG_NAMES = {"root": "pelvis", "torso": "neck"} | {
    f"{side}_{theirs}": f"{side}_{ours}"
    for side in ("left", "right")
    for theirs, ours in (
        ("shoulder", "shoulder"), ("elbow", "elbow"), ("hand", "wrist"), ("hip", "hip"), ("knee", "knee"),
        ("foot", "ankle"),
    )
}  # fmt: skip
"""AnimatedDrawings' names to ours. Their left and right are the character's own as well (seen in their examples: the
left hand is on the right of the picture); their torso is the middle of the shoulders, their neck the nose."""


def write_joints(joints: PictureJoints, path: Path) -> None:
    """Write a skeleton as `joints.toml`."""
    lines = [_HEADER, f'source = "{joints.source}"', f"confidence = {joints.confidence:.2f}", "", "[joints]"]
    for k, name in enumerate(joints.names):
        x, y = joints.xy_px[k]
        entry = [f"xy = [{x:.1f}, {y:.1f}]"]
        if joints.parents[k] >= 0:
            entry.append(f'parent = "{joints.names[joints.parents[k]]}"')
        if joints.drivers[k] != name:
            entry.append(f'driver = "{joints.drivers[k]}"')
        if name in joints.hidden:
            entry.append("hidden = true")
        lines.append(f"{name} = {{ {', '.join(entry)} }}")
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_joints(path: Path) -> PictureJoints:
    """Read a skeleton from `joints.toml`, or from AnimatedDrawings' `char_cfg.yaml`.

    Raises:
        InputError: the file is not a skeleton; the message names the entry and the nearest right word.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "give a joints.toml or a char_cfg.yaml.") from error
    return _read_char_cfg(path, text) if path.suffix.lower() in (".yaml", ".yml") else _read_toml(path, text)


def picture_size(path: Path) -> Size | None:
    """(height, width), pixels, of the picture that a `char_cfg.yaml` was made for; None for other files.

    A `joints.toml` is in pixels of the cutout and needs none.
    """
    path = Path(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return None
    return _char_cfg_size(path.read_text(encoding="utf-8"))


def move_joints(joints: PictureJoints, matrix: NDArray) -> PictureJoints:
    """A skeleton in other pixels: those that (3, 3) `matrix` turns its own into."""
    xy = joints.xy_px.astype(np.float64) @ matrix[:2, :2].T + matrix[:2, 2]
    return replace(joints, xy_px=xy.astype(np.float32))


def _char_cfg_size(text: str) -> Size | None:
    found = {key: int(value) for key, value in re.findall(r"^(height|width):\s*(\d+)\s*$", text, re.MULTILINE)}
    return (found["height"], found["width"]) if len(found) == 2 else None


def _read_toml(path: Path, text: str) -> PictureJoints:
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.", "correct that line, or delete the file.") from error
    _check_keys(path, data, ("source", "confidence", "joints"), "")
    table = data.get("joints")
    if not isinstance(table, dict) or not table:
        raise InputError(f"{path} has no table [joints].", "delete the file to have it made again.")
    for name, entry in table.items():
        _check_entry(path, name, entry, tuple(table))
    names = _in_order(path, table)
    parents = tuple(names.index(table[name]["parent"]) if "parent" in table[name] else -1 for name in names)
    source, confidence = data.get("source", "given"), data.get("confidence", 1.0)
    if not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        raise InputError(f"{path}: confidence is {confidence!r}.", "use a number from 0 to 1.")
    return PictureJoints(
        names=names,
        parents=parents,
        xy_px=np.array([table[name]["xy"] for name in names], np.float32),
        drivers=tuple(table[name].get("driver", name) for name in names),
        confidence=float(confidence),
        source=str(source),
        hidden=tuple(name for name in names if table[name].get("hidden", False)),
    )


def _check_keys(path: Path, table: dict, known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"{path}: unknown key {where}{key}.", _nearest(key, known))


def _nearest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known[:12])}."


def _check_entry(path: Path, name: str, entry: object, names: tuple[str, ...]) -> None:
    """One joint of the table: its keys, its place, its parent, its driver."""
    if not isinstance(entry, dict):
        raise InputError(f"{path}: joints.{name} is {entry!r}.", "write it as { xy = [x, y], parent = ... }.")
    _check_keys(path, entry, _KEYS, f"joints.{name}.")
    xy = entry.get("xy")
    pair = xy if isinstance(xy, list) and len(xy) == 2 else ["", ""]
    if not all(isinstance(v, int | float) and np.isfinite(v) for v in pair):
        raise InputError(f"{path}: joints.{name}.xy is {xy!r}.", "use two numbers, e.g. xy = [120.0, 84.5].")
    parent = entry.get("parent")
    if name == "pelvis" and parent is not None:
        raise InputError(f"{path}: pelvis has the parent {parent!r}.", "it is the root: remove its parent.")
    if name != "pelvis" and parent not in names:
        raise InputError(f"{path}: joints.{name}.parent is {parent!r}.", _nearest(str(parent), names))
    if name not in JOINTS and "driver" not in entry:
        raise InputError(
            f"{path}: joints.{name} has no driver, and the body has no {name}.",
            f'{_nearest(name, JOINTS)} Or add driver = "pelvis", or another joint of the body.',
        )
    if entry.get("driver", "pelvis") not in JOINTS:
        raise InputError(f"{path}: joints.{name}.driver is {entry['driver']!r}.", _nearest(entry["driver"], JOINTS))


def _in_order(path: Path, table: dict) -> tuple[str, ...]:
    """Names so that parents come first and the pelvis leads."""
    for k, name in enumerate(BODY_JOINTS):
        if name not in table:
            raise InputError(f"{path} has no {name}.", "add it; hidden = true if the picture does not show it.")
        parent = BODY_JOINTS[BODY_PARENTS[k]] if k else None
        if parent is not None and table[name]["parent"] != parent:
            raise InputError(f"{path}: joints.{name}.parent is {table[name]['parent']!r}.", f"it is {parent}.")
    order, left = ["pelvis"], [name for name in table if name != "pelvis"]
    while left:
        ready = [name for name in left if table[name]["parent"] in order]
        if not ready:
            raise InputError(f"{path}: {', '.join(left)} hang on each other in a ring.", "give one of them a parent.")
        order.append(ready[0])  # one at a time: the file's own order stays where it can
        left.remove(ready[0])
    return tuple(order)


def _read_char_cfg(path: Path, text: str) -> PictureJoints:
    entries = _char_cfg_entries(text)
    points: dict[str, NDArray] = {}
    for entry in entries:
        if entry["name"] in _CHAR_CFG_NAMES and len(entry["loc"]) == 2:
            points[_CHAR_CFG_NAMES[entry["name"]]] = np.array(entry["loc"])
    missing = [theirs for theirs, ours in _CHAR_CFG_NAMES.items() if ours not in points]
    if missing:
        raise InputError(f"{path} has no joint {missing[0]}.", "give a char_cfg.yaml with AnimatedDrawings' 16 joints.")
    nose = next((np.array(entry["loc"]) for entry in entries if entry["name"] == "neck"), None)
    if nose is not None and len(nose) == 2:
        points["head"] = points["neck"] + 0.45 * (nose - points["neck"])
    return complete_body(points, confidence=1.0, source="given", size=_char_cfg_size(text))


def _char_cfg_entries(text: str) -> list[dict]:
    """The items of `skeleton:` in the one shape AnimatedDrawings writes: loc (two numbers), name, parent."""
    entries: list[dict] = []
    for raw in text.splitlines():
        line = raw.split("#")[0].rstrip()
        number = re.fullmatch(r"\s*-\s*(-?\d+(?:\.\d+)?)", line)
        pair = re.fullmatch(r"\s*(-\s+)?(\w+):\s*(.*)", line)
        if number and entries:
            entries[-1]["loc"].append(float(number[1]))
        elif pair:
            if pair[1]:
                entries.append({"name": "", "loc": []})
            if entries and pair[2] == "name":
                entries[-1]["name"] = pair[3].strip("'\"")
            elif entries and pair[2] == "loc" and pair[3]:
                entries[-1]["loc"] = [float(value) for value in re.findall(r"-?\d+(?:\.\d+)?", pair[3])]
    return entries
