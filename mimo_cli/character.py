"""Who `--character` means: a picture, a folder of a character, or an identity the project already has."""

import re
from pathlib import Path

from engine.errors import InputError, UsageError
from mimo_cli import console, slots
from mimo_cli.project import Project, known_identities

SAMPLE = Path(__file__).resolve().parent.parent / "engine" / "assets" / "characters" / "cat.png"
"""The built-in character."""
_PICTURES = ("texture", "reference", "cutout", "image", "character")
"""Names of the picture in a character's folder, as mimo and AnimatedDrawings write them."""
_RIGS = ("joints.toml", "char_cfg.yaml")


def add_character(
    project: Project,
    given: str | None,
    *,
    name: str | None = None,
    joints: Path | None = None,
    cutout: Path | None = None,
    back: Path | None = None,
    profile: Path | None = None,
) -> str:
    """Bring a character into a project.

    Args:
        project: the project.
        given: a path, the name of an identity of the project, or None for the only one there is.
        name: the identity's name; None takes it from the picture.
        joints: a joints.toml or char_cfg.yaml for it; None looks beside the picture.
        cutout: a mask of the picture, white on the character; None looks beside the picture.
        back: a picture of it from behind.
        profile: a picture of it from the side.

    Returns:
        The name of the identity.

    Raises:
        UsageError: it is not clear who is meant.
        InputError: the picture is not there or cannot be one.
    """
    known = project.identities()
    own = {slots.JOINTS: joints, slots.MASK: cutout, slots.BACK: back, slots.PROFILE: profile}
    if given is None or (given in known and not Path(given).exists()):
        name = _only(known) if given is None else given
        for slot, file in own.items():
            if file is not None:
                project.put(slot, file, name)
        return name
    picture, mask, rig = _files(Path(given), known)
    name = name or _name(picture, in_own_folder=mask is not None or rig is not None or Path(given).is_dir())
    project.put(slots.REFERENCE, picture, name)
    for slot, file in (own | {slots.MASK: cutout or mask, slots.JOINTS: joints or rig}).items():
        if file is not None:
            project.put(slot, file, name)
    if rig is not None and joints is None:
        console.current().say(f"joints are taken from {rig}")
    return name


def check_character(given: str | None, root: Path | None = None) -> None:
    """Refuse a picture that is missing or cannot be read, by its own name, before a project is made for it.

    Args:
        given: a path, the name of an identity, or None for the only one there is.
        root: the folder of a project that may have to be made; None where `add_character` will ask one that is there.

    Raises:
        UsageError: it is not clear who is meant.
        InputError: the picture is not there, broken, too large, or none.
    """
    if given is None or not Path(given).exists():
        known = [] if root is None else known_identities(root)
        if root is not None and given is None:
            _only(known)
        elif root is not None and given not in known:
            _files(Path(str(given)), known)
        return
    from engine.video import read_image

    picture, mask, _ = _files(Path(given), [])
    for file in (picture, mask):
        if file is not None:
            read_image(file)


def add_sample(project: Project) -> str:
    """Bring the built-in character into a project and return its name."""
    console.current().say("no character was named: taking the built-in cat (--character PICTURE takes another)")
    return add_character(project, str(SAMPLE))


def _only(known: list[str]) -> str:
    if len(known) == 1:
        return known[0]
    if known:
        raise UsageError(f"which character? The project has {', '.join(known)}.", fix=f"add --character {known[0]}")
    raise UsageError("no character was named.", fix="add --character PICTURE, e.g. --character cat.png")


def _files(path: Path, known: list[str]) -> tuple[Path, Path | None, Path | None]:
    """The picture of a character, and its mask and rig where they lie beside it."""
    if not path.exists():
        fix = f"the project has {', '.join(known)}; else name a picture." if known else "check the name of the picture."
        raise InputError(f"{path} is not there.", fix=fix)
    if path.is_dir():
        found = [file for stem in _PICTURES for file in sorted(path.glob(f"{stem}.*")) if _is_picture(file)]
        if not found:
            raise InputError(f"{path} is a folder without a picture of a character.", fix="name the picture itself.")
        path = found[0]
    if not _is_picture(path):
        raise InputError(f"{path} is not a picture.", fix=f"use one of {', '.join(slots.REFERENCE.suffixes)}.")
    folder = path.parent
    own_folder = path.stem in _PICTURES
    rigs = [folder / f"{path.stem}.joints.toml", *(folder / rig for rig in _RIGS if own_folder)]
    rig = next((file for file in rigs if file.is_file()), None)
    mask = next((file for file in sorted(folder.glob("mask.*")) if own_folder and _is_picture(file)), None)
    return path, mask, rig


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in slots.REFERENCE.suffixes and path.is_file()


def _name(picture: Path, *, in_own_folder: bool) -> str:
    stem = picture.resolve().parent.name if in_own_folder and picture.stem in _PICTURES else picture.stem
    return re.sub(r"[^\w.+-]+", "-", stem).strip("-_. ")[:64] or "character"
