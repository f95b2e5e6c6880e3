"""One HTML file that holds everything it shows: no network, no other file, opens from disk."""

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from engine.report.bones import BONES, SIDES
from engine.report.look import Look

_HERE = Path(__file__).parent
SIGN = "<!-- a report of mimo: made anew by every run -->"
"""Second line of every report; a file without it is a person's. The third is its key."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A measure over the frames."""

    title: str
    about: str
    """What is measured, in a sentence."""
    unit: str
    values: NDArray
    """(T,) float; NaN where nothing was measured."""
    beside: NDArray | None = None
    """(T,) float: what to compare it with."""
    beside_name: str = ""
    digits: int = 1
    top: float | None = None
    """The highest value there can be."""


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something to look at, in plain words."""

    text: str
    file: str = ""
    """The file to edit, relative to the project."""
    command: str = ""
    """What to type."""
    frame: int | None = None
    """The frame that shows it best."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a report says."""

    title: str
    key: str
    """Of what it is made from: while that stays the same, so does the page."""
    facts: Sequence[str]
    """Short ones, under the title."""
    num_frames: int
    fps: float
    time_s: Sequence[float]
    """Of the pictured frames."""
    aspect: float
    """Width of the picture as shown over its height."""
    look: Look
    lanes: Mapping[str, tuple[str, str]]
    """Name of a lane to its title and its file."""
    joints_px: NDArray | None
    """(P, 22, 2), pixels of the small pictures, of the pictured frames."""
    planted: NDArray | None
    """(P, 2) bool: left, right foot stands."""
    stills: Sequence[tuple[str, str, bytes]]
    """Title, file and PNG of pictures that do not move."""
    plots: Sequence[Plot]
    warnings: Sequence[Warned]
    stages: Sequence[Mapping[str, str]]
    """`stage`, `about`, `state`, `took`, `notes`, `licence` of what ran."""
    licences: Sequence[Mapping[str, str]]
    """`part`, `licence`, `for`."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Name to a file beside the page."""


def write_page(page: Page, path: Path) -> int:
    """Write a report.

    Args:
        page: what it says.
        path: the .html file; written whole or not at all.

    Returns:
        Its size, bytes.
    """
    template = (_HERE / "page.html").read_text(encoding="utf-8")
    parts = {
        "title": html.escape(page.title),
        "sign": f"{SIGN}\n<!-- {page.key} -->",
        "css": (_HERE / "page.css").read_text(encoding="utf-8"),
        "js": (_HERE / "page.js").read_text(encoding="utf-8"),
        "data": json.dumps(_data(page), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028"),
    }
    for name, text in parts.items():
        template = template.replace("{{" + name + "}}", text)
    data = template.encode()
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
    return len(data)


def _data(page: Page) -> dict[str, Any]:
    look = page.look
    return {
        "facts": list(page.facts),
        "links": dict(page.links),
        "numFrames": page.num_frames,
        "fps": page.fps,
        "time": [round(value, 3) for value in page.time_s],
        "frames": look.frames,
        "size": look.size,
        "aspect": page.aspect,
        "lanes": {
            name: {
                "title": page.lanes[name][0],
                "file": page.lanes[name][1],
                "boxes": lane.boxes,
                "pictures": [base64.b64encode(picture).decode() for picture in lane.pictures],
            }
            for name, lane in look.lanes.items()
            if name in page.lanes
        },
        "motion": page.lanes.get("motion"),
        "bones": BONES,
        "sides": SIDES,
        "joints": None if page.joints_px is None else _numbers(page.joints_px.reshape(len(page.joints_px), -1), 0),
        "planted": None if page.planted is None else page.planted.astype(int).tolist(),
        "stills": [[title, file, base64.b64encode(png).decode()] for title, file, png in page.stills],
        "plots": [_plot(plot) for plot in page.plots],
        "warnings": [asdict(warning) for warning in page.warnings],
        "stages": [dict(stage) for stage in page.stages],
        "licences": [dict(licence) for licence in page.licences],
    }


def _plot(plot: Plot) -> dict[str, Any]:
    return {
        "title": plot.title,
        "about": plot.about,
        "unit": plot.unit,
        "digits": plot.digits,
        "top": plot.top,
        "values": _numbers(plot.values[None], plot.digits + 2)[0],
        "beside": None if plot.beside is None else _numbers(plot.beside[None], plot.digits + 2)[0],
        "besideName": plot.beside_name,
    }


def _numbers(values: NDArray, digits: int) -> list[list[float | None]]:
    """Rows of rounded numbers, null where there is none."""
    return [
        [None if not math.isfinite(value) else round(value, digits) if digits else round(value) for value in row]
        for row in values.tolist()
    ]
