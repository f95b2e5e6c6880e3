"""The tables of a project: CSV that opens anywhere, one row a frame, one function pair a table.

Numbers are written with the shortest digits that give the same float back, so a table read and written again has the
same bytes.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.types import LANDMARKS, BackgroundMotion, Camera, ClipInfo, FrameTimes, Landmarks, Tracks

_FRAMES = ("frame_idx", "pts", "time_s", "duration_s")
_TRACKS = ("frame_idx", "x0_px", "y0_px", "x1_px", "y1_px", "score")
_CAMERA = ("frame_idx", "fx_px", "fy_px", "cx_px", "cy_px", "rx_rad", "ry_rad", "rz_rad", "tx_m", "ty_m", "tz_m")
_BACKGROUND = ("frame_idx", *(f"h{row}{col}" for row in range(3) for col in range(3)), "inliers")
_LANDMARK_VALUES = ("x_px", "y_px", "visibility", "wx_m", "wy_m", "wz_m")
_BOX = ("x0_px", "y0_px", "x1_px", "y1_px")
_LANDMARKS = ("frame_idx", "score", *(f"{name}.{value}" for name in LANDMARKS for value in _LANDMARK_VALUES))


def write_frames(times: FrameTimes, path: Path) -> None:
    """Write the clock of a clip (`clip/frames.csv`)."""
    rows = zip(range(len(times.pts)), times.pts.tolist(), times.time_s.tolist(), times.duration_s.tolist())
    _write(path, _FRAMES, rows)


def read_frames(path: Path) -> FrameTimes:
    """Read `clip/frames.csv`.

    Raises:
        InputError: a column or a number is missing, or time does not run forward.
    """
    table = _read(path, _FRAMES)
    if np.any(np.diff(table[:, 2]) <= 0):
        row = int(np.argmax(np.diff(table[:, 2]) <= 0)) + 1
        raise _bad_table(path, f"time_s does not grow at frame {row}")
    return FrameTimes(table[:, 1].astype(np.int64), table[:, 2], table[:, 3])


def write_tracks(tracks: Tracks, path: Path) -> None:
    """Write where the person is (`layers/tracks.csv`)."""
    _write_columns(path, _TRACKS, tracks.box_px, tracks.score[:, None])


def read_tracks(path: Path, num_frames: int) -> Tracks:
    """Read `layers/tracks.csv`; raises InputError when it does not fit a clip of `num_frames`."""
    table = _read(path, _TRACKS, num_frames).astype(np.float32)
    return Tracks(table[:, 1:5], table[:, 5])


def write_landmarks(landmarks: Landmarks, path: Path) -> None:
    """Write BlazePose's evidence (`layers/landmarks.csv`)."""
    values = np.concatenate([landmarks.image_px, landmarks.visibility[..., None], landmarks.world_m], axis=-1)
    _write_columns(path, _LANDMARKS, landmarks.score[:, None], values.reshape(len(values), -1))


def read_landmarks(path: Path, num_frames: int) -> Landmarks:
    """Read `layers/landmarks.csv`; raises InputError when it does not fit a clip of `num_frames`."""
    table = _read(path, _LANDMARKS, num_frames).astype(np.float32)
    values = table[:, 2:].reshape(len(table), len(LANDMARKS), len(_LANDMARK_VALUES))
    return Landmarks(values[..., :2], values[..., 3:], values[..., 2], table[:, 1])


def read_landmark_scores(path: Path, num_frames: int) -> NDArray:
    """Read how sure the landmarks of `layers/landmarks.csv` are, (T,) float32, 0 ... 1; raises as `read_landmarks`."""
    return _read(path, _LANDMARKS[:2], num_frames)[:, 1].astype(np.float32)


def write_others(others: Mapping[int, tuple[Tracks, Landmarks]], path: Path) -> None:
    """Write tracks and landmarks of people by their number (`layers/others.csv`): a row a frame that they are seen in.

    Pixels and metres are rounded to 0.0001.
    """
    names = ("person", "frame_idx", *_BOX, *_LANDMARKS[1:])
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(",".join(names) + "\n")
        for person, (tracks, landmarks) in others.items():
            seen = np.flatnonzero(tracks.score > 0)
            points = np.concatenate([landmarks.image_px, landmarks.visibility[..., None], landmarks.world_m], axis=-1)
            rows = np.concatenate(
                [tracks.box_px[seen], tracks.score[seen, None], points[seen].reshape(len(seen), -1)], axis=1
            )
            line = f"{person},%d" + ",%.4f" * rows.shape[1] + "\n"
            file.writelines(line % (idx, *row) for idx, row in zip(seen.tolist(), rows.tolist()))


