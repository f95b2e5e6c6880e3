"""What a report has to say: plots of what was measured, and in plain words what is worth a look."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mimo_cli import slots
from mimo_cli.artifacts import Slot
from mimo_cli.licences import parts_of
from mimo_cli.plan import Step

if TYPE_CHECKING:
    from engine.report import Plot, Warned

LOW_CONFIDENCE = 0.5
"""Of landmarks: below it BlazePose itself calls a pose a guess."""
AREA_JUMP = 0.35
"""Change of the mask against the median of the frames around, share of it."""
AROUND = 7
"""Frames of that median, and of the one for flicker."""
SLIDE_MM = 15.0
"""A planted foot that moves more in 1/30 s is seen to slide."""
FLICKER_TIMES, FLICKER_LEVELS = 2.5, 4.0
"""A frame that jumps this much more than usual, and by at least so many levels."""
DRIFT_LEVELS = 10.0
"""A character of a network whose colour is this far off is seen to change."""
JOINTS_SURE = 0.5
MAX_OF_A_KIND = 3


@dataclass(kw_only=True)
class Seen:
    """What was measured of a clip of T frames; None where there was nothing to measure."""

    num_frames: int
    joints_px: NDArray | None = None
    """(T, 22, 2), pixels of the small pictures."""
    planted: NDArray | None = None
    """(T, 2) bool."""
    slide_mm: NDArray | None = None
    """(T,), see `engine.report.bones`."""
    area: NDArray | None = None
    """(T,), share of the picture that the mask of the person covers."""
    confidence: NDArray | None = None
    """(T,), 0 ... 1."""
    series: Mapping[str, NDArray] = field(default_factory=dict)
    """Of `engine.report.measures`."""


def plots(seen: Seen) -> list["Plot"]:
    """Return the plots for what was measured."""
    from engine.report import Plot

    made = []
    if seen.area is not None:
        about = "Share of the picture that the mask of the person covers. Jumps are frames to look at."
        made.append(Plot(title="Mask area", about=about, unit=" %", values=100 * seen.area))
    if seen.confidence is not None:
        about = "How sure the landmarks of the person are, 0 to 1; 0 where nobody was seen."
        made.append(Plot(title="Confidence", about=about, unit="", values=seen.confidence, digits=2, top=1))
    if "outside" in seen.series and seen.series["changed"].min() < 1:
        about = "Pixels that differ from the source where no scene, shadow or character was laid; before encoding."
        made.append(
            Plot(
                title="Changed outside the edit",
                about=about,
                unit=" %",
                values=100 * seen.series["outside"],
                beside=None,
                digits=2,
            )
        )
        about = "Pixels that differ from the source, of the whole picture; before encoding."
        made.append(Plot(title="Changed pixels", about=about, unit=" %", values=100 * seen.series["changed"]))
    if "flicker" in seen.series:
        about = "How far the edited region is from both its neighbours in time, levels of 255."
        beside = seen.series.get("flicker_source")
        made.append(
            Plot(
                title="Flicker",
                about=about,
                unit="",
                values=seen.series["flicker"],
                beside=beside,
                beside_name="the source in the same place",
            )
        )
    if seen.slide_mm is not None:
        about = "How far a planted foot of the motion moves, millimetres in 1/30 s."
        made.append(Plot(title="Foot slide", about=about, unit=" mm", values=seen.slide_mm))
    if (away := drift_of(seen)) is not None:
        about = "How far the mean colour of the character is from that of its first second, levels of 255."
        made.append(Plot(title="Drift", about=about, unit="", values=away))
    return made


def drift_of(seen: Seen) -> NDArray | None:
    """Return how far the character's mean colour is from where it began, (T,) levels; None where there is none."""
    color = seen.series.get("color")
    if color is None or not np.isfinite(color).any():
        return None
    there = np.flatnonzero(np.isfinite(color[:, 0]))
    first = color[there[: max(1, min(24, len(there)))]].mean(0)
    return np.abs(color - first).max(-1)


def warnings(
    seen: Seen,
    steps: Iterable[Step],
    records: Mapping[str, Mapping[str, Any]],
    name: Callable[[Slot], str],
    identity: str,
    project: str,
    *,
    network: bool = False,
) -> list["Warned"]:
    """Return what is worth a look, with the file to edit.

    Args:
        seen: what was measured.
        steps: the state of every stage.
        records: stage id to record.
        name: gives the file of a slot as a person reads it.
        identity: of the character, or empty.
        project: name of the project's folder.
        network: a network made the pictures of the character.
    """
    where = shlex.quote(project)
    who = f" --character {shlex.quote(identity)}" if identity else ""
    go_on = f"mimo {'swap' if name(slots.VIDEO) else 'animate'} --project {where}{who}"
    joints = f"mimo edit {where} joints{who}"
    found = [*_of_project(steps, records, name, identity, go_on, joints)]
    found += _of_frames(seen, name)
    if network:
        found += _of_network(seen, f"{go_on} --seed N")
    return found


