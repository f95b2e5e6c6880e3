import numpy as np
import pytest
import torch
from classifier_files import write_i3d
from torch.nn import functional as F

from engine.errors import InputError
from engine.metrics.i3d import I3d, Mixed, Pool, Unit, load_i3d, pad_same


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1), (3, 2), (2, 2), (1, 2)])
def test_padding_gives_an_output_to_every_step(size, kernel, stride):
    padded = pad_same(torch.ones(1, 1, 1, 1, size), (1, 1, kernel), (1, 1, stride)).flatten()
    # TensorFlow's rule, written down as pytorch-i3d does: by the remainder.
    missing = max(kernel - (size % stride or stride), 0)
    assert padded.tolist() == [0] * (missing // 2) + [1] * size + [0] * (missing - missing // 2)


def test_a_block_is_its_four_branches():
    torch.manual_seed(0)
    block = Mixed(6, (1, 2, 3, 4, 5, 2)).eval()
    clip = torch.rand(1, 6, 4, 5, 5)

    def unit(layer: Unit, x, padding):
        y = F.conv3d(x, layer.conv3d.weight, padding=padding)
        mean, var = (values[:, None, None, None] for values in (layer.bn.running_mean, layer.bn.running_var))
        return ((y - mean) / (var + 1e-3).sqrt() * layer.bn.weight[:, None, None, None]).clamp(min=0)

    want = torch.cat(
        [
            unit(block.b0, clip, 0),
            unit(block.b1b, unit(block.b1a, clip, 0), 1),
            unit(block.b2b, unit(block.b2a, clip, 0), 1),
            unit(block.b3b, F.max_pool3d(clip, 3, 1, 1), 0),
        ],
        1,
    )
    torch.testing.assert_close(block(clip), want)  # float32 rounding, the default tolerance
    assert Pool((3, 3, 3), (2, 2, 2))(clip).shape == (1, 6, 2, 3, 3)


def test_the_published_layout(tmp_path):
    network = load_i3d(write_i3d(tmp_path / "rgb_imagenet.pt"))
    assert sum(value.numel() for value in network.parameters()) == 12_697_264  # of InceptionI3d(400)
    names = set(network.state_dict())
    for name in ("Conv3d_1a_7x7.conv3d.weight", "Mixed_4f.b2b.bn.running_var", "Mixed_5c.b3b.conv3d.weight"):
        assert name in names
    assert network.logits.conv3d.weight.shape == (400, 1024, 1, 1, 1)
    torch.save({"Conv3d_1a_7x7.conv3d.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="does not fit"):
        load_i3d(tmp_path / "other.pt")


def test_a_program_is_not_run(tmp_path):
    """The other I3D that is passed around is a TorchScript program: it is refused, not executed."""
    path = tmp_path / "i3d_torchscript.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(path))
    with pytest.raises(InputError):
        load_i3d(path)


@pytest.mark.slow
def test_features_of_a_clip():
    torch.manual_seed(0)
    frames = np.random.default_rng(0).integers(0, 256, (16, 60, 80, 3), np.uint8)
    looks = I3d().eval().look(frames)
    assert looks.shape == (400,) and looks.dtype == np.float64 and looks.std() > 0
