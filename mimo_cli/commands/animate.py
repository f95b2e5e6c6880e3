"""mimo animate: a character moves as a motion file says."""

from pathlib import Path
from typing import Annotated

import typer

from mimo_cli.args import (
    AlphaOption,
    AnimatorOption,
    BackOption,
    CommercialOption,
    DryRunOption,
    FastOption,
    GuidanceOption,
    JobsOption,
    JointsOption,
    LosslessOption,
    MappingOption,
    MarkOption,
    MaskOption,
    NameOption,
    NetworkOption,
    NoteOption,
    OffsetOption,
    OutOption,
    PlanOption,
    PrecisionOption,
    ProfileOption,
    ProjectOption,
    RedoOption,
    ReportOption,
    ScaleOption,
    SeedOption,
    SideOption,
    StepsOption,
    StiffOption,
    VerifyOption,
    parse_offset,
)


def animate(
    ctx: typer.Context,
    motion: Annotated[
        Path | None,
        typer.Option(
            "--motion", "-m", metavar="FILE", help="Motion file: .bvh, .glb, .gltf, .fbx; AMASS, SMPL .npz, .pkl, .pt."
        ),
    ] = None,
    mapping: MappingOption = None,
    character: Annotated[
        str | None,
        typer.Option(
            "--character", "-c", metavar="PICTURE", help="Picture of the character, or a name in the project."
        ),
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", metavar="WHAT", help="Colour, picture or video to stand behind.")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Size of the picture, e.g. 1280x720.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="RATE", min=1, max=240, help="Frames per second.")
    ] = None,
    out: OutOption = None,
    project: ProjectOption = None,
    scale: ScaleOption = None,
    offset: OffsetOption = None,
    stiff: StiffOption = None,
    joints: JointsOption = None,
    cutout: MaskOption = None,
    back: BackOption = None,
    side_view: ProfileOption = None,
    name: NameOption = None,
    animator: AnimatorOption = None,
    network: NetworkOption = None,
    side: SideOption = None,
    steps: StepsOption = None,
    guidance: GuidanceOption = None,
    seed: SeedOption = None,
    precision: PrecisionOption = None,
    fast: FastOption = None,
    commercial: CommercialOption = False,
    plan: PlanOption = False,
    lossless: LosslessOption = False,
    alpha: AlphaOption = False,
    note: NoteOption = None,
    mark: MarkOption = None,
    dry_run: DryRunOption = False,
    redo: RedoOption = None,
    report: ReportOption = True,
    verify: VerifyOption = False,
    jobs: JobsOption = None,
) -> None:
    """Make a character move as a motion file says.

    \b
    mimo animate --character drawing.png --motion dance.bvh -o dance.mp4
    mimo animate --motion dance.bvh --scene beach.jpg
    mimo animate --motion dance.bvh --alpha -o dance.mov
    mimo animate --motion dance.bvh --jobs characters.csv

    Without --character it is the one the project has, or the built-in cat.
    """
    from mimo_cli.character import add_character, add_sample, check_character
    from mimo_cli.delivery import deliver, plan_delivery
    from mimo_cli.forecast import forecast
    from mimo_cli.jobs import run_jobs
    from mimo_cli.opening import motion_folder, open_motion_project, parse_size, refuse_non_commercial, remember, reopen

    if jobs is not None:
        run_jobs(jobs, ctx)
        return
    delivery = plan_delivery(out, lossless=lossless, alpha=alpha, mark=mark)
    width, height = parse_size(size)
    if character is not None:
        check_character(character, None if motion is None else motion_folder(motion, project))
    chosen = {
        "animator": animator, "network": network, "side": side, "steps": steps, "guidance": guidance, "seed": seed,
        "precision": precision, "fast": fast, "scale": scale, "offset": parse_offset(offset), "stiff": stiff,
        "note": note, "mark": mark,
    }  # fmt: skip
    opened = open_motion_project(motion, scene, project, mapping=mapping, verify=verify)
    remember(opened, keep=not (dry_run or plan), width=width, height=height, fps=fps, **chosen)
    opened = reopen(opened, verify=verify)
    if character is None and not opened.identities():
        identity = add_sample(opened)
    else:
        pictures = {"cutout": cutout, "back": back, "profile": side_view}
        identity = add_character(opened, character, name=name, joints=joints, **pictures)
    if commercial:
        refuse_non_commercial(opened, delivery.slot, identity)
    if plan:
        forecast(opened, identity)
        return
    deliver(opened, delivery, identity, report=report, redo=redo or (), dry_run=dry_run)
