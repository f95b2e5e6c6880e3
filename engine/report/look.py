"""A look at a result: small pictures of some frames and measures of all, gathered while it is put together.

Everything of a frame is at hand then; to decode it all again for a report would cost as much as to make it. The size of
a look does not grow with the clip: at most `MAX_PICTURES` frames are pictured, and `BUDGET_BYTES` are spent on them.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.compositor import compose
from engine.errors import InputError
from engine.report.measures import Measures
from engine.types import ClipInfo, Patch, Size
from engine.video import Frame
from engine.video.color import plane_layout, planes_to_rgb

MAX_PICTURES = 60
BUDGET_BYTES = 5_000_000
"""Of all pictures: with base64's third on top, the page stays under 8 MB."""
SIDE_PX = 480
"""No picture is wider or higher."""
QUALITIES = (78, 66, 54, 42, 30)
"""Of JPEG: the first for which the budget lasts at the present pace."""
MAX_PENDING = 2
"""Frames that wait to be looked at, at most: memory does not grow."""
_GRID = 8
"""Boxes begin and end on JPEG's blocks."""
Box = tuple[int, int, int, int]
"""x, y, width, height, pixels of the small picture."""


@dataclass
class Lane:
    """One kind of picture over the pictured frames."""

    pictures: list[bytes] = field(default_factory=list)
    """JPEG, or PNG whose alpha is a mask; empty bytes where there is nothing to show."""
    boxes: list[Box] = field(default_factory=list)
    """Where each lies in the small frame; around it the frame is as in the lane below, the source."""

    def add(self, picture: bytes, box: Box) -> None:
        """Append a picture."""
        self.pictures.append(picture)
        self.boxes.append(box)


@dataclass(frozen=True)
class Look:
    """What was gathered."""

    size: Size
    """(height, width) of the small pictures, pixels."""
    frames: list[int]
    """The pictured frames."""
    lanes: dict[str, Lane]
    """By name: "source", "scene", "front", "result"."""
    series: dict[str, NDArray]
    """By name, (T,) or (T, 3) float32: see `Measures`."""


