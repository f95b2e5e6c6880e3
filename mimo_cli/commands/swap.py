"""mimo swap: a character takes the place of the person in a video."""

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
    MarkOption,
    MaskOption,
    NameOption,
    NetworkOption,
    NoteOption,
    OffsetOption,
    OutOption,
    PersonOption,
    PlanOption,
    PointOption,
    PrecisionOption,
    ProfileOption,
    ProjectOption,
    PropsOption,
    RedoOption,
    ReportOption,
    ScaleOption,
    SeedOption,
    SideOption,
    StepsOption,
    StiffOption,
    VerifyOption,
    name_props,
    parse_offset,
    parse_point,
)


def swap(
    ctx: typer.Context,
    character: Annotated[
        str | None,
        typer.Option(
            "--character", "-c", metavar="PICTURE", help="Picture of the character, or a name in the project."
        ),
    ] = None,
    video: Annotated[
        Path | None, typer.Option("--video", metavar="FILE", help="The video to edit; - is stdin, with --project.")
    ] = None,
    out: OutOption = None,
    project: ProjectOption = None,
    person: PersonOption = None,
    point: PointOption = None,
    props: PropsOption = None,
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
    """Put a character in the place of the person in a video.

    \b
    mimo swap --character cat.png --video game.mp4
    mimo swap --project game.mimo --character cat --lossless -o result.mkv
    mimo swap --video game.mp4 --character cat.png -o - | ffmpeg -i - -c:v libx265 result.mp4
    curl https://example.org/game.mp4 | mimo swap --video - --project game.mimo --character cat.png
    mimo swap --jobs jobs.csv --scale 0.9            each line a swap; finished ones are skipped

    Everything made on the way lies in the project folder; a second character in the same video takes a fraction of
    the time.
    """
    from mimo_cli.character import add_character, check_character
    from mimo_cli.delivery import deliver, plan_delivery
    from mimo_cli.forecast import forecast
    from mimo_cli.jobs import run_jobs
    from mimo_cli.opening import open_video_project, refuse_non_commercial, remember, reopen
    from mimo_cli.project import default_folder

    if jobs is not None:
        run_jobs(jobs, ctx)
        return
    delivery = plan_delivery(out, lossless=lossless, alpha=alpha, mark=mark)
    check_character(character, None if video is None else project or default_folder(video))
    chosen = {
        "animator": animator, "network": network, "side": side, "steps": steps, "guidance": guidance, "seed": seed,
        "precision": precision, "fast": fast, "scale": scale, "offset": parse_offset(offset), "stiff": stiff,
        "note": note, "mark": mark,
    }  # fmt: skip
    who = {"person": person, "point": parse_point(point), "props": name_props(props)}
    opened = open_video_project(video, project, verify=verify)
    remember(opened, keep=not (dry_run or plan), **who, **chosen)
    opened = reopen(opened, verify=verify)
    pictures = {"cutout": cutout, "back": back, "profile": side_view}
    identity = add_character(opened, character, name=name, joints=joints, **pictures)
    if commercial:
        refuse_non_commercial(opened, delivery.slot, identity)
    if plan:
        forecast(opened, identity)
        return
    deliver(opened, delivery, identity, report=report, redo=redo or (), dry_run=dry_run)
