"""mimo eval: how near a result comes to the truth, in numbers that say what they are."""

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimo_cli.args import MappingOption

if TYPE_CHECKING:
    from engine.metrics.meters import Score


def eval(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A video, picture, mask, motion file, or folder.")],
    truth: Annotated[
        Path | None, typer.Option("--truth", "-t", metavar="FILE", help="What it should have been, frame by frame.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="FILE", help="Only where this is white: the edited region.")
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="RESULT and the truth are masks: DAVIS's J and F.")] = False,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="FILE", help="Picture of the character: how alike it looks.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", metavar="NAME", help="Only this; may be given again.")
    ] = None,
    lpips: Annotated[str, typer.Option("--lpips", metavar="NET", help="Network of LPIPS: alex or vgg.")] = "alex",
    mapping: MappingOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Every frame's numbers, as .csv or .json.")
    ] = None,
) -> None:
    """Measure a result: how near it comes to the truth.

    \b
    mimo eval cat.mp4 --truth true.mp4                  PSNR, SSIM, flicker, flow-warp error; LPIPS with its weights
    mimo eval cat.mp4 --truth true.mp4 --mask edit.mkv  the same in the mask, and its seam
    mimo eval cat.mp4 --identity cat.png --mask m.mkv   does it look like the picture (CLIP)
    mimo eval human.mask.mkv --truth masks/ --masks     J and F
    mimo eval body.bvh --truth mocap.bvh                MPJPE, PA-MPJPE, W- and WA-MPJPE, acceleration, foot slide
    mimo eval ours/ --truth theirs/ --metric fvd        FVD of two folders of videos

    Every number comes with what exactly was measured; a measure whose weights are not here is left out, never
    imitated. docs/eval.md has the definitions, and where other programs' numbers differ.
    """
    from mimo_cli import console

    kind = _check(result, truth, masks, metric, lpips)
    if out is not None:
        _check_out(out)
    scores = _measure(kind, result, truth, mask, identity, metric, lpips, mapping)
    if metric:
        scores = [score for score in scores if score.name.split("_pooled")[0] in metric]
    voice = console.current()
    voice.event("scores", result=str(result), truth=truth and str(truth), scores=[_facts(score) for score in scores])
    if out is not None:
        _write(out, result, truth, scores)
        voice.result(out)
        voice.table([_row(score) for score in scores])
    elif not voice.as_json:
        rows = [_row(score) for score in scores]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        for name, value, about in rows:
            print(f"{name:<{widths[0]}}  {value:>{widths[1]}}  {about}")


def _check(result: Path, truth: Path | None, masks: bool, metric: list[str] | None, lpips: str) -> str:
    """Return what kind of files these are: "motions", "masks", "sets" or "pictures".

    Raises:
        UsageError: the words make no sense together, or a measure is not known.
        InputError: a file is not there, or a project was given.
    """
    from engine.config import nearest
    from engine.errors import InputError, UsageError
    from engine.motion.files import is_motion_file
    from mimo_cli.scoring import MASKS, MOTIONS, PICTURES, SETS, is_set
    from mimo_cli.settings import FILE

    for path in (result, truth):
        if path is not None and not path.exists():
            raise InputError(f"{path} is not there.", fix="check the path.")
        if path is not None and (path / FILE).is_file():
            raise InputError(f"{path} is a project.", fix=f"name a file in it, e.g. {path}/out/cat.mp4")
    kinds = {"motions": MOTIONS, "masks": MASKS, "sets": SETS, "pictures": PICTURES}
    for name in metric or ():
        if not any(name in names for names in kinds.values()):
            every = [one for names in kinds.values() for one in names]
            raise UsageError(f"mimo does not know the measure {name}.", fix=nearest(name, every, "measures"))
    if lpips not in ("alex", "vgg"):
        raise UsageError(f"--lpips {lpips}: there is no such network.", fix="use alex or vgg.")
    is_fvd = "fvd" in (metric or ()) or (truth is not None and is_set(result) and is_set(truth))
    kind = "motions" if is_motion_file(result) else "masks" if masks else "sets" if is_fvd else "pictures"
    wrong = [name for name in metric or () if name not in kinds[kind]]
    if wrong:
        raise UsageError(f"{wrong[0]} is no measure of {kind}.", fix=f"measures of {kind}: {', '.join(kinds[kind])}")
    if truth is None and kind in ("masks", "sets"):
        raise UsageError(f"{' and '.join(kinds[kind][:2])} compare with the truth.", fix="give it: --truth FILE")
    return kind


def _measure(
    kind: str,
    result: Path,
    truth: Path | None,
    mask: Path | None,
    identity: Path | None,
    metric: list[str] | None,
    lpips: str,
    mapping: Path | None,
) -> "list[Score]":
    from mimo_cli import scoring

    if kind == "motions":
        return scoring.score_motions(result, truth, mapping)
    if kind == "pictures":
        return scoring.score_pictures(result, truth, mask, identity, metric, lpips)
    assert truth is not None
    return scoring.score_masks(result, truth) if kind == "masks" else scoring.score_sets(result, truth)


def _check_out(out: Path) -> None:
    from engine.errors import InputError, UsageError

    if out.suffix.lower() not in (".csv", ".json"):
        raise UsageError(f"{out} is no table.", fix="end its name in .csv or .json.")
    if not out.resolve().parent.is_dir():
        raise InputError(f"{out.resolve().parent} is not a folder.", fix=f"make it: mkdir -p {out.parent}")


def _row(score: "Score") -> tuple[str, str, str]:
    value = "-" if math.isnan(score.value) else f"{score.value:.4g}"
    return score.name, f"{value} {score.unit}".rstrip(), score.protocol


def _facts(score: "Score") -> dict:
    return {"name": score.name, "value": _plain(score.value), "unit": score.unit, "protocol": score.protocol}


def _plain(value: float) -> float | str | None:
    """JSON has no words for these: null where nothing counted, "inf" for equal pictures."""
    return None if math.isnan(value) else "inf" if math.isinf(value) else value


def _write(out: Path, result: Path, truth: Path | None, scores: "list[Score]") -> None:
    from mimo_cli import disk

    framed = [score for score in scores if score.frames]
    if out.suffix.lower() == ".json":
        frames = {score.name: [_plain(value) for value in score.frames] for score in framed}
        facts = {"result": str(result), "truth": truth and str(truth), "scores": [_facts(score) for score in scores]}
        text = json.dumps({**facts, "frames": frames}, indent=1, ensure_ascii=False) + "\n"
    else:
        stream = io.StringIO()
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["frame", *(score.name for score in framed)])
        for idx, row in enumerate(zip(*(score.frames for score in framed))):
            table.writerow([idx, *("" if math.isnan(value) else repr(value) for value in row)])
        text = stream.getvalue()
    with disk.plain_errors(out.parent):
        disk.write_text(out, text)