class LookWriter:
    """Gathers a look, frame by frame, in a thread of its own: putting frames together leaves part of a core idle."""

    def __init__(self, info: ClipInfo) -> None:
        """`info` is of the clip, and of the result before it is encoded."""
        self._info, self._every = info, -(-info.num_frames // MAX_PICTURES)
        self._step = small_step(info.size)
        self._look = Look((info.height // self._step, info.width // self._step), [], {}, {})
        self._whole = (0, 0, self._look.size[1], self._look.size[0])
        self._measures = Measures(info)
        self._bytes = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="look")
        self._pending: deque[Future[None]] = deque()

    def add(
        self,
        frame: Frame,
        result: list[NDArray],
        *,
        scene: list[NDArray] | None = None,
        patch: Patch | None = None,
        front: NDArray | None = None,
        num_changed: int = 0,
        has_source: bool = True,
    ) -> None:
        """Look at the next frame; nothing of it may be written to afterwards.

        Args:
            frame: what everything was laid over: the source's frame, or a backdrop.
            result: its planes after that.
            scene: overlay of the scene, see `engine.compositor.compose`.
            patch: character and shadow, premultiplied.
            front: (H, W) uint8, what passes in front.
            num_changed: pixels of the result that differ from the source's.
            has_source: `frame` is a frame of the source; a backdrop is only shown in the result.
        """
        self._queue(self._look_at, frame, result, scene, patch, front, num_changed, has_source)

    def add_layers(self, frame: Frame, *, scene: list[NDArray] | None, front: NDArray | None) -> None:
        """Picture a frame of the source and its layers, where there is no result; the arguments are those of `add`."""
        self._queue(self._picture_layers, frame, scene, front)

    def _queue(self, task: Callable[..., None], *args: object) -> None:
        while len(self._pending) >= MAX_PENDING:
            self._pending.popleft().result()
        self._pending.append(self._worker.submit(task, *args))

    def _look_at(
        self,
        frame: Frame,
        result: list[NDArray],
        scene: list[NDArray] | None,
        patch: Patch | None,
        front: NDArray | None,
        num_changed: int,
        has_source: bool,
    ) -> None:
        more = {"num_changed": num_changed, "has_source": has_source}
        edited = self._measures.add(frame.planes, result, scene=scene, patch=patch, **more)
        if not self.pictures(frame.idx):
            return
        if has_source:
            self._picture_layers(frame, scene, front)
        else:
            self._look.frames.append(frame.idx)
        self._picture("result", result, self._box(edited) if has_source else self._whole)

    def pictures(self, idx: int) -> bool:
        """True for the frames that are pictured: every n-th."""
        return idx % self._every == 0

    def _picture_layers(self, frame: Frame, scene: list[NDArray] | None, front: NDArray | None) -> None:
        self._look.frames.append(frame.idx)
        self._picture("source", frame.planes, self._whole)
        if scene is not None:
            bare = compose(frame, scene=scene, patch=None, occlusion=None, info=self._info)[0]
            self._picture("scene", bare, self._box(scene[-1]))
        if front is not None:
            self._lane("front").add(*mask_picture(front, self._step, self._look.size))

    def without_pictures(self) -> Look:
        """Return a look at a clip that has nothing to show: frames and size alone."""
        every = range(0, self._info.num_frames, self._every)
        return Look(self._look.size, list(every), {}, {})

    def finish(self) -> Look:
        """Return all that was gathered."""
        while self._pending:
            self._pending.popleft().result()
        self._worker.shutdown()
        self._look.series.update(self._measures.finish())
        return self._look

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the look (.npz); equal looks give equal bytes."""
        look = self.finish()
        arrays: dict[str, NDArray] = {"size": np.array(look.size), "frames": np.array(look.frames)}
        for name, lane in look.lanes.items():
            arrays[f"{name}.bytes"] = np.frombuffer(b"".join(lane.pictures), np.uint8)
            arrays[f"{name}.lengths"] = np.array([len(picture) for picture in lane.pictures])
            arrays[f"{name}.boxes"] = np.array(lane.boxes).reshape(-1, 4)
        for name, values in look.series.items():
            arrays[f"series.{name}"] = values
        with open(path, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def _lane(self, name: str) -> Lane:
        return self._look.lanes.setdefault(name, Lane())

    def _picture(self, name: str, planes: list[NDArray], box: Box) -> None:
        if not box[2]:
            self._lane(name).add(b"", box)
            return
        picture = small_jpeg(planes, self._info, self._step, box, self._quality())
        self._bytes += len(picture)
        self._lane(name).add(picture, box)

    def _quality(self) -> int:
        """Falls as the pictures so far run ahead of the budget."""
        num_pictures = -(-self._info.num_frames // self._every)
        pace = self._bytes / max(len(self._look.frames) - 1, 1) * num_pictures / BUDGET_BYTES
        return QUALITIES[min(int(max(pace - 0.5, 0) * 4), len(QUALITIES) - 1)]

    def _box(self, there: NDArray) -> Box:
        """The box of what is there (H, W), with some room, in small pixels; of no width where nothing is."""
        x, y, width, height = cv2.boundingRect(there)
        if not width:
            return 0, 0, 0, 0
        step, (rows, columns) = self._step * _GRID, self._look.size
        x0, y0 = max(x // step - 1, 0) * _GRID, max(y // step - 1, 0) * _GRID
        x1, y1 = (-(-(x + width) // step) + 1) * _GRID, (-(-(y + height) // step) + 1) * _GRID
        return x0, y0, min(x1, columns) - x0, min(y1, rows) - y0


def small_step(size: Size) -> int:
    """Return how many pixels of a frame become one of its small picture, each way."""
    return max(1, -(-max(size) // SIDE_PX))


def small_jpeg(planes: list[NDArray], info: ClipInfo, step: int, box: Box, quality: int) -> bytes:
    """Return a part of a frame as JPEG, `step` pixels to one.

    Args:
        planes: of the whole frame, in `info.pix_fmt`.
        info: gives pixel format, matrix and range.
        step: how many pixels become one, each way.
        box: the part, pixels of the small picture; x and y even.
        quality: of JPEG.
    """
    layout = plane_layout(info.pix_fmt)
    assert layout is not None, info.pix_fmt
    x, y, width, height = box
    small = []
    for idx, plane in enumerate(planes):
        sub_x, sub_y = (layout.sub_x, layout.sub_y) if layout.family == "yuv" and idx else (1, 1)
        rows = slice(y * step // sub_y, -(-(y + height) * step // sub_y))
        part = plane[rows, x * step // sub_x : -(-(x + width) * step // sub_x)]
        small.append(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))
    full = info.pix_fmt.replace("yuv420p", "yuv444p").replace("yuv422p", "yuv444p")
    rgb = planes_to_rgb(small, replace(info, width=width, height=height, pix_fmt=full))
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def mask_picture(mask: NDArray, step: int, size: Size) -> tuple[bytes, Box]:
    """Return what there is of a mask as a small PNG, and its box in a picture of `size`; empty where the mask is.

    Args:
        mask: (H, W) uint8; it becomes the alpha of the PNG.
        step: how many pixels become one, each way.
        size: (height, width) of the small picture.
    """
    import io

    from PIL import Image

    width, height = size[1], size[0]
    small = np.asarray(cv2.resize(mask[: height * step, : width * step], (width, height), interpolation=cv2.INTER_AREA))
    small = np.where(small < 8, 0, (small // 16) * 16 + 15).astype(np.uint8)  # 16 levels are enough, and pack well
    x, y, width, height = cv2.boundingRect(small)
    if not width:
        return b"", (0, 0, 0, 0)
    part = Image.fromarray(small[y : y + height, x : x + width])
    file = io.BytesIO()
    Image.merge("LA", [Image.new("L", (width, height)), part]).save(file, "PNG", compress_level=6)
    return file.getvalue(), (x, y, width, height)


def read_look(path: str | os.PathLike[str]) -> Look:
    """Read a look.

    Raises:
        InputError: it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        lanes = {name.partition(".")[0]: Lane() for name in arrays if name.endswith(".bytes")}
        for name, lane in lanes.items():
            lane.pictures, lane.boxes = _pictures(arrays, name)
        height, width = arrays["size"].tolist()
        series = {name.partition(".")[2]: values for name, values in arrays.items() if name.startswith("series.")}
        return Look((height, width), arrays["frames"].tolist(), lanes, series)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "delete it and mimo makes a new one.") from error


def _pictures(arrays: Mapping[str, NDArray], name: str) -> tuple[list[bytes], list[Box]]:
    data, ends = arrays[f"{name}.bytes"].tobytes(), np.cumsum(arrays[f"{name}.lengths"]).tolist()
    pictures = [data[start:end] for start, end in zip([0, *ends], ends)]
    return pictures, [tuple(box) for box in arrays[f"{name}.boxes"].tolist()]
