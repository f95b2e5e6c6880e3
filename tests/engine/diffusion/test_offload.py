"""Weights that wait elsewhere: the same numbers, and nothing of them left where the network runs."""

import pytest
import torch
from tiny_networks import TINY

from engine.diffusion.inference import make_ready
from engine.diffusion.offload import Offload, choose_offload
from engine.diffusion.unet import DenoisingUNet
from engine.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_the_numbers_stay(tmp_path, place):
    torch.manual_seed(0)
    unet = DenoisingUNet(**TINY).eval()
    sample, tokens = torch.randn(1, 8, 3, 8, 8), torch.randn(1, 1, 32)
    with torch.no_grad():
        want = unet(sample, 479, tokens)
        make_ready(unet, CPU, offload=Offload("memory" if place == "memory" else str(tmp_path)))
        assert {parameter.device.type for parameter in unet.parameters()} == {"meta"}
        assert torch.equal(unet(sample, 479, tokens), want)
    assert {parameter.device.type for parameter in unet.parameters()} == {"meta"}
    assert len(list(tmp_path.glob("*/*.dat"))) == (0 if place == "memory" else len(unet.state_dict()))


def test_the_environment_says_where(monkeypatch, tmp_path):
    def chosen() -> str:
        return choose_offload(CPU, 10**9, (98, 98), 320).place

    monkeypatch.delenv("MIMO_OFFLOAD", raising=False)
    assert chosen() == ""
    for given, place in (("memory", "memory"), ("none", ""), (str(tmp_path), str(tmp_path))):
        monkeypatch.setenv("MIMO_OFFLOAD", given)
        assert chosen() == place
    monkeypatch.setenv("MIMO_OFFLOAD", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no folder"):
        chosen()
