"""HMR 2.0 against the release's own numbers: keys, every stage of the network, rotations, cameras and crops.

Tolerances: float32 against float64 differs by 3e-7 (tiny) and 9e-7 (full size) in relative L2, and a second
implementation by up to 1.2e-6; the reference suggests 1e-5 for the network and cameras, 1e-6 absolute for rotations.
The finest error that it names, another GELU, costs 1.8e-4; another eps of a norm is told apart by its own case.
"""

import gc
import json
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
import torch
from parity.release import distance, stand_in_weights, watch
from safetensors.torch import load_file, save_file

from engine.diffusion.tensor_file import build_network
from engine.errors import InputError
from engine.geometry import project
from engine.motion.hmr2.camera import FOCAL_PX, crop_translation, full_translation, published_intrinsics
from engine.motion.hmr2.crop import CROP, normalise, square_around, take_crop
from engine.motion.hmr2.head import rotation_from_6d
from engine.motion.hmr2.network import Hmr2, load_hmr2, sizes_of

FORWARD = 1e-5


def layout(reference_data, keys: str) -> dict:
    return json.loads((reference_data / "hmr2" / keys).read_text(encoding="utf-8"))["checkpoints"]["hmr2.ckpt"]


def stand_ins(reference_data, keys: str) -> dict[str, torch.Tensor]:
    make, section = stand_in_weights(reference_data).deterministic_tensor, layout(reference_data, keys)
    return {
        key: torch.from_numpy(make(spec.get("recipe_name", key), spec["shape"], section["salt"]))
        for key, spec in section["keys"].items()
    }


def build(tensors, **heads) -> Hmr2:
    """The network of these tensors; numbers of heads are not in them."""

    def config(tensors):
        sizes = sizes_of(tensors)
        return {part: sizes[part] | {"num_heads": heads[part]} for part in sizes} if heads else sizes

    return build_network(Hmr2, config, tensors, source="stand-ins", dtype=torch.float32)


@pytest.fixture(scope="module")
def tiny_tensors(reference_data):
    return stand_ins(reference_data, "keys_tiny.json")


@pytest.fixture(scope="module")
def tiny(tiny_tensors) -> Hmr2:
    return build(tiny_tensors, backbone=4, head=4)


@pytest.fixture(scope="module")
def golden(reference_data):
    return load_file(reference_data / "hmr2" / "tiny_forward.safetensors")


@pytest.fixture(scope="module")
def geometry(reference_data):
    return load_file(reference_data / "hmr2" / "geometry.safetensors")


@pytest.fixture(scope="module")
def forward(tiny, golden):
    """The tiny forward, and the output of every module of it."""
    outputs = watch(tiny)
    embedded = {}
    tiny.backbone.blocks[0].register_forward_pre_hook(lambda module, args: embedded.update(x=args[0].detach()))
    pixels = torch.from_numpy(np.stack([normalise(crop) for crop in golden["in.crop_u8"].numpy()]))
    with torch.no_grad():
        body = tiny(pixels)
    return body, outputs | {"backbone.embedded": embedded["x"]}


def test_every_key_of_the_published_file(reference_data):
    section = layout(reference_data, "keys.json")
    with torch.device("meta"):
        state = Hmr2().state_dict()
    assert len(state) == section["count"] == 503
    assert {key: list(tensor.shape) for key, tensor in state.items()} == {
        key: spec["shape"] for key, spec in section["keys"].items()
    }
    assert sum(tensor.numel() for tensor in state.values()) == section["elements"]


def test_every_stage_of_the_tiny_forward(forward, golden):
    _, outputs = forward
    for name in (key.removeprefix("act.") for key in golden if key.startswith("act.")):
        want = golden[f"act.{name}"]
        got = outputs[name]
        if name == "backbone":  # stored as a map
            got = got.transpose(1, 2).reshape(want.shape)
        assert distance(got, want) < FORWARD, name
    assert distance(outputs["smpl_head.transformer"][:, 0], golden["head.token_out"]) < FORWARD


def test_the_trace_of_every_module(forward, reference_data):
    """Mean, spread and largest value of each module that both have; the tolerance is that of 9 printed digits."""
    _, outputs = forward
    trace = json.loads((reference_data / "hmr2" / "tiny_trace.json").read_text(encoding="utf-8"))["modules"]
    shared = [name for name in trace if name in outputs and list(outputs[name].shape) == trace[name]["shape"]]
    assert len(shared) > 40
    for name in shared:
        got, want = outputs[name].double(), trace[name]
        assert abs(got.mean().item() - want["mean"]) < FORWARD * want["absmax"], name
        assert abs(got.std(correction=0).item() - want["std"]) < FORWARD * want["absmax"], name
        assert abs(got.abs().max().item() - want["absmax"]) < FORWARD * want["absmax"], name


