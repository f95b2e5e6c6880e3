"""The values that rooms hand to each other. Plain numpy, no behaviour beyond checks and slicing.

Conventions of the whole project
    image    x right, y down; the centre of the top-left pixel is (0.5, 0.5); sizes are (height, width)
    camera   x right, y down, z forward (metres)
    world    right-handed, y up, metres; the ground is y = 0; a person who faces a level camera faces world +z
    body     rest pose is SMPL's T-pose: y up, faces +z, the person's left hand points to +x
    masks    uint8, 0 no ... 255 fully;   colour uint8 RGB;   alpha straight on disk, premultiplied in memory
    time     seconds, from `clip/frames.csv` alone
"""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width), pixels."""

BODY_JOINTS: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
"""SMPL's first 22 joints, in SMPL's order (SMPL's own 22 and 23 are the hands, which SMPL-H replaces by fingers)."""

HAND_JOINTS: tuple[str, ...] = tuple(
    f"{side}_{finger}{segment}"
    for side in ("left", "right")
    for finger in ("index", "middle", "pinky", "ring", "thumb")
    for segment in (1, 2, 3)
)
"""SMPL-H's 30 finger joints, in SMPL-H's order."""

JOINTS: tuple[str, ...] = BODY_JOINTS + HAND_JOINTS
"""The joint language of the project: SMPL-H's 52."""

JOINT_PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19,
    *(parent for wrist, first in ((20, 22), (21, 37)) for finger in range(5)
      for parent in (wrist, first + 3 * finger, first + 3 * finger + 1)),
)  # fmt: skip
"""Index of each joint's parent in `JOINTS`, -1 for the pelvis."""

LANDMARKS: tuple[str, ...] = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
"""BlazePose's 33 landmarks, in BlazePose's order. Left is the person's left."""


class FrameSource(Protocol):
    """Frames that can be walked more than once without being held in memory."""

    @property
    def num_frames(self) -> int:
        """How many frames there are."""
        ...

    @property
    def size(self) -> Size:
        """(height, width), pixels."""
        ...

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """Yield frames start ... stop-1 in order: (H, W, 3) RGB, (H, W, 4) straight RGBA or (H, W) gray, uint8/16."""
        ...


def pick(source: FrameSource, frame_idx: Iterable[int]) -> Iterator[NDArray]:
    """Yield single frames of a source, their numbers rising; a source that need not make the frames between has a
    `pick` of its own."""
    if (own := getattr(source, "pick", None)) is not None:
        yield from own(frame_idx)
        return
    frames, position = iter(()), 0
    for idx in frame_idx:
        frames = frames if position else source.read(idx)
        yield next(islice(frames, idx - position if position else 0, None))
        position = idx + 1


class Glimpse(Protocol):
    """A frame to look at parts of, as an (H, W, 3) array is and what need not hold one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3)."""
        ...

    def __getitem__(self, window: Any, /) -> NDArray:
        """The part `[y0:y1, x0:x1]` or `[y0:y1]`, (h, w, 3) uint8 RGB."""
        ...


def glimpse(source: FrameSource, start: int = 0, stop: int | None = None) -> Iterator[Glimpse]:
    """Yield frames start ... stop-1 of which only parts will be looked at; a source that need not make the rest of them
    has a `glimpse` of its own."""
    own = getattr(source, "glimpse", None)
    return source.read(start, stop) if own is None else own(start, stop)


class Progress(Protocol):
    """Called after each piece of work with what is done and what there is to do, in the same unit."""

    def __call__(self, done: int, total: int, /) -> None:
        """Hear that `done` of `total` is done."""
        ...


def quiet(done: int, total: int) -> None:
    """A `Progress` that says nothing."""


class Chunks(Protocol):
    """Finished pieces of a long job, kept on disk so that a killed run goes on where it was.

    A chunk is a folder with a name the job chooses (e.g. "000064-000127"); it may hold anything the job needs to skip
    that piece of work next time: pixels, tables, the state at its end.
    """

    def get(self, name: str) -> Path | None:
        """The folder of a finished chunk, or None."""
        ...

    def make(self, name: str) -> AbstractContextManager[Path]:
        """A context manager that yields an empty folder; it becomes the finished chunk when the block ends well."""
        ...


