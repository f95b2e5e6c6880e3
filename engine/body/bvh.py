"""BVH files: a strict reader that says which line is wrong, and a writer.

A position channel replaces the joint's OFFSET (as in Blender); rotation channels apply from left to right, the
first one outermost; degrees. Lines may end in LF, CRLF or CR and hold tabs; numbers may be in scientific notation.
"""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.body.skeleton import Animation, Skeleton
from engine.errors import InputError

CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
MAX_JOINTS = 10_000
MAX_NUMBER = 1e6
"""Units or degrees; a body in millimetres that walks a kilometre."""
MAX_FRAME_TIME_S = 10.0
_BLOCK = 512  # lines that are turned into numbers at once


@dataclass(frozen=True, kw_only=True)
class Bvh:
    """What a BVH file holds."""

    skeleton: Skeleton
    channels: tuple[tuple[str, ...], ...]
    """Per joint, the names of its channels in the order of the file."""
    frame_time_s: float
    values: NDArray
    """(T, C) float64: file units and degrees, one row per frame."""

    def animation(self) -> Animation:
        """The movement as matrices."""
        num_frames, num_joints = len(self.values), len(self.skeleton.names)
        rotations = np.tile(np.eye(3), (num_frames, num_joints, 1, 1))
        positions = np.tile(np.asarray(self.skeleton.offsets, np.float64), (num_frames, 1, 1))
        column = 0
        for joint, names in enumerate(self.channels):
            for name in names:
                axis = "XYZ".index(name[0])
                if name.endswith("position"):
                    positions[:, joint, axis] = self.values[:, column]
                else:
                    turn = axis_rotation(axis, np.radians(self.values[:, column]))
                    rotations[:, joint] = rotations[:, joint] @ turn
                column += 1
        time_s = np.arange(num_frames) * self.frame_time_s
        return Animation(skeleton=self.skeleton, rotations=rotations, positions=positions, time_s=time_s)


def axis_rotation(axis: int, angle: NDArray) -> NDArray:
    """Rotations about one coordinate axis: axis 0, 1 or 2; angle (...) radians -> (..., 3, 3)."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*np.shape(angle), 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -np.sin(angle)
    return matrix


def read_bvh(path: str | os.PathLike) -> Bvh:
    """Read a BVH file.

    Args:
        path: the file.

    Returns:
        Its skeleton and all its numbers.

    Raises:
        InputError: the file is not there, is no text, or breaks the format; says which line and why.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "check the path.") from None
    if b"\x00" in raw[:65536] or b"HIERARCHY" not in raw[:65536].upper():
        raise _wrong(path, 1, "is no BVH text file: it does not begin with HIERARCHY")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # names in an old encoding; the numbers are ASCII in all of them
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    header = _Header(path, lines)
    skeleton, channels = header.read()
    return _read_motion(path, lines, header.line, skeleton, channels)


def write_bvh(bvh: Bvh, path: str | os.PathLike) -> None:
    """Write a BVH file: LF, six decimals; the same content gives the same bytes; whole or not at all.

    Args:
        bvh: what to write; the joints are written in the order of the tree, first child first.
        path: the file.
    """
    path = Path(path)
    out: list[str] = ["HIERARCHY"]
    order: list[int] = []
    _write_joint(bvh, 0, 0, out, order)
    starts = np.cumsum([0, *(len(c) for c in bvh.channels)])
    columns = [starts[joint] + k for joint in order for k in range(len(bvh.channels[joint]))]
    out += ["MOTION", f"Frames: {len(bvh.values)}", f"Frame Time: {bvh.frame_time_s:.9g}"]
    part = path.with_name(path.name + ".part")
    with open(part, "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(out) + "\n")
        rounded = np.round(bvh.values[:, columns], 6) + 0.0  # no "-0.000000"
        for row in rounded:
            file.write(" ".join(f"{v:.6f}" for v in row) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _write_joint(bvh: Bvh, joint: int, depth: int, out: list[str], order: list[int]) -> None:
    pad = "\t" * depth
    offset = " ".join(f"{v:.6f}" for v in np.round(bvh.skeleton.offsets[joint], 6) + 0.0)
    out += [
        f"{pad}{'JOINT' if depth else 'ROOT'} {bvh.skeleton.names[joint]}",
        f"{pad}{{",
        f"{pad}\tOFFSET {offset}",
        f"{pad}\tCHANNELS {len(bvh.channels[joint])} {' '.join(bvh.channels[joint])}".rstrip(),
    ]
    order.append(joint)
    for child in bvh.skeleton.children[joint]:
        _write_joint(bvh, child, depth + 1, out, order)
    for owner, end in bvh.skeleton.ends:
        if owner == joint:
            tip = " ".join(f"{v:.6f}" for v in end)
            out += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {tip}", f"{pad}\t}}"]
    out.append(f"{pad}}}")