@pytest.mark.parametrize("precision", ["out", "out64"])
def test_what_comes_out_of_the_tiny_forward(forward, golden, precision):
    check_outputs(forward[0], golden, precision)
    assert distance(torch.from_numpy(crop_translation(forward[0].camera_B3.numpy())), golden["out.pred_cam_t"]) < 1e-5


def check_outputs(body, golden, precision="out"):
    for name, got in {
        "global_orient": body.rotation_BJ33[:, :1],
        "body_pose": body.rotation_BJ33[:, 1:],
        "betas": body.betas_B10,
        "pred_cam": body.camera_B3,
    }.items():
        print(name, "relative L2:", distance(got, golden[f"{precision}.{name}"]))
        assert distance(got, golden[f"{precision}.{name}"]) < FORWARD, name


@torch.no_grad()
def test_parts_that_a_single_zero_token_hides(tiny, golden):
    context = golden["act.backbone"].flatten(2).transpose(1, 2)
    assert distance(tiny.smpl_head.transformer(golden["in.tokens3"], context), golden["dec.tokens3_out"]) < FORWARD
    norms = {
        "eps.vit_norm1_out": (tiny.backbone.blocks[0].norm1, "eps.in_vit"),
        "eps.vit_last_norm_out": (tiny.backbone.last_norm, "eps.in_vit"),
        "eps.dec_norm_out": (tiny.smpl_head.transformer.transformer.layers[0][0].norm, "eps.in_dec"),
    }
    for name, (norm, given) in norms.items():
        assert distance(norm(golden[given]), golden[name]) < FORWARD, name


def test_rotations(geometry):
    got = rotation_from_6d(geometry["rot6d.in"])
    assert torch.isfinite(got).all()
    assert torch.allclose(got, geometry["rot6d.out"], rtol=0, atol=1e-6)


