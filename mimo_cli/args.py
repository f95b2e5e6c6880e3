"""The options that several commands share, each said once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

ProjectOption = Annotated[
    Path | None,
    typer.Option(
        "--project", "-p", metavar="FOLDER", help="Project folder [default: named after the video or motion, here]."
    ),
]
HereOption = Annotated[
    Path | None,
    typer.Option(
        "--project",
        "-p",
        metavar="FOLDER",
        help="Project folder [default: the working directory, or its only .mimo folder].",
    ),
]
ProjectArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="PROJECT", help="Project folder [default: the working directory, or its only .mimo folder]."
    ),
]
PersonOption = Annotated[
    int | None,
    typer.Option("--person", min=1, metavar="N", help="Which person, counted from 1; mimo prints who it found."),
]
PointOption = Annotated[
    str | None,
    typer.Option("--point", metavar="X,Y", help="The person at this pixel of the first frame they are in."),
]
PropsOption = Annotated[
    bool | None,
    typer.Option(
        "--keep-props/--drop-props",
        help="What the person holds or rides stays in front, or goes away with them [default: goes].",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Where the result goes; its suffix chooses the form; - is Matroska on stdout.",
    ),
]
JobsOption = Annotated[
    Path | None,
    typer.Option(
        "--jobs", metavar="CSV", help="Many runs: a line a run, a column an option (video,character,out); - is stdin."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", "-n", help="Print what would run and why; run nothing.")]
RedoOption = Annotated[
    list[str] | None,
    typer.Option("--redo", metavar="STAGE", help="Run this stage again though nothing changed; edits stay."),
]
VerifyOption = Annotated[
    bool, typer.Option("--verify", help="Read every file again instead of trusting size and time.")
]
LosslessOption = Annotated[bool, typer.Option("--lossless", help="Lossless FFV1 in .mkv instead of H.264 in .mp4.")]
AlphaOption = Annotated[bool, typer.Option("--alpha", help="The character alone on transparency.")]

NoteOption = Annotated[
    bool | None,
    typer.Option(
        "--note/--no-note", help="Say in its metadata which character was put in by which mimo [default: yes]."
    ),
]
MarkOption = Annotated[
    bool | None,
    typer.Option("--mark/--no-mark", help="A small visible mark in the lower right corner [default: none]."),
]
ReportOption = Annotated[
    bool, typer.Option("--report/--no-report", help="Write report.html into the project after the run.")
]
ScaleOption = Annotated[
    float | None,
    typer.Option("--scale", metavar="X", help="Height of the character over that of the person [default: 1]."),
]
AnimatorOption = Annotated[
    str | None,
    typer.Option(
        "--animator",
        metavar="NAME",
        help="puppet, or diffusion: the MIMO network [default: puppet].",
    ),
]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network",
        "--weights",
        metavar="NAME",
        help="Its weights: a name, a folder, or the run that trained them [default: mimo].",
    ),
]
SideOption = Annotated[
    int | None, typer.Option("--side", metavar="PX", help="Side of the network's picture [default: 784].")
]
StepsOption = Annotated[int | None, typer.Option("--steps", metavar="N", help="Denoising steps [default: 25].")]
GuidanceOption = Annotated[
    float | None, typer.Option("--guidance", metavar="X", help="1 for none, in half the time [default: 3.5].")
]
SeedOption = Annotated[int | None, typer.Option("--seed", metavar="N", help="Of the network's noise [default: 42].")]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", metavar="P", help="float32, bfloat16 or float16 [default: what fits].")
]
FastOption = Annotated[
    bool | None,
    typer.Option("--fast/--exact", help="Fewer steps and reused features: another result, in a fraction of the time."),
]
PlanOption = Annotated[
    bool, typer.Option("--plan", help="Measure this machine and say what the network will take; do nothing.")
]
CommercialOption = Annotated[
    bool, typer.Option("--commercial", help="Refuse networks that may not be used to earn money.")
]
StiffOption = Annotated[
    bool | None, typer.Option("--stiff/--loose", help="Tails and ears do not swing [default: they do].")
]
OffsetOption = Annotated[
    str | None,
    typer.Option("--offset", metavar="X,Y,Z", help="Move the character: metres to the right, up, towards the viewer."),
]
MaskOption = Annotated[
    Path | None,
    typer.Option("--cutout", metavar="FILE", help="Your own mask of the character's picture: white is the character."),
]
BackOption = Annotated[
    Path | None,
    typer.Option("--back", metavar="FILE", help="A picture of it from behind, in the same pose."),
]
ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--side-view", metavar="FILE", help="A picture from its side, facing the picture's left: says how deep it is."
    ),
]
JointsOption = Annotated[
    Path | None,
    typer.Option(
        "--joints", metavar="FILE", help="Its joints: joints.toml of mimo or char_cfg.yaml of AnimatedDrawings."
    ),
]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the character [default: that of its picture].")
]
MappingOption = Annotated[
    Path | None,
    typer.Option(
        "--mapping", metavar="FILE", help="TOML of what you know better about a motion file: axes, scale, joints."
    ),
]
BodyOption = Annotated[
    Path | None,
    typer.Option(
        "--body", metavar="FILE", help="SMPL, SMPL-H or SMPL-X file to export with [default: the embedded body]."
    ),
]


def parse_point(text: str | None) -> tuple[float, float] | None:
    """Return the pixel of `--point X,Y`.

    Args:
        text: "640,360", or None.

    Returns:
        (x, y), pixels, or None.

    Raises:
        UsageError: it is not two numbers.
    """
    if text is None:
        return None
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        from engine.errors import UsageError

        raise UsageError(
            f"--point {text} is not a pixel.", fix="write two numbers with a comma: --point 640,360"
        ) from None
    return x, y


def parse_backends(words: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the settings that `--backend LAYER=NAME` stands for: stage to {"backend": name}.

    Raises:
        UsageError: no such layer, or no such backend for it.
    """
    from engine.config import nearest
    from engine.errors import UsageError
    from mimo_cli.runs.layers import BACKENDS, STAGE_OF_LAYER

    tables = {}
    for word in words:
        layer, _, name = word.partition("=")
        if layer not in STAGE_OF_LAYER:
            raise UsageError(f"--backend {word}: {layer} is no layer.", fix=nearest(layer, STAGE_OF_LAYER, "layers"))
        stage = STAGE_OF_LAYER[layer]
        if name not in BACKENDS[stage]:
            raise UsageError(f"--backend {word}: no such backend.", fix=nearest(name, BACKENDS[stage], "backends"))
        tables[stage] = {"backend": name}
    return tables


def parse_offset(text: str | None) -> tuple[float, float, float] | None:
    """Return the metres of `--offset X,Y,Z`.

    Args:
        text: "0.2,0,0", or None.

    Returns:
        (x, y, z), metres: to the right, up, towards the viewer; or None.

    Raises:
        UsageError: it is not three numbers.
    """
    if text is None:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        from engine.errors import UsageError

        raise UsageError(
            f"--offset {text} is not a shift.", fix="write three numbers with commas, metres: --offset 0.3,0,0"
        ) from None
    return x, y, z


def name_props(keep: bool | None) -> str | None:
    """Return what `--keep-props/--drop-props` said as `occlusion.props` has it; None where nothing was said."""
    return None if keep is None else "keep" if keep else "drop"
