"""mimo fit-motion: how the person moves, as a posed body and a camera."""

from pathlib import Path
from typing import Annotated

import typer

from mimo_cli.args import (
    BodyOption,
    DryRunOption,
    MappingOption,
    ProjectOption,
    RedoOption,
    ReportOption,
    VerifyOption,
)


def fit_motion(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[VIDEO | PROJECT | FILE]",
            help="A video, a project, or a motion file [default: the project here, or the only .mimo folder].",
        ),
    ] = None,
    project: ProjectOption = None,
    motion: Annotated[
        Path | None,
        typer.Option(
            "--motion",
            metavar="FILE",
            help="Take this motion file, with a frame for each of the clip's, instead of fitting one.",
        ),
    ] = None,
    mapping: MappingOption = None,
    export: Annotated[
        list[Path] | None,
        typer.Option(
            "--export",
            "-e",
            metavar="FILE",
            help="Write the motion here too: .bvh, .npz (AMASS), .smpl.npz, .glb, .csv; may be given again.",
        ),
    ] = None,
    body: BodyOption = None,
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
    report: ReportOption = True,
    verify: VerifyOption = False,
) -> None:
    """Find how the person of a video moves, in metres, and the camera that sees it.

    \b
    mimo fit-motion game.mp4
    mimo fit-motion game.mimo --preview
    mimo fit-motion game.mimo --motion dance.bvh --export dance.glb
    mimo fit-motion dance.fbx --export dance.npz
    mimo fit-motion game.mimo --backend hmr2
    mimo fit-motion game.mimo --person all

    Writes motion/body.bvh, which opens in Blender. Edit it there and save over it: what follows takes your version.
    A motion file with --export is converted at its own frame rate, without a project.
    """
    from engine.config import nearest
    from engine.errors import UsageError
    from engine.motion.files import is_motion_file
    from mimo_cli import console, slots
    from mimo_cli.delivery import WORKERS
    from mimo_cli.motions import check_exports, convert, export_project, put_motion
    from mimo_cli.opening import open_moving_project, remember
    from mimo_cli.report import report_run
    from mimo_cli.runs.motion import BACKENDS

    exports = export or []
    check_exports(exports)
    if exports and source is not None and source.is_file() and is_motion_file(source):
        convert(source, exports, mapping=mapping, body=body)
        return
    opened = open_moving_project(source, project, mapping=mapping, verify=verify)
    everybody = person == "all"
    if backend is not None and backend not in BACKENDS:
        raise UsageError(f"--backend {backend}: there is no such one.", fix=nearest(backend, BACKENDS, "backends"))
    if person is not None and not everybody and not (person.isdecimal() and int(person) > 0):
        raise UsageError(f"--person {person} is no number.", fix="count from 1, e.g. --person 2, or use --person all")
    if (backend or person) and "video" not in opened.sources:
        raise UsageError(f"{opened.root} has no video to see a body in.", fix="leave --backend and --person away.")
    one = int(person) if person and not everybody else None
    remember(opened, keep=not dry_run, backend=backend, person=one)
    if motion is not None:
        put_motion(opened, motion, mapping)
    filmed = "video" in opened.sources
    more = (
        (slots.CAMERA, filmed), (slots.PREVIEW, preview), (slots.SURFACE, surface), (slots.SDC, sdc),
        (slots.PEOPLE, everybody),
    )  # fmt: skip
    goals = (slots.BODY, *(slot for slot, wanted in more if wanted))
    tables = (slots.FRAMES, slots.SHAPE) if exports else ()
    made = opened.run((*goals, *tables), redo=redo or (), dry_run=dry_run, workers=WORKERS)
    if dry_run:
        return
    for slot in goals:
        console.current().result(made[slot])
    if report:
        report_run(opened)
    if exports:
        export_project(made, exports, body=body)
