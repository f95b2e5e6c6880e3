"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest


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
