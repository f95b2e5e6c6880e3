"""Latents that are made once and kept beside the shards: the image codec is a third of a step's work, and frozen."""

import hashlib
import os
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from engine.training.codec import Codec, VaeCodec, encode_frames
from engine.training.shards import Shards


class KeptLatents:
    """The latents of whole clips on disk, float16; a clip is encoded when it is first asked for."""

    def __init__(self, shards: Shards, codec: VaeCodec, size: int) -> None:
        """Choose the folder: another codec, other shards or another size have another one.

        Args:
            shards: `latents/` is made in their folder.
            codec: frozen.
            size: pixels of the square frames.
        """
        key = hashlib.sha256(f"{size} {shards.fingerprint()}".encode())
        for tensor in codec.vae.state_dict().values():
            key.update(tensor.detach().cpu().float().numpy().tobytes())
        self.folder = shards.folder / "latents" / key.hexdigest()[:16]
        self._codec: Codec = codec
        self._lock = Lock()

    def of(self, clip_idx: int, layer: str, frames: NDArray) -> NDArray:
        """The latents of one layer of a clip.

        Args:
            clip_idx: in the shards.
            layer: "rgb", "scene", "occlusion" or "reference".
            frames: (T, S, S, 3) uint8, all frames of the clip.

        Returns:
            (T, C, h, w) float16, read from disk where they are looked at.
        """
        path = self.folder / f"clip-{clip_idx:06d}.{layer}.npy"
        with self._lock:
            self._make(path, frames)
        return np.load(path, mmap_mode="r")

    def _make(self, path: Path, frames: NDArray) -> None:
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.part")
            with torch.no_grad(), part.open("wb") as stream:
                np.save(stream, encode_frames(frames, self._codec).cpu().numpy().astype(np.float16))
            os.replace(part, path)  # processes that share the folder make the same file
