"""`mimo weights`: which networks' weights mimo knows, where they are, how to get them and whether they are whole."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimo_cli import console, disk
from mimo_cli.args import HereOption

if TYPE_CHECKING:
    from engine.weights import Found, Weights


def weights(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="list, pull, verify, path or recover-sdc.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Names, or a group of them.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where recover-sdc writes the table.")
    ] = None,
    project: HereOption = None,
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Refuse what may not be used to earn money, and name what may.")
    ] = False,
) -> None:
    """Show, get and check the weights of networks.

    \b
    mimo weights list                   what there is, its licence and size, and where it is
    mimo weights pull diffusion         all that --animator diffusion needs; a broken download goes on
    mimo weights verify                 read every file that is here and compare its sha256
    mimo weights path mimo              the folder of a set, for other programs
    mimo weights recover-sdc sdc.mp4 motion.npz     the published pose videos' colours, from one of them

    The embedded path of every command needs none of them. They are looked for in PROJECT/weights, in your folder
    (MIMO_WEIGHTS, or your system's place for data), and in the cache of the Hugging Face hub; nothing is fetched but
    by `pull`. A checkpoint of your own is a folder there, and its name the folder's.
    """
    from engine.config import nearest
    from engine.errors import UsageError
    from engine.weights.known import expand, refuse

    if action == "recover-sdc":
        from mimo_cli.recovery import recover_sdc

        recover_sdc(names or [], out)
        return
    if action not in _ACTIONS:
        raise UsageError(
            f"mimo weights {action}: there is no such action.", nearest(action, (*_ACTIONS, "recover-sdc"), "actions")
        )
    folders = (project / "weights",) if project is not None else _here()
    chosen = expand(names or [])
    for one in chosen if commercial else ():
        refuse(one)
    _ACTIONS[action](chosen, folders, commercial)


def _list(chosen: "Sequence[Weights]", folders: tuple[Path, ...], commercial: bool) -> None:
    from engine.weights import groups, known, look, user_folder

    voice = console.current()
    for weights in chosen or known().values():
        found = look(weights.name, *folders)
        facts = {
            "name": weights.name, "about": weights.about, "licence": weights.licence, "commercial": weights.commercial,
            "size": weights.size or None, "sha256": {file.path: file.sha256 or None for file in weights.files},
            "from": weights.repo or weights.url or None, "folder": found and str(found.folder),
        }  # fmt: skip
        if voice.as_json:
            voice.event("weights", **facts)
            continue
        if commercial and not weights.commercial:
            print(f"{'refused':<8} {weights.name:<24} not for commercial use; instead: {weights.instead}")
            continue
        print(f"{'here' if found else '-':<8} {weights.name:<24} {weights.about}")
        print(f"{'':<33} licence: {weights.licence}{'' if weights.commercial else ' -> not for commercial use'}")
        print(f"{'':<33} {_where(weights, found)}")
    for group, members in groups().items():
        voice.say(f"mimo weights pull {group:<10} stands for {', '.join(members)}")
    voice.say(f"your folder: {user_folder()}")


def _where(weights: "Weights", found: "Found | None") -> str:
    from engine.weights.find import how_to_get

    if found is not None:
        return f"{_gigabytes(sum(path.stat().st_size for path in found.files))} in {found.folder} ({found.place})"
    size = f"about {_gigabytes(weights.size)}" if weights.size else "size not known"
    return f"{size}; to get it: {how_to_get(weights)}"


def _pull(chosen: "Sequence[Weights]", folders: tuple[Path, ...], commercial: bool) -> None:
    from engine.errors import UsageError
    from engine.weights import look, user_folder
    from engine.weights.fetch import pull

    if not chosen:
        raise UsageError("which weights?", fix="name some: mimo weights pull diffusion   (mimo weights list shows all)")
    voice = console.current()
    for weights in chosen:
        found = look(weights.name, *folders)
        if found is None:
            voice.say(f"{weights.name}: licence {weights.licence}")
            voice.started(weights.name, "pull")
            folder = folders[0] if folders else user_folder()
            try:
                with disk.plain_errors(folder):
                    pull(weights, folder, report=_Bar(weights.name))
            finally:
                voice.stop()
            found = look(weights.name, *folders)
            assert found is not None, weights.name
        voice.result(found.folder, name=weights.name)


class _Bar:
    """Tells the console how far a set is; a new file begins the bar anew."""

    def __init__(self, name: str) -> None:
        self._name, self._file = name, ""

    def __call__(self, path: str, done: int, total: int) -> None:
        voice = console.current()
        if path != self._file:
            self._file = path
            voice.say(f"{self._name}: {path}, {_gigabytes(total) if total else 'size not told'}")
        voice.progressed(self._name, done, max(total, done))


def _verify(chosen: "Sequence[Weights]", folders: tuple[Path, ...], commercial: bool) -> None:
    from engine.errors import InputError
    from engine.weights import find, known, look

    voice = console.current()
    present = [found for name in known() if (found := look(name, *folders)) is not None]
    wrong: list[Path] = []
    for found in [find(weights.name, *folders) for weights in chosen] or present:
        wrong += _verify_set(found)
    if not chosen and not present:
        voice.say("none of the known weights are on this machine: mimo weights list")
    if wrong:
        raise InputError(
            f"not as published: {', '.join(map(str, wrong))}.",
            fix=f"delete and pull again: rm '{wrong[0]}' && mimo weights pull NAME   (or keep it, if you changed it)",
        )


def _verify_set(found: "Found") -> list[Path]:
    from engine.weights.fetch import receipt_of
    from engine.weights.known import get
    from engine.weights.remember import digests

    voice, receipt, wrong = console.current(), receipt_of(found.folder), []
    for file, path, got in zip(get(found.name).files, found.files, digests(found, again=True), strict=True):
        is_other = not path.as_posix().endswith(file.path)
        want = "" if is_other else file.sha256 or receipt.get(file.path, {}).get("sha256", "")
        state = "unknown" if not want else "ok" if got == want else "WRONG"
        if voice.as_json:
            voice.event("verified", name=found.name, path=str(path), state=state, sha256=got)
        else:
            print(f"{state:<8} {found.name:<24} {got}  {path}")
        if state == "WRONG":
            wrong.append(path)
    return wrong


def _path(chosen: "Sequence[Weights]", folders: tuple[Path, ...], commercial: bool) -> None:
    from engine.weights import find, user_folder

    if not chosen:
        console.current().result(user_folder())
    for weights in chosen:
        console.current().result(find(weights.name, *folders).folder, name=weights.name)


def _here() -> tuple[Path, ...]:
    """The weights folder of the project that the working directory is, if it is one."""
    from mimo_cli.settings import FILE

    return (Path("weights"),) if Path(FILE).is_file() and os.path.isdir("weights") else ()


def _gigabytes(count: float) -> str:
    return disk.gigabytes(count)


_ACTIONS = {"list": _list, "pull": _pull, "verify": _verify, "path": _path}
