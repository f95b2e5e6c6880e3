"""A network at work: everything in memory that a clip needs, and nothing that has done its work.

Image encoder and reference net are run once on the reference picture and dropped; the keys and values of what they kept
are projected once. On a GPU only the part at work lies there: denoiser, VAE and pose guider take turns, and layers of
the denoiser on one that is too small.
"""

# Shapes: V videos (always 1), B batch (always 1), C channels, T frames, S image tokens, H W latent size.

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.diffusion import heap
from engine.diffusion.attention import ReferenceFeatures, fix_token
from engine.diffusion.banded import work_banded
from engine.diffusion.checkpoint import (
    MotionCodes,
    beta_schedule_of,
    load_denoiser,
    load_motion,
    load_reference_net,
    traits_of,
    variant_of,
)
from engine.diffusion.codec import PIXELS_PER_LATENT, decode_latents, encode_pictures, guide_poses
from engine.diffusion.fast import FastPredict, fast_scheduler
from engine.diffusion.frozen import load_image_encoder, load_vae
from engine.diffusion.inference import make_ready
from engine.diffusion.offload import choose_offload
from engine.diffusion.pixel_codec import pixels_per_latent
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.prepare import clip_pixels, vae_pixels
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.sampler import Conditions, look_at_reference, predict_v
from engine.diffusion.schedule import make_scheduler
from engine.diffusion.unet import DenoisingUNet
from engine.errors import InputError
from engine.types import Size

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
GPU_PIXELS = 2 << 20
"""Of the pictures that VAE and pose guider take at a time on a GPU; on a CPU one at a time is as fast."""


@dataclass(frozen=True)
class Folders:
    """Where the parts of a network lie."""

    network: Path
    """The files of a release (`checkpoint.load_release`)."""
    vae: Path
    image_encoder: Path


