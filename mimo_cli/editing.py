"""What `mimo edit` does: writes the picture to look at and the file to edit, and says the next command."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError, UsageError
from mimo_cli import console, disk, slots, tables
from mimo_cli.project import Project

FOLDER = "edit"
"""Of a project: what is written to be looked at, or painted on and put back."""
MASKS = {"human": slots.HUMAN_MASK, "occlusion": slots.OCCLUSION, "props": slots.PROPS}
_WHITE = {"human": "the person", "occlusion": "what passes in front", "props": "what the person holds or rides"}
FORMS = ("png", "mov")
"""A folder of PNG for painters, ProRes for editors."""
_NUM_SHOWN = 12


def edit_joints(project: Project, identity: str) -> None:
    """Draw the joints of a character; the file to edit is its joints.toml."""
    from engine.identity.rig_file import read_joints
    from engine.report.sheets import draw_joints
    from engine.video import read_image, write_png

    made = project.run((slots.CUTOUT, slots.JOINTS), identity=identity)
    picture = _folder(project) / f"{identity}.joints.png"
    write_png(picture, draw_joints(read_image(made[slots.CUTOUT]), read_joints(made[slots.JOINTS])))
    _say(
        project,
        picture,
        made[slots.JOINTS],
        f"change the xy of a joint (pixels of {_name(project, made[slots.CUTOUT])})",
    )
    _next(
        _go_on(project, identity),
        f"mimo edit {_quoted(_root(project))} joints --character {identity}",
    )


def edit_mask(project: Project, layer: str, form: str) -> None:
    """Write a mask to paint on, and a sheet of frames with its outline.

    Raises:
        UsageError: there is no such layer, or no video.
        InputError: one that was written before, and may have been painted on, is still there.
    """
    from engine.report.sheets import draw_mask_sheet
    from engine.video import open_clip, open_layer, write_png

    if "video" not in project.sources:
        raise UsageError(f"{project.root} has no video, and so no masks.", fix="edit joints or motion.")
    made = project.run((MASKS[layer], slots.CLIP, slots.FRAMES))
    path = made[MASKS[layer]]
    stem = Path(MASKS[layer].stem).name
    target = _folder(project) / (stem if form == "png" else f"{stem}.mov")
    if target.exists():
        raise InputError(
            f"{_name(project, target)} is there from before, perhaps painted on.",
            fix=f"use it: {_put_back(project, target)}   or drop it: rm -r {_quoted(_name(project, target))}",
        )
    mask = open_layer(path, kind="gray8", ours=path.suffix == ".mkv")
    area = np.array([float(picture.mean()) for picture in mask.read()])
    clip = open_clip(project.sources["video"], known=tables.read_frames(made[slots.FRAMES]))
    picks = _worth_a_look(area)
    shown = [(idx, rgb, next(iter(mask.read(idx, idx + 1)))) for idx, rgb in zip(picks, clip.pick(picks), strict=True)]
    sheet = _folder(project) / f"{stem}.sheet.png"
    write_png(sheet, draw_mask_sheet(shown))
    with disk.plain_errors(project.root):
        _write_mask(project, mask, target, made[slots.FRAMES], made[slots.CLIP])
    _say(project, sheet, target, f"paint white on {_WHITE[layer]}, black on the rest, in the frames that need it")
    _next(f"{_put_back(project, target)} && {_go_on(project)}")


def edit_person(project: Project) -> None:
    """Show everybody of the video; the file to edit is project.toml, or a flag of the next command."""
    from mimo_cli.people import list_people

    if "video" not in project.sources:
        raise UsageError(f"{project.root} has no video, and so nobody to choose.", fix="edit joints or motion.")
    list_people(project)
    voice = console.current()
    voice.say(f"to edit: {_name(project, project.root / 'project.toml')}: person = N under [people]; or say it at once")
    _next(f"{_go_on(project)} --person N")


def edit_motion(project: Project) -> None:
    """Show the motion over the clip; the file to edit is body.bvh."""
    filmed = "video" in project.sources
    made = project.run((slots.BODY, *((slots.PREVIEW,) if filmed else ())))
    look = made.get(slots.PREVIEW)
    _say(project, look, made[slots.BODY], "change it in Blender (docs/edit.md) and save over it")
    _next(_go_on(project), *([f"mimo edit {_quoted(_root(project))} motion"] if filmed else []))


def _write_mask(project: Project, mask, target: Path, frames: Path, clip: Path) -> None:
    """Write every frame: as numbered PNG, or as a video at the clip's own times."""
    from engine.video import encode_result, write_png

    part = target.with_name(f".{target.name}.part")
    disk.remove(part)
    if target.suffix == ".mov":
        white = ((np.dstack([picture] * 3 + [np.full_like(picture, 255)])) for picture in mask.read())
        encode_result(white, tables.read_clip(clip), tables.read_frames(frames), part, mode="alpha", final_path=target)
    else:
        part.mkdir()
        for idx, picture in enumerate(mask.read()):
            write_png(part / f"{idx:06d}.png", picture)
    part.rename(target)


def _worth_a_look(area: NDArray) -> list[int]:
    """Frames spread over the clip, and those in which the mask jumps most, in order."""
    spread = np.linspace(0, len(area) - 1, _NUM_SHOWN // 2).round().astype(int).tolist()
    jumps = np.argsort(-np.abs(np.diff(area, prepend=area[:1])), kind="stable").tolist()
    wanted = list(dict.fromkeys([*spread, *jumps]))[:_NUM_SHOWN]
    return sorted(wanted)


def _folder(project: Project) -> Path:
    folder = project.root / FOLDER
    with disk.plain_errors(project.root):
        folder.mkdir(exist_ok=True)
    return folder


def _say(project: Project, look: Path | None, file: Path, how: str) -> None:
    voice = console.current()
    if look is not None:
        voice.say(f"look at: {_name(project, look)}")
        voice.result(look, role="look")
    voice.say(f"to edit: {_name(project, file)}: {how}")
    voice.result(file, role="edit")


def _next(command: str, again: str = "") -> None:
    voice = console.current()
    voice.event("next", command=command)
    voice.say(f"then type: {command}")
    if again:
        voice.say(f"to look again: {again}")


def _put_back(project: Project, target: Path) -> str:
    return f"mv {_quoted(_name(project, target))} {_quoted(_root(project) + '/layers/')}"


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _go_on(project: Project, identity: str = "") -> str:
    """The command that makes the result anew: of the only character, else of one that is named."""
    names, filmed = project.identities(), "video" in project.sources
    if len(names) > 1 or (filmed and not names):
        identity = identity or (names[0] if names else "PICTURE")
    who = f" --character {_quoted(identity)}" if identity else ""
    return f"mimo {'swap' if filmed else 'animate'} --project {_quoted(_root(project))}{who}"


def _root(project: Project) -> str:
    here = Path.cwd()
    return str(project.root.relative_to(here) if project.root.is_relative_to(here) else project.root)


def _name(project: Project, path: Path) -> str:
    return f"{_root(project)}/{project.store.name(path)}" if path.is_relative_to(project.root) else str(path)
