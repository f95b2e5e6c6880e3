"""Latents that are kept: the codec looks at a clip once, and what comes back is what it said."""

from pathlib import Path

import torch
from tiny_networks import tiny_vae

from engine.training.batch import encode, stack
from engine.training.codec import VaeCodec
from engine.training.latents import KeptLatents
from engine.training.samples import Samples
from engine.training.shards import Shards


def test_kept_latents_are_what_the_codec_says_and_are_made_once(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    (tmp_path / "shard-000000.tar").write_bytes((Path(recipe.data.shards) / "shard-000000.tar").read_bytes())
    torch.manual_seed(0)
    shards, codec = Shards(tmp_path), VaeCodec(tiny_vae())
    looks = []
    codec.vae.encoder.register_forward_hook(lambda *_: looks.append(1))
    given = {"map_side": 32, "seed": 0}
    plain = Samples(shards, recipe.data, recipe.model, **given)
    kept = Samples(shards, recipe.data, recipe.model, **given, kept_latents=KeptLatents(shards, codec, 32))

    def batch(samples, frames):
        cut = samples.cut(1, frames, seed=[0])
        return encode(stack([cut], recipe.model, clip_side=64), codec, recipe.model)

    wanted, got = (batch(samples, (0, 2)) for samples in (plain, kept))
    for name in ("target_BCTHW", "codes_BCTHW", "reference_BCHW"):
        # float16: ten bits behind the point of latents of about 1
        torch.testing.assert_close(getattr(got, name), getattr(wanted, name), rtol=1e-3, atol=1e-3)
    seen = len(looks)
    batch(kept, (1, 3))
    again = Samples(shards, recipe.data, recipe.model, **given, kept_latents=KeptLatents(shards, codec, 32))
    batch(again, (2, 3))
    assert len(looks) == seen


def test_another_codec_has_another_folder(tiny_recipe):
    shards, vae = Shards(Path(tiny_recipe().data.shards)), tiny_vae()
    one = KeptLatents(shards, VaeCodec(vae), 32).folder
    assert KeptLatents(shards, VaeCodec(vae), 32).folder == one
    assert KeptLatents(shards, VaeCodec(vae), 64).folder != one
    with torch.no_grad():
        next(vae.parameters()).add_(1)
    assert KeptLatents(shards, VaeCodec(vae), 32).folder != one
