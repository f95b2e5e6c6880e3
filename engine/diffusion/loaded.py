"""A network at work: everything in memory that a clip needs, and nothing that has done its work.

Image encoder and reference net are run once on the reference picture and dropped; the keys and values of what they kept
are projected once. On a GPU only the part at work lies there: denoiser, VAE and pose guider take turns.
"""

# Shapes: V videos (always 1), B batch (always 1), C channels, T frames, S image tokens, H W latent size.

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.diffusion.attention import ReferenceFeatures, fix_token
from engine.diffusion.checkpoint import (
    MotionCodes,
    beta_schedule_of,
    load_denoiser,
    load_motion,
    load_reference_net,
    variant_of,
)
from engine.diffusion.codec import PIXELS_PER_LATENT, decode_latents, encode_pictures, guide_poses
from engine.diffusion.fast import FastPredict, fast_scheduler
from engine.diffusion.frozen import load_image_encoder, load_vae
from engine.diffusion.packed import keep_memory, pack
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.prepare import clip_pixels, vae_pixels
from engine.diffusion.sampler import Conditions, look_at_reference, predict_v
from engine.diffusion.schedule import make_scheduler
from engine.diffusion.unet import DenoisingUNet
from engine.errors import InputError
from engine.types import Size

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
GPU_BATCH = 8
"""Pictures that VAE and pose guider take at a time on a GPU; on a CPU one at a time is as fast."""


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
        self._batch = GPU_BATCH if self.device.type == "cuda" else 1
        self._at_work: nn.Module | None = None
        say("looking at the character")
        tokens_BSC = self._look_with_clip(folders.image_encoder, reference_rgb)
        self._vae = load_vae(folders.vae, dtype=self.dtype)
        reference_VCHW = self.encode([vae_pixels(reference_rgb, size)])[:, :, 0]
        say("loading the network")
        unet = load_denoiser(folders.network, dtype=self.dtype)
        check_width(unet, tokens_BSC, folders)
        self.config = unet.config
        """Of the denoiser."""
        self.scheduler: Any = make_scheduler(beta_schedule_of(unet))
        self.fast = FastPredict(unet) if fast else None
        if fast:
            self.scheduler = fast_scheduler(self.scheduler)
        reference_net = self._use(load_reference_net(folders.network, dtype=self.dtype))
        features = look_at_reference(reference_net, unet, reference_VCHW, tokens_BSC, project=False)
        del reference_net
        self._unet = self._use(unet)
        self.reference: ReferenceFeatures = replace(unet.project_reference(features), bank={})
        self.tokens_BSC = fix_token(unet, tokens_BSC)
        if self.device.type == "cpu":
            pack(unet)
            keep_memory()
        else:
            nn.Module.to(unet, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.motion = load_motion(folders.network, dtype=self.dtype)

    @property
    def latent_size(self) -> Size:
        """(h, w) of the latents."""
        return self.size[0] // PIXELS_PER_LATENT, self.size[1] // PIXELS_PER_LATENT

    @property
    def num_layers(self) -> int:
        """How many layers' latents stand beside the noisy ones: 0 (Moore), 1 (scene) or 2 (scene and occlusion)."""
        return self.config["in_channels"] // 4 - 1

    def predict(
        self,
        latents_BCTHW: Tensor,
        timestep: Tensor | int,
        conditions: Conditions,
        frames: list[int],
        guidance_scale: float,
    ) -> Tensor:
        """A `sampler.Predict`."""
        self._use(self._unet)
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

    def _look_with_clip(self, folder: Path, reference_rgb: NDArray) -> Tensor:
        encoder = self._use(load_image_encoder(folder, dtype=self.dtype))
        pixels = torch.from_numpy(clip_pixels(reference_rgb)[None]).to(self.device, self.dtype)
        with torch.no_grad():
            return encoder(pixels).image_embeds[:, None]

    def _use(self, module: Any) -> Any:
        """Bring a part to the device and send the one before it away."""
        if self.device.type != "cpu" and module is not self._at_work:
            if self._at_work is not None:
                self._at_work.to("cpu")
            module.to(self.device)
            self._at_work = module
        return module


def check_width(unet: DenoisingUNet, tokens_BSC: Tensor, folders: Folders) -> None:
    """Refuse an image encoder whose embedding is not as wide as the network reads."""
    wants, gets = unet.config["cross_attention_dim"], tokens_BSC.shape[-1]
    if wants != gets:
        raise InputError(
            f"the image encoder in {folders.image_encoder} gives {gets} numbers; the network in {folders.network} "
            f"reads {wants}.",
            fix="use the image encoder that the network was trained with.",
        )
