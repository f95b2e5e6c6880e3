"""The published layouts at tiny size, filled with the stand-in weights of the reference folder."""

from pathlib import Path

import pytest
from parity.release import Release, write_stand_ins

from engine.diffusion.checkpoint import load_release


@pytest.fixture(scope="session")
def mimo_files(reference_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mimo")
    write_stand_ins(reference_data, folder, keys="keys_tiny.json", in_channels=8, suffix=".pth")
    return folder


@pytest.fixture(scope="session")
def mimo(reference_data, mimo_files) -> Release:
    return Release(reference_data / "mimo_release", load_release(mimo_files))


@pytest.fixture(scope="session")
def moore(reference_data, tmp_path_factory) -> Release:
    folder = tmp_path_factory.mktemp("moore")
    write_stand_ins(reference_data, folder, keys="keys_tiny.json", in_channels=4, suffix=".safetensors")
    return Release(reference_data / "moore_animate_anyone", load_release(folder))
