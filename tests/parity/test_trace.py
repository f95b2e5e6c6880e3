"""Statistics of every sub-module of the tiny networks, under the release's own names."""

import pytest
import torch
from parity.release import check_statistics, watch
from torch import Tensor

from engine.diffusion.attention import round_bank
from engine.diffusion.key_names import from_release


@pytest.fixture(scope="module")
def outputs(mimo) -> dict[str, dict[str, Tensor]]:
    golden = mimo.tensors("tiny_forward")
    networks = mimo.networks
    seen = {name: watch(getattr(networks, name)) for name in ("denoising_unet", "reference_net", "pose_guider")}
    tokens = torch.cat([torch.zeros_like(golden["in.clip_embed"]), golden["in.clip_embed"]])
    sample = torch.cat([golden["in.latents"], golden["in.bk_latents"]], dim=1).repeat(2, 1, 1, 1, 1)
    with torch.no_grad():
        pose = networks.pose_guider(golden["in.pose_u8"].permute(3, 0, 1, 2)[None] / 255)
        _, bank = networks.reference_net(golden["in.ref_latents"].repeat(2, 1, 1, 1), tokens)
        reference = networks.denoising_unet.project_reference(
            round_bank({block: x[1:] for block, x in bank.items()}, torch.float32)
        )
        networks.denoising_unet(sample, golden["in.timestep"], tokens, pose, reference, 1)
    return seen


@pytest.mark.parametrize("network, num_names", [("pose_guider", 8), ("reference_net", 324), ("denoising_unet", 536)])
def test_every_submodule(mimo, outputs, network, num_names):
    compared = 0
    for name, want in mimo.table("tiny_trace")[network.replace("_net", "_unet")].items():
        if name.endswith(".attn1") and network == "denoising_unet":
            continue  # the release's first pass, whose unconditional half it throws away; "attn1#2" is the second
        ours = outputs[network][from_release(f"{name.removesuffix('#2')}.").removesuffix(".")]
        ours = ours[: want["shape"][0]] if name.endswith("#2") else ours
        check_statistics(ours, want, name)
        compared += 1
    assert compared == num_names
