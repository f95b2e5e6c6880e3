"""Opening the project a command is about, and writing down what the person set on the command line."""

import shutil
import sys
from pathlib import Path
from typing import Any

from engine.errors import InputError, UsageError
from mimo_cli import disk
from mimo_cli.artifacts import Slot
from mimo_cli.project import Project, default_folder, find_folder
from mimo_cli.settings import FILE

_TABLES_OF = {
    "person": ("people",),
    "point": ("people",),
    "props": ("occlusion",),
    "backend": ("fit", "fit-people"),
    "scale": ("animate",),
    "stiff": ("animate",),
    "offset": ("animate",),
    **{
        name: ("animate",) for name in ("animator", "network", "side", "steps", "guidance", "seed", "precision", "fast")
    },
    "width": ("import",),
    "height": ("import",),
    "fps": ("import",),
    "color": ("compose", "compose-lossless"),
    "note": ("compose", "compose-lossless", "export-alpha"),
    "mark": ("compose", "compose-lossless"),
}
"""Setting to the stages whose it is."""


def open_project(folder: Path | None, *, option: str = "", verify: bool = False) -> Project:
    """Open an existing project: the one named (after `option`, "--project "), or the one here."""
    return Project.open(find_folder(folder, option), verify=verify)


def open_video_project(video: Path | None, folder: Path | None, *, verify: bool = False) -> Project:
    """Open or make the project of a video.

    Raises:
        UsageError: neither a video nor a project is named, or the project is one of a motion file.
        InputError: the video is missing or is none.
    """
    from mimo_cli.stages import VIDEO_STAGES

    if video is None:
        opened = open_project(folder, option="--project ", verify=verify)
        if "video" not in opened.sources:
            raise UsageError(f"{opened.root} has no video.", fix="name one: --video FILE, or use mimo animate.")
        return opened
    if str(video) == "-":
        video = _keep_stdin(folder)
    _check_file(video)
    _check_video(video)
    return Project.create(folder or default_folder(video), {"video": video}, stages=VIDEO_STAGES, verify=verify)


def open_motion_project(
    motion: Path | None,
    scene: str | None,
    folder: Path | None,
    *,
    mapping: Path | None = None,
    verify: bool = False,
) -> Project:
    """Open or make the project of a motion file, before a scene.

    Args:
        motion: the motion file; None takes the project's.
        scene: a colour, a picture or a video; None keeps the project's.
        folder: the project folder; None is named after the motion file.
        mapping: what is known better about the motion file; None keeps the project's.
        verify: read every file again.
    """
    from mimo_cli.stages import MOTION_STAGES

    if mapping is not None:
        _check_file(mapping)
    if motion is None:
        opened = open_project(folder, option="--project ", verify=verify)
        if mapping is not None:
            opened = Project.create(opened.root, {"mapping": mapping}, stages=MOTION_STAGES, verify=verify)
        if scene is not None:
            remember(opened, color="" if Path(scene).exists() else _color(scene))
        return opened
    _check_file(motion)
    _check_motion(motion)
    folder = motion_folder(motion, folder)
    sources = {"motion": motion} | ({} if mapping is None else {"mapping": mapping})
    if scene is not None and Path(scene).exists():
        _check_video(Path(scene))
        sources["scene"] = Path(scene)
    opened = Project.create(folder, sources, stages=MOTION_STAGES, verify=verify)
    if scene is not None:
        remember(opened, color="" if "scene" in sources else _color(scene))
    return opened


def motion_folder(motion: Path, folder: Path | None) -> Path:
    """Return the folder of a motion file's project: the one named, the one here, or one named after the file."""
    return folder or (Path() if Path(FILE).is_file() else default_folder(motion))


def open_moving_project(
    source: Path | None, folder: Path | None, *, mapping: Path | None = None, verify: bool = False
) -> Project:
    """Open or make the project of a motion file or, by any other suffix, of a video; or open the project itself.

    Raises:
        InputError: it is none of them, or broken.
    """
    from engine.motion.files import SUFFIXES, is_motion_file

    if source is None or not source.is_file():
        return open_project(source or folder, verify=verify)
    if is_motion_file(source):
        return open_motion_project(source, None, folder, mapping=mapping, verify=verify)
    try:
        return open_video_project(source, folder, verify=verify)
    except InputError as error:
        raise InputError(error.what, fix=f"{error.fix} Motion files are {', '.join(SUFFIXES)}.") from error


def remember(project: Project, *, keep: bool = True, **values: Any) -> None:
    """Take over settings typed on the command line, and `keep` them in project.toml; None leaves them as they are."""
    tables: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        for table in _TABLES_OF[name] if value is not None else ():
            tables.setdefault(table, {})[name] = list(value) if isinstance(value, tuple) else value
    project.set_params(tables, keep=keep)


def reopen(project: Project, *, verify: bool = False) -> Project:
    """Open a project again where what was remembered chose other stages: another animator reads other things."""
    from mimo_cli.stages import stages_of

    return Project(project.root, stages_of(project.settings), project.settings, verify=verify)


def refuse_non_commercial(project: Project, goal: Slot, identity: str) -> None:
    """Refuse a result for which weights are asked that may not be used to earn money.

    Args:
        project: with its settings.
        goal: the slot of the result, as written in the map.
        identity: of the character.

    Raises:
        UsageError: with what may take their place.
    """
    from engine.weights.known import known, refuse

    for stage in project.planner([identity]).needed([goal.bind(identity)]):
        for name in stage.needs(project.params(stage)):
            if name in known():
                refuse(known()[name])


def parse_size(text: str | None) -> tuple[int | None, int | None]:
    """Return width and height of "1280x720"; both None for None.

    Raises:
        UsageError: it is not two whole numbers of at least 16.
    """
    if text is None:
        return None, None
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and min(int(width), int(height)) >= 16):
        raise UsageError(f"--size {text} is not a size.", fix="write width x height in pixels: --size 1280x720")
    return int(width), int(height)


def _keep_stdin(folder: Path | None) -> Path:
    """Keep the video that comes through stdin in the project: it is read more than once.

    Raises:
        UsageError: nothing is sent, or the project has no name.
    """
    if folder is None:
        raise UsageError("a video from stdin has no name to call its project by.", fix="add --project NAME.mimo")
    if sys.stdin.isatty():
        raise UsageError("--video - reads stdin, and stdin is a terminal.", fix="send a video: cat game.mp4 | mimo ...")
    kept = folder / ".mimo" / "stdin"
    with disk.plain_errors(folder):
        kept.mkdir(parents=True, exist_ok=True)
        part, target = kept / "~video", kept / "video"
        with part.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        if target.exists() and disk.digest(part) == disk.digest(target):
            part.unlink()  # the same again: nothing to do anew
        else:
            part.replace(target)
    return target


def _color(text: str) -> str:
    from mimo_cli.runs.backdrop import parse_color

    parse_color(text)
    return text


def _check_file(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path} is not there.", fix="check the name; ls shows what is in a folder.")


def _check_motion(path: Path) -> None:
    """Refuse what cannot be a motion file before a project folder is made for it."""
    from engine.motion.files import SUFFIXES, is_motion_file

    if not is_motion_file(path):
        raise InputError(
            f"{path} is no motion file mimo knows.",
            fix=f"use one of {', '.join(SUFFIXES)}; a video is taken apart by: mimo decompose {path}",
        )


def _check_video(path: Path) -> None:
    """Refuse what is no video before a project folder is made for it."""
    from engine.video import open_clip

    try:
        open_clip(path.resolve())  # as the stages will ask for it: it is decoded once
    except InputError:
        open_clip(path)  # refuses it as it was typed
        raise