class TempChunks:
    """`Chunks` in a temporary folder, for use outside a project; it is gone with them, or on `close()`."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mimo-"))
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def get(self, name: str) -> Path | None:
        """See `Chunks.get`."""
        path = self._folder / name
        return path if path.is_dir() else None

    @contextmanager
    def make(self, name: str) -> Iterator[Path]:
        """See `Chunks.make`."""
        part = self._folder / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        part.rename(self._folder / name)


class ArraySource:
    """A `FrameSource` over an array that is already in memory: tests, pictures, short clips."""

    def __init__(self, frames: NDArray) -> None:
        self._frames = frames
        self.num_frames = len(frames)
        self.size: Size = (frames.shape[1], frames.shape[2])

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """See `FrameSource.read`."""
        yield from self._frames[start:stop]


class Reel:
    """A `FrameSource` that is read in pieces, one after the other: each goes on where the one before it ended.

    A video that is opened anew for every piece is decoded from the key frame before it each time. Not for two readers
    at once.
    """

    def __init__(self, source: FrameSource) -> None:
        self._source, self._next = source, 0
        self._frames: Iterator[Any] | None = None
        self.num_frames, self.size = source.num_frames, source.size

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """See `FrameSource.read`."""
        return self._go_on(self._source.read, start, stop)

    def glimpse(self, start: int = 0, stop: int | None = None) -> Iterator[Glimpse]:
        """See `glimpse`; not to be mixed with `read`."""
        return self._go_on(partial(glimpse, self._source), start, stop)

    def _go_on(self, read: Callable[[int], Iterator[Any]], start: int, stop: int | None) -> Iterator[Any]:
        if self._frames is None or start != self._next:
            self._frames, self._next = read(start), start
        for frame in islice(self._frames, None if stop is None else max(0, stop - start)):
            self._next += 1
            yield frame
        if self._next == self.num_frames:
            self._frames = None


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What a video file is, after it has been turned upright."""

    width: int
    height: int
    """Stored pixels, upright (after the display rotation has been applied)."""
    num_frames: int
    time_base: Fraction
    """Seconds per pts tick."""
    rate: Fraction
    """Average frames per second; for people and encoders, never for timing."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height (SAR)."""
    rotation_deg: int = 0
    """Clockwise turn that was applied to make the stored frames upright: 0, 90, 180, 270."""
    pix_fmt: str = "yuv420p"
    """Pixel format of the working frames (lossless with respect to the decoded source)."""
    color_range: str = "tv"
    """"tv" or "pc"."""
    color_space: str = "bt709"
    """Matrix: "bt601", "bt709", "bt2020" or "rgb"; what untagged video was taken to be."""
    color_primaries: int = 2
    color_trc: int = 2
    """The source's own tags (ISO/IEC 23091 code points; 2 is unspecified)."""
    codec: str = ""
    num_audio: int = 0

    @property
    def size(self) -> Size:
        """(height, width), pixels."""
        return self.height, self.width


@dataclass(frozen=True)
class FrameTimes:
    """The clock of a clip."""

    pts: NDArray
    """(T,) int64, ticks of the clip's time base."""
    time_s: NDArray
    """(T,) float64, seconds; the first frame need not be 0."""
    duration_s: NDArray
    """(T,) float64, seconds each frame is shown."""


@dataclass(frozen=True)
class Tracks:
    """Where one person is in every frame."""

    box_px: NDArray
    """(T, 4) float32: x0, y0, x1, y1, pixels."""
    score: NDArray
    """(T,) float32, 0 ... 1; 0 where the person was not seen and the box is carried over."""


@dataclass(frozen=True)
class Landmarks:
    """BlazePose's evidence for one person in every frame."""

    image_px: NDArray
    """(T, 33, 2) float32, pixels."""
    world_m: NDArray
    """(T, 33, 3) float32, metres, camera axes (x right, y down, z forward), origin between the hips."""
    visibility: NDArray
    """(T, 33) float32, 0 ... 1."""
    score: NDArray
    """(T,) float32, 0 ... 1; 0 where the person was not seen and the landmarks are carried over."""


