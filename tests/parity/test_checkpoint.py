"""Published layouts: every key is known, a file that does not fit is refused with what does not."""

import json
import pickle
import shutil

import pytest
import torch
from parity.release import write_stand_ins
from safetensors.torch import load_file, save_file
from tiny_networks import tiny_networks

from engine.diffusion.checkpoint import load_release, load_stable_diffusion, save_release, variant_of
from engine.diffusion.key_names import from_release, is_motion, to_release
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.unet import DenoisingUNet
from engine.errors import InputError


@pytest.mark.parametrize("release, in_channels", [("mimo_release", 8), ("moore_animate_anyone", 4)])
def test_every_key_of_the_full_size_files(reference_data, release, in_channels):
    """686 + 588, 682 and 16 keys with their shapes, against empty networks of the default (SD 1.5) size."""
    layout = json.loads((reference_data / release / "keys.json").read_text(encoding="utf-8"))["checkpoints"]
    with torch.device("meta"):
        networks = {
            ("denoising_unet.pth", "motion_module.pth"): DenoisingUNet(in_channels=in_channels),
            ("reference_unet.pth",): ReferenceNet(),
            ("pose_guider.pth",): PoseGuider(),
        }
    for files, network in networks.items():
        want = {from_release(key): tuple(spec["shape"]) for file in files for key, spec in layout[file]["keys"].items()}
        assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == want


def test_names_there_and_back(reference_data):
    layout = json.loads((reference_data / "mimo_release" / "keys.json").read_text(encoding="utf-8"))["checkpoints"]
    for file in layout.values():
        for key in file["keys"]:
            assert to_release(from_release(key)) == key
            assert from_release(from_release(key)) == from_release(key)
            assert is_motion(key) == is_motion(from_release(key))
    assert from_release("module.mid_block.motion_modules.0.temporal_transformer.norm.bias") == (
        "mid_block.motion_modules.0.norm.bias"
    )


def test_our_own_files(mimo, mimo_files, tmp_path):
    """Written in the release's layout: the names of the published files, and the same numbers when read again."""
    save_release(mimo.networks, tmp_path)
    for stem in ("denoising_unet", "motion_module", "reference_unet", "pose_guider"):
        published = torch.load(mimo_files / f"{stem}.pth", weights_only=True)
        ours = load_file(tmp_path / f"{stem}.safetensors")
        assert published.keys() == ours.keys()
        assert all(torch.equal(ours[key], tensor) for key, tensor in published.items())
    again = load_release(tmp_path, dtype=torch.float16)
    assert again.denoising_unet.dtype == torch.float16
    assert not again.denoising_unet.training


def test_motion_in_the_denoising_file(mimo, mimo_files, tmp_path):
    """As in the release, motion modules may be in denoising_unet, and win there."""
    for stem in ("reference_unet", "pose_guider"):
        shutil.copy(mimo_files / f"{stem}.pth", tmp_path)
    both = torch.load(mimo_files / "motion_module.pth", weights_only=True)
    both |= torch.load(mimo_files / "denoising_unet.pth", weights_only=True)
    save_file(both, tmp_path / "denoising_unet.safetensors")
    got = load_release(tmp_path).denoising_unet.state_dict()
    assert all(torch.equal(got[key], want) for key, want in mimo.networks.denoising_unet.state_dict().items())
    shutil.copy(mimo_files / "motion_module.pth", tmp_path)
    key = "mid_block.motion_modules.0.temporal_transformer.proj_in.bias"
    save_file(both | {key: both[key] + 1}, tmp_path / "denoising_unet.safetensors")
    got = load_release(tmp_path).denoising_unet
    assert torch.equal(got.mid_block.motion_modules[0].proj_in.bias, both[key] + 1)


def test_what_does_not_fit_is_listed(mimo_files, tmp_path):
    shutil.copytree(mimo_files, tmp_path, dirs_exist_ok=True)
    tensors = torch.load(tmp_path / "reference_unet.pth", weights_only=True)
    del tensors["mid_block.resnets.1.conv2.bias"]
    tensors["conv_out.weight"] = torch.zeros(4, 32, 3, 3)
    tensors["conv_in.bias"] = torch.zeros(31)
    torch.save(tensors, tmp_path / "reference_unet.pth")
    with pytest.raises(InputError) as refused:
        load_release(tmp_path)
    message = str(refused.value)
    assert "reference_unet.pth" in message
    assert "1 missing: mid_block.resnets.1.conv2.bias" in message
    assert "1 unexpected: conv_out.weight" in message
    assert "1 misshapen: conv_in.bias (31,) instead of (32,)" in message