class LoadedNetwork:
    """The network, having seen the reference picture."""

    def __init__(
        self,
        folders: Folders,
        reference_rgb: NDArray,
        size: Size,
        *,
        precision: str = "float32",
        fast: bool = False,
        device: str | torch.device = "cpu",
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Load everything and look at the reference.

        Args:
            folders: of the parts.
            reference_rgb: (S, S, 3) uint8, the figure on white in a square (`prepare.prepare_reference`).
            size: (height, width) of the network's pictures, multiples of 8.
            precision: a key of `PRECISIONS`.
            fast: fewer steps and reused features; see `engine.diffusion.fast`.
            device: "cpu" or "cuda".
            say: hears what is being done.

        Raises:
            InputError: a file is missing, damaged or not the network's.
        """
        self.variant = variant_of(folders.network)
        self.size, self.device, self.dtype = size, torch.device(device), PRECISIONS[precision]
        self._batch = max(1, GPU_PIXELS // (size[0] * size[1])) if self.device.type == "cuda" else 1
        self._at_work: nn.Module | None = None
        heap.return_freed()
        say("looking at the character")
        self._vae = load_vae(folders.vae, dtype=self.dtype)
        self._factor = pixels_per_latent(self._vae)
        if isinstance(self._vae, AutoencoderKL):
            work_banded(self._vae)
        tokens_BSC, features = self._look(folders, reference_rgb)
        say("loading the network")
        unet = load_denoiser(folders.network, dtype=self.dtype)
        self.config = unet.config
        """Of the denoiser."""
        self.scheduler: Any = make_scheduler(beta_schedule_of(unet), traits_of(folders.network).prediction_type)
        self.fast = FastPredict(unet) if fast else None
        if fast:
            self.scheduler = fast_scheduler(self.scheduler)
        self._unet = unet
        self.reference, self.tokens_BSC = self._prepare(unet, features, tokens_BSC, folders)
        self.motion = load_motion(folders.network, dtype=self.dtype)

    @property
    def latent_size(self) -> Size:
        """(h, w) of the latents."""
        return self.size[0] // self._factor, self.size[1] // self._factor

    @property
    def map_size(self) -> Size:
        """(height, width) of the drawn bodies that the codes' encoder reads."""
        return self.latent_size[0] * PIXELS_PER_LATENT, self.latent_size[1] * PIXELS_PER_LATENT

    @property
    def num_channels(self) -> int:
        """Of the latents: 4, or what a block of pixels has."""
        return self.config["out_channels"]

    @property
    def num_layers(self) -> int:
        """How many layers' latents stand beside the noisy ones: 0 (Moore), 1 (scene) or 2 (scene and occlusion)."""
        return self.config["in_channels"] // self.num_channels - 1

    def predict(
        self,
        latents_BCTHW: Tensor,
        timestep: Tensor | int,
        conditions: Conditions,
        frames: list[int],
        guidance_scale: float,
    ) -> Tensor:
        """A `sampler.Predict`."""
        self._use(None if self._offload else self._unet)
        if self.fast is not None:
            return self.fast(latents_BCTHW, timestep, conditions, frames, guidance_scale)
        return predict_v(self._unet, latents_BCTHW, timestep, conditions, frames, guidance_scale)

    def encode(self, pixels: Iterable[NDArray]) -> Tensor:
        """T pictures (3, S, S) float32 -1 ... 1 to (1, 4, T, h, w) latents."""
        self._use(self._vae)
        return encode_pictures(self._vae, pixels, device=self.device, dtype=self.dtype, batch=self._batch)

    def guide(self, pixels: Iterable[NDArray]) -> Tensor:
        """T pose pictures (3, S, S) float32 0 ... 1 to (1, C, T, h, w) features."""
        assert isinstance(self.motion, PoseGuider)
        self._use(self.motion)
        return guide_poses(self.motion, pixels, device=self.device, batch=self._batch)

    def guide_codes(self, faces_F3: NDArray, face_idx_THW: NDArray, bary_THW3: NDArray) -> Tensor:
        """Drawn bodies (what each pixel sees of the mesh) to (1, C, T, h, w) features, for the paper's variant."""
        assert isinstance(self.motion, MotionCodes)
        codes, encoder = (self._use(module) for module in (self.motion.codes, self.motion.encoder))
        faces, idx, bary = (torch.from_numpy(a).to(self.device) for a in (faces_F3, face_idx_THW, bary_THW3))
        with torch.no_grad():
            codes.to(self.device)  # both are small
            return encoder(codes(faces.long(), idx[None].long(), bary[None]))

    def decode(self, latents_BCTHW: Tensor) -> Iterator[NDArray]:
        """(1, 4, T, h, w) latents to T pictures (S, S, 3) float32, 0 ... 1."""
        self._use(self._vae)
        yield from decode_latents(self._vae, latents_BCTHW, batch=self._batch)

    @torch.no_grad()
    def _prepare(
        self, unet: DenoisingUNet, features: ReferenceFeatures, tokens_BSC: Tensor, folders: Folders
    ) -> tuple[ReferenceFeatures, Tensor]:
        """Fold into the denoiser what does not change from step to step, and lay it out for its device."""
        weight_bytes = sum(tensor.nbytes for tensor in unet.parameters())
        self._offload = choose_offload(
            self.device, weight_bytes, self.latent_size, self.config["block_out_channels"][0]
        )
        place = torch.device("cpu") if self._offload else self.device
        if not self._offload:
            self._use(unet)
        reference = replace(unet.project_reference(features.to(place)), bank={}).to(self.device)
        ones = fix_token(unet, tokens_BSC.to(place)).to(self.device)
        make_ready(unet, self.device, offload=self._offload, files=folders.network)
        return reference, ones

    @torch.no_grad()
    def _look(self, folders: Folders, reference_rgb: NDArray) -> tuple[Tensor, ReferenceFeatures]:
        """Show the reference to CLIP and to the reference net, which are then dropped."""
        encoder = self._use(load_image_encoder(folders.image_encoder, dtype=self.dtype))
        pixels = torch.from_numpy(clip_pixels(reference_rgb, encoder.config.image_size)[None]).to(
            self.device, self.dtype
        )
        tokens_BSC = encoder(pixels).image_embeds[:, None]
        self._at_work = encoder = None
        reference_VCHW = self.encode([vae_pixels(reference_rgb, self.size)])[:, :, 0]
        reference_net = load_reference_net(folders.network, dtype=self.dtype)
        check_width(reference_net, tokens_BSC, folders)
        features = look_at_reference(self._use(reference_net), reference_VCHW, tokens_BSC)
        self._at_work = None
        return tokens_BSC, features

    def _use(self, module: Any) -> Any:
        """Bring a part to the device and send the one before it away; None: nothing but that."""
        if self.device.type != "cpu" and module is not self._at_work:
            if self._at_work is not None:
                self._at_work.to("cpu")
            if module is not None:
                module.to(self.device)
            self._at_work = module
        return module


def check_width(reference_net: ReferenceNet, tokens_BSC: Tensor, folders: Folders) -> None:
    """Refuse an image encoder whose embedding is not as wide as the network reads."""
    wants, gets = reference_net.config["cross_attention_dim"], tokens_BSC.shape[-1]
    if wants != gets:
        raise InputError(
            f"the image encoder in {folders.image_encoder} gives {gets} numbers; the network in {folders.network} "
            f"reads {wants}.",
            fix="use the image encoder that the network was trained with.",
        )
