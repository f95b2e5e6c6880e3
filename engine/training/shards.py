"""Shards: .tar files of clips, in WebDataset's layout, each clip with everything a training step needs.

clip-000007.rgb.mkv         FFV1 RGB: what the camera saw
clip-000007.scene.mkv       FFV1 RGB: the place without the person and without what passes in front
clip-000007.occlusion.mkv   FFV1 RGBA, straight: what passes in front
clip-000007.human.mask.mkv  FFV1 gray: where the person is seen
clip-000007.motion.npz      rotvec (T, 52, 3), root_m (T, 3), shape (10,), K (T, 3, 3), world_to_cam (T, 4, 4)
clip-000007.reference.png   the identity in the canonical A-pose on white
clip-000007.json            identity, where it comes from, the size and rate

Only in rendered pairs, where the same moment is there with another identity (json: pair_identity; motion.npz: its
pair_rotvec, pair_root_m, pair_shape):

clip-000007.pair.mkv
clip-000007.pair.occlusion.mkv
clip-000007.pair.mask.mkv
clip-000007.pair_reference.png
"""

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.types import Camera
from engine.video.layer import LayerWriter
from engine.video.layer_source import read_layer_frame

VIDEOS = {"rgb": "rgb", "scene": "rgb", "occlusion": "rgba", "human.mask": "gray8"}
"""Member to the kind of its frames."""
PAIR_VIDEOS = {"pair": "rgb", "pair.occlusion": "rgba", "pair.mask": "gray8"}
MOTION = ("rotvec", "root_m", "shape")
NEEDED = ("rgb.mkv", "scene.mkv", "occlusion.mkv", "human.mask.mkv", "motion.npz", "reference.png", "json")
CLIPS_PER_SHARD = 32


@dataclass(frozen=True, kw_only=True)
class TrainingClip:
    """One clip with its layers, motion and identity; T frames of H x W."""

    rgb: NDArray
    """(T, H, W, 3) uint8."""
    scene: NDArray
    """(T, H, W, 3) uint8."""
    occlusion: NDArray
    """(T, H, W, 4) uint8, straight alpha."""
    human_mask: NDArray
    """(T, H, W) uint8."""
    rotvec: NDArray
    """(T, 52, 3) float32, radians."""
    root_m: NDArray
    """(T, 3) float32, metres."""
    shape: NDArray
    """(10,) float32."""
    camera: Camera
    reference: NDArray
    """(S, S, 3) uint8: A-pose on white."""
    about: dict[str, Any] = field(default_factory=dict)
    """JSON values; "identity" names who it is."""
    pair: "TrainingClip | None" = None
    """The same moment with another identity: the true answer to a swap. Scene and camera are the clip's."""

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.rgb)

    @property
    def identity(self) -> str:
        """Who it is."""
        return str(self.about.get("identity", ""))


