"""Clips for `benchmarks/motion.py`: filmed motion files that know their truth, and videos; their evidence is kept."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.body.bvh import read_bvh
from engine.body.model import forward_kinematics, load_body
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.motion.ground import transfer
from engine.motion.resample import resample
from engine.motion.retarget import motion_from_bvh
from engine.people import find_people
from engine.people.table import SECOND, concatenate, read_table
from engine.synth.clip import ClipSpec, SynthClip, focal_px, make_clip
from engine.types import ArraySource, BackgroundMotion, ClipInfo, FrameSource, FrameTimes, Landmarks, Motion, TempChunks

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(tempfile.gettempdir()) / "mimo-benchmark-motion"
"""Rendered clips and what the networks saw in them, by everything that decides their bytes."""
SIZE = (360, 480)
FPS = 30.0
NUM_FRAMES = 60
MOTIONS: dict[str, tuple[float, float]] = {
    "bandai2_walk_turn_left": (0.8, 40.0),
    "bandai_dash_active": (0.5, 65.0),
    "bandai_walk_happy": (1.5, -30.0),
    "cmu_jumping_jacks": (0.6, 20.0),
    "fair1_dab": (3.0, -15.0),
    "rokoko_dance_fingers": (2.5, 0.0),
}
"""By name of the motion file: where the clip starts, seconds, and how far the actor is turned about the vertical,
degrees."""
BODIES: dict[str, tuple[float, ...]] = {
    "tall": (1.2, 0.6, -0.4, 0.3, 0, 0, 0, 0, 0, 0),
    "short": (-1.3, -0.5, 0.5, -0.2, 0.3, 0, 0, 0, 0, 0),
    "broad": (0.2, -1.2, 1.0, 0.5, -0.5, 0.4, 0, 0, 0, 0),
}
"""Three people: components of the embedded body, standard deviations."""
CameraKind = Literal["static", "follow"]
CAMERAS: tuple[CameraKind, ...] = ("static", "follow")
_VERSION = 3
"""Counts changes of what is kept."""


@dataclass(frozen=True)
class Evidence:
    """All that a fit may see of a clip."""

    info: ClipInfo
    times: FrameTimes
    landmarks: Landmarks
    raw: Landmarks
    """The networks' own answer of every frame, before anything is repaired or smoothed over time."""
    background: BackgroundMotion
    masks: NDArray
    """(N, H, W / 8) uint8, packed: the rough masks, where they count as the body."""
    mattes: NDArray
    """(N, H, W / 8) uint8, packed: the refined masks; N = 0 for filmed clips, which know the truth."""
    order: NDArray | None = None
    """(T,) int: which mask is of which frame, if not each of its own."""

    @property
    def matte(self) -> "PackedSource":
        return PackedSource(self.mattes, self.info.size)

    @property
    def silhouette(self) -> "PackedSource":
        return PackedSource(self.masks, self.info.size, self.order)


class PackedSource:
    """A `FrameSource` over packed masks."""

    def __init__(self, packed: NDArray, size: tuple[int, int], order: NDArray | None = None) -> None:
        self._packed, self._order, self.size = packed, np.arange(len(packed)) if order is None else order, size
        self.num_frames = len(self._order)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        for idx in self._order[start:stop]:
            yield np.unpackbits(self._packed[idx], axis=1, count=self.size[1]) * np.uint8(255)


def data_folder() -> Path | None:
    """Where the sample media lie, or None."""
    for folder in (os.environ.get("MIMO_SAMPLE_DATA"), ROOT.parent / "shared" / "data"):
        if folder and Path(folder).is_dir():
            return Path(folder)
    return None


def film(name: str, body: str, camera: CameraKind, data: Path, *, seed: int = 0) -> SynthClip:
    """A motion file performed by a body before a camera that just sees all of it."""
    start_s, heading_deg = MOTIONS[name]
    motion = motion_from_bvh(read_bvh(data / "motion" / f"{name}.bvh"))[0]
    motion = resample(motion, motion.time_s[0] + start_s + np.arange(NUM_FRAMES) / FPS)
    shape = np.array(BODIES[body], np.float32)
    motion = transfer(motion, load_body().rest(shape)[1])
    motion = _placed(motion, shape, np.deg2rad(heading_deg))
    distance = _distance(motion, follow=camera == "follow")
    return make_clip(
        ClipSpec(
            size=SIZE, num_frames=NUM_FRAMES, fps=FPS, camera=camera, camera_m=(0.0, 1.1, distance), motion=motion,
            occluder="none", seed=seed, actor_seed=1 + list(BODIES).index(body), supersample=2,
        )
    )  # fmt: skip


def _placed(motion: Motion, shape: NDArray, heading: float) -> Motion:
    """Turned about the vertical, the middle of its way over the origin, on the clip's clock."""
    turn = rotvec_to_matrix(np.array([0.0, heading, 0.0]))
    rotvec = motion.rotvec.copy()
    rotvec[:, 0] = matrix_to_rotvec(turn @ rotvec_to_matrix(rotvec[:, 0].astype(np.float64)))
    root = motion.root_m.astype(np.float64) @ turn.T
    root -= (root.min(0) + root.max(0)) / 2 * [1, 0, 1]
    return Motion(
        rotvec=rotvec, root_m=root.astype(np.float32), time_s=np.arange(len(rotvec)) / FPS, rest_m=motion.rest_m,
        shape=shape, contact=motion.contact,
    )  # fmt: skip


