"""mimo decompose: take a video apart into human, scene and occlusion."""

from pathlib import Path
from typing import Annotated

import typer

from mimo_cli.args import (
    DryRunOption,
    PersonOption,
    PointOption,
    ProjectOption,
    PropsOption,
    RedoOption,
    ReportOption,
    VerifyOption,
    name_props,
    parse_backends,
    parse_point,
)


def decompose(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="The video, or a project that has one.")],
    folder: Annotated[Path | None, typer.Argument(metavar="PROJECT", help="Same as --project.")] = None,
    project: ProjectOption = None,
    person: PersonOption = None,
    point: PointOption = None,
    props: PropsOption = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="LAYER=NAME",
            help="A network for a layer: mask=sam2, mask=mask2former, scene=propainter, depth=depth-anything; "
            "embedded takes it back.",
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
    mimo decompose game.mp4 --list-people            who is in it: layers/people.png, by number
    mimo decompose game.mp4 --person 2 --keep-props
    mimo decompose game.mp4 --backend mask=sam2      a network of your own: mimo weights list

    Writes layers/ of the project: human.mask, scene, occlusion.mask, props.mask, depth. Paint over any of them.
    """
    from mimo_cli import console, slots
    from mimo_cli.delivery import WORKERS
    from mimo_cli.opening import open_video_project, remember
    from mimo_cli.people import list_people as print_people
    from mimo_cli.report import report_run
    from mimo_cli.settings import FILE

    if (video / FILE).is_file():
        opened = open_video_project(None, video, verify=verify)
    else:
        opened = open_video_project(video, project or folder, verify=verify)
    opened.set_params(parse_backends(backend or ()), keep=not dry_run)
    remember(opened, keep=not dry_run, person=person, point=parse_point(point), props=name_props(props))
    if list_people:
        print_people(opened, redo or (), dry_run=dry_run)
        return
    goals = (slots.HUMAN_MASK, slots.SCENE, slots.OCCLUSION, slots.DEPTH)
    for path in opened.run(goals, redo=redo or (), dry_run=dry_run, workers=WORKERS).values():
        console.current().result(path)
    if report and not dry_run:
        report_run(opened)