def write_shards(
    draw: Callable[[int], Iterable[TrainingClip]], folder: Path, *, total: int, per_shard: int = CLIPS_PER_SHARD
) -> Iterator[int]:
    """Write clips into `folder/shard-000000.tar` and so on; shards that are whole are not made again.

    Args:
        draw: given the index of the first clip wanted, gives it and those after it.
        folder: made where absent.
        total: clips in all.
        per_shard: clips in one file.

    Yields:
        The number of clips done, after each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, total, per_shard):
        final = folder / f"shard-{start // per_shard:06d}.tar"
        stop = min(start + per_shard, total)
        if final.is_file():
            yield stop
            continue
        part = final.with_suffix(".tar.part")
        with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for index, clip in zip(range(start, stop), draw(start)):
                _add_clip(tar, clip, f"clip-{index:06d}")
                yield index + 1
        _finish(part, final)


def write_shard(clips: Iterable[TrainingClip], path: Path) -> None:
    """Write one shard, whole or not at all."""
    part = path.with_suffix(".tar.part")
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index, clip in enumerate(clips):
            _add_clip(tar, clip, f"{path.stem}-{index:04d}")
    _finish(part, path)


def _finish(part: Path, final: Path) -> None:
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(part, final)


def _add_clip(tar: tarfile.TarFile, clip: TrainingClip, key: str) -> None:
    arrays = {"rgb": clip.rgb, "scene": clip.scene, "occlusion": clip.occlusion, "human.mask": clip.human_mask}
    pictures, motion = {"reference": clip.reference}, {name: getattr(clip, name) for name in MOTION}
    if clip.pair is not None:
        arrays |= zip(PAIR_VIDEOS, (clip.pair.rgb, clip.pair.occlusion, clip.pair.human_mask))
        pictures["pair_reference"] = clip.pair.reference
        motion |= {f"pair_{name}": getattr(clip.pair, name) for name in MOTION}
    for name, frames in arrays.items():
        _add(tar, f"{key}.{name}.mkv", _video(frames, (VIDEOS | PAIR_VIDEOS)[name]))
    for name, picture in pictures.items():
        _add(tar, f"{key}.{name}.png", cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    buffer = io.BytesIO()
    values: dict[str, Any] = {**motion, "K": clip.camera.K, "world_to_cam": clip.camera.world_to_cam}
    np.savez(buffer, **values)
    _add(tar, f"{key}.motion.npz", buffer.getvalue())
    _add(tar, f"{key}.json", json.dumps(clip.about, sort_keys=True).encode())


def _video(frames: NDArray, kind: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="mimo-shard-") as folder:
        path = Path(folder) / "layer.mkv"
        with LayerWriter(path, frames.shape[1:3], kind) as writer:
            for frame in frames:
                writer.write(np.ascontiguousarray(frame))
        return path.read_bytes()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)  # no time, no owner: equal clips make equal shards
    tar.addfile(entry, io.BytesIO(data))


class Shards:
    """The clips of a folder of shards, by index; reading one touches only its own bytes."""

    def __init__(self, folder: Path) -> None:
        """Index every .tar in a folder, in order of name.

        Raises:
            InputError: no shards there, one is damaged, a clip lacks a member.
        """
        self.folder = folder
        paths = sorted(folder.glob("*.tar")) if folder.is_dir() else []
        if not paths:
            raise InputError(f"{folder} has no shards.", fix=f"make some: mimo dataset synth --count 64 --out {folder}")
        self._members: list[dict[str, tuple[Path, int, int]]] = []
        for path in paths:
            self._members += _index(path)
        self.about = [json.loads(self._bytes(idx, "json")) for idx in range(len(self))]
        """What each clip says of itself."""

    def __len__(self) -> int:
        return len(self._members)

    def fingerprint(self) -> str:
        """A text that other shards do not share: their names and sizes."""
        paths = sorted({place[0] for members in self._members for place in members.values()})
        return " ".join(f"{path.name}:{path.stat().st_size}" for path in paths)

    def has_pair(self, index: int) -> bool:
        """Whether the same moment is there with another identity."""
        return "pair.mask.mkv" in self._members[index]

    def read(self, index: int) -> TrainingClip:
        """Decode one clip, with its pair if it has one."""
        paired = self.has_pair(index)
        videos = VIDEOS | PAIR_VIDEOS if paired else VIDEOS
        frames = {name: self._frames(index, name, kind) for name, kind in videos.items()}
        with np.load(io.BytesIO(self._bytes(index, "motion.npz")), allow_pickle=False) as values:
            motion = {name: values[name] for name in values}
        camera = Camera(motion.pop("K"), motion.pop("world_to_cam"))
        lengths = {len(array) for array in (*frames.values(), motion["rotvec"], camera.K)}
        if len(lengths) != 1:
            raise InputError(
                f"clip {index} of {self.folder} has layers of {sorted(lengths)} frames.", fix="make that shard again."
            )
        about = self.about[index]
        clip = TrainingClip(
            rgb=frames["rgb"],
            scene=frames["scene"],
            occlusion=frames["occlusion"],
            human_mask=frames["human.mask"],
            **{name: motion[name] for name in MOTION},
            camera=camera,
            reference=self._picture(index, "reference"),
            about=about,
        )
        if not paired:
            return clip
        names = {**about, "identity": about["pair_identity"], "pair_identity": about["identity"]}
        pair = replace(
            clip,
            rgb=frames["pair"],
            occlusion=frames["pair.occlusion"],
            human_mask=frames["pair.mask"],
            **{name: motion[f"pair_{name}"] for name in MOTION},
            reference=self._picture(index, "pair_reference"),
            about=names,
        )
        return replace(clip, pair=pair)

    def _bytes(self, index: int, member: str) -> bytes:
        path, offset, size = self._members[index][member]
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)

    def _frames(self, index: int, name: str, kind: str) -> NDArray:
        with av.open(io.BytesIO(self._bytes(index, f"{name}.mkv")), "r") as container:
            frames = [read_layer_frame(frame, kind, True) for frame in container.decode(video=0)]
        return np.stack(frames)  # type: ignore[arg-type]

    def _picture(self, index: int, name: str) -> NDArray:
        data = np.frombuffer(self._bytes(index, f"{name}.png"), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f"{name}.png of clip {index} in {self.folder} is damaged.", fix="make that shard again.")
        return np.ascontiguousarray(picture[..., ::-1])


def _index(path: Path) -> list[dict[str, tuple[Path, int, int]]]:
    """Where every member of every clip of a shard lies."""
    clips: dict[str, dict[str, tuple[Path, int, int]]] = {}
    try:
        with tarfile.open(path) as tar:
            for entry in tar:
                key, _, member = Path(entry.name).name.partition(".")
                clips.setdefault(f"{Path(entry.name).parent}/{key}", {})[member] = (path, entry.offset_data, entry.size)
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}.", fix="delete it and make it again.") from error
    for key, members in clips.items():
        missing = [name for name in NEEDED if name not in members]
        if missing:
            raise InputError(f"{key} in {path} has no {missing[0]}.", fix="delete that shard and make it again.")
    return list(clips.values())
