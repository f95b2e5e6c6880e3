"""mimo decompose: take a video apart into human, scene and occlusion."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimo_cli.args import (
    DryRunOption,
    PersonOption,
    PointOption,
    ProjectOption,
    RedoOption,
    ReportOption,
    VerifyOption,
    parse_backends,
    parse_point,
)

if TYPE_CHECKING:
    from mimo_cli.project import Project


def decompose(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="The video, or a project that has one.")],
    folder: Annotated[Path | None, typer.Argument(metavar="[PROJECT]", help="Same as --project.")] = None,
    project: ProjectOption = None,
    person: PersonOption = None,
    point: PointOption = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="LAYER=NAME",
            help="A network for a layer: mask=sam2, depth=depth-anything; mask=embedded takes it back.",
        ),
    ] = None,
    list_people: Annotated[
        bool, typer.Option("--list-people", help="Only find everybody: a numbered sheet of them, for --person.")
    ] = False,
    dry_run: DryRunOption = False,
    redo: RedoOption = None,
    report: ReportOption = True,
    verify: VerifyOption = False,
) -> None:
    """Take a video apart: who is in it, what is behind them, what passes in front, how far away it is.

    \b
    mimo decompose game.mp4

    Writes layers/ of the project: human.mask, scene, occlusion.mask, depth. Paint over any of them and go on.
    """
    from mimo_cli import console, slots
    from mimo_cli.delivery import WORKERS
    from mimo_cli.opening import open_video_project, remember
    from mimo_cli.report import report_run
    from mimo_cli.settings import FILE

    if (video / FILE).is_file():
        opened = open_video_project(None, video, verify=verify)
    else:
        opened = open_video_project(video, project or folder, verify=verify)
    opened.set_params(parse_backends(backend or ()))
    remember(opened, person=person, point=parse_point(point))
    if list_people:
        _list_people(opened, redo or (), dry_run)
        return
    goals = (slots.HUMAN_MASK, slots.SCENE, slots.OCCLUSION, slots.DEPTH)
    for path in opened.run(goals, redo=redo or (), dry_run=dry_run, workers=WORKERS).values():
        console.current().result(path)
    if report and not dry_run:
        report_run(opened)


def _list_people(project: "Project", redo: Collection[str], dry_run: bool) -> None:
    """Print everybody of the video, and the path of the sheet that shows them."""
    import numpy as np

    from mimo_cli import console, slots, tables

    made = project.run((slots.ROSTER, slots.TRACKS, slots.OTHERS, slots.CLIP), redo=redo, dry_run=dry_run)
    if dry_run:
        return
    num_frames = tables.read_clip(made[slots.CLIP]).num_frames
    everybody = {number: tracks for number, (tracks, _) in tables.read_others(made[slots.OTHERS], num_frames).items()}
    chosen = next(number for number in range(1, len(everybody) + 2) if number not in everybody)
    everybody[chosen] = tables.read_tracks(made[slots.TRACKS], num_frames)
    rows, listed = [], []
    for number, tracks in sorted(everybody.items()):
        seen = np.flatnonzero(tracks.score > 0)
        x0, y0, x1, y1 = tracks.box_px[seen[0]].tolist()
        place = f"{(x0 + x1) / 2:.0f},{(y0 + y1) / 2:.0f}"
        taken = ", taken" if number == chosen else ""
        rows.append((str(number), f"in {len(seen)} of {num_frames} frames", f"at {place} in frame {seen[0]}{taken}"))
        facts = {"number": number, "frames": len(seen), "first_frame": int(seen[0])}
        listed.append({**facts, "box_px": [x0, y0, x1, y1], "chosen": number == chosen})
    console.current().table(rows)
    console.current().result(made[slots.ROSTER], people=listed)
