"""The diffusion animator: the MIMO network over a clip of any length, window by window, at the clip's own resolution.

A person is cut out with some room around, in as many crops as their size asks for (`engine.diffusion.clips`); each
crop is generated in streaming windows (`engine.diffusion.stream`), cut out again (`engine.diffusion.matte`) and laid
into a clear picture of the clip's size. Every finished window is kept as a chunk, and what the next one needs of it is
read from there, hence a killed run goes on with the same result.
"""

# Shapes: B batch (always 1), C channels, T frames of a window, K known frames, H W latent size, S side of the network.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.animator.fragments import BodyFragments
from engine.animator.handover import Handover
from engine.animator.shots import RenderConfig, Shot, Task, find_shots, list_tasks
from engine.diffusion import clips, matte, prepare
from engine.diffusion.clips import Box
from engine.diffusion.drift import DriftMeter
from engine.diffusion.loaded import LoadedNetwork
from engine.diffusion.sampler import Conditions, denoise
from engine.diffusion.stream import denoise_window, frame_noise
from engine.types import Chunks, FrameSource, Progress, Size, quiet
from engine.video import LayerWriter


@dataclass(frozen=True)
class Shown:
    """What the network is shown, at the clip's size."""

    pose: FrameSource
    """(H, W, 3) uint8, the drawn body on black."""
    scene: FrameSource
    """(H, W, 3) uint8 without the person."""
    time_s: NDArray
    """(T,) float64, seconds."""
    occlusion: FrameSource | None = None
    """(H, W, 3) uint8, the source where something passes in front, else black: for the paper's network."""
    body: BodyFragments | None = None
    """Draws the body's surface: for the paper's network."""