def _of_frames(seen: Seen, name: Callable[[Slot], str]) -> Iterable["Warned"]:
    from engine.report import Warned

    mask, body = name(slots.HUMAN_MASK), name(slots.BODY)
    if seen.confidence is not None:
        nobody = seen.confidence <= 0
        for start, stop in _runs(nobody):
            text = (
                f"Nobody is seen {_frames(start, stop)}; the character is left out there, or carried over a short gap."
            )
            yield Warned(text=text, file=mask, frame=start)
        for start, stop in _runs((seen.confidence < LOW_CONFIDENCE) & ~nobody):
            low = float(seen.confidence[start:stop].min())
            text = f"The pose is a guess {_frames(start, stop)} (confidence down to {low:.2f})."
            yield Warned(text=text, file=body, frame=start + int(np.argmin(seen.confidence[start:stop])))
    if seen.area is not None:
        around = _median_around(seen.area)
        jump = np.abs(seen.area - around) / np.maximum(around, 0.002)
        for start, stop in _runs(jump > AREA_JUMP):
            worst = start + int(np.argmax(jump[start:stop]))
            way = "more" if seen.area[worst] > around[worst] else "less"
            text = f"The mask covers {100 * jump[worst]:.0f} % {way} than around it {_frames(start, stop)}."
            yield Warned(text=text, file=mask, frame=worst)
    if seen.slide_mm is not None:
        for start, stop in _runs(seen.slide_mm > SLIDE_MM):
            worst = start + int(np.argmax(seen.slide_mm[start:stop]))
            text = f"A planted foot slides {seen.slide_mm[worst]:.0f} mm in 1/30 s {_frames(start, stop)}."
            yield Warned(text=text, file=body, frame=worst)
    yield from _of_result(seen, mask, name(slots.SCENE))


def _of_result(seen: Seen, mask: str, scene: str) -> Iterable["Warned"]:
    from engine.report import Warned

    if "flicker" in seen.series:
        flicker = seen.series["flicker"]
        expected = np.maximum(_median_around(flicker), seen.series.get("flicker_source", flicker * 0))
        jumps = (flicker > FLICKER_TIMES * expected) & (flicker > FLICKER_LEVELS)
        for start, stop in _runs(jumps):
            worst = start + int(np.argmax(flicker[start:stop]))
            text = f"The edited region jumps {_frames(start, stop)} ({flicker[worst]:.0f} levels)."
            yield Warned(text=text, file=mask or scene, frame=worst)
    if "outside" in seen.series and seen.series["outside"].max() > 0:
        worst = int(np.argmax(seen.series["outside"]))
        yield Warned(
            text="Pixels outside the edit differ from the source: that is a bug of mimo. Please report it.", frame=worst
        )


def _of_network(seen: Seen, command: str) -> Iterable["Warned"]:
    from engine.report import Warned

    away = drift_of(seen)
    if away is None:
        return
    for start, stop in _runs(away > DRIFT_LEVELS):
        worst = start + int(np.nanargmax(away[start:stop]))
        text = f"The character's colour drifts {_frames(start, stop)} (by {away[worst]:.0f} levels); try another seed."
        yield Warned(text=text, command=command, frame=worst)


def _of_project(
    steps: Iterable[Step],
    records: Mapping[str, Mapping[str, Any]],
    name: Callable[[Slot], str],
    identity: str,
    go_on: str,
    joints: str,
) -> Iterable["Warned"]:
    from engine.report import Warned

    steps = list(steps)
    for text in dict.fromkeys(text for step in steps for text in step.warnings):
        yield Warned(text=text[0].upper() + text[1:] + ".", file=text.split(" is yours")[0])
    stale = [step for step in steps if step.action == "run" and step.stage.id in records]
    if stale:
        text = f"What you see is older than what it is made from ({stale[0].stage.id}: {stale[0].reason})."
        yield Warned(text=text, command=go_on)
    sure = _joints_confidence(records, identity)
    if sure is not None and sure < JOINTS_SURE:
        text = f"The joints of {identity} are a guess (confidence {sure:.2f})."
        yield Warned(text=text, file=name(slots.JOINTS), command=joints)
    for step in steps:
        for part in parts_of(step.stage.name, records.get(step.stage.id, {}).get("weights", ())):
            if not part.commercial:
                yield Warned(text=f"{part.name} is not for commercial use ({part.licence}); {step.stage.id} used it.")


def _joints_confidence(records: Mapping[str, Mapping[str, Any]], identity: str) -> float | None:
    return records.get(f"joints@{identity}", {}).get("facts", {}).get("confidence")


def _runs(flags: NDArray) -> list[tuple[int, int]]:
    """Start and stop of runs of True, gaps of one frame closed; the longest few, in order."""
    closed = flags.copy()
    closed[1:-1] |= flags[:-2] & flags[2:]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], closed, [False]]).astype(np.int8))).reshape(-1, 2)
    longest = sorted(edges.tolist(), key=lambda run: run[0] - run[1])[:MAX_OF_A_KIND]
    return [(start, stop) for start, stop in sorted(longest)]


def _median_around(values: NDArray) -> NDArray:
    """(T,): the median of the frames around each; NaN counts for nothing."""
    side = AROUND // 2
    padded = np.pad(values.astype(np.float64), side, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, AROUND)
    known = np.where(np.isfinite(windows).any(-1), 1.0, np.nan)
    return np.nan_to_num(np.nanmedian(np.where(np.isfinite(windows), windows, np.nan), axis=-1) * known)


def _frames(start: int, stop: int) -> str:
    return f"in frame {start}" if stop - start == 1 else f"in frames {start} to {stop - 1}"
