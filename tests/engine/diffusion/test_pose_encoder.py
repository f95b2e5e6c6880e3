import torch

from engine.diffusion.pose_encoder import PoseEncoder, VertexCodes
from engine.diffusion.unet import DenoisingUNet

FACES = torch.tensor([[0, 1, 2], [2, 1, 3]])


def test_codes_are_interpolated_over_faces():
    codes = VertexCodes(5, code_channels=2)
    with torch.no_grad():
        codes.codes.copy_(torch.arange(10.0).reshape(5, 2))
    face_idx = torch.tensor([[[[0, 1, -1]]]])
    bary = torch.tensor([[[[[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [1.0, 0.0, 0.0]]]]])
    drawn = codes(FACES, face_idx, bary)
    assert drawn.shape == (1, 2, 1, 1, 3)
    assert drawn[0, :, 0, 0, 0].tolist() == [1, 2]  # half way between (0, 1) and (2, 3)
    assert drawn[0, :, 0, 0, 1].tolist() == [5, 6]  # a quarter of (2, 3) and three of (6, 7)
    assert drawn[0, :, 0, 0, 2].tolist() == [0, 0]  # nobody there
    drawn.sum().backward()
    assert codes.codes.grad.abs().sum(dim=1).gt(0).tolist() == [True, True, False, True, False]  # what pixels saw


def test_latent_resolution_and_zero_start():
    encoder = PoseEncoder(code_channels=2, out_channels=32)
    codes = torch.rand(2, 2, 3, 40, 56)
    out = encoder(codes)
    assert out.shape == (2, 32, 3, 5, 7)
    assert not out.any()  # an untrained encoder adds nothing
    out.sum().backward()
    assert encoder.conv_out.weight.grad.abs().sum() > 0  # and yet can be trained


def test_neighbouring_frames_are_seen():
    """Four kernels of three frames: what happens in a frame reaches four frames to either side, and no further."""
    encoder = PoseEncoder(code_channels=2, out_channels=4)
    torch.nn.init.normal_(encoder.conv_out.weight)
    still = torch.rand(1, 2, 11, 16, 16)
    moved = still.clone()
    moved[:, :, 5] += 1
    with torch.no_grad():
        changed = (encoder(moved) - encoder(still)).abs().amax(dim=(0, 1, 3, 4)) > 1e-7
    assert changed.tolist() == [0 < frame < 10 for frame in range(11)]


def test_paper_variant_of_the_denoiser():
    """Noise, scene and occlusion latents: twelve channels in, each of which counts."""
    torch.manual_seed(0)
    unet = DenoisingUNet(in_channels=12, block_out_channels=(32, 32, 64, 64), cross_attention_dim=32).eval()
    sample, tokens = torch.randn(1, 12, 2, 8, 8), torch.randn(1, 1, 32)
    with torch.no_grad():
        out = unet(sample, 499, tokens)
        assert out.shape == (1, 4, 2, 8, 8)
        for layer in range(3):
            other = sample.clone()
            other[:, 4 * layer : 4 * layer + 4] = 0
            assert (unet(other, 499, tokens) - out).norm() > 1e-3 * out.norm()
