"""One forward at SD 1.5 size (latents 16x12, 4 frames), one network after the other: at most 7 GB, minutes.

Outputs, and statistics of every resnet, attention, motion module, sampler and block on the way.

Tolerance as for the tiny networks: a second implementation was within 2.5e-6, 1e-5 is suggested.
"""

import gc
import json

import pytest
import torch
from parity.release import check_statistics, distance, stand_in_weights, watch
from safetensors.torch import load_file

from engine.diffusion.attention import fix_token, round_bank
from engine.diffusion.checkpoint import build_network, denoising_config, pose_config, unet_config
from engine.diffusion.inference import make_ready
from engine.diffusion.key_names import from_release
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.unet import DenoisingUNet

FORWARD = 1e-5


@pytest.fixture(scope="module")
def build(reference_data):
    layout = json.loads((reference_data / "mimo_release" / "keys.json").read_text(encoding="utf-8"))["checkpoints"]
    weights = stand_in_weights(reference_data)

    def build(network, config_of, *names):
        tensors = {
            from_release(key): torch.from_numpy(array)
            for name in names
            for key, array in weights.deterministic_items(layout[f"{name}.pth"])
        }
        return build_network(network, config_of, tensors, source=" + ".join(names), dtype=torch.float32)

    return build


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
@pytest.mark.timeout(3600)
@torch.no_grad()
def test_full_size_forward(reference_data, build, device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    golden = {
        name: tensor.to(device)
        for name, tensor in load_file(reference_data / "mimo_release" / "full_forward.safetensors").items()
    }
    traced = json.loads((reference_data / "mimo_release" / "full_trace.json").read_text(encoding="utf-8"))["stats"]
    tokens = torch.cat([torch.zeros_like(golden["in.clip_embed"]), golden["in.clip_embed"]])

    pose = build(PoseGuider, pose_config, "pose_guider").to(device)(
        golden["in.pose_u8"].permute(3, 0, 1, 2)[None] / 255
    )
    assert distance(pose[:, ::16], golden["pose.out[:,::16]"]) < FORWARD

    reference_net = build(ReferenceNet, unet_config, "reference_unet").to(device)
    out, bank = reference_net(golden["in.ref_latents"].repeat(2, 1, 1, 1), tokens)
    del reference_net
    gc.collect()
    assert distance(out[:, ::16], golden["ref.out[:,::16]"]) < FORWARD
    for name, tensor in {"pose.out": pose, "ref.out": out}.items():
        check_statistics(tensor, traced.pop(name), name)
    for block, x_VLC in bank.items():
        assert distance(x_VLC[:, :4, :16], golden[f"bank.{block}[:,:4,:16]"]) < FORWARD, block
        check_statistics(x_VLC, traced.pop(f"bank.{block}"), block)

    unet = build(DenoisingUNet, denoising_config, "motion_module", "denoising_unet").to(device)
    sample = torch.cat([golden["in.latents"], golden["in.bk_latents"]], dim=1).repeat(2, 1, 1, 1, 1)
    features = round_bank({block: x_VLC[1:] for block, x_VLC in bank.items()}, torch.float32)
    reference = unet.project_reference(features)
    outputs = watch(unet, {name.removeprefix("den.") for name in traced})
    got = unet(sample, golden["in.timestep"], tokens, pose, reference, num_unconditional=1)
    print("full size, relative L2:", distance(got, golden["den.out"]))
    assert distance(got, golden["den.out"]) < FORWARD
    outputs["out"] = got
    assert len(traced) == 78
    for name, want in traced.items():
        check_statistics(outputs[name.removeprefix("den.")], want, name)
    outputs.clear()

    ones = fix_token(unet, golden["in.clip_embed"])
    make_ready(unet, torch.device(device))
    arguments = (sample[:1], golden["in.timestep"])
    halves = [unet(*arguments, 0 * ones, pose), unet(*arguments, ones, pose, reference)]
    print("as the animator runs it:", distance(torch.cat(halves), golden["den.out"]))
    assert distance(torch.cat(halves), golden["den.out"]) < FORWARD