def _distance(motion: Motion, *, follow: bool) -> float:
    """The least distance, from 3.6 m on, from which joints stay 8 % inside the picture."""
    joints = forward_kinematics(motion.rotvec, motion.root_m, motion.rest_m)[0]
    focal, (height, width) = focal_px(SIZE[0]), SIZE
    if follow:
        joints = joints - motion.root_m[:, None] * [1, 0, 0]
    for distance in np.arange(3.6, 12, 0.2):
        depth = distance - joints[..., 2]
        across = np.abs(joints[..., 0]) / depth * focal / (width / 2)
        up = np.abs(joints[..., 1] - 1.1) / depth * focal / (height / 2)
        if depth.min() > 1 and max(across.max(), up.max()) < 0.84:
            return float(distance)
    return 12.0


def filmed_evidence(clip: SynthClip, *, layers: bool = True) -> Evidence:
    """What the networks see in a filmed clip; without `layers`, masks are empty and the background is the true one."""
    spec = clip.spec
    motion = clip.motion
    digest = hashlib.sha256(
        repr((_VERSION, spec.size, spec.camera, spec.camera_m, spec.seed, spec.actor_seed)).encode()
    )
    if not layers:
        digest.update(b"people alone")
    for array in (motion.rotvec, motion.root_m, motion.rest_m, motion.shape):
        digest.update(np.round(array, 5).tobytes())
    rate = Fraction(spec.fps).limit_denominator(1000)
    info = ClipInfo(width=spec.size[1], height=spec.size[0], num_frames=spec.num_frames, time_base=1 / rate, rate=rate)
    times = FrameTimes(np.arange(spec.num_frames), clip.times_s, np.full(spec.num_frames, 1 / spec.fps))

    def frames() -> FrameSource:
        return ArraySource(np.stack([clip.frame(idx).rgb for idx in range(spec.num_frames)]))

    known = None if layers else clip.background_motion
    return _kept(digest.hexdigest()[:16], frames, info, times, known)


def video_evidence(path: Path) -> Evidence:
    """What the networks see in a video; the most important person is taken."""
    from engine.video import open_clip

    clip = open_clip(path)
    digest = hashlib.sha256(repr(_VERSION).encode() + path.read_bytes()).hexdigest()[:16]
    return _kept(digest, lambda: clip, clip.info, clip.times, matted=True)


def _kept(
    key: str,
    frames,
    info: ClipInfo,
    times: FrameTimes,
    background: BackgroundMotion | None = None,
    *,
    matted: bool = False,
) -> Evidence:
    path = CACHE / f"{key}.npz"
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        arrays = _look(frames(), background, matted)
        part = path.with_suffix(f".part{os.getpid()}.npz")
        np.savez(part, **arrays)  # pyright: ignore[reportArgumentType]
        part.replace(path)
    with np.load(path) as table:
        found = dict(table)
    landmarks, raw = (
        Landmarks(*(found[f"{kind}_{field}"] for field in ("image_px", "world_m", "visibility", "score")))
        for kind in ("settled", "raw")
    )
    background = BackgroundMotion(found["to_first"], found["inliers"])
    return Evidence(info, times, landmarks, raw, background, found["masks"], found["mattes"])


def _look(clip: FrameSource, background: BackgroundMotion | None, matted: bool) -> dict[str, NDArray]:
    from engine.layers.background_motion import track_background
    from engine.layers.human.matte import human_mask
    from engine.motion.outline import INSIDE
    from engine.people.rough import Silhouettes

    chunks = TempChunks()
    try:
        person = find_people(clip, chunks=chunks)[0]
        masks, mattes = (np.zeros((0, clip.size[0], 0), np.uint8) for _ in range(2))
        if background is None:
            rough = Silhouettes(person, clip.size)
            masks = np.stack([np.packbits(mask > INSIDE, axis=1) for mask in rough.read()])
            background = track_background(clip, rough, chunks=chunks)
        if matted:
            mattes = np.stack([np.packbits(mask > 127, axis=1) for mask in human_mask(clip, person, chunks=chunks)])
        arrays = {"masks": masks, "mattes": mattes, "to_first": background.to_first, "inliers": background.inliers}
        for kind, landmarks in (("settled", person.landmarks), ("raw", _raw(person))):
            arrays |= {f"{kind}_{field}": values for field, values in vars(landmarks).items()}
        return arrays
    finally:
        chunks.close()


def _raw(person) -> Landmarks:
    """The landmarks of a person as the network gave them; frames without any keep the settled ones, score 0."""
    tables = []
    for folder in person.folders:
        with np.load(folder / "people.npz") as table:
            tables.append(read_table(table))
    table = concatenate(tables)
    settled = person.landmarks
    image, world, seen = settled.image_px.copy(), settled.world_m.copy(), settled.visibility.copy()
    score = np.zeros_like(settled.score)
    for frame, row in enumerate(person.rows):
        mine = np.flatnonzero((table.frame == frame) & (table.row == row))
        if 0 <= row < SECOND and len(mine):
            image[frame], world[frame] = table.image[mine[0]], table.world[mine[0]]
            seen[frame], score[frame] = table.visibility[mine[0]], table.score[mine[0]]
    return Landmarks(image, world, seen, score)