class DiffusionAnimator:
    """Generates the figure of a clip."""

    def __init__(
        self,
        load: Callable[[], LoadedNetwork],
        shown: Shown,
        config: RenderConfig,
        *,
        progress: Progress = quiet,
    ) -> None:
        """Nothing is loaded before a window has to be made.

        Args:
            load: gives the network, having seen the reference.
            shown: what it is shown.
            config: how.
            progress: hears of every step of every window.
        """
        self._load, self._shown, self._config, self._progress = load, shown, config, progress
        self.network: LoadedNetwork | None = None
        """Once a window had to be made."""
        self.shots = find_shots(shown.pose)
        self.tasks = list_tasks(self.shots, config)
        self.drift = DriftMeter()

    def render(self, chunks: Chunks) -> list[Path]:
        """Generate the clip.

        Args:
            chunks: keeps finished windows.

        Returns:
            Lossless videos of straight RGBA that follow each other: all frames of the clip, clear where nobody is.
        """
        state, written, files = Handover(), 0, []
        for number, task in enumerate(self.tasks):
            if chunks.get(task.name) is None:
                ready = self._ready_after(number)
                with chunks.make(task.name) as folder:
                    frames = self._make(task, number, state, chunks)
                    self._write(folder, state, frames, written, ready)
                    state.save(folder)
            folder = chunks.get(task.name)
            assert folder is not None
            state = Handover.load(folder)
            written = self._ready_after(number)
            self.drift.time_s += [row[0] for row in state.colors]
            self.drift.rgb += [row[1:] for row in state.colors]
            if (folder / "human.mkv").exists():
                files.append(folder / "human.mkv")
            self._progress((number + 1) * self._num_steps, self._total)
        return files or [self._clear(chunks)]

    @property
    def _num_steps(self) -> int:
        return self._config.sampling.num_steps + 1

    @property
    def _total(self) -> int:
        return len(self.tasks) * self._num_steps

    def _ready_after(self, number: int) -> int:
        """The first frame of the clip that windows after this one still change."""
        later = self.tasks[number + 1 :]
        return min((task.start + task.num_known for task in later), default=self._shown.pose.num_frames)

    # ------------------------------------------------------------------------------------------ one window

    def _make(self, task: Task, number: int, state: Handover, chunks: Chunks) -> "Iterator[tuple[int, NDArray]]":
        """Generate a window; yields each new frame of the clip as (index, (H, W, 4) uint8 straight RGBA)."""
        if self.network is None:
            self.network = self._load()
        network, config = self.network, self._config
        shot = self.shots[task.shot_idx]
        box = clips.crop_box(clips.ClipPart([], shot.box), self._shown.pose.size)
        poses = [_crop(rgb, box) for rgb in self._shown.pose.read(task.start, task.stop)]
        scenes = [_crop(rgb, box) for rgb in self._shown.scene.read(task.start, task.stop)]
        noise_BCTHW = torch.stack(
            [
                frame_noise(config.seed, f"{task.shot_idx}/{idx}", network.num_channels, network.latent_size)
                for idx in _range(task)
            ],
            dim=1,
        )[None].to(network.device, network.dtype)
        conditions = self._conditions(task, box, poses, scenes)
        known = state.known if task.num_known else None
        latents_BCTHW = self._denoise(task, number, noise_BCTHW, conditions, known, chunks)
        new_BCTHW = latents_BCTHW[:, :, task.num_known :]
        if config.anchor:
            figure_THW = _figure(poses[task.num_known :], network.latent_size).to(new_BCTHW.device)
            new_BCTHW = state.anchor.pull(new_BCTHW, figure_THW)
        whole_BCTHW = torch.cat([latents_BCTHW[:, :, : task.num_known], new_BCTHW], dim=2)
        state.known = whole_BCTHW[:, :, whole_BCTHW.shape[2] - task.num_wanted :].cpu() if task.num_wanted else None
        state.colors = []
        first = task.start + task.num_known
        for offset, rgb in enumerate(network.decode(new_BCTHW)):
            place = task.num_known + offset
            state.time_s = float(self._shown.time_s[first + offset])
            frame = self._placed(rgb, poses[place], scenes[place], box, state)
            yield first + offset, self._mixed(frame, first + offset, shot, state)

    def _denoise(
        self,
        task: Task,
        number: int,
        noise_BCTHW: Tensor,
        conditions: Conditions,
        known: Tensor | None,
        chunks: Chunks,
    ) -> Tensor:
        network, config = self.network, self._config
        assert network is not None
        if config.streaming:
            return denoise_window(
                network.predict,
                network.scheduler,
                noise_BCTHW,
                conditions,
                config.sampling,
                known_BCKHW=None if known is None else known.to(noise_BCTHW),
                on_step=lambda done, total: self._progress(number * self._num_steps + done, self._total),
            )
        return denoise(
            network.predict,
            network.scheduler,
            noise_BCTHW,
            conditions,
            config.sampling,
            chunks=_Named(chunks, task.name),
            on_step=lambda step, t, latents: self._progress(number * self._num_steps + step + 1, self._total),
        )

    def _conditions(self, task: Task, box: Box, poses: list[NDArray], scenes: list[NDArray]) -> Conditions:
        network = self.network
        assert network is not None
        size = network.size
        layers = []
        if network.num_layers > 0:
            padded = (prepare.pad_square(rgb, prepare.WHITE) for rgb in scenes)
            layers.append(network.encode(prepare.vae_pixels(rgb, size) for rgb in padded))
        if network.num_layers > 1:
            assert self._shown.occlusion is not None
            fronts = (_crop(rgb, box) for rgb in self._shown.occlusion.read(task.start, task.stop))
            padded = (prepare.pad_square(rgb, prepare.BLACK) for rgb in fronts)
            layers.append(network.encode(prepare.vae_pixels(rgb, size) for rgb in padded))
        if network.variant == "paper":
            assert self._shown.body is not None
            faces, face_idx, bary = self._shown.body.draw(task.start, task.stop, box, network.map_size)
            features = network.guide_codes(faces, face_idx, bary)
        else:
            padded = (prepare.pad_square(rgb, prepare.BLACK) for rgb in poses)
            features = network.guide(prepare.pose_pixels(rgb, size) for rgb in padded)
        return Conditions(
            network.reference,
            network.tokens_BSC,
            lambda frames: features[:, :, frames],
            torch.cat(layers, dim=1) if layers else None,
        )

    # ------------------------------------------------------------------------------------------ back into the clip

    def _placed(self, rgb_01: NDArray, pose: NDArray, scene: NDArray, box: Box, state: Handover) -> NDArray:
        """A generated square back in its place: (H, W, 4) uint8 straight RGBA, clear around the figure."""
        x0, x1, y0, y1 = box
        size = self._shown.pose.size
        side = clips.round_up(max(y1 - y0, x1 - x0))
        square = Image.fromarray((rgb_01 * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        top, left = prepare.square_offset((y1 - y0, x1 - x0))
        rgb = np.asarray(square)[top : top + y1 - y0, left : left + x1 - x0]
        body = pose.max(axis=2)
        if self._config.whole_box:
            alpha = matte.box_matte(box, size) * np.uint8(body.any())
        else:
            alpha = matte.figure_matte(rgb, scene, body, fill=self._config.alone)
        state.note_color(rgb, np.minimum(alpha, body))
        frame = np.zeros((*size, 4), np.uint8)
        frame[y0:y1, x0:x1, :3] = np.where(alpha[..., None] > 0, rgb, 0)
        frame[y0:y1, x0:x1, 3] = alpha
        return frame

    def _mixed(self, frame: NDArray, idx: int, shot: Shot, state: Handover) -> NDArray:
        """Fade from the crop before into this one where both have a frame, as the published code does."""
        before = state.pending.pop(idx, None)
        if before is None:
            return frame
        share = (idx - shot.start + 1) / (clips.OVERLAP + 1)
        return _mix(before, frame, share)

    def _write(
        self, folder: Path, state: Handover, frames: "Iterator[tuple[int, NDArray]]", written: int, ready: int
    ) -> None:
        """Write what no later window changes, and keep the rest for it."""
        size = self._shown.pose.size
        for idx, rgba in frames:
            state.pending[idx] = rgba
        if ready <= written:
            return
        clear = np.zeros((*size, 4), np.uint8)
        with LayerWriter(folder / "human.mkv", size, "rgba") as writer:
            for idx in range(written, ready):
                writer.write(state.pending.pop(idx, clear))

    def _clear(self, chunks: Chunks) -> Path:
        """Nobody anywhere: a clip of nothing."""
        if chunks.get("nobody") is None:
            with chunks.make("nobody") as folder:
                self._write(folder, Handover(), iter(()), 0, self._shown.pose.num_frames)
        folder = chunks.get("nobody")
        assert folder is not None
        return folder / "human.mkv"


class _Named:
    """Chunks whose names begin with that of a window."""

    def __init__(self, chunks: Chunks, name: str) -> None:
        self._chunks, self._name = chunks, name

    def get(self, name: str):
        return self._chunks.get(f"{self._name}-{name}")

    def make(self, name: str):
        return self._chunks.make(f"{self._name}-{name}")


def _range(task: Task) -> range:
    return range(task.start, task.stop)


def _crop(picture: NDArray, box: Box) -> NDArray:
    x0, x1, y0, y1 = box
    return np.ascontiguousarray(picture[y0:y1, x0:x1])


def _figure(poses: Sequence[NDArray], size: Size) -> Tensor:
    """Where the body is in the latents: (T, h, w) float32, 0 ... 1."""
    masks = [(prepare.pad_square(rgb, prepare.BLACK).max(axis=2) > 0).astype(np.float32) for rgb in poses]
    small = [cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_AREA) for mask in masks]
    return torch.from_numpy(np.stack(small))


def _mix(before: NDArray, after: NDArray, share: float) -> NDArray:
    """Between two pictures of straight RGBA: colours weigh as much as they cover."""
    weights = [before[..., 3:].astype(np.float32) * (1 - share), after[..., 3:].astype(np.float32) * share]
    alpha = weights[0] + weights[1]
    rgb = (before[..., :3] * weights[0] + after[..., :3] * weights[1]) / np.maximum(alpha, 1e-6)
    return np.rint(np.concatenate([rgb, alpha], axis=2)).astype(np.uint8)
