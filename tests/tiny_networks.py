"""Small networks of random weights, in the layouts and under the names of the published files."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from engine.diffusion.checkpoint import MotionCodes, Networks, save_release
from engine.diffusion.pose_encoder import PoseEncoder, VertexCodes
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.unet import DenoisingUNet
from engine.layers.scene.propainter import FILES
from engine.motion.hmr2.network import Hmr2

TINY = {"block_out_channels": (32, 32, 64, 64), "cross_attention_dim": 32}


def tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )


def tiny_image_encoder(width: int = 32) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, patch_size=32,
        projection_dim=width,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def tiny_networks(in_channels: int = 8, *, num_vertices: int = 0) -> Networks:
    """Untrained guiders add nothing, hence theirs is filled too; `num_vertices`: of the paper's variant."""
    if num_vertices:
        encoder = PoseEncoder(4, 32, channels=(4, 8, 8, 8))
        torch.nn.init.normal_(encoder.conv_out.weight, std=0.1)
        motion = MotionCodes(VertexCodes(num_vertices, 4), encoder)
    else:
        motion = PoseGuider(32, channels=(4, 8, 8, 8))
        torch.nn.init.normal_(motion.conv_out.weight, std=0.1)
    return Networks(DenoisingUNet(in_channels=in_channels, **TINY), ReferenceNet(**TINY), motion)


def write_tiny_mimo(folder: Path, *, name: str = "mimo", suffix: str = ".pth", **network: int) -> Path:
    """Write a network, its VAE and its image encoder as `mimo weights pull` would have left them."""
    torch.manual_seed(0)
    save_release(tiny_networks(**network), folder / name)
    if suffix == ".pth":
        from safetensors.torch import load_file

        for path in (folder / name).glob("*.safetensors"):
            torch.save(load_file(path), path.with_suffix(".pth"))
            path.unlink()
    tiny_vae().save_pretrained(folder / "sd-vae-ft-mse")
    encoder = folder / "image-encoder" / "image_encoder"
    tiny_image_encoder().save_pretrained(encoder)
    return folder


def write_tiny_hmr2(path: Path, *, seed: int = 0, sway: float = 1e-2) -> Path:
    """Write a checkpoint of HMR 2.0 to which everybody stands in a T-pose, nearly.

    Args:
        path: of the file; folders are made.
        seed: of the weights.
        sway: how much the picture moves the body, against the mean.
    """
    torch.manual_seed(seed)
    network = Hmr2(
        {"width": 64, "depth": 2, "num_heads": 16, "mlp_width": 128},
        {"width": 32, "depth": 2, "inner_width": 32, "mlp_width": 48, "context_width": 64},
    )
    state = network.state_dict()
    for name in ("decpose", "decshape", "deccam"):
        state[f"smpl_head.{name}.weight"].mul_(sway)
    state["smpl_head.init_body_pose"][:] = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(24)
    state["smpl_head.init_body_pose"][0, :6] = torch.tensor([1.0, 0, 0, 0, -1, 0])  # upright: the camera's y is down
    state["smpl_head.init_cam"][:] = torch.tensor([0.9, 0, 0])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 35, "global_step": 1000000, "state_dict": state}, path)
    return path


def write_tiny_depth_anything(folder: Path, *, seed: int = 0) -> Path:
    """Write a folder of Depth Anything V2: 56 pixels instead of 518, 32 channels instead of 384."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    torch.manual_seed(seed)
    backbone = Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=16,
        head_hidden_size=8,
    )  # fmt: skip
    network = DepthAnythingForDepthEstimation(config)
    for name, tensor in network.named_parameters():  # as they are made, its answer is the same everywhere
        if name.startswith(("neck", "head")) and tensor.ndim > 1:
            tensor.data.mul_(8)
    network.head.conv3.bias.data.fill_(1.0)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "ensure_multiple_of": 14,
                "image_mean": [0.485, 0.456, 0.406],
                "image_std": [0.229, 0.224, 0.225],
                "keep_aspect_ratio": True,
                "size": {"height": 56, "width": 56},
            }
        )
    )
    return folder


def write_tiny_sam2(folder: Path, *, seed: int = 0) -> Path:
    """Write a folder of SAM 2 video: 128 pixels instead of 1024; it sees the person always, somewhere."""
    from transformers import Sam2VideoConfig, Sam2VideoModel
    from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig
    from transformers.models.sam2_video import configuration_sam2_video as parts

    torch.manual_seed(seed)
    side = 128
    backbone = Sam2HieraDetConfig(
        hidden_size=16, image_size=[side, side], blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 1, 2, 2], window_size_per_stage=[8, 4, 4, 4], global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[128, 64, 32, 16], fpn_hidden_size=128,
        backbone_feature_sizes=[[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
    )  # fmt: skip
    prompts = parts.Sam2VideoPromptEncoderConfig(hidden_size=128, image_size=side)
    decoder = parts.Sam2VideoMaskDecoderConfig(
        hidden_size=128, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=128
    )
    config = Sam2VideoConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder, image_size=side,
        memory_attention_hidden_size=128, memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[side // 16] * 2, memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64, mask_downsampler_embed_dim=128, memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
    )  # fmt: skip
    network = Sam2VideoModel(config)
    for name, tensor in network.mask_decoder.named_parameters():  # as they are made, the answer is hardly any
        if tensor.ndim > 1 and ("upscale" in name or "hypernetworks" in name or "conv_s" in name):
            tensor.data.mul_(8)
    network.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(5.0)
    network.save_pretrained(folder)
    return folder


def write_tiny_mask2former(folder: Path, *, seed: int = 0) -> Path:
    """Write a folder of Mask2Former: 16 channels instead of 96; all of its queries find people, of some shape."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    torch.manual_seed(seed)
    backbone = SwinConfig(
        image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=backbone, hidden_dim=32, feature_size=32, mask_feature_size=32, encoder_layers=1,
        decoder_layers=2, num_attention_heads=2, dim_feedforward=32, encoder_feedforward_dim=32, num_queries=24,
        id2label={0: "person", 1: "bicycle"}, label2id={"person": 0, "bicycle": 1},
    )  # fmt: skip
    network = Mask2FormerForUniversalSegmentation(config)
    network.class_predictor.bias.data.copy_(torch.tensor([5.0, 0.0, 0.0]))
    network.save_pretrained(folder)
    return folder


def write_propainter(folder: Path, *, seed: int = 0) -> Path:
    """Write ProPainter's three files as they are before training; of one size only, 200 MB."""
    from pytorchcv.models.propainter import propainter  # pyright: ignore[reportMissingImports]
    from pytorchcv.models.propainter_rfc import propainter_rfc  # pyright: ignore[reportMissingImports]
    from pytorchcv.models.raft import raft_things  # pyright: ignore[reportMissingImports]

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = {"raft": raft_things(in_normalize=False, iters=20), "flow": propainter_rfc(), "painter": propainter()}
    for name, network in made.items():
        torch.save(network.state_dict(), folder / FILES[name])
    return folder
