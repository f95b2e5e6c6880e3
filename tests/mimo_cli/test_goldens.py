"""The guard of the stage versions: an output that moves while the version of its stage does not is a stale cache.

`tests/goldens/<stage>-v<version>.json` holds a summary of what that stage made of the small filmed game. When you mean
to change an output: raise the version in `mimo_cli/stages.py`, run `pytest tests/mimo_cli/test_goldens.py
--update-goldens`, and look at what moved.
"""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from filmed import ROOT

from engine.video import open_layer

GOLDENS = ROOT / "tests" / "goldens"
GRID = (4, 3)
"""Cells across and down of a summarised picture."""
STAGES = (
    *("ingest", "people", "background", "gather", "segment", "plate", "scene", "occlusion", "fit", "light", "shutter"),
    *("cutout", "joints", "lift", "animate", "compose"),
)
LEVELS = 2.0
"""Mean level of a cell (0 ... 255) between machines: another SIMD width moves single pixels, never a cell by that."""
SHARE = 0.02
"""Relative change of a mean or spread between machines; the joint fit walks a hundred float32 steps."""


def grid(picture: np.ndarray) -> list[float]:
    cells = cv2.resize(picture.astype(np.float32), GRID, interpolation=cv2.INTER_AREA)
    return [round(float(value), 2) for value in cells.reshape(-1)]


def numbers(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in (values.mean(), values.std())]


def of_video(path: Path) -> dict:
    kind = "gray8" if path.stem in ("human.mask", "occlusion.mask", "props.mask", "shadow") else "rgba"
    layer = open_layer(path, kind=kind)
    frames = enumerate(layer.read())
    return {"frames": layer.num_frames, "levels": {str(idx): grid(frame) for idx, frame in frames if idx % 6 == 0}}


def of_picture(path: Path) -> dict:
    return {"levels": {"0": grid(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))}}


def of_table(path: Path) -> dict:
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    columns = {name: [row[name] for row in rows if row[name]] for name in (rows[0] if rows else ())}
    return {
        "rows": len(rows),
        "numbers": {name: numbers(np.array(column, float)) for name, column in columns.items() if column},
    }


def of_text(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"(?<![\w.])-?\d+\.?\d*(?:e-?\d+)?(?![\w.])", text)
    return {"lines": text.count("\n"), "numbers": {"all": numbers(np.array(found, float))}}


def of_arrays(path: Path) -> dict:
    with np.load(path) as arrays:
        return {
            "numbers": {
                name: [*values.shape, *numbers(values.astype(float))]
                for name, values in arrays.items()
                if values.dtype.kind in "iuf" and values.size
            }
        }


def of_folder(path: Path) -> dict:
    return {"files": sorted(file.name for file in path.iterdir())}


SUMMARIES = {
    **dict.fromkeys((".mkv", ".mp4"), of_video),
    **dict.fromkeys((".toml", ".bvh"), of_text),
    ".png": of_picture,
    ".csv": of_table,
    ".npz": of_arrays,
    "": of_folder,
}


def summary(record: dict, project: Path) -> dict:
    made = {}
    for stem, output in record["outputs"].items():
        path = (project / stem).parent / output["file"]
        made[stem] = SUMMARIES[path.suffix if path.is_file() else ""](path)
    return made


def assert_same(got: object, want: object, where: str, allowed: str = "") -> None:
    """The same shape of summary; levels and numbers as near as machines are."""
    if isinstance(want, dict):
        assert isinstance(got, dict) and got.keys() == want.keys(), where
        for name in want:
            kind = name if name in ("levels", "numbers") else allowed
            assert_same(got[name], want[name], f"{where}: {name}", kind)
    elif allowed == "levels":
        np.testing.assert_allclose(got, want, atol=LEVELS, err_msg=where)
    elif allowed == "numbers":
        spread = max(np.abs(np.asarray(want, float)).max(), 1e-3)
        np.testing.assert_allclose(got, want, atol=SHARE * spread, err_msg=where)
    else:
        assert got == want, where


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_moves_without_its_version(stage, swapped, request):
    project = swapped[0] / "game.mimo"
    files = [project / "stages" / f"{stage}.json", project / "stages" / f"{stage}@cat.json"]
    record = json.loads(next(file for file in files if file.is_file()).read_text(encoding="utf-8"))
    golden = GOLDENS / f"{stage}-v{record['version']}.json"
    made = summary(record, project)
    if request.config.getoption("--update-goldens"):
        for old in GOLDENS.glob(f"{stage}-v*.json"):
            old.unlink()
        golden.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        return
    assert golden.is_file(), f"{stage} has a new version: look at its output, then pytest --update-goldens"
    assert_same(made, json.loads(golden.read_text(encoding="utf-8")), f"{stage} moved; raise its version")
