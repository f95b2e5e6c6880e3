"""What a person says about a motion file in a small TOML file, and the table of what was found, printed for them."""

import difflib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import RecipeError
from engine.motion.alignment import AXES
from engine.types import JOINTS


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """What a person knows better than we find out; everything left out is found."""

    joints: dict[str, str] = field(default_factory=dict)
    """Our joint -> source joint; an empty name says that the source has none."""
    up: str = ""
    """Up axis of the moving world: "x", "y", "z", "-x", "-y" or "-z"."""
    rest_up: str = ""
    """Up axis of the rest pose, where it differs."""
    metres_per_unit: float = 0.0
    """Scale; 0 to find it."""
    level_floor: bool = True
    """Take out a slow drift of the floor of up to 25 cm, as mocap suits have; false keeps every height (a stage)."""
    frame_rate: float = 0.0
    """Frames per second of a file that does not say it (WHAM, TRAM, 4D-Humans); 0 takes the file's, or 30."""
    person: str = ""
    """Which person of a file with several, by the name or number it has there; "" takes the one seen longest."""
    clip: str = ""
    """Which animation of a glTF or FBX file with several, by name; "" takes the longest."""

    def __post_init__(self) -> None:
        for joint in self.joints:
            if joint not in JOINTS:
                raise RecipeError(f"joints.{joint} is no joint of ours.", nearest_name(joint, JOINTS))
        for key in ("up", "rest_up"):
            if getattr(self, key) not in {"", *AXES, *(f"-{a}" for a in AXES)}:
                raise RecipeError(
                    f'{key} is "{getattr(self, key)}".', 'use "x", "y" or "z", or one of them with a "-".'
                )
        if not 0 <= self.metres_per_unit < 1e3:
            raise RecipeError(f"metres_per_unit is {self.metres_per_unit}.", "use a positive number, e.g. 0.01.")
        if not 0 <= self.frame_rate <= 1e4:
            raise RecipeError(f"frame_rate is {self.frame_rate}.", "use frames per second, e.g. 29.97.")


@dataclass(frozen=True, kw_only=True)
class MappingTable:
    """What was found, to be shown."""

    name: str
    joints: dict[str, str]
    """Our joint -> source joint."""
    unused: tuple[str, ...]
    """Source joints that drive nothing."""
    up: str
    rest_up: str
    """"" where the rest pose is no standing body."""
    forward: str
    """Where the rest pose looks; "" as above."""
    rest_pose: str
    unit: str
    metres_per_unit: float
    height_m: float
    """From the soles to the head joint in the rest pose of the result."""
    drift_m: float = 0.0
    """How far the floor of the source rose and was levelled."""

    def lines(self) -> list[str]:
        """The table as text, one line per fact and per joint."""
        rest = f"{self.rest_up} up, facing {self.forward}" if self.rest_up else "its bones tell no axes"
        renamed = {ours: source for ours, source in self.joints.items() if ours != source}
        width = max((len(source) for source in renamed.values()), default=0)
        return [
            f"{self.name}: {len(self.joints)} of {len(JOINTS)} joints",
            f"world      {self.up} up",
            f"rest pose  {self.rest_pose}; {rest}",
            f"scale      {self.metres_per_unit:.6g} m per unit ({self.unit}); head joint at {self.height_m:.2f} m",
            *([f"floor      drifts by up to {100 * self.drift_m:.0f} cm, levelled"] if self.drift_m > 0.02 else []),
            *(f"  {source:<{width}}  -> {joint}" for joint, source in renamed.items()),
            *([f"  {len(self.joints) - len(renamed)} have our names"] if len(renamed) < len(self.joints) else []),
            *([f"not used   {', '.join(self.unused)}"] if self.unused else []),
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def read_mapping(path: str | os.PathLike) -> Mapping:
    """Read a mapping file: the fields of `Mapping`, with `[joints]` a table of `our_joint = "SourceJoint"`.

    Raises:
        RecipeError: it is no TOML, or a key or value makes no sense.
    """
    try:
        values = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}.", "check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{path} is no TOML: {error}.", "mend that line.") from None
    number = (int, float)
    kinds = {
        "joints": dict, "up": str, "rest_up": str, "metres_per_unit": number, "level_floor": bool,
        "frame_rate": number, "person": str, "clip": str,
    }  # fmt: skip
    for key, value in values.items():
        if key not in kinds:
            raise RecipeError(f"{path}: {key} is not known.", nearest_name(key, tuple(kinds)))
        if not isinstance(value, kinds[key]) or (isinstance(value, bool) and key != "level_floor"):
            raise RecipeError(f"{path}: {key} has the wrong kind of value.", "see docs/motion.md for an example.")
    if any(not isinstance(v, str) for v in values.get("joints", {}).values()):
        raise RecipeError(f"{path}: [joints] needs names in quotes.", 'write e.g. left_wrist = "LeftHand".')
    return Mapping(**values)


def nearest_name(word: str, known: tuple[str, ...]) -> str:
    """Return a hint for a name that is not known: the nearest one that is, or the list."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known[:22])}."
