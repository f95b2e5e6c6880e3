"""mimo fit-motion: how the person moves, as a posed body and a camera."""

from pathlib import Path
from typing import Annotated

import typer

from mimo_cli.args import DryRunOption, ProjectArgument, RedoOption, VerifyOption


def fit_motion(
    project: ProjectArgument = None,
    motion: Annotated[
        Path | None,
        typer.Option(
            "--motion",
            metavar="FILE",
            help="Take this .bvh, with a frame for each of the clip's, instead of fitting one.",
        ),
    ] = None,
    surface: Annotated[
        bool, typer.Option("--surface", help="Draw motion/surface too: the body as a network is shown it.")
    ] = False,
    sdc: Annotated[
        bool, typer.Option("--sdc", help="Draw motion/sdc too: SMPL's body as the published network is shown it.")
    ] = False,
    dry_run: DryRunOption = False,
    redo: RedoOption = None,
    verify: VerifyOption = False,
) -> None:
    """Find how the person of a project moves, in metres, and the camera that sees it.

    \b
    mimo fit-motion game.mimo
    mimo fit-motion game.mimo --motion dance.bvh

    Writes motion/body.bvh, which opens in Blender. Edit it there and save over it: what follows takes your version.
    """
    from mimo_cli import console, slots
    from mimo_cli.opening import open_project
    from mimo_cli.runs.motion import read_any_motion

    opened = open_project(project, verify=verify)
    if motion is not None:
        _, facts = read_any_motion(motion)
        for line in facts.get("mapping", ()):
            console.current().say(line)
        opened.put(slots.BODY, motion)
    goals = (slots.BODY, slots.CAMERA, *((slots.SURFACE,) if surface else ()), *((slots.SDC,) if sdc else ()))
    for path in opened.run(goals, redo=redo or (), dry_run=dry_run).values():
        console.current().result(path)
