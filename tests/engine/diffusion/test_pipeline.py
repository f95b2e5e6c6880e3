import copy

import numpy as np
import pytest
import torch
from accelerate import cpu_offload

from engine.diffusion.pipeline import MimoPipeline
from engine.errors import InputError

SIZE = (40, 56)  # latents 5x7: odd at every level


def pictures(num_frames, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num_frames, 48, 48, 3), dtype=np.uint8)


def generate(pipeline, num_frames=3, **changes):
    options = {
        "reference_rgb": pictures(1)[0],
        "pose_rgb": pictures(num_frames, seed=1),
        "scene_rgb": pictures(num_frames, seed=2),
        "size": SIZE,
        "num_inference_steps": 2,
        "generator": torch.Generator().manual_seed(42),
    }
    return pipeline(**(options | changes)).frames


def test_pictures_in_pictures_out(pipeline):
    frames = generate(pipeline)
    assert frames.shape == (3, *SIZE, 3)
    assert frames.dtype == np.float32
    assert 0 <= frames.min() < frames.max() <= 1
    np.testing.assert_array_equal(frames, generate(pipeline))  # the seed decides


@pytest.mark.parametrize("condition", ["reference_rgb", "pose_rgb", "scene_rgb"])
def test_every_condition_counts(pipeline, condition):
    frames = generate(pipeline, output_type="latent")
    other = pictures(3, seed=9)
    changed = generate(
        pipeline, output_type="latent", **{condition: other[0] if condition == "reference_rgb" else other}
    )
    assert (frames - changed).abs().max() > 1e-3  # latents are about 1; float32 noise is 1e-6


def test_saved_and_loaded(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    again = MimoPipeline.from_pretrained(tmp_path, local_files_only=True)
    again.set_progress_bar_config(disable=True)
    assert tuple(again.denoising_unet.config["block_out_channels"]) == (32, 32, 64, 64)
    # In float64: loaded tensors lie elsewhere in memory, so kernels may add in another order, and a group norm over two
    # values (64 channels, 32 groups, one position) blows up float32's rounding.
    frames = [generate(copy.deepcopy(each).to(torch.float64)) for each in (pipeline, again)]
    np.testing.assert_allclose(frames[0], frames[1], atol=1e-6)  # frames are float32


def test_callback_sees_and_changes_latents(pipeline):
    steps = []

    def zero(pipe, step_idx, timestep, tensors):
        steps.append((step_idx, timestep, tuple(tensors["latents"].shape)))
        return {"latents": torch.zeros_like(tensors["latents"])}

    latents = generate(pipeline, callback_on_step_end=zero, output_type="latent")
    assert steps == [(0, 999, (1, 4, 3, 5, 7)), (1, 499, (1, 4, 3, 5, 7))]
    assert not latents.any()


def test_half_precision(pipeline):
    """bfloat16 keeps 8 bits of every product; after two steps pictures are still nearer than a tenth of the range."""
    half = generate(copy.deepcopy(pipeline).to(torch.bfloat16))
    assert half.dtype == np.float32
    assert np.abs(half - generate(pipeline)).mean() < 0.1


def test_weights_that_are_elsewhere_between_steps(pipeline):
    """As diffusers' sequential offload: nothing can be projected beforehand. Other order of sums, so float64."""
    whole, offloaded = (copy.deepcopy(pipeline).to(torch.float64) for _ in range(2))
    for network in offloaded.components.values():
        if isinstance(network, torch.nn.Module):
            cpu_offload(network, execution_device=torch.device("cpu"), offload_buffers=True)
    assert offloaded.denoising_unet.conv_in.weight.device.type == "meta"
    got, want = (generate(each, output_type="latent") for each in (offloaded, whole))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)  # the bank is rounded to float16, the same in both


def test_what_does_not_fit(pipeline):
    with pytest.raises(InputError, match="3 pose frames"):
        generate(pipeline, scene_rgb=pictures(2))
    with pytest.raises(InputError, match="multiple of 8"):
        generate(pipeline, size=(41, 56))
    with pytest.raises(InputError, match="4 channels of scene"):
        generate(pipeline, scene_rgb=None)
    with pytest.raises(InputError, match="no pose frame"):
        generate(pipeline, num_frames=0)
