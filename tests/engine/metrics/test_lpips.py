import numpy as np
import pytest
import torch
from classifier_files import write_lpips

from engine.errors import InputError
from engine.metrics.lpips import load_lpips

FOUND = {"alex": 0.371009, "vgg": 0.0907922}
"""What torchmetrics 1.9 (`_LPIPS`, torchvision 0.28's networks) says of these pictures and these weights."""


def pictures():
    rng = np.random.default_rng(3)
    first = rng.integers(0, 256, (80, 96, 3), np.uint8)
    return first, (first // 2 + rng.integers(0, 100, (80, 96, 3))).astype(np.uint8)


@pytest.mark.parametrize("network", FOUND)
def test_the_distance_is_that_of_another_implementation(network, tmp_path):
    lpips = load_lpips(network, *write_lpips(tmp_path, network))
    first, second = pictures()
    assert lpips.distance(first, second) == pytest.approx(FOUND[network], rel=1e-5)  # float32 through 16 layers
    assert lpips.distance(first, first) == 0
    with pytest.raises(InputError, match="at least 64"):
        lpips.distance(first[:63], second[:63])


def test_files_of_another_network_are_refused(tmp_path):
    backbone, heads = write_lpips(tmp_path, "alex")
    with pytest.raises(InputError, match="missing"):
        load_lpips("vgg", backbone, heads)
    torch.save({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, heads)
    with pytest.raises(InputError, match=r"heads\.4"):
        load_lpips("alex", backbone, heads)
