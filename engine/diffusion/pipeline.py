"""The network as a `DiffusionPipeline`: pictures in, pictures out, saved and loaded as diffusers' users know it."""

# Shapes: V videos (always 1), B batch (always 1), C channels, T frames, H W latent size.

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.utils.outputs import BaseOutput
from numpy.typing import NDArray
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel
from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

from engine.diffusion.codec import PIXELS_PER_LATENT, decode_latents, encode_pictures, guide_poses
from engine.diffusion.pose_guider import PoseGuider
from engine.diffusion.prepare import clip_pixels, pose_pixels, vae_pixels
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.sampler import Conditions, denoise, look_at_reference
from engine.diffusion.unet import DenoisingUNet
from engine.diffusion.windows import SamplingConfig
from engine.errors import InputError
from engine.types import Chunks, Size


@dataclass
class MimoPipelineOutput(BaseOutput):
    """What the pipeline gives back."""

    frames: NDArray
    """(T, H, W, 3) float32, 0 ... 1; with `output_type` "latent": (1, 4, T, h, w) latents instead."""


class MimoPipeline(DiffusionPipeline):
    """Animate the figure of a reference picture by a pose video, in front of a scene."""

    model_cpu_offload_seq = "image_encoder->vae->reference_net->pose_guider->denoising_unet->vae"
    _callback_tensor_inputs = ("latents",)

    def __init__(
        self,
        vae: AutoencoderKL,
        image_encoder: CLIPVisionModelWithProjection,
        reference_net: ReferenceNet,
        denoising_unet: DenoisingUNet,
        pose_guider: PoseGuider,
        scheduler: DDIMScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            image_encoder=image_encoder,
            reference_net=reference_net,
            denoising_unet=denoising_unet,
            pose_guider=pose_guider,
            scheduler=scheduler,
        )

    @torch.no_grad()
    def __call__(
        self,
        reference_rgb: NDArray,
        pose_rgb: Sequence[NDArray],
        scene_rgb: Sequence[NDArray] | None = None,
        *,
        size: Size = (784, 784),
        num_inference_steps: int = 25,
        guidance_scale: float = 3.5,
        window: int = 24,
        overlap: int = 4,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        output_type: str = "np",
        chunks: Chunks | None = None,
        callback_on_step_end: Callable[["MimoPipeline", int, int, dict], dict] | None = None,
    ) -> MimoPipelineOutput:
        """Generate a video.

        Args:
            reference_rgb: (S, S, 3) uint8, the figure on white in a square (`prepare.prepare_reference`).
            pose_rgb: T frames (S, S, 3) uint8 of the drawn body on black; may read them when asked.
            scene_rgb: T frames (S, S, 3) uint8 without the person; None for a network without scene latents (Moore).
            size: (height, width) of the generated video, multiples of 8.
            num_inference_steps: see `SamplingConfig`; so are guidance_scale, window and overlap.
            guidance_scale: 1 or below: no guidance.
            window: frames denoised together.
            overlap: frames that neighbouring windows share.
            generator: of the noise; on the CPU a seed gives the same noise on every machine.
            latents: (1, 4, T, h, w) noise instead of drawn noise.
            output_type: "np" or "latent".
            chunks: keeps finished windows on disk, so that a killed run goes on.
            callback_on_step_end: called with the pipeline, step index, timestep and {"latents": ...} after each step.

        Returns:
            `MimoPipelineOutput`.

        Raises:
            InputError: numbers of frames or the size do not fit the network.
        """
        self._check(len(pose_rgb), None if scene_rgb is None else len(scene_rgb), size)
        # 1. Reference: CLIP token and VAE latents, then what the reference net keeps.
        image_tokens_BSC = self.encode_image(reference_rgb)
        reference_VCHW = self.encode([vae_pixels(reference_rgb, size)])[0].transpose(0, 1)
        reference = look_at_reference(
            self.reference_net, reference_VCHW, image_tokens_BSC, dtype=self.denoising_unet.dtype
        )
        if getattr(self.denoising_unet, "_hf_hook", None) is None:  # its weights are here
            reference = self.denoising_unet.project_reference(reference)
        # 2. Scene of all frames; pose features are 12 MB a frame at 784x784 and made window by window.
        scene_BCTHW = None if scene_rgb is None else self.encode(vae_pixels(rgb, size) for rgb in scene_rgb)
        # 3. Noise, on the CPU: a seed gives the same on every machine.
        if latents is None:
            h, w = (side // PIXELS_PER_LATENT for side in size)
            latents = torch.randn(1, 4, len(pose_rgb), h, w, generator=generator)
        # 4. Denoise.
        latents_BCTHW = denoise(
            self.denoising_unet,
            self.scheduler,
            latents.to(self._execution_device, self.denoising_unet.dtype),
            Conditions(reference, image_tokens_BSC, partial(self.guide, pose_rgb, size), scene_BCTHW),
            SamplingConfig(
                num_steps=num_inference_steps, guidance_scale=guidance_scale, window=window, overlap=overlap
            ),
            chunks=chunks,
            on_step=None if callback_on_step_end is None else partial(self._tell, callback_on_step_end),
        )
        # 5. Decode, one frame at a time.
        is_latent = output_type == "latent"
        frames: Any = latents_BCTHW if is_latent else np.stack(list(self.decode(latents_BCTHW)))
        self.maybe_free_model_hooks()
        return MimoPipelineOutput(frames=frames)

    def encode_image(self, reference_rgb: NDArray) -> Tensor:
        """What CLIP sees in the reference: (S, S, 3) uint8 to a (1, 1, C) token, projected, not normalised."""
        pixels = self._tensor(clip_pixels(reference_rgb)[None], self.image_encoder)
        return self.image_encoder(pixels).image_embeds[:, None].to(self.denoising_unet.dtype)

    def encode(self, pixels: Iterable[NDArray]) -> Tensor:
        """Pictures to latents, one at a time: T times (3, H, W) float32 -1 ... 1 to (1, 4, T, H/8, W/8), scaled."""
        return encode_pictures(self.vae, pixels, device=self._execution_device, dtype=self.denoising_unet.dtype)

    def guide(self, pose_rgb: Sequence[NDArray], size: Size, frames: Sequence[int]) -> Tensor:
        """Pose pictures to features, one at a time: those of `frames`, (1, C, len(frames), H/8, W/8)."""
        pixels = (pose_pixels(pose_rgb[frame], size) for frame in frames)
        return guide_poses(self.pose_guider, pixels, device=self._execution_device).to(self.denoising_unet.dtype)

    def decode(self, latents_BCTHW: Tensor) -> Iterator[NDArray]:
        """Latents to pictures, one at a time: (1, 4, T, H/8, W/8) to T times (H, W, 3) float32, 0 ... 1."""
        return decode_latents(self.vae, latents_BCTHW)

    def _tensor(self, array: NDArray, network: ModelMixin | PreTrainedModel) -> Tensor:
        return torch.from_numpy(array).to(self._execution_device, network.dtype)

    def _tell(self, callback: Callable, step_idx: int, timestep: int, latents_BCTHW: Tensor) -> Tensor | None:
        changed = callback(self, step_idx, timestep, {"latents": latents_BCTHW})
        return changed.get("latents") if changed else None

    def _check(self, num_frames: int, num_scenes: int | None, size: Size) -> None:
        added = self.denoising_unet.config["in_channels"] - 4
        if any(side % PIXELS_PER_LATENT for side in size):
            raise InputError(f"the size {size[1]}x{size[0]} is not a multiple of 8.", fix="round it, e.g. to 784x784.")
        if num_frames == 0:
            raise InputError("there is no pose frame.", fix="give one pose picture per frame.")
        if (num_scenes is None) == bool(added):
            fix = "give scene frames." if added else "leave the scene out; it is composed afterwards."
            raise InputError(f"this network takes {added} channels of scene latents.", fix=fix)
        if num_scenes not in (None, num_frames):
            raise InputError(
                f"there are {num_scenes} scene frames and {num_frames} pose frames.", fix="give one of each per frame."
            )
