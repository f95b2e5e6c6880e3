"""A machine without weights, and a hub that misbehaves as told."""

import pytest
from stand_in_hub import serving

from engine.weights.known import Weights, WeightsFile


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """No weights, no caches, no token: a folder for each of them."""
    from huggingface_hub import constants

    monkeypatch.setenv("MIMO_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def hub(machine, monkeypatch):
    """The stand-in hub, asked by everything in this process."""
    with serving() as (hub, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield hub


@pytest.fixture
def net():
    """Weights of two files, none of whose digests is known beforehand."""
    files = (WeightsFile(path="config.json"), WeightsFile(path="unet/weights.bin"))
    return Weights(name="net", about="a net", licence="MIT", commercial=True, repo="someone/net", files=files)
