"""One forward of the tiny networks against the release's own modules (float32, CPU).

Tolerances are relative L2. In the release float32 and float64 differ by 1.1e-6, and a second implementation differs by
at most 2.5e-6; 1e-5 is what the reference's README suggests for single modules and whole forwards.
"""

import pytest
import torch
from parity.release import distance, watch

from engine.diffusion.attention import ReferenceFeatures, fix_token, round_bank
from engine.diffusion.checkpoint import load_release
from engine.diffusion.inference import make_ready
from engine.diffusion.motion_module import fresh_positions
from engine.diffusion.piecewise import Piecewise
from engine.diffusion.plain import use_plain_attention

FORWARD = 1e-5


@pytest.fixture(scope="module")
def golden(mimo):
    return mimo.tensors("tiny_forward")


@pytest.fixture(scope="module")
def reference(mimo, golden):
    """Output, bank and block outputs of the reference net."""
    outputs = watch(mimo.networks.reference_net)
    latents = golden["in.ref_latents"].repeat(2, 1, 1, 1)
    tokens = torch.cat([torch.zeros_like(golden["in.clip_embed"]), golden["in.clip_embed"]])
    with torch.no_grad():
        out, bank = mimo.networks.reference_net(latents, tokens)
    return out, bank, outputs


@pytest.fixture(scope="module")
def features(mimo, reference) -> ReferenceFeatures:
    """What the denoiser reads: the conditional row, rounded and projected."""
    _, bank, _ = reference
    rounded = round_bank({block: x[1:] for block, x in bank.items()}, torch.float32)
    return mimo.networks.denoising_unet.project_reference(rounded)


def pose_pixels(golden):
    return golden["in.pose_u8"].permute(3, 0, 1, 2)[None] / 255


def denoise(mimo, golden, **conditions):
    """The guidance batch of the goldens: unconditional row, then conditional row."""
    sample = torch.cat([golden["in.latents"], golden["in.bk_latents"]], dim=1).repeat(2, 1, 1, 1, 1)
    tokens = torch.cat([torch.zeros_like(golden["in.clip_embed"]), golden["in.clip_embed"]])
    with torch.no_grad():
        return mimo.networks.denoising_unet(sample, golden["in.timestep"], tokens, **conditions)


def test_pose_guider(mimo, golden):
    with torch.no_grad():
        got = mimo.networks.pose_guider(pose_pixels(golden))
    assert distance(got, golden["pose.out"]) < FORWARD


def test_reference_net_and_its_blocks(reference, golden):
    out, bank, outputs = reference
    assert distance(out, golden["ref.out"]) < FORWARD
    want = {key: tensor for key, tensor in golden.items() if key.startswith("bank.")}
    assert len(want) == len(bank) == 16
    for key, tensor in want.items():
        assert distance(bank[key.removeprefix("bank.")], tensor) < FORWARD, key
    blocks = [key for key in golden if key.startswith("ref.") and key.removeprefix("ref.") in outputs]
    assert len(blocks) == 17
    for key in blocks:
        assert distance(outputs[key.removeprefix("ref.")], golden[key]) < FORWARD, key


def test_reference_net_with_three_tokens(mimo, golden):
    """With one token half of cross-attention has no influence; with three it has."""
    latents = golden["in.ref_latents"].repeat(2, 1, 1, 1)
    with torch.no_grad():
        got, _ = mimo.networks.reference_net(latents, golden["in.tokens3"], timestep=golden["in.timestep"])
    assert distance(got, golden["ref.tokens3_out"]) < FORWARD


def test_denoiser_and_its_blocks(mimo, golden, features):
    outputs = watch(mimo.networks.denoising_unet)
    got = denoise(mimo, golden, pose_BCTHW=golden["pose.out"], reference=features, num_unconditional=1)
    assert distance(got, golden["den.out"]) < FORWARD
    blocks = [key for key in golden if key.startswith("den.") and key.removeprefix("den.") in outputs]
    assert len(blocks) == 20
    for key in blocks:
        output = outputs[key.removeprefix("den.")]
        if golden[key].ndim == 5:
            output = output.unflatten(0, (2, 4)).transpose(1, 2)
        assert distance(output, golden[key]) < FORWARD, key
    with_pose = outputs["conv_in"].unflatten(0, (2, 4)).transpose(1, 2) + golden["pose.out"]
    assert distance(with_pose, golden["den.after_pose"]) < FORWARD