def test_swapped_absent_and_broken_files(mimo_files, tmp_path):
    with pytest.raises(InputError, match="no denoising_unet, reference_unet, pose_guider"):
        load_release(tmp_path)
    shutil.copytree(mimo_files, tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "pose_guider.pth", tmp_path / "reference_unet.pth")
    with pytest.raises(InputError, match="does not look like a ReferenceNet"):
        load_release(tmp_path)
    whole = (mimo_files / "reference_unet.pth").read_bytes()
    (tmp_path / "reference_unet.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"reference_unet\.pth .* cannot be read"):
        load_release(tmp_path)
    (tmp_path / "motion_module.pth").unlink()
    shutil.copy(mimo_files / "reference_unet.pth", tmp_path)
    with pytest.raises(InputError, match="pos_embed1"):
        load_release(tmp_path)


def test_the_papers_variant(tmp_path):
    """Twelve channels, codes and a 3D encoder: written and read again, and told apart from the releases."""
    torch.manual_seed(0)
    networks = tiny_networks(12, num_vertices=30)
    save_release(networks, tmp_path)
    assert variant_of(tmp_path) == "paper"
    again = load_release(tmp_path)
    for name in ("codes", "encoder"):
        want, got = (getattr(one.motion, name).state_dict() for one in (networks, again))
        assert want.keys() == got.keys() and all(torch.equal(got[key], want[key]) for key in want)
    assert again.denoising_unet.config["in_channels"] == 12
    (tmp_path / "vertex_codes.safetensors").unlink()
    with pytest.raises(InputError, match="no vertex_codes"):
        load_release(tmp_path)


def test_a_pickle_with_code_is_refused(mimo_files, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    shutil.copytree(mimo_files, tmp_path / "files")
    (tmp_path / "files" / "pose_guider.pth").write_bytes(pickle.dumps({"conv_in.weight": Attack()}, protocol=2))
    with pytest.raises(InputError, match="more than tensors"):
        load_release(tmp_path / "files")
    torch.save({"conv_in.weight": Attack()}, tmp_path / "files" / "pose_guider.pth")
    (tmp_path / "owned").unlink(missing_ok=True)
    with pytest.raises(InputError, match="more than tensors"):
        load_release(tmp_path / "files")
    assert not (tmp_path / "owned").exists()


def test_from_stable_diffusion_and_animatediff(reference_data, tmp_path):
    """Four input channels are widened with zeros; AnimateDiff's names, with "module." in front, and diffusers'."""
    write_stand_ins(reference_data, tmp_path, keys="keys_tiny.json", in_channels=4, suffix=".safetensors")
    image = load_file(tmp_path / "denoising_unet.safetensors")
    motion = load_file(tmp_path / "motion_module.safetensors")
    torch.save({f"module.{key}": tensor for key, tensor in motion.items()}, tmp_path / "mm.ckpt")
    networks = load_stable_diffusion(tmp_path / "denoising_unet.safetensors", tmp_path / "mm.ckpt")
    conv_in = networks.denoising_unet.conv_in.weight
    assert conv_in.shape[1] == 8
    assert torch.equal(conv_in[:, :4], image["conv_in.weight"])
    assert not conv_in[:, 4:].any()
    assert torch.equal(networks.reference_net.conv_in.weight, image["conv_in.weight"])
    assert not networks.pose_guider(torch.rand(1, 3, 2, 16, 16)).any()
    adapter = {from_release(key): tensor for key, tensor in motion.items()}
    adapter = {
        key.replace("pos_embed1", "pos_embed"): tensor for key, tensor in adapter.items() if "pos_embed2" not in key
    }
    save_file(adapter, tmp_path / "adapter.safetensors")
    block = (
        load_stable_diffusion(tmp_path / "denoising_unet.safetensors", tmp_path / "adapter.safetensors")
        .denoising_unet.mid_block.motion_modules[0]
        .transformer_blocks[0]
    )
    assert torch.equal(block.pos_embed1.pe, block.pos_embed2.pe)
