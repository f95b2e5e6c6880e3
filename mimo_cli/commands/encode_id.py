"""mimo encode-id: a picture becomes a character that can move."""

from typing import Annotated

import typer

from mimo_cli.args import (
    BackOption,
    DryRunOption,
    HereOption,
    JointsOption,
    MaskOption,
    NameOption,
    ProfileOption,
    RedoOption,
    ReportOption,
    VerifyOption,
)


def encode_id(
    character: Annotated[str, typer.Argument(metavar="PICTURE", help="Picture or folder of the character.")],
    project: HereOption = None,
    name: NameOption = None,
    joints: JointsOption = None,
    cutout: MaskOption = None,
    back: BackOption = None,
    side_view: ProfileOption = None,
    dry_run: DryRunOption = False,
    redo: RedoOption = None,
    report: ReportOption = True,
    verify: VerifyOption = False,
) -> None:
    """Turn a picture into a character of a project: cutout, joints, solid figure.

    \b
    mimo encode-id cat.png --project game.mimo
    mimo encode-id cat.png --project game.mimo --back cat-behind.png --side-view cat-side.png
    mimo encode-id robot.png --project game.mimo --cutout robot-mask.png --joints char_cfg.yaml --name bob

    Writes identity/NAME/. If a limb bends in the wrong place, correct joints.toml (canonical.png shows the figure)
    and go on.
    """
    from mimo_cli import console, slots
    from mimo_cli.character import add_character, check_character
    from mimo_cli.opening import open_project
    from mimo_cli.report import report_run

    check_character(character)
    opened = open_project(project, option="--project ", verify=verify)
    pictures = {"cutout": cutout, "back": back, "profile": side_view}
    identity = add_character(opened, character, name=name, joints=joints, **pictures)
    goals = (slots.CUTOUT, slots.JOINTS, slots.CANONICAL)
    for path in opened.run(goals, identity=identity, redo=redo or (), dry_run=dry_run).values():
        console.current().result(path)
    if report and not dry_run:
        report_run(opened, identity)