def test_float32_bank(mimo, golden, reference):
    """The release rounds the bank to float16; without that the output is 1.8e-5 away, which 1e-5 tells apart."""
    _, bank, _ = reference
    features = ReferenceFeatures({block: x[1:] for block, x in bank.items()})
    got = denoise(mimo, golden, pose_BCTHW=golden["pose.out"], reference=features, num_unconditional=1)
    assert distance(got, golden["den.out_bank_fp32"]) < FORWARD
    assert distance(got, golden["den.out_bank_fp32_float64"]) < FORWARD
    assert distance(got, golden["den.out"]) > FORWARD


def test_no_guidance(mimo, golden, features):
    sample = torch.cat([golden["in.latents"], golden["in.bk_latents"]], dim=1)
    with torch.no_grad():
        got = mimo.networks.denoising_unet(
            sample, golden["in.timestep"], golden["in.clip_embed"], golden["pose.out"], features
        )
    assert distance(got, golden["den.nocfg_out"]) < FORWARD


def test_three_tokens_without_pose_and_reference(mimo, golden):
    sample = torch.cat([golden["in.latents"], golden["in.bk_latents"]], dim=1).repeat(2, 1, 1, 1, 1)
    with torch.no_grad():
        got = mimo.networks.denoising_unet(sample, golden["in.timestep"], golden["in.tokens3"])
    assert distance(got, golden["den.plain_tokens3_out"]) < FORWARD


def test_plain_formulation(mimo_files, golden, features):
    """What the benchmark compares with computes the release's numbers too."""
    unet = load_release(mimo_files).denoising_unet
    use_plain_attention(unet)
    sample = torch.cat([golden["in.latents"], golden["in.bk_latents"]], dim=1).repeat(2, 1, 1, 1, 1)
    tokens = torch.cat([torch.zeros_like(golden["in.clip_embed"]), golden["in.clip_embed"]])
    with torch.no_grad():
        got = unet(sample, golden["in.timestep"], tokens, golden["pose.out"], features, num_unconditional=1)
    assert distance(got, golden["den.out"]) < FORWARD


def test_made_ready_and_in_pieces(mimo_files, golden, features):
    """As the animator runs it: token fixed, weights packed, halves apart, a frame and some positions at a time."""
    unet, tokens = load_release(mimo_files).denoising_unet, golden["in.clip_embed"]
    reference = unet.project_reference(ReferenceFeatures(features.bank))
    ones = fix_token(unet, tokens)
    make_ready(unet, torch.device("cpu"))
    pieces = [module for module in unet.modules() if isinstance(module, Piecewise)]
    for piece in pieces:
        piece.num_bytes = 1 << 14  # 32 channels of 14x10 positions are 18 kB
    sample, t = torch.cat([golden["in.latents"], golden["in.bk_latents"]], dim=1), golden["in.timestep"]
    with torch.no_grad():
        halves = [unet(sample, t, 0 * ones, golden["pose.out"]), unet(sample, t, ones, golden["pose.out"], reference)]
    assert len(pieces) == 22 + 16 + 21 + 3  # resnets, spatial transformers, temporal blocks, upsamplers
    assert distance(torch.cat(halves), golden["den.out"]) < FORWARD


def test_positions_of_a_fresh_module(golden):
    """Computed with the same formula; float32 exp, sin and cos agree within 2 ulp of 1."""
    assert torch.allclose(fresh_positions(32, 32), golden["pe.pristine_d32_len32"], rtol=0, atol=3e-6)
    got = fresh_positions(320, 32)[0, :, :16]
    assert torch.allclose(got, golden["pe.pristine_d320_len32_first"], rtol=0, atol=3e-6)


def test_moore(moore, mimo, golden, features):
    """Four input channels, no scene; pose features, reference net and bank are MIMO's own (same stand-in weights)."""
    want = moore.tensors("tiny_forward")
    unet = moore.networks.denoising_unet
    tokens = torch.cat([torch.zeros_like(golden["in.clip_embed"]), golden["in.clip_embed"]])
    sample, t, pose = golden["in.latents"], golden["in.timestep"], golden["pose.out"]
    features = unet.project_reference(ReferenceFeatures(features.bank))
    outputs = watch(unet)
    with torch.no_grad():
        got = unet(sample.repeat(2, 1, 1, 1, 1), t, tokens, pose, features, num_unconditional=1)
        assert distance(got, want["den.out"]) < FORWARD
        for name in ("conv_in", "mid_block"):
            output = outputs[name].unflatten(0, (2, 4)).transpose(1, 2)
            assert distance(output, want[f"den.{name}"]) < FORWARD
        nocfg = unet(sample, t, golden["in.clip_embed"], pose, features)
        assert distance(nocfg, want["den.nocfg_out"]) < FORWARD
        tokens3 = unet(sample.repeat(2, 1, 1, 1, 1), t, golden["in.tokens3"])
        assert distance(tokens3, want["den.plain_tokens3_out"]) < FORWARD
