"""`mimo edit`: the picture to look at, the file to edit, the next command."""

from pathlib import Path
from typing import Annotated

import typer

from mimo_cli.args import VerifyOption

WHATS = ("joints", "mask", "person", "motion")


def edit(
    project: Annotated[
        Path | None,
        typer.Argument(metavar="PROJECT", help="Project folder [default: the working directory, or its .mimo folder]."),
    ] = None,
    what: Annotated[str | None, typer.Argument(metavar="WHAT", help="joints, mask, person or motion.")] = None,
    character: Annotated[
        str | None, typer.Option("--character", "-c", metavar="NAME", help="Whose joints [default: the only one's].")
    ] = None,
    layer: Annotated[
        str,
        typer.Option("--layer", metavar="NAME", help="Which mask: human, occlusion (what passes in front) or props."),
    ] = "human",
    form: Annotated[
        str, typer.Option("--as", metavar="FORM", help="Of a mask: png, a folder to paint in; mov, for an editor.")
    ] = "png",
    verify: VerifyOption = False,
) -> None:
    """Write the picture to look at and the file to edit, and say what to type then.

    \b
    mimo edit game.mimo joints                   where the character's joints are, by name
    mimo edit game.mimo mask                     every frame of the person's mask, to paint on
    mimo edit game.mimo mask --layer occlusion --as mov
    mimo edit game.mimo person                   everybody in the video, by number
    mimo edit game.mimo motion                   the motion laid over the clip, and its BVH

    Nothing of the project changes before you save over a file, or put one there. docs/edit.md tells the way through
    Blender, GIMP and DaVinci Resolve.
    """
    from engine.config import nearest
    from engine.errors import UsageError
    from mimo_cli import editing
    from mimo_cli.opening import open_project

    if what is None and project is not None and str(project) in WHATS:
        project, what = None, str(project)
    if what not in WHATS:
        said = f"there is no {what} to edit" if what else "what is to be edited"
        fix = nearest(what, WHATS, "things") if what else f"say one: {', '.join(WHATS)}"
        raise UsageError(f"{said}{'.' if what else '?'}", fix=fix)
    if layer not in editing.MASKS:
        raise UsageError(f"--layer {layer}: there is no such mask.", fix=nearest(layer, editing.MASKS, "masks"))
    if form not in editing.FORMS:
        raise UsageError(f"--as {form}: there is no such form.", fix=nearest(form, editing.FORMS, "forms"))
    opened = open_project(project, verify=verify)
    if what == "joints":
        names = opened.identities()
        if character is None and len(names) != 1:
            fix = f"add --character {names[0]}" if names else "add one: mimo encode-id PICTURE"
            raise UsageError(f"{opened.root.name} has {len(names)} characters.", fix=fix)
        if character is not None and character not in names:
            raise UsageError(f"there is no character {character}.", fix=nearest(character, names, "characters"))
        editing.edit_joints(opened, character or names[0])
    elif what == "mask":
        editing.edit_mask(opened, layer, form)
    elif what == "person":
        editing.edit_person(opened)
    else:
        editing.edit_motion(opened)