def _wrong(path: Path, line: int, reason: str) -> InputError:
    return InputError(f"{path}, line {line}: {reason}.", "export the motion again, or mend that line.")


class _Header:
    """Walks the HIERARCHY part; `line` is the index of the line to read next."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path, self.lines, self.line = path, lines, 0
        self.words: list[str] = []
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[tuple[float, ...] | None] = []
        self.channels: list[tuple[str, ...] | None] = []
        self.ends: list[tuple[int, tuple[float, float, float]]] = []

    def read(self) -> tuple[Skeleton, tuple[tuple[str, ...], ...]]:
        """The skeleton and each joint's channels; leaves `line` behind the word MOTION."""
        if self._next() != ["HIERARCHY"]:
            raise self._wrong("the first word must be HIERARCHY")
        open_blocks: list[int] = []  # joint index, or -2 for an End Site
        waiting = None  # the block whose "{" comes next
        while True:
            words = self._next()
            word = words[0].upper()
            if waiting is not None:
                if words != ["{"]:
                    raise self._wrong(f'"{{" expected, found "{" ".join(words)[:40]}"')
                open_blocks.append(waiting)
                waiting = None
            elif word == "MOTION":
                break
            elif word == "}":
                self._close(open_blocks)
            elif word in {"ROOT", "JOINT"}:
                waiting = self._open_joint(words, open_blocks)
            elif word == "END":
                if not open_blocks or open_blocks[-1] == -2:
                    raise self._wrong("an End Site outside a joint")
                waiting = -2
            elif word == "OFFSET":
                self._offset(words, open_blocks)
            elif word == "CHANNELS":
                self._channels(words, open_blocks)
            else:
                raise self._wrong(f'"{words[0][:40]}" is not expected here')
        if open_blocks:
            raise self._wrong(f'MOTION begins while {len(open_blocks)} "{{" are still open')
        if not self.names:
            raise self._wrong("there is no ROOT joint")
        skeleton = Skeleton(
            names=tuple(self.names),
            parents=tuple(self.parents),
            offsets=np.array(self.offsets, np.float64),
            ends=tuple(self.ends),
        )
        return skeleton, tuple(c or () for c in self.channels)

    def _next(self) -> list[str]:
        """The words of the next line that has any; a brace after other words counts as a line of its own."""
        while not self.words:
            if self.line >= len(self.lines):
                raise self._wrong("the file ends before MOTION")
            self.words = self.lines[self.line].replace("{", " { ").replace("}", " } ").split()
            self.line += 1
        if self.words[0] in "{}":
            return [self.words.pop(0)]
        stop = next((k for k, word in enumerate(self.words) if word in "{}"), len(self.words))
        words, self.words = self.words[:stop], self.words[stop:]
        return words

    def _wrong(self, reason: str) -> InputError:
        return _wrong(self.path, min(self.line, len(self.lines)), reason)

    def _open_joint(self, words: list[str], open_blocks: list[int]) -> int:
        is_root = words[0].upper() == "ROOT"
        if is_root and self.names:
            raise self._wrong(f"a second ROOT; {self.names[0]} is one already (one figure per file)")
        if not is_root and (not open_blocks or open_blocks[-1] == -2):
            raise self._wrong("a JOINT outside a joint")
        if len(words) < 2:
            raise self._wrong(f"{words[0]} without a name")
        if len(self.names) >= MAX_JOINTS:
            raise self._wrong(f"more than {MAX_JOINTS} joints")
        self.names.append(" ".join(words[1:]))
        self.parents.append(-1 if is_root else open_blocks[-1])
        self.offsets.append(None)
        self.channels.append(None)
        return len(self.names) - 1

    def _close(self, open_blocks: list[int]) -> None:
        if not open_blocks:
            raise self._wrong('"}" without "{"')
        joint = open_blocks.pop()
        if joint >= 0 and self.offsets[joint] is None:
            raise self._wrong(f"{self.names[joint]} has no OFFSET")
        if joint >= 0 and self.channels[joint] is None:
            raise self._wrong(f"{self.names[joint]} has no CHANNELS")

    def _offset(self, words: list[str], open_blocks: list[int]) -> None:
        if not open_blocks:
            raise self._wrong("an OFFSET outside a joint")
        numbers = [_number(word) for word in words[1:]]
        if len(numbers) != 3 or any(n is None for n in numbers):
            raise self._wrong(f'OFFSET needs three numbers, found "{" ".join(words[1:])[:60]}"')
        x, y, z = (float(n) for n in numbers if n is not None)
        if open_blocks[-1] == -2:
            self.ends.append((open_blocks[-2], (x, y, z)))
        else:
            self.offsets[open_blocks[-1]] = (x, y, z)

    def _channels(self, words: list[str], open_blocks: list[int]) -> None:
        if not open_blocks or open_blocks[-1] == -2:
            raise self._wrong("CHANNELS outside a joint")
        if len(words) < 2 or not words[1].isascii() or not words[1].isdigit() or len(words[1]) > 4:
            raise self._wrong("CHANNELS needs a count")
        known = {name.lower(): name for name in CHANNELS}
        names = [known.get(word.lower()) for word in words[2:]]
        if len(names) != int(words[1]):
            raise self._wrong(f"CHANNELS says {words[1]} and names {len(names)}")
        if None in names or len(set(names)) != len(names):
            raise self._wrong(f'"{" ".join(words[2:])[:80]}" are not different channels of {", ".join(CHANNELS)}')
        self.channels[open_blocks[-1]] = tuple(name for name in names if name)


