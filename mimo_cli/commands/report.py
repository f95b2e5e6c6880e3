"""`mimo report`: one page that shows all of a project."""

from typing import Annotated

import typer

from mimo_cli.args import ProjectArgument, VerifyOption


def report(
    project: ProjectArgument = None,
    character: Annotated[
        str | None,
        typer.Option("--character", "-c", metavar="NAME", help="Which one [default: the one made last]."),
    ] = None,
    verify: VerifyOption = False,
) -> None:
    """Write one HTML page that shows a project: layers, motion, result, plots, warnings, licences.

    \b
    mimo report game.mimo
    open "$(mimo report game.mimo --character dog)"

    The page is PROJECT/report.html. It opens from disk, loads nothing and sends nothing. swap, animate, decompose,
    fit-motion and encode-id write it anew after each run (--no-report leaves it).
    """
    from engine.config import nearest
    from engine.errors import UsageError
    from mimo_cli import console
    from mimo_cli.opening import open_project
    from mimo_cli.report import write_report

    opened = open_project(project, verify=verify)
    names = opened.identities()
    if character is not None and character not in names:
        raise UsageError(f"{opened.root} has no character {character}.", fix=nearest(character, names, "characters"))
    console.current().result(write_report(opened, character or ""))
