"""The release's numbers on a GPU, as the animator runs it there: the goldens again, in every precision.

Relative L2. float32 (without the 10-bit mode of its matrix units) differs from a CPU in the order of sums alone, hence
the tolerance of the reference's README. A half keeps 11 bits of every number, bfloat16 8: 5e-4 and 4e-3 of each, which
a hundred layers with residuals carry to about ten times that at most.
"""

import pytest
import torch
from parity.release import Release, check_run, distance

from engine.diffusion.attention import ReferenceFeatures, fix_token, round_bank
from engine.diffusion.checkpoint import load_release
from engine.diffusion.inference import make_ready

pytestmark = pytest.mark.gpu
FORWARD = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@pytest.fixture(autouse=True)
def exact_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize(("dtype", "compiled"), [*((dtype, False) for dtype in FORWARD), (torch.float16, True)])
@torch.no_grad()
def test_forward(mimo, mimo_files, dtype, compiled, monkeypatch):
    monkeypatch.setenv("MIMO_COMPILE", str(int(compiled)))
    golden, cuda = mimo.tensors("tiny_forward"), torch.device("cuda")

    def there(name):
        return golden[name].to(cuda, dtype)

    networks = load_release(mimo_files)
    pose = networks.pose_guider.to(cuda, dtype)(there("in.pose_u8").permute(3, 0, 1, 2)[None] / 255)
    assert distance(pose, golden["pose.out"]) < FORWARD[dtype]
    tokens = there("in.clip_embed")
    _, bank = networks.reference_net.to(cuda, dtype)(there("in.ref_latents"), tokens)
    for block, x_VLC in bank.items():
        assert distance(x_VLC, golden[f"bank.{block}"][1:]) < FORWARD[dtype], block
    unet = networks.denoising_unet.to(cuda, dtype)
    reference = unet.project_reference(ReferenceFeatures(round_bank(bank, dtype).bank))
    ones = fix_token(unet, tokens)
    make_ready(unet, cuda)
    sample, timestep = torch.cat([there("in.latents"), there("in.bk_latents")], dim=1), golden["in.timestep"].to(cuda)
    halves = [unet(sample, timestep, 0 * ones, pose), unet(sample, timestep, ones, pose, reference)]
    apart = distance(torch.cat(halves), golden["den.out"])
    print(f"{dtype}, compiled {compiled}: {apart:.1e}")
    assert apart < FORWARD[dtype]


def test_sampling(mimo, mimo_files):
    """Two windows with guidance, latents to latents; tolerance as on a CPU."""
    networks = load_release(mimo_files)
    for name in ("denoising_unet", "reference_net", "pose_guider"):
        getattr(networks, name).to("cuda")
    inputs = {name: tensor.cuda() for name, tensor in mimo.tensors("tiny_pipeline").items()}
    check_run(
        Release(mimo.facts, networks), inputs, "cfg3.5_30f_4steps", num_frames=30, num_steps=4, guidance_scale=3.5
    )
