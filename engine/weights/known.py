"""The table of known weights: `known.toml`, read into dataclasses."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.config import from_table, nearest
from engine.errors import UsageError

TABLE = Path(__file__).with_name("known.toml")


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """One file of a set of weights."""

    path: str
    """Where it lies in the repository of its publisher, and in our folder: "unet/config.json"."""
    size: int = 0
    """Bytes; 0 where not known."""
    sha256: str = ""
    """64 hexadecimal digits; empty where not known."""
    also: tuple[str, ...] = ()
    """Paths of other files that do as well."""
    member: str = ""
    """Where it lies in the archive that `Weights.url` names; empty: it is no archive."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A set of files that one network, or one part of it, needs."""

    name: str
    about: str
    """What it is for, in a line."""
    licence: str
    commercial: bool
    """May be used to earn money, as far as its publisher says."""
    files: tuple[WeightsFile, ...]
    instead: str = ""
    """What takes its place where commercial use is wanted."""
    repo: str = ""
    """Repository on the Hugging Face hub."""
    url: str = ""
    """Elsewhere: an archive, or the address that paths of files are added to."""
    by_hand: str = ""
    """How a person gets it, where no program may; `{folder}` stands for the folder to put it in."""
    loose: bool = False
    """Its files may also lie in the weights folder itself, as in the folder of the published code."""

    @property
    def size(self) -> int:
        """Bytes of those files whose size is known; 0: of none."""
        return sum(file.size for file in self.files)


@cache
def known() -> dict[str, Weights]:
    """Return every set of weights that mimo knows, by name."""
    return {
        name: from_table(Weights, {"name": name, **values}, table=name)
        for name, values in _table().items()
        if name != "groups"
    }


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Return names that stand for several: "diffusion" is all that the diffusion animator needs."""
    return {name: tuple(members) for name, members in _table()["groups"].items()}


def get(name: str) -> Weights:
    """Return one set of weights.

    Raises:
        UsageError: it is not known; the nearest name is offered.
    """
    if name not in known():
        raise UsageError(f"mimo knows no weights called {name}.", fix=nearest(name, known(), "names"))
    return known()[name]


def expand(names: list[str]) -> list[Weights]:
    """Return the sets that names and groups stand for, each once, in that order.

    Raises:
        UsageError: a name is not known.
    """
    members = [member for name in names for member in groups().get(name, (name,))]
    for member in members:
        if member not in known():
            raise UsageError(
                f"mimo knows no weights called {member}.", fix=nearest(member, [*known(), *groups()], "names")
            )
    return [known()[member] for member in dict.fromkeys(members)]


def refuse(weights: Weights) -> None:
    """Refuse weights that may not be used to earn money.

    Raises:
        UsageError: with what may take their place.
    """
    if not weights.commercial:
        raise UsageError(
            f"{weights.name} is not for commercial use (licence: {weights.licence}).",
            fix=f"use instead: {weights.instead}",
        )


def _table() -> dict:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
