"""Networks of libraries are read strictly: nothing stays random, and nothing is left over in silence."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_networks import tiny_image_encoder, tiny_vae

from engine.diffusion.frozen import load_image_encoder, load_vae
from engine.errors import InputError


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    tiny_vae().save_pretrained(tmp_path)
    return tmp_path


def change(folder, change_in):
    path = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    change_in(tensors)
    save_file(tensors, path)


def test_read_in_the_precision_asked_for(folder):
    vae = load_vae(folder, dtype=torch.bfloat16)
    assert vae.dtype == torch.bfloat16 and not vae.training
    stored = load_file(folder / "diffusion_pytorch_model.safetensors")
    assert torch.equal(vae.state_dict()["decoder.conv_in.weight"], stored["decoder.conv_in.weight"].bfloat16())


def test_what_does_not_fit_is_listed(folder):
    def damage(tensors):
        del tensors["decoder.conv_in.bias"]
        tensors["encoder.extra"] = torch.zeros(1)

    change(folder, damage)
    with pytest.raises(InputError, match=r"1 missing: decoder.conv_in.bias; 1 unexpected: encoder.extra") as refused:
        load_vae(folder)
    assert "mimo weights pull diffusion" in str(refused.value)


def test_a_tensor_of_another_shape(folder):
    change(folder, lambda tensors: tensors.update({"decoder.conv_in.bias": torch.zeros(3)}))
    with pytest.raises(InputError, match=r"decoder\.conv_in\.bias"):
        load_vae(folder)


def test_damaged_and_not_there(folder, tmp_path):
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"half a file")
    with pytest.raises(InputError, match="cannot be read as AutoencoderKL"):
        load_vae(folder)
    with pytest.raises(InputError, match="cannot be read as CLIPVisionModelWithProjection"):
        load_image_encoder(tmp_path / "nowhere")


def test_position_numbers_of_older_files_do_no_harm(tmp_path):
    torch.manual_seed(0)
    encoder = tiny_image_encoder()
    encoder.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path) | {"vision_model.embeddings.position_ids": torch.arange(50)[None]}
    save_file(tensors, path, metadata={"format": "pt"})
    assert load_image_encoder(tmp_path).config.hidden_size == 16
