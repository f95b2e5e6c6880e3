"""Where weights are looked for, in which order, and what stands for them in a key."""

import os
import tomllib

import pytest

from engine.errors import MissingError
from engine.weights import find, known, look, sha256_of
from engine.weights.known import TABLE, expand, groups

NAMES = ("config.json", "diffusion_pytorch_model.safetensors")


def fill(folder, *names, text="x"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_table():
    """Every set says what it is, whether it may earn money, what else will do, and how to get it."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    assert set(known()) == set(table) - {"groups"}
    for name, weights in known().items():
        assert weights.files and weights.about and weights.licence, name
        assert weights.commercial or weights.instead, f"{name} has no clean substitute"
        assert sum(map(bool, (weights.repo, weights.url, weights.by_hand))) == 1, name
        for file in weights.files:
            assert file.sha256 == "" or (len(file.sha256) == 64 and int(file.sha256, 16)), file.path
    for members in groups().values():
        assert set(members) <= set(known())
    assert [weights.name for weights in expand(["diffusion", "mimo"])] == list(groups()["diffusion"])


def test_the_order_of_places(machine):
    project = machine / "x.mimo" / "weights"
    with pytest.raises(MissingError, match=r"the weights sd-vae-ft-mse .* are not here") as missing:
        find("sd-vae-ft-mse", project)
    assert missing.value.fix == "mimo weights pull sd-vae-ft-mse"
    assert missing.value.exit_code == 4
    hub = machine / "hub" / "models--stabilityai--sd-vae-ft-mse"
    fill(hub / "snapshots" / "new", *NAMES)
    assert find("sd-vae-ft-mse", project).place == "hub cache"
    fill(machine / "mine" / "sd-vae-ft-mse", *NAMES)
    assert find("sd-vae-ft-mse", project).place == "yours"
    fill(project / "sd-vae-ft-mse", "config.json", "diffusion_pytorch_model.bin")  # the other form does as well
    found = find("sd-vae-ft-mse", project)
    assert (found.place, found.folder) == ("project", project / "sd-vae-ft-mse")
    assert found.files[1].name == "diffusion_pytorch_model.bin"


def test_half_a_set_is_none(machine):
    fill(machine / "mine" / "sd-vae-ft-mse", "config.json")
    with pytest.raises(MissingError, match=r"not here: diffusion_pytorch_model\.safetensors not in"):
        find("sd-vae-ft-mse")


def test_the_hub_calls_one_snapshot_main(machine):
    hub = machine / "hub" / "models--stabilityai--sd-vae-ft-mse"
    for name in ("old", "young"):
        fill(hub / "snapshots" / name, *NAMES)
    os.utime(hub / "snapshots" / "old", ns=(1, 1))
    assert find("sd-vae-ft-mse").folder.name == "young"
    fill(hub / "refs", "main", text="old")
    assert find("sd-vae-ft-mse").folder.name == "old"


def test_the_folder_of_the_published_code(machine):
    """Its pretrained_weights/ does as it is: networks and image encoder lie in it, the VAE in a folder of its name."""
    mine = machine / "mine"
    fill(mine, *(file.path for file in known()["mimo"].files))
    fill(mine, "image_encoder/config.json", "image_encoder/pytorch_model.bin")
    fill(mine / "sd-vae-ft-mse", *NAMES)
    for name in groups()["diffusion"]:
        assert look(name) is not None, name


def test_a_checkpoint_of_ones_own(machine):
    folder = fill(machine / "mine" / "hero", "denoising_unet.safetensors", "notes.txt")
    assert [path.name for path in find("hero").files] == ["denoising_unet.safetensors"]
    assert find(str(folder)).folder == folder
    assert sha256_of("hero") == sha256_of(str(folder))
    with pytest.raises(MissingError, match="no weights nobody"):
        find("nobody")
    with pytest.raises(MissingError, match="did you mean mimo"):
        find("mimi")


def test_digests_are_computed_once(machine, monkeypatch):
    mine = fill(machine / "mine" / "sd-vae-ft-mse", *NAMES)
    first = sha256_of("sd-vae-ft-mse")
    with monkeypatch.context() as patch:
        patch.setattr("engine.weights.remember.file_sha256", None)
        assert sha256_of("sd-vae-ft-mse") == first
    fill(mine, "config.json", text="y")
    assert sha256_of("sd-vae-ft-mse") != first
