"""What a pickle says, as inert notes, and the plain values that the known kinds of notes stand for."""

import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

MAX_BYTES = 4 << 30
"""A body model with all its shapes is 0.4 GB; more is not read."""
MAX_DEPTH = 200
_DENSE = 1 << 28  # elements of a sparse matrix written out


class Record:
    """What a pickle says about one object or call; made instead of it. Subclasses carry the dotted name."""

    name = ""

    args: tuple
    """What the class or function was called with."""
    state: Any
    items: list
    """What was appended, or pairs that were put under keys."""

    def __new__(cls, *args: Any) -> "Record":
        """A note of one call; pickles make objects both by calling and by `__new__` alone."""
        record = super().__new__(cls)
        record.args, record.state, record.items = args, None, []
        return record

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, value: Any) -> None:
        """Hear of one more item of a list-like object."""
        self.items.append(value)

    def extend(self, values: Any) -> None:
        """Hear of more items of a list-like object."""
        self.items.extend(values)

    add = append


def wrong(path: Path, reason: str) -> InputError:
    """The refusal of a file, to be raised."""
    return InputError(f"{path}: {reason}.", "export it again, as .npz if the tool can.")


def check_size(size: int, path: Path) -> None:
    """Raise InputError for more than `MAX_BYTES` bytes, before memory is taken for them."""
    if size > MAX_BYTES:
        raise wrong(path, f"it holds, or says it holds, {size / 2**30:.3g} GiB")


def shape_of(value: Any, path: Path) -> tuple[int, ...]:
    """The axes of an array as a pickle has them; raises InputError where they are none."""
    value = (value,) if isinstance(value, int) else value
    if not isinstance(value, tuple | list) or len(value) > 8 or any(not isinstance(n, int) or n < 0 for n in value):
        raise wrong(path, "an array has no shape")
    return tuple(value)


def dtype_of(record: Any, path: Path) -> np.dtype:
    """numpy's type from its record: numbers, truth values, text and objects; no structures."""
    code = record.args[0] if isinstance(record, Record) and record.name == "numpy.dtype" and record.args else None
    if not isinstance(code, str) or not re.fullmatch(r"[biufcSUO]\d{0,6}", code):
        raise wrong(path, f"an array is of an unknown kind ({str(code)[:20]})")
    state = record.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "=") else "="
    return np.dtype(code).newbyteorder(order) if code[0] != "O" else np.dtype(object)


def array_of(raw: Any, dtype: np.dtype, shape: tuple[int, ...], fortran: bool, path: Path) -> NDArray:
    """An array of our own making from its raw bytes (of Python 2 also as latin-1 text), in this machine's byte order;
    raises InputError where their count does not fit.
    """
    raw = raw.encode("latin1") if isinstance(raw, str) else raw  # bytes of Python 2
    if not isinstance(raw, bytes | bytearray) or len(raw) != math.prod(shape) * dtype.itemsize:
        size = len(raw) if isinstance(raw, bytes | bytearray) else "no"
        raise wrong(path, f"an array of {shape} {dtype} has {size} bytes")
    values = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    return values.astype(dtype.newbyteorder("="))


def thawed(value: Any, path: Path) -> Any:
    """The plain value of anything a reader made of records; raises InputError for a kind we do not know."""
    return _Thaw(path).of(value, 0)


