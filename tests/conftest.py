"""Fixtures that every room's tests share."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.synth.clip import SynthClip


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `pytest --update-goldens` write what stages make today beside their version."""
    parser.addoption("--update-goldens", action="store_true", help="write tests/goldens anew")


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of sample media (videos/, masks/, characters/, motion/, media/), or skip where it is absent.

    Looked for in $MIMO_SAMPLE_DATA, then beside the repository in `../shared/data`.
    """
    root = Path(__file__).resolve().parent.parent
    for folder in (os.environ.get("MIMO_SAMPLE_DATA"), root.parent / "shared" / "data"):
        if folder and (Path(folder) / "MANIFEST.tsv").is_file():
            return Path(folder)
    pytest.skip("sample media not found; set MIMO_SAMPLE_DATA to their folder")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder of reference facts and golden tensors (mimo_release/, moore_animate_anyone/), or skip where absent.

    Looked for in $MIMO_REFERENCE_DATA, then beside the repository in `../shared/reference`.
    """
    root = Path(__file__).resolve().parent.parent
    for folder in (os.environ.get("MIMO_REFERENCE_DATA"), root.parent / "shared" / "reference"):
        if folder and (Path(folder) / "mimo_release" / "keys.json").is_file():
            return Path(folder)
    pytest.skip("reference tensors not found; set MIMO_REFERENCE_DATA to their folder")


@pytest.fixture(scope="session")
def walker() -> "SynthClip":
    """A second of a footballer with a ball, 320x240, panning camera: a clip that knows its own truth."""
    from engine.synth.clip import ClipSpec, make_clip

    return make_clip(ClipSpec(size=(240, 320), num_frames=24, fps=24, camera="pan", occluder="ball", motion="juggle"))


@pytest.fixture(scope="session")
def walker_film(walker: "SynthClip") -> tuple["NDArray", "NDArray"]:
    """The walker's frames (T, H, W, 3) and the whole actor's masks (T, H, W), uint8, drawn once for all rooms."""
    drawn = [walker.frame(idx) for idx in range(walker.spec.num_frames)]
    return np.stack([frame.rgb for frame in drawn]), np.stack([frame.human_full for frame in drawn])
