"""Where a run begins: the codec, the network and its weights."""

from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import nn

from engine.errors import InputError
from engine.training.checkpoint import load_ema
from engine.training.codec import Codec, PixelCodec, VaeCodec
from engine.training.composer import Composer
from engine.training.objective import PREDICTIONS
from engine.training.recipe import Recipe
from engine.weights import find

Init = Literal["recipe", "random"]


def needed_weights(recipe: Recipe, init: Init) -> list[str]:
    """Names in `mimo weights list` that the run cannot start without."""
    if recipe.model.codec == "pixels" or init == "random":
        return []
    named = [recipe.init.stable_diffusion, recipe.init.motion_module]
    return ["sd-vae-ft-mse", "image-encoder", *(name for name in named if name)]


def make_codec(recipe: Recipe, init: Init, *folders: Path) -> Codec:
    """Return the codec of a recipe; a random one has the published layout and no knowledge.

    Args:
        recipe: of the run.
        init: "random" downloads and looks for nothing.
        folders: folders of weights to search first.

    Raises:
        MissingError: its weights are not on this machine; says what to type.
    """
    if recipe.model.codec == "pixels":
        return PixelCodec(recipe.model.patch)
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    from engine.diffusion.frozen import load_vae

    if init == "random":
        return VaeCodec(AutoencoderKL(**sd_vae_config()))
    return VaeCodec(load_vae(find("sd-vae-ft-mse", *folders).folder))


def sd_vae_config() -> dict:
    """The configuration of SD 1.5's VAE."""
    return {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 256,
    }


def make_composer(recipe: Recipe, codec: Codec, init: Init, *folders: Path) -> Composer:
    """Return the network of a recipe with its starting weights.

    Fresh weights come from the recipe's seed. Stable Diffusion's go into the denoiser and the reference net where names
    and shapes agree; channels of `conv_in` that it does not have start at zero, so that they change nothing at first.

    Raises:
        MissingError: weights that the recipe names are not on this machine; says what to type.
        InputError: they do not fit, or the run it continues has another network.
    """
    torch.manual_seed(recipe.seed)
    random = init == "random"
    encoder = None if random or recipe.model.codec == "pixels" else _clip(*folders)
    composer = Composer(recipe.model, codec, image_encoder=encoder)
    if random:
        return composer
    if recipe.init.stable_diffusion:
        _take_stable_diffusion(composer, recipe, *folders)
    if recipe.init.run:
        _take_run(composer, Path(recipe.init.run))
    return composer


def _clip(*folders: Path) -> nn.Module:
    from engine.diffusion.frozen import load_image_encoder

    return load_image_encoder(find("image-encoder", *folders).folder / "image_encoder")


def _take_stable_diffusion(composer: Composer, recipe: Recipe, *folders: Path) -> None:
    from engine.diffusion.checkpoint import load_stable_diffusion

    unet = next(path for path in find(recipe.init.stable_diffusion, *folders).files if path.suffix != ".json")
    motion = find(recipe.init.motion_module, *folders).files[0]
    wide = composer.denoising_unet.config["in_channels"]
    networks = load_stable_diffusion(unet, motion, in_channels=wide)
    composer.denoising_unet.load_state_dict(networks.denoising_unet.state_dict())
    composer.reference_net.load_state_dict(networks.reference_net.state_dict())


def _take_run(composer: Composer, run: Path) -> None:
    weights = load_ema(run)
    ours = composer.state_dict()
    wrong = [name for name in ours if name not in weights or weights[name].shape != ours[name].shape]
    if wrong or len(weights) != len(ours):
        raise InputError(
            f"the network of {run} is another one: {wrong[0] if wrong else 'it has more parts'} does not fit.",
            fix="use the same [model] table in both recipes.",
        )
    composer.load_state_dict(weights)


def export_network(composer: Composer, recipe: Recipe, folder: Path) -> bool:
    """Write the network in the layout that `--animator diffusion --network FOLDER` reads.

    Args:
        composer: with the averaged weights.
        recipe: of the run.
        folder: made if needed.

    Returns:
        False, and nothing is written, where the animator has no such network: an ablation, or an objective that it does
        not sample with.
    """
    model, objective = recipe.model, recipe.objective
    whole = model.scene and model.occlusion and model.motion == "codes" and model.reference == "canonical"
    if not (whole and objective.zero_terminal_snr):
        return False
    from engine.diffusion.checkpoint import MotionCodes, Networks, Traits, save_release

    assert composer.codes is not None
    motion = MotionCodes(composer.codes, composer.pose_encoder)
    traits = Traits(
        num_attention_heads=model.num_attention_heads,
        norm_num_groups=model.norm_num_groups,
        prediction_type=PREDICTIONS[objective.prediction],
    )
    save_release(Networks(composer.denoising_unet, composer.reference_net, motion), folder, traits)
    if model.codec == "pixels":  # whose image encoder was trained with it
        from engine.diffusion.pixel_codec import PixelAutoencoder

        PixelAutoencoder(model.patch).save_pretrained(folder / "vae")
        encoder = folder / "image_encoder"
        composer.image_encoder.config.save_pretrained(encoder)  # type: ignore[union-attr, operator]
        tensors = {name: tensor.contiguous() for name, tensor in composer.image_encoder.state_dict().items()}
        save_file(tensors, encoder / "model.safetensors", metadata={"format": "pt"})  # its own way shows a bar
    return True