def _number(word: str) -> float | None:
    """A finite number of plausible size, or None."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if "_" not in word and abs(value) <= MAX_NUMBER else None


def _read_motion(path: Path, lines: list[str], line: int, skeleton: Skeleton, channels) -> Bvh:
    """The MOTION part, from the line behind that word."""
    rows = [k for k in range(line, len(lines)) if lines[k] and not lines[k].isspace()]
    if len(rows) < 2:
        raise _wrong(path, len(lines), 'the file ends before "Frames:" and "Frame Time:"')
    num_frames = _count(path, lines, rows[0])
    frame_time_s = _frame_time(path, lines, rows[1])
    rows = rows[2:]
    if len(rows) < num_frames:
        raise _wrong(
            path, len(lines), f"{num_frames} frames are declared and {len(rows)} are there; the file is cut short"
        )
    if len(rows) > num_frames:
        raise _wrong(path, rows[num_frames] + 1, f"{num_frames} frames are declared and {len(rows)} lines are there")
    num_channels = sum(len(c) for c in channels)
    if not num_channels:
        raise _wrong(path, line, "no joint has a channel, so nothing moves")
    values = np.empty((num_frames, num_channels))
    for start in range(0, num_frames, _BLOCK):
        values[start : start + _BLOCK] = _numbers(path, lines, rows[start : start + _BLOCK], num_channels)
    return Bvh(skeleton=skeleton, channels=channels, frame_time_s=frame_time_s, values=values)


def _count(path: Path, lines: list[str], row: int) -> int:
    key, _, value = lines[row].partition(":")
    value = value.strip()
    if key.strip().lower() != "frames" or not (value.isascii() and value.isdigit() and len(value) < 10):
        raise _wrong(path, row + 1, f'"Frames: <count>" expected, found "{lines[row].strip()[:60]}"')
    if int(value) == 0:
        raise _wrong(path, row + 1, "there are zero frames")
    return int(value)


def _frame_time(path: Path, lines: list[str], row: int) -> float:
    key, _, value = lines[row].partition(":")
    number = _number(value.strip())
    if "".join(key.split()).lower() != "frametime" or number is None:
        raise _wrong(path, row + 1, f'"Frame Time: <seconds>" expected, found "{lines[row].strip()[:60]}"')
    if not 0 < number <= MAX_FRAME_TIME_S:
        raise _wrong(path, row + 1, f"a frame time of {number:g} s makes no sense")
    return number


def _numbers(path: Path, lines: list[str], rows: list[int], num_channels: int) -> NDArray:
    """The numbers of some frames, (len(rows), num_channels) float64."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.fromstring(" ".join(lines[row] for row in rows), dtype=np.float64, sep=" ")
        good = values.size == len(rows) * num_channels and bool((np.abs(values) <= MAX_NUMBER).all())
    except (ValueError, DeprecationWarning):
        good = False
    # The total may fit by accident while two lines are wrong, so lengths are compared line by line.
    if not good or any(len(lines[row].split()) != num_channels for row in rows):
        raise _bad_frame(path, lines, rows, num_channels)
    return values.reshape(len(rows), num_channels)


def _bad_frame(path: Path, lines: list[str], rows: list[int], num_channels: int) -> InputError:
    for row in rows:
        words = lines[row].split()
        if len(words) != num_channels:
            return _wrong(path, row + 1, f"{len(words)} numbers, but the joints have {num_channels} channels")
        for word in words:
            if _number(word) is None:
                return _wrong(path, row + 1, f'"{word[:40]}" is not a number a body can have')
    return _wrong(path, rows[0] + 1, "the numbers cannot be read")
