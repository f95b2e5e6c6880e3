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
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="What sees the body: embedded, or hmr2 with its weights [default: embedded].",
        ),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(
            "--person", metavar="N", help="Which person, counted from 1; all: a motion for everybody in motion/people."
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Write motion/preview.mp4 too: the posed body laid over the clip.")
    ] = False,
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
    mimo fit-motion game.mimo --preview
    mimo fit-motion game.mimo --motion dance.bvh
    mimo fit-motion game.mimo --backend hmr2
    mimo fit-motion game.mimo --person all

    Writes motion/body.bvh, which opens in Blender. Edit it there and save over it: what follows takes your version.
    """
    from engine.config import nearest
    from engine.errors import UsageError
    from mimo_cli import console, slots
    from mimo_cli.opening import open_project, remember
    from mimo_cli.runs.motion import BACKENDS, read_any_motion

    opened = open_project(project, verify=verify)
    everybody = person == "all"
    if backend is not None and backend not in BACKENDS:
        raise UsageError(f"--backend {backend}: there is no such one.", fix=nearest(backend, BACKENDS, "backends"))
    if person is not None and not everybody and not (person.isdecimal() and int(person) > 0):
        raise UsageError(f"--person {person} is no number.", fix="count from 1, e.g. --person 2, or use --person all")
    if (backend or person) and "video" not in opened.sources:
        raise UsageError(f"{opened.root} has no video to see a body in.", fix="leave --backend and --person away.")
    remember(opened, backend=backend, person=int(person) if person and not everybody else None)
    if motion is not None:
        _, facts = read_any_motion(motion)
        for line in facts.get("mapping", ()):
            console.current().say(line)
        opened.put(slots.BODY, motion)
    more = ((slots.PREVIEW, preview), (slots.SURFACE, surface), (slots.SDC, sdc), (slots.PEOPLE, everybody))
    goals = (slots.BODY, slots.CAMERA, *(slot for slot, wanted in more if wanted))
    for path in opened.run(goals, redo=redo or (), dry_run=dry_run).values():
        console.current().result(path)