def read_others(path: Path, num_frames: int) -> dict[int, tuple[Tracks, Landmarks]]:
    """Read `layers/others.csv`: number of a person to what is known of them in all frames of the clip.

    Frames without a row, of score 0, are filled in: evenly between two, with the nearest before the first and after the
    last.

    Raises:
        InputError: it does not fit a clip of `num_frames`.
    """
    table = _read(path, ("person", "frame_idx", *_BOX, *_LANDMARKS[1:]), empty=True)
    others = {}
    for person in np.unique(table[:, 0]):
        mine = table[table[:, 0] == person]
        frames = mine[:, 1].astype(np.int64)
        if frames.min() < 0 or frames.max() >= num_frames or np.any(np.diff(frames) <= 0):
            raise _bad_table(path, f"frames of person {person:.0f} are not 0 ... {num_frames - 1} in order")
        every = np.arange(num_frames)
        values = np.stack([np.interp(every, frames, column) for column in mine[:, 2:].T], 1).astype(np.float32)
        score = np.where(np.isin(every, frames), values[:, 4], np.float32(0))
        points = values[:, 5:].reshape(num_frames, len(LANDMARKS), len(_LANDMARK_VALUES))
        others[int(person)] = (
            Tracks(values[:, :4], score),
            Landmarks(points[..., :2], points[..., 3:], points[..., 2], score),
        )
    return others


def write_background(motion: BackgroundMotion, path: Path) -> None:
    """Write how the background moves (`layers/background.csv`)."""
    _write_columns(path, _BACKGROUND, motion.to_first.reshape(-1, 9), motion.inliers[:, None])


def read_background(path: Path, num_frames: int) -> BackgroundMotion:
    """Read `layers/background.csv`; raises InputError when it does not fit a clip of `num_frames`."""
    table = _read(path, _BACKGROUND, num_frames)
    return BackgroundMotion(table[:, 1:10].reshape(-1, 3, 3), table[:, 10].astype(np.float32))


def write_camera(camera: Camera, path: Path) -> None:
    """Write the camera (`motion/camera.csv`)."""
    K = camera.K.astype(np.float64)
    intrinsics = np.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], axis=-1)
    _write_columns(
        path, _CAMERA, intrinsics, matrix_to_rotvec(camera.world_to_cam[:, :3, :3]), camera.world_to_cam[:, :3, 3]
    )


def read_camera(path: Path, num_frames: int | None = None) -> Camera:
    """Read `motion/camera.csv`; raises InputError when it does not fit a clip of `num_frames`."""
    table = _read(path, _CAMERA, num_frames)
    if np.any(table[:, 1:3] <= 0):
        raise _bad_table(path, "a focal length is not positive")
    K = np.zeros((len(table), 3, 3), np.float32)
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = *table[:, 1:5].T, 1
    world_to_cam = np.zeros((len(table), 4, 4), np.float32)
    world_to_cam[:, :3, :3] = rotvec_to_matrix(table[:, 5:8])
    world_to_cam[:, :3, 3] = table[:, 8:11]
    world_to_cam[:, 3, 3] = 1
    return Camera(K, world_to_cam)


def write_clip(info: ClipInfo, path: Path) -> None:
    """Write what the clip is (`clip/clip.toml`)."""
    lines = ["# What the source video is, after it has been turned upright. Written by mimo; change nothing here."]
    for item in fields(info):
        value = getattr(info, item.name)
        lines.append(f"{item.name} = {value}" if isinstance(value, int) else f'{item.name} = "{value}"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_clip(path: Path) -> ClipInfo:
    """Read `clip/clip.toml`; raises InputError when a value is missing."""
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        fractions = {name: Fraction(table[name]) for name in ("time_base", "rate", "pixel_aspect")}
        return ClipInfo(**{**table, **fractions})
    except (tomllib.TOMLDecodeError, KeyError, ValueError, TypeError, ZeroDivisionError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "delete it and mimo makes a new one.") from error


def _write_columns(path: Path, names: Sequence[str], *columns: NDArray) -> None:
    table = np.concatenate(columns, axis=1)
    text = _shortest(table.dtype)
    _write(path, names, ((idx, *map(text, row)) for idx, row in enumerate(table)))


def _shortest(dtype: np.dtype) -> Callable[[float], str]:
    return lambda value: (
        np.format_float_positional(value, unique=True, trim="-") if dtype == np.float32 else repr(float(value))
    )


def _write(path: Path, names: Sequence[str], rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _read(path: Path, names: Sequence[str], num_frames: int | None = None, *, empty: bool = False) -> NDArray:
    rows = _rows(path)
    header = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in names if name not in header]
    if missing:
        raise _bad_table(path, f"the column {missing[0]} is missing")
    order = [header.index(name) for name in names]
    body = [row for row in rows[1:] if row]
    if num_frames is not None and len(body) != num_frames:
        raise _bad_table(path, f"it has {len(body)} rows and the clip has {num_frames} frames")
    if not body and empty:
        return np.zeros((0, len(names)))
    if not body:
        raise _bad_table(path, "it has no rows")
    try:
        table = np.array([[float(row[column]) for column in order] for row in body])
    except (ValueError, IndexError) as error:
        raise _bad_table(path, f"a row is not made of {len(names)} numbers ({error})") from error
    if not np.isfinite(table).all():
        raise _bad_table(path, f"frame {int(np.argwhere(~np.isfinite(table))[0, 0])} has a value that is not a number")
    return table


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad_table(path, f"it is no CSV in UTF-8 ({error})") from error


def _bad_table(path: Path, why: str) -> InputError:
    return InputError(f"{path} does not fit: {why}.", "correct it, or delete it and mimo makes a new one.")
