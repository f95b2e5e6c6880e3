"""Pre- and post-processing of the release, bit for bit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from engine.diffusion import clips, composite, prepare
from engine.diffusion.codec import decode_latents


@pytest.fixture(scope="module")
def golden(mimo):
    return {key: tensor.numpy() for key, tensor in mimo.tensors("postprocess").items()}


@pytest.fixture(scope="module")
def facts(mimo):
    return mimo.table("postprocess")


def drawn(rects, size_wh, rgb=(200, 120, 40)):
    frames = np.zeros((len(rects), size_wh[1], size_wh[0], 3), np.uint8)
    for frame, rect in zip(frames, rects):
        if rect is not None:
            x0, y0, x1, y1 = rect
            frame[y0:y1, x0:x1] = rgb
    return frames


@pytest.fixture(scope="module")
def poses(facts):
    frames = drawn(facts["sdc_rects_x0y0x1y1"], facts["size_wh"], facts["sdc_rgb"])
    frames[2, 3, 100] = 255  # a speck
    frames[3, 0:6, 108:112] = 9  # darker than the threshold
    return frames


def parts_of(frames):
    size = frames.shape[1:3]
    return clips.split_clip([clips.square_box(clips.body_box(frame), size) for frame in frames]), size


def test_boxes_and_parts(facts, poses):
    parts, size = parts_of(poses)
    boxes = [clips.square_box(clips.body_box(frame), size) for frame in poses]
    assert [list(box) for box in boxes] == facts["bbox_per_frame_xminxmaxyminymax"]
    assert [part.frames for part in parts] == facts["context_list"]
    assert [list(part.box) for part in parts] == facts["bbox_clip_list_xminxmaxyminymax"]
    assert [composite.mask_mode(part.box, size) for part in parts] == facts["mask_mode_used"]


def test_splitter_cases(facts):
    for case in facts["splitter_cases"]:
        parts, size = parts_of(drawn(case["rects"], case["size_wh"]))
        assert [part.frames for part in parts] == case["context_list"], case["name"]
        assert [list(part.box) for part in parts] == case["bbox_clip_list"], case["name"]
        crops = [clips.crop_box(part, size) for part in parts for _ in part.frames]
        assert [[x1 - x0, y1 - y0] for x0, x1, y0, y1 in crops] == case["crop_sizes_wh"], case["name"]


def test_mask_modes(facts):
    width, height = facts["size_wh"]
    assert len(facts["mask_mode_table"]) == len(facts["mask_modes_in_order"]) == 16
    for box, mode in facts["mask_mode_table"]:
        assert composite.mask_mode(tuple(box), (height, width)) == mode


def test_animation_crop(facts, poses):
    x0, x1, y0, y1 = clips.animation_box(poses)
    assert [x1 - x0, y1 - y0] == facts["crop_human_animate_size_wh"]


def test_frame_rates(facts):
    resampling = facts["fps_resampling"]
    for rate, kept in resampling["kept_source_indices"].items():
        assert clips.resampled_frames(resampling["source_frames"], float(rate), resampling["target_fps"]) == kept


def test_padded_crops(golden, facts, poses):
    parts, size = parts_of(poses)
    placed = [(frame_idx, clips.crop_box(part, size)) for part in parts for frame_idx in part.frames]
    assert len(placed) == facts["n_generated"]
    for k, (frame_idx, (x0, x1, y0, y1)) in enumerate(placed):
        pose = prepare.pad_square(poses[frame_idx, y0:y1, x0:x1], prepare.BLACK)
        scene = prepare.pad_square(golden["in.bk"][frame_idx, y0:y1, x0:x1], prepare.WHITE)
        assert list(pose.shape[1::-1]) == facts["pose_padded_sizes_wh"][k]
        if f"out.pose_padded.{k}" in golden:
            np.testing.assert_array_equal(pose, golden[f"out.pose_padded.{k}"])
            np.testing.assert_array_equal(scene, golden[f"out.bk_padded.{k}"])


def test_reference_picture(golden):
    rgba = np.dstack([golden["in.ref_rgb"], golden["in.ref_alpha"]])
    np.testing.assert_array_equal(prepare.prepare_reference(rgba), golden["out.ref_prepared"])


@pytest.mark.parametrize("occluded", [True, False])
def test_compositing(golden, facts, poses, occluded):
    parts, _ = parts_of(poses)
    masks = {key.removeprefix("in.mask."): mask for key, mask in golden.items() if key.startswith("in.mask.")}
    generated = ((frame + np.float32(0.5)) / 255 for frame in golden["in.generated_u8"].astype(np.float32))
    front = {"source_rgb": golden["in.vid"], "occlusion": golden["in.occ_gray"]} if occluded else {}
    got = np.stack(composite.composite(parts, generated, masks, golden["in.bk"], **front))
    np.testing.assert_array_equal(got, golden["out.frames_with_occ" if occluded else "out.frames_no_occ"])


def test_pixels_of_the_reference(mimo):
    """What VAE and CLIP receive: 8 bit after resizing, then float32, 2 ulp of the largest value."""
    golden = {key: tensor.numpy() for key, tensor in mimo.tensors("tiny_pipeline").items() if key.startswith("pre.")}
    got = prepare.vae_pixels(golden["pre.ref_u8"], (64, 64))
    np.testing.assert_allclose(got, golden["pre.vae_ref_pixels"][0], atol=2.4e-7)
    got = prepare.clip_pixels(golden["pre.ref_u8"])
    np.testing.assert_allclose(got, golden["pre.clip_pixels"][0], atol=1e-6)


def test_pose_pixels_at_their_own_size(mimo):
    frame = mimo.tensors("tiny_pipeline")["in.pose_u8"][0].numpy()
    got = prepare.pose_pixels(frame, (64, 64))
    np.testing.assert_array_equal(got, frame.transpose(2, 0, 1) / np.float32(255))
    assert Image.fromarray(frame).size == (64, 64)


def test_decoding_is_scaled_and_clamped(mimo):
    """The reference's stub decoder repeats the first three channels of a latent over its 8x8 pixels."""
    golden = mimo.tensors("tiny_pipeline")

    class Stub:
        dtype = torch.float32

        def decode(self, latents):
            rgb = latents[:, :3].repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
            return SimpleNamespace(sample=rgb)

    frame = next(decode_latents(Stub(), golden["cfg3.5_30f_4steps.final_latents"]))
    want = golden["cfg3.5_30f_4steps.video_first_frame_stub_decode"].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(frame, want, atol=1e-6)  # one division and one sum in float32
