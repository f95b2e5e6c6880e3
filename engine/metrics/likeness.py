"""Identity similarity: how alike a character and its picture look to CLIP (CLIP-I)."""

from pathlib import Path

import torch
from numpy.typing import NDArray


class Likeness:
    """Compares figures with one picture.

    Source: CLIP-I of DreamBooth (Ruiz et al. 2023): the cosine of CLIP's image embeddings.
    """

    def __init__(self, folder: Path, reference: NDArray) -> None:
        """Look at the picture.

        Args:
            folder: of a CLIP image encoder of the transformers library.
            reference: (H, W, 4) uint8 straight RGBA: the character; what is transparent is shown white.

        Raises:
            InputError: the network cannot be read.
        """
        from engine.diffusion.frozen import load_image_encoder

        self._encoder = load_image_encoder(folder)
        self._side = int(self._encoder.config.image_size)  # type: ignore[arg-type]
        self._want = self._look(reference)

    def of(self, figure: NDArray) -> float:
        """Return the cosine, -1 ... 1, for a figure (H, W, 4) uint8 straight RGBA."""
        return float((self._look(figure) * self._want).sum())

    @torch.inference_mode()
    def _look(self, rgba: NDArray) -> torch.Tensor:
        from engine.diffusion.prepare import clip_pixels, prepare_reference

        pixels = torch.from_numpy(clip_pixels(prepare_reference(rgba), self._side)[None])
        embeds = self._encoder(pixels).image_embeds[0].double()
        return embeds / embeds.norm()