class _Thaw:
    """Turns records into plain values; each shared object once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[int, Any] = {}
        self.open: set[int] = set()

    def of(self, value: Any, depth: int) -> Any:
        """The plain value of anything the reader made."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | bytearray | np.ndarray):
            return value
        key = id(value)
        if key in self.done:
            return self.done[key]
        if depth > MAX_DEPTH or key in self.open:
            raise wrong(self.path, "its objects hold each other")
        self.open.add(key)
        plain = self._of(value, depth + 1)
        self.open.discard(key)
        self.done[key] = plain
        return plain

    def _of(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {self.of(k, depth): self.of(v, depth) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)(self.of(v, depth) for v in value)
        if isinstance(value, Record):
            return self._record(value, depth)
        raise wrong(self.path, f"it holds {str(value)[:60]}")

    def _record(self, record: Record, depth: int) -> Any:
        """One of the kinds we know."""
        name, args = record.name, record.args
        if name in ("copy_reg._reconstructor", "copyreg._reconstructor") and args and isinstance(args[0], type):
            name, args = getattr(args[0], "name", ""), ()  # objects of Python 2's old protocols
        module, _, kind = name.rpartition(".")
        if module in ("builtins", "__builtin__", "collections", "_codecs"):
            return self._builtin(kind, args, record, depth)
        if module == "numpy" or re.fullmatch(r"numpy\._?core\.(multiarray|numeric|_multiarray_umath)", module):
            return self._numpy(kind, record, depth)
        if module.startswith("scipy.sparse"):
            return self._sparse(kind, record, depth)
        if module.startswith("chumpy."):
            return self._chumpy(kind, record, depth)
        return self._torch(name, record, depth)

    def _builtin(self, kind: str, args: tuple, record: Record, depth: int) -> Any:
        """What Python's own modules write for plain values."""
        first = args[0] if args else None
        if kind == "encode" and isinstance(first, str):
            return first.encode("latin1")
        if kind in ("OrderedDict", "defaultdict", "dict"):
            pairs = first if isinstance(first, list) else []
            return {self.of(k, depth): self.of(v, depth) for k, v in [*pairs, *record.items]}
        if kind in ("bytes", "bytearray"):
            raw = self.of(first, depth) if args else b""
            return raw.encode("latin1") if isinstance(raw, str) else raw
        if kind in ("set", "frozenset"):
            return set(self.of(first, depth)) if args else set()
        raise self._unknown(record)

    def _unknown(self, record: Record) -> InputError:
        return wrong(self.path, f"it holds a {record.name or 'nameless object'}, which mimo does not open")

    def _numpy(self, kind: str, record: Record, depth: int) -> Any:
        if kind in ("_reconstruct", "ndarray"):
            state = record.state
            if not isinstance(state, tuple) or len(state) != 5:
                raise wrong(self.path, "an array has no values")
            _, shape, dtype, fortran, raw = state
            dtype = dtype_of(dtype, self.path)
            if dtype.hasobject:
                values = self.of(raw, depth)
                return values[0] if shape == () and isinstance(values, list) and len(values) == 1 else values
            raw = self.of(raw, depth) if isinstance(raw, Record) else raw
            return array_of(raw, dtype, shape_of(shape, self.path), bool(fortran), self.path)
        if kind == "scalar" and len(record.args) == 2:
            raw = self.of(record.args[1], depth)
            return array_of(raw, dtype_of(record.args[0], self.path), (1,), False, self.path)[0].item()
        if kind == "_frombuffer" and len(record.args) == 4:
            raw, dtype, shape, order = record.args
            raw = self.of(raw, depth) if isinstance(raw, Record) else raw
            return array_of(raw, dtype_of(dtype, self.path), shape_of(shape, self.path), order == "F", self.path)
        raise self._unknown(record)

    def _sparse(self, kind: str, record: Record, depth: int) -> NDArray:
        state = self.of(record.state, depth)
        try:
            shape = shape_of(state.get("_shape", state.get("shape")), self.path)
            rows, columns = shape
            if rows * columns > _DENSE:
                raise wrong(self.path, f"its sparse matrix is {rows} x {columns}")
            data, inner, starts = (np.asarray(state[key]) for key in ("data", "indices", "indptr"))
            outer = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            dense = np.zeros(shape, data.dtype)
            np.add.at(dense, (inner, outer) if kind.startswith("csc") else (outer, inner), data)
        except (AttributeError, KeyError, ValueError, IndexError, TypeError) as error:
            raise wrong(self.path, f"its sparse matrix ({kind}) is broken ({error})") from None
        if not kind.startswith(("csc", "csr")):
            raise wrong(self.path, f"its sparse matrix is a {kind}, not csc or csr")
        return dense

    def _chumpy(self, kind: str, record: Record, depth: int) -> NDArray:
        """The numbers of a chumpy object: constants, and the reorderings that SMPL's authors left in their files."""
        state = record.state if isinstance(record.state, dict) else {}
        if "x" in state:
            return np.asarray(self.of(state["x"], depth))
        inner = np.asarray(self.of(state.get("a"), depth)) if isinstance(state.get("a"), Record) else None
        try:
            if kind == "Select" and inner is not None:
                picked = inner.ravel()[np.asarray(self.of(state["idxs"], depth))]
                return picked.reshape(shape_of(state.get("preferred_shape", picked.shape), self.path))
            if kind == "Reshape" and inner is not None:
                return inner.reshape(shape_of(state["newshape"], self.path))
            if kind == "Transpose" and inner is not None:
                axes = state.get("axes")
                return inner.transpose(None if axes is None else tuple(axes))
        except (ValueError, IndexError, TypeError, KeyError) as error:
            raise wrong(self.path, f"its chumpy {kind} is broken ({error})") from None
        raise wrong(self.path, f"it holds a chumpy {kind} without numbers")

    def _torch(self, name: str, record: Record, depth: int) -> Any:
        if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor") and len(record.args) >= 4:
            storage, start, size, stride = (self.of(a, depth) for a in record.args[:4])
            size, stride = shape_of(size, self.path), shape_of(stride, self.path)
            last = start + sum((n - 1) * s for n, s in zip(size, stride)) if all(size) else -1
            whole = isinstance(storage, np.ndarray) and len(size) == len(stride) and start >= 0
            if not whole or last >= len(storage):
                raise wrong(self.path, "a tensor reaches past its numbers")
            check_size(8 * math.prod(size), self.path)
            steps = tuple(s * storage.itemsize for s in stride)
            return np.lib.stride_tricks.as_strided(storage[start:], size, steps).copy()
        if name == "torch.storage._load_from_bytes" and len(record.args) == 1:
            return _storage(self.of(record.args[0], depth), self.path)
        raise self._unknown(record)


def _storage(raw: Any, path: Path) -> NDArray:
    """The numbers of a torch storage that was pickled by value, by torch's own reader of plain weights."""
    import torch

    try:
        storage = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
        tensor = torch.tensor([], dtype=storage.dtype).set_(storage)
        return tensor.float().numpy() if tensor.dtype in (torch.bfloat16,) else tensor.numpy()
    except Exception as error:
        raise wrong(path, f"a tensor in it cannot be read ({type(error).__name__})") from None
