"""Pickles read without executing anything: plain values, and arrays of numpy, chumpy, scipy, joblib and torch.

The reader works in two steps. First the pickle machine runs with every class and function of the file replaced by an
inert `Record`, which only notes what it was given. Then `records.thawed` turns the few kinds of records we know into
plain values by our own code; any other is refused by its name. Nothing of the file's choosing is imported, called or
built.
"""

import bz2
import gzip
import io
import lzma
import math
import pickle
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from engine.body.records import Record, array_of, check_size, dtype_of, shape_of, thawed, wrong
from engine.errors import InputError


def read_pickle(path: Path) -> Any:
    """Read a .pkl, .pickle, .joblib or object .npy file as plain values.

    Args:
        path: the file; joblib's compressed forms (zlib, gzip, bz2, xz, lzma) are recognised by their first bytes.

    Returns:
        dict, list, tuple, set, str, bytes, numbers, None and numpy arrays (sparse matrices and chumpy's and torch's
        tensors are arrays too; an object array is a list, one without axes its item).

    Raises:
        InputError: it cannot be read, is cut short, or holds something else; names the class.
    """
    try:
        with open(path, "rb") as file:
            stream = _unpacked(file, path)
            if stream.read(6) == b"\x93NUMPY":
                stream.seek(0)
                return _object_npy(stream, path)
            stream.seek(0)
            return thawed(_Reader(stream, path).load(), path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "check the path.") from None
    except MemoryError:
        raise wrong(path, "it asks for more memory than there is") from None
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise wrong(path, f"it is cut short or damaged ({error})") from None
    except Exception as error:  # a broken pickle fails in any way: bad opcode, stack underflow, wrong type of operand
        raise wrong(path, f"it is no sound pickle ({type(error).__name__}: {str(error)[:80]})") from None


def read_npz(path: Path, keys: Collection[str] | None = None) -> dict[str, Any]:
    """Read arrays of an .npz file; object arrays in it go through the same inert reader.

    Args:
        path: the file.
        keys: the arrays to read, where they are there; None for all.

    Returns:
        Name to array; object arrays as in `read_pickle`, and left out where they hold anything else.

    Raises:
        InputError: it is no npz file, or is damaged.
    """
    found: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as file:
            for info in file.infolist():
                key = info.filename.removesuffix(".npy")
                if key == info.filename or (keys is not None and key not in keys):
                    continue
                check_size(info.file_size, path)
                with file.open(info) as stream:
                    raw = stream.read()
                try:
                    found[key] = _object_npy(io.BytesIO(raw), path)
                except InputError:
                    if b"'|O'" not in raw[:256]:
                        raise
    except InputError:
        raise
    except zipfile.BadZipFile as error:
        raise wrong(path, f"it is no npz file ({error})") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "check the path.") from None
    except Exception as error:  # a damaged member fails in zlib, in numpy's header or in the pickle machine
        raise wrong(path, f"it is damaged ({type(error).__name__}: {str(error)[:80]})") from None
    return found


def _unpacked(file: BinaryIO, path: Path) -> BinaryIO:
    """The file itself, or what it unpacks to."""
    start = file.read(6)
    file.seek(0)
    if start[:1] == b"\x78" and start[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        packer = zlib.decompressobj()
        raw = _limited(lambda size: packer.decompress(packer.unconsumed_tail or file.read(1 << 20), size), path)
        if not packer.eof:
            raise EOFError("its packed data ends early")
        return io.BytesIO(raw)
    for magic, opener in (
        (b"\x1f\x8b", gzip.open),
        (b"BZh", bz2.open),
        (b"\xfd7zXZ", lzma.open),
        (b"]\x00", lzma.open),
    ):
        if start.startswith(magic):
            with opener(file, "rb") as inner:
                return io.BytesIO(_limited(inner.read, path))
    if start.startswith((b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd")):
        raise wrong(path, "it is packed by lz4 or zstd, which mimo does not read")
    return file


def _limited(read: Callable[[int], bytes], path: Path) -> bytes:
    parts, size = [], 0
    while part := read(1 << 24):
        parts.append(part)
        size += len(part)
        check_size(size, path)
    return b"".join(parts)


def _object_npy(stream: BinaryIO, path: Path) -> Any:
    """An .npy file: numbers as they are; objects through the reader of this file."""
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(stream)
    if not dtype.hasobject:
        size, start = math.prod(shape) * dtype.itemsize, stream.tell()
        if stream.seek(0, io.SEEK_END) - start < size:
            raise wrong(path, f"an array of {shape} is cut short")
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
    return thawed(_Reader(stream, path).load(), path)


class _Reader(pickle._Unpickler):  # the plain Python machine: joblib writes arrays between its opcodes
    """Runs the opcodes of a pickle; every global is a `Record`."""

    dispatch: ClassVar[dict] = dict(pickle._Unpickler.dispatch)
    stack: list

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="latin1", errors="strict")
        self.file, self.path = file, path
        self.seen: dict[str, type[Record]] = {}

    def find_class(self, module: str, name: str) -> type[Record]:
        """A fresh inert class for whatever is named."""
        full = f"{module}.{name}"
        if full not in self.seen:
            self.seen[full] = type("Record", (Record,), {"name": full})
        return self.seen[full]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse objects that are said to lie elsewhere (torch's own files have them)."""
        raise wrong(self.path, "it refers to objects outside itself")

    def load_build(self: Any) -> None:
        """Note a state; an array of joblib's follows it in the file."""
        state = self.stack.pop()
        inst = self.stack[-1]
        if not isinstance(inst, Record):
            raise pickle.UnpicklingError(f"a state for a {type(inst).__name__}")
        inst.state = state
        if inst.name.endswith("numpy_pickle.NumpyArrayWrapper"):
            self.stack[-1] = self._array_that_follows(inst)

    dispatch[pickle.BUILD[0]] = load_build

    def _array_that_follows(self, wrapper: Record) -> Any:
        state = wrapper.state if isinstance(wrapper.state, dict) else {}
        dtype, shape = dtype_of(state.get("dtype"), self.path), shape_of(state.get("shape"), self.path)
        if dtype.hasobject:
            return _Reader(self.file, self.path).load()
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])  # joblib pads so that arrays can be memory-mapped
        size = math.prod(shape) * dtype.itemsize
        check_size(size, self.path)
        raw = self.file.read(size)
        return array_of(raw, dtype, shape, state.get("order") == "F", self.path)
