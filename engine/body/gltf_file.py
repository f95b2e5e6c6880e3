"""The container of glTF 2.0: JSON, buffers and accessors, every index and range checked before it is used."""

import base64
import binascii
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

MAX_BYTES = 2 << 30
COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


class GltfFile:
    """The JSON of a file and its buffers, read with every index checked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.stat().st_size > MAX_BYTES:
                raise self.wrong(f"it has {path.stat().st_size >> 20} MiB")
            raw = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.", "check the path.") from None
        text, self.binary = self._chunks(raw) if raw[:4] == b"glTF" else (raw, None)
        try:
            self.json = json.loads(text.decode("utf-8-sig"))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise self.wrong(f"its JSON cannot be read ({str(error)[:80]})") from None
        version = self.get(self.get(self.json, "asset", dict, "the file"), "version", str, "asset")
        if not version.startswith("2"):
            raise self.wrong(f"it is glTF {version[:10]}; mimo reads 2.0")
        self.buffers: dict[int, bytes] = {}

    def wrong(self, reason: str) -> InputError:
        """The refusal of this file, to be raised."""
        return InputError(f"{self.path}: {reason}.", "export it again as glTF 2.0 binary (.glb) with its animation.")

    def _chunks(self, raw: bytes) -> tuple[bytes, bytes | None]:
        if len(raw) < 20 or int.from_bytes(raw[4:8], "little") != 2:
            raise self.wrong("its first 20 bytes are no header of glTF binary, version 2")
        if int.from_bytes(raw[8:12], "little") > len(raw):
            raise self.wrong(f"it says {int.from_bytes(raw[8:12], 'little')} bytes and has {len(raw)}; it is cut short")
        chunks, at = {}, 12
        while at + 8 <= len(raw):
            size, kind = int.from_bytes(raw[at : at + 4], "little"), raw[at + 4 : at + 8]
            if at + 8 + size > len(raw):
                raise self.wrong(f"the chunk at byte {at} reaches past the end")
            chunks.setdefault(kind, raw[at + 8 : at + 8 + size])
            at += 8 + size
        if b"JSON" not in chunks:
            raise self.wrong("it has no JSON chunk")
        return chunks[b"JSON"], chunks.get(b"BIN\x00")

    def get(self, holder: Any, key: str, kind: Any, where: str, otherwise: Any = None) -> Any:
        """A value of a JSON object, of the kind it must have."""
        value = holder.get(key, otherwise) if isinstance(holder, dict) else None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            name = kind.__name__ if isinstance(kind, type) else "number"
            raise self.wrong(f"{where}: {key} is {str(value)[:40]}, not a {name}")
        return value

    def all(self, key: str) -> list:
        """A top-level list, empty where it is missing."""
        return self.get(self.json, key, list, "the file", [])

    def item(self, key: str, index: Any, where: str) -> dict:
        """One entry of a top-level list."""
        items = self.all(key)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(items):
            raise self.wrong(f"{where} points to {key} {str(index)[:20]} of {len(items)}")
        if not isinstance(items[index], dict):
            raise self.wrong(f"{key} {index} is no object")
        return items[index]

    def accessor(self, index: Any, where: str, kinds: tuple[str, ...]) -> NDArray:
        """The numbers of an accessor, (count, width) float64, normalized ones in their range."""
        accessor, here = self.item("accessors", index, where), f"accessor {index}"
        code, count = self.get(accessor, "componentType", int, here), self.get(accessor, "count", int, here)
        kind = self.get(accessor, "type", str, here)
        if code not in COMPONENTS or kind not in kinds or not 0 < count <= MAX_BYTES:
            raise self.wrong(f"{here} ({where}): {count} x {kind[:10]} of component {code}, where {kinds[0]} is wanted")
        dtype, width = np.dtype(COMPONENTS[code]), WIDTHS[kind]
        values = np.zeros((1, width), dtype)
        if "bufferView" in accessor:
            start = self.get(accessor, "byteOffset", int, here, 0)
            values = self._view(accessor["bufferView"], start, count, width, dtype, here)
        if "sparse" in accessor:
            sparse = self.get(accessor, "sparse", dict, here)
            if count * width > 1 << 27:
                raise self.wrong(f"{here} has {count} items, most of them empty")
            values = np.broadcast_to(values, (count, width)).copy()
            self._sparse(values, sparse, here)
        elif len(values) != count:
            raise self.wrong(f"{here} has no numbers")
        numbers = values.astype(np.float64)
        if accessor.get("normalized") is True and dtype.kind in "iu":
            numbers = np.maximum(numbers / np.iinfo(dtype).max, -1.0)
        if not np.isfinite(numbers).all():
            raise self.wrong(f"{here} ({where}) holds a number that is not finite")
        return numbers

    def _view(self, index: Any, start: int, count: int, width: int, dtype: np.dtype, here: str) -> NDArray:
        view = self.item("bufferViews", index, here)
        extras = view.get("extensions")
        if isinstance(extras, dict) and extras:
            raise self.wrong(f"{here} is packed by {', '.join(map(str, extras))[:60]}, which mimo does not unpack")
        raw = self._buffer(self.get(view, "buffer", int, here))
        offset, size = self.get(view, "byteOffset", int, here, 0), self.get(view, "byteLength", int, here)
        stride = self.get(view, "byteStride", int, here, 0) or width * dtype.itemsize
        last = start + (count - 1) * stride + width * dtype.itemsize
        if min(offset, start, size) < 0 or stride < width * dtype.itemsize or last > size or offset + size > len(raw):
            raise self.wrong(f"{here} reaches past its buffer (byte {offset + last} of {len(raw)})")
        flat = np.frombuffer(raw, np.uint8, last - start, offset + start)
        rows = np.lib.stride_tricks.as_strided(flat, (count, width * dtype.itemsize), (stride, 1))
        return np.ascontiguousarray(rows).view(dtype)

    def _sparse(self, values: NDArray, sparse: dict, here: str) -> None:
        count = self.get(sparse, "count", int, here)
        where, what = (self.get(sparse, key, dict, here) for key in ("indices", "values"))
        code = self.get(where, "componentType", int, here)
        if code not in (5121, 5123, 5125) or not 0 < count <= len(values):
            raise self.wrong(f"{here}: its sparse part has {count} indices of component {code}")
        rows = self._view(where.get("bufferView"), self.get(where, "byteOffset", int, here, 0), count, 1,
                          np.dtype(COMPONENTS[code]), here)[:, 0]  # fmt: skip
        if rows.max() >= len(values):
            raise self.wrong(f"{here}: its sparse part points to item {rows.max()} of {len(values)}")
        start = self.get(what, "byteOffset", int, here, 0)
        values[rows] = self._view(what.get("bufferView"), start, count, values.shape[1], values.dtype, here)

    def _buffer(self, index: int) -> bytes:
        if index not in self.buffers:
            buffer = self.item("buffers", index, "a buffer view")
            uri = buffer.get("uri")
            if uri is None:
                if index or self.binary is None:
                    raise self.wrong(f"buffer {index} has no bytes")
                self.buffers[index] = self.binary
            else:
                self.buffers[index] = self._fetched(str(uri))
        return self.buffers[index]

    def _fetched(self, uri: str) -> bytes:
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except (ValueError, binascii.Error) as error:
                raise self.wrong(f"a buffer in the text is no base64 ({error})") from None
        beside = (self.path.parent / unquote(uri)).resolve()
        if "://" in uri or not beside.is_relative_to(self.path.parent.resolve()):
            raise self.wrong(f"its buffer {uri[:80]} lies outside its folder")
        try:
            if beside.stat().st_size > MAX_BYTES:
                raise self.wrong(f"its buffer {uri[:80]} is too large")
            return beside.read_bytes()
        except (OSError, ValueError) as error:
            raise self.wrong(f"its buffer {uri[:80]} cannot be read ({error})") from None