@dataclass(frozen=True)
class BackgroundMotion:
    """How the still part of the picture moves: frame t to frame 0."""

    to_first: NDArray
    """(T, 3, 3) float64 homographies; a pixel x of frame t shows what `to_first[t] @ x` shows in frame 0."""
    inliers: NDArray
    """(T,) float32, 0 ... 1: share of tracked background points that agree; how far to trust the frame."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera per frame."""

    K: NDArray
    """(T, 3, 3) float32, pixels; fx differs from fy where pixels are not square."""
    world_to_cam: NDArray
    """(T, 4, 4) float32, metres: rigid."""

    def __len__(self) -> int:
        return len(self.K)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A posed body over time, in the joint language of the project."""

    rotvec: NDArray
    """(T, 52, 3) float32, radians: rotation of each joint relative to its parent (axis-angle). In the rest pose all are
    zero and every joint's axes are the world's, as in SMPL; joint 0 is the global orientation."""
    root_m: NDArray
    """(T, 3) float32: where the pelvis joint is in the world, metres."""
    time_s: NDArray
    """(T,) float64, seconds."""
    rest_m: NDArray
    """(52, 3) float32: joints of this person's rest pose (T-pose), metres, soles on y = 0."""
    shape: NDArray = field(default_factory=lambda: np.zeros(10, np.float32))
    """(10,) float32: shape components of the embedded body, in standard deviations."""
    contact: NDArray | None = None
    """(T, 2) bool: left and right foot stand on the ground; None when not known."""

    def __post_init__(self) -> None:
        num_frames = len(self.rotvec)
        assert self.rotvec.shape == (num_frames, len(JOINTS), 3), self.rotvec.shape
        assert self.root_m.shape == (num_frames, 3), self.root_m.shape
        assert self.time_s.shape == (num_frames,), self.time_s.shape
        assert self.rest_m.shape == (len(JOINTS), 3), self.rest_m.shape

    def __len__(self) -> int:
        return len(self.rotvec)


@dataclass(frozen=True, kw_only=True)
class PictureJoints:
    """The skeleton of a character in its picture."""

    names: tuple[str, ...]
    """Names of the joints; a name of `BODY_JOINTS` where there is one, else free ("tail1", "left_ear")."""
    parents: tuple[int, ...]
    """Index of each joint's parent, -1 for the root (always "pelvis", always first)."""
    xy_px: NDArray
    """(K, 2) float32, pixels of the cutout."""
    drivers: tuple[str, ...]
    """Per joint, the body joint of `JOINTS` whose motion it follows."""
    confidence: float = 1.0
    """0 ... 1; below 0.5 the guess is said out loud."""
    source: str = "given"
    """"given", "blazepose" or "silhouette"."""
    hidden: tuple[str, ...] = ()
    """Names of joints that the picture does not show; nothing of the figure hangs on them."""


@dataclass(frozen=True, kw_only=True)
class Puppet:
    """A character lifted from its picture: a closed, textured, rigged mesh in the pose of the picture.

    Figure frame: x right in the picture, y up, z towards the viewer; the unit is the height of the figure; the lowest
    point of the figure is y = 0, the pelvis is x = 0, z = 0. It is the body's frame, scaled: the character faces +z and
    the figure's left is +x.
    """

    vertices: NDArray
    """(V, 3) float32, figure heights."""
    faces: NDArray
    """(F, 3) int32, counter-clockwise seen from outside."""
    uv: NDArray
    """(V, 2) float32, 0 ... 1 from the top-left corner of the pictures below."""
    is_back: NDArray
    """(F,) bool: the face belongs to the back sheet and always shows `back_rgba`."""
    front_rgba: NDArray
    """(H, W, 4) uint8 straight: the cutout, colours bled outwards past its edge so that no filter picks up nothing."""
    fill_rgba: NDArray
    """(H, W, 4) uint8 straight: the figure without strokes and outline, and with a face without features: its sides."""
    back_rgba: NDArray
    """(H, W, 4) uint8 straight: what it looks like from behind, seen through the front; without any face."""
    weights: NDArray
    """(V, K) float32 >= 0, rows sum to 1: skinning weights over `joints`."""
    joints: NDArray
    """(K, 3) float32, figure heights: the joints in the pose of the picture."""
    joint_names: tuple[str, ...]
    joint_parents: tuple[int, ...]
    joint_drivers: tuple[str, ...]
    """As in `PictureJoints`."""
    stroke_rgb: tuple[int, int, int] | None = None
    """Colour of the outline the drawing has; None when it has none."""
    stroke_px: float = 0.0
    """Width of that outline, pixels of `front_rgba`."""


@dataclass(frozen=True)
class Patch:
    """Part of a frame: the animator renders only where the figure is."""

    x0: int
    y0: int
    """Top-left corner in the frame, pixels; the patch lies inside the frame."""
    rgba: NDArray
    """(h, w, 4) uint8, premultiplied."""
    shadow: NDArray
    """(h, w) uint8: 0 leaves the scene as it is, 255 takes all its light."""