def test_cameras(geometry):
    camera = {name.removeprefix("cam."): tensor.numpy() for name, tensor in geometry.items() if name[:4] == "cam."}
    K = np.stack([published_intrinsics((height, width)) for width, height in camera["img_size_wh"]])
    full_m = full_translation(camera["pred_cam"], camera["box_center"], camera["box_size"], K)
    crop_m = crop_translation(camera["pred_cam"])
    np.testing.assert_allclose(K[:, 0, 0], camera["focal"], rtol=1e-6)
    np.testing.assert_allclose(full_m, camera["full_t"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(crop_m, camera["crop_t"], rtol=1e-5)
    points = geometry["proj.points"].numpy()
    pixels = project(K, points + full_m[:, None])
    np.testing.assert_allclose(pixels, geometry["proj.full_pixels"], rtol=1e-5, atol=1e-3)
    in_crop = project(np.diag([FOCAL_PX / CROP, FOCAL_PX / CROP, 1.0]), points + crop_m[:, None])
    np.testing.assert_allclose(in_crop, geometry["proj.crop_normalised"], rtol=1e-5, atol=1e-6)


def test_crops(geometry, reference_data):
    """8-bit crops are identical; normalised ones within the rounding of float32."""
    rgb = geometry["crop.image_u8"].numpy()
    cases = json.loads((reference_data / "hmr2" / "crop_cases.json").read_text(encoding="utf-8"))["cases"]
    for idx, case in enumerate(cases):
        square = square_around(np.array(case["box_xyxy"], np.float32))
        np.testing.assert_allclose(square.center_px, case["box_center"], rtol=1e-6)
        assert square.side_px == pytest.approx(case["box_size"], rel=1e-6)
        crop = take_crop(rgb, square)
        assert (crop.dtype != np.uint8) == case["blurred"]
        if f"crop.{idx}.u8" in geometry:
            np.testing.assert_array_equal(crop, geometry[f"crop.{idx}.u8"].numpy())
        pixels = normalise(crop)
        np.testing.assert_allclose(
            pixels[:, ::3, ::3], geometry[f"crop.{idx}.img_every3"].numpy(), atol=2e-6, rtol=0, err_msg=f"case {idx}"
        )
        assert pixels.mean() == pytest.approx(case["mean"], abs=1e-5)
        assert pixels.std() == pytest.approx(case["std"], abs=1e-5)


def test_crops_of_wide_pixels_and_of_nothing(geometry):
    """A picture of pixels half as wide gives the same crop; a box far outside is black."""
    ramp = np.add.outer(np.arange(360), np.arange(480)) * 0.3
    rgb = np.repeat(ramp[..., None], 3, axis=2).round().astype(np.uint8)
    square = square_around(np.array([50.0, 60, 150, 260]))
    thin = square_around(np.array([100.0, 60, 300, 260]), pixel_aspect=0.5)
    assert thin.side_px == square.side_px == 200
    got = take_crop(np.repeat(rgb, 2, axis=1), thin, pixel_aspect=0.5)
    assert np.abs(got.astype(int) - take_crop(rgb, square)).max() <= 1  # half a pixel apart: 0.15 grey levels
    for side in (100.0, 900.0):
        assert not take_crop(rgb, square_around(np.array([5000.0, 5000, 5000 + side, 5000 + side]))).any()


def test_a_checkpoint_of_lightning(tiny_tensors, tiny, tmp_path, monkeypatch):
    """`hyper_parameters` holds a class of yacs; it is read without yacs, and what else there is is ignored."""
    yacs, config = ModuleType("yacs"), ModuleType("yacs.config")

    class CfgNode(dict):
        pass

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    config.CfgNode = CfgNode
    node = CfgNode(MODEL=CfgNode(IMAGE_SIZE=256))
    node.__dict__["__immutable__"] = True
    more = {"initialized": torch.tensor(True), "discriminator.D_conv1.weight": torch.zeros(2, 2)}
    path = tmp_path / "epoch=35-step=1000000.ckpt"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs", yacs)
        patch.setitem(sys.modules, "yacs.config", config)
        torch.save(
            {"epoch": 35, "global_step": 1000000, "pytorch-lightning_version": "1.8.1",
             "hyper_parameters": OrderedDict(cfg=node), "state_dict": OrderedDict(tiny_tensors | more)}, path,
        )  # fmt: skip
    got = load_hmr2(path)
    save_file(tiny_tensors, tmp_path / "same.safetensors")
    for network in (got, load_hmr2(tmp_path / "same.safetensors")):
        assert not network.training
        assert network.state_dict().keys() == tiny_tensors.keys()
        assert all(torch.equal(tensor, tiny_tensors[key]) for key, tensor in network.state_dict().items())


def test_another_class_in_a_checkpoint_is_named(tiny_tensors, tmp_path):
    torch.save({"state_dict": tiny_tensors, "hyper_parameters": json.JSONDecoder}, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match=r"more than tensors \(json\.decoder\.JSONDecoder\)"):
        load_hmr2(tmp_path / "odd.ckpt")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x80\x02hello", b"PK\x03\x04hello"])
def test_a_file_that_is_no_checkpoint(content, tmp_path):
    (tmp_path / "page.ckpt").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        load_hmr2(tmp_path / "page.ckpt")


def test_what_does_not_fit_is_listed(tiny_tensors, tmp_path):
    tensors = dict(tiny_tensors)
    del tensors["backbone.blocks.1.attn.qkv.bias"]
    tensors["smpl_head.extra"] = torch.zeros(3)
    tensors["smpl_head.init_cam"] = torch.zeros(3)
    save_file(tensors, tmp_path / "hmr2.safetensors")
    with pytest.raises(InputError) as refused:
        load_hmr2(tmp_path / "hmr2.safetensors")
    message = str(refused.value)
    assert "hmr2.safetensors does not fit" in message
    assert "1 missing: backbone.blocks.1.attn.qkv.bias" in message
    assert "1 unexpected: smpl_head.extra" in message
    assert "1 misshapen: smpl_head.init_cam (3,) instead of (1, 3)" in message
    save_file({"smpl.v_template": torch.zeros(3)}, tmp_path / "smpl.safetensors")
    with pytest.raises(InputError, match="does not look like a Hmr2"):
        load_hmr2(tmp_path / "smpl.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@torch.no_grad()
def test_full_size_forward(reference_data, golden):
    """ViT-H, one crop: about 3 GB."""
    want = load_file(reference_data / "hmr2" / "full_forward.safetensors")
    network = build(stand_ins(reference_data, "keys.json"))
    gc.collect()
    pixels = torch.from_numpy(normalise(golden["in.crop_u8"][0].numpy()))[None]
    tokens = network.backbone(pixels)
    as_map = tokens.transpose(1, 2).reshape(1, -1, 16, 12)
    assert distance(as_map[:, ::16], want["vit.out_every16ch"]) < FORWARD
    assert distance(network.smpl_head.transformer(torch.zeros(1, 1, 1), tokens)[:, 0], want["head.token_out"]) < FORWARD
    check_outputs(network(pixels), want)
