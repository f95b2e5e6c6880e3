import io
import os
import pickle
import zlib
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from engine.body.pickles import read_npz, read_pickle
from engine.errors import InputError


@pytest.fixture
def save(tmp_path):
    def save(raw, name="a.pkl"):
        path = tmp_path / name
        path.write_bytes(raw)
        return path

    return save


def plain():
    return {
        "array": np.arange(12.0).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "scalar": np.float32(3.5),
        "big_endian": np.arange(3, dtype=">i4"),
        "words": np.array(["ab", "c"]),
        "empty": np.zeros((0, 3)),
        "sparse": scipy.sparse.csc_matrix(np.diag([1.0, 0, 2])),
        "rows": scipy.sparse.csr_matrix(np.arange(6.0).reshape(2, 3)),
        "tensor": torch.arange(6.0).reshape(2, 3).T[1:],
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "list": [1, (2.5, None, True), {"x"}, b"raw", "t"],
        "ordered": OrderedDict(a=1, b=[2]),
    }


def check(got):
    want = plain()
    want |= {key: want[key].toarray() for key in ("sparse", "rows")}
    want |= {key: want[key].float().numpy() for key in ("tensor", "half")}
    assert got.keys() == want.keys()
    for key in ("list", "ordered"):
        assert got.pop(key) == want[key]
    for key, value in got.items():
        assert_array_equal(value, want[key])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_of_every_protocol(save, protocol):
    check(read_pickle(save(pickle.dumps(plain(), protocol))))


def test_what_joblib_writes(tmp_path):
    joblib = pytest.importorskip("joblib")
    for packing in (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)):
        joblib.dump(plain(), tmp_path / "a.pkl", compress=packing)
        check(read_pickle(tmp_path / "a.pkl"))


def joblib_like(values, aligned=True):
    """A joblib file without joblib: the array's bytes stand between the opcodes, after its wrapper."""
    dtype = b"cnumpy\ndtype\n(\x8c\x02f8\x89\x88tR(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"}(\x8c\x05shapeK" + bytes([len(values)]) + b"\x85\x8c\x05order\x8c\x01C\x8c\x05dtype" + dtype
    state += b"\x8c\x1bnumpy_array_alignment_bytes" + (b"K\x10" if aligned else b"N") + b"u"
    wrapper = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + state + b"b"
    padding = b"\x03\xff\xff\xff" if aligned else b""
    return b"\x80\x04}\x8c\x01a" + wrapper + padding + np.asarray(values, "<f8").tobytes() + b"s."


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("aligned", [False, True])
def test_arrays_between_the_opcodes(save, packed, aligned):
    raw = joblib_like([1.5, -2.0, 3.25], aligned)
    assert_array_equal(read_pickle(save(zlib.compress(raw) if packed else raw))["a"], [1.5, -2, 3.25])
    with pytest.raises(InputError, match=r"bytes|no sound pickle"):
        read_pickle(save(raw[:-12]))


def test_objects_in_npy_and_npz(tmp_path):
    np.save(tmp_path / "a.npy", {"trans": torch.ones(2, 3), "n": 4})
    got = read_pickle(tmp_path / "a.npy")
    assert_array_equal(got["trans"], np.ones((2, 3)))
    np.savez(tmp_path / "b.npz", one=np.eye(2), who=np.array("female", object), more=np.array([{"a": 1}], object))
    found = read_npz(tmp_path / "b.npz")
    assert_array_equal(found["one"], np.eye(2))
    assert found["who"] == "female" and found["more"] == [{"a": 1}]
    assert set(read_npz(tmp_path / "b.npz", ("one", "absent"))) == {"one"}


def attacks(target):
    """Pickles that would leave a file at `target` if any part of them ran."""
    command = f"touch {target}"

    def reduce(function, *args):
        return type("Attack", (), {"__reduce__": lambda self: (function, args)})()

    yield pickle.dumps(reduce(os.system, command))
    yield pickle.dumps({"v_template": [np.eye(2), reduce(eval, f"open({str(target)!r}, 'w')")]})
    yield pickle.dumps(reduce(exec, f"open({str(target)!r}, 'w')"), 0)
    yield pickle.dumps(reduce(open, str(target), "w"), 2)
    text = command.encode()
    yield b"cposix\nsystem\n(S'" + text + b"'\ntR."
    yield b"(S'" + text + b"'\nios\nsystem\n."
    yield b"(cos\nsystem\nS'" + text + b"'\no."
    yield b"\x80\x02cbuiltins\ngetattr\ncos\nsystem\nS'__call__'\n\x86RS'" + text + b"'\n\x85R."
    yield b"\x80\x04cnumpy\nload\n\x8c\x03x.yN\x88\x87R."
    # a state for a class, attributes for an object: nothing of ours may be changed by them
    yield b"\x80\x02cnumpy\nndarray\n}S'__setstate__'\ncos\nsystem\nsb."
    yield b"\x80\x02cnumpy\nndarray\n)\x81N}S'__class__'\ncos\nsystem\ns\x86b."
    yield b"\x80\x02ctorch.storage\n_load_from_bytes\n(C" + bytes([len(b"cos\nsystem\n(S'x'\ntR.")])
    inner = pickle.dumps(reduce(os.system, command), 2)
    yield b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + len(inner).to_bytes(4, "little") + inner + b"\x85R."


def test_executes_nothing(save, tmp_path):
    target = tmp_path / "was-executed"
    for number, raw in enumerate(attacks(target)):
        for packed in (raw, zlib.compress(raw)):
            try:
                value = read_pickle(save(packed))
            except InputError as error:
                assert len(error.what.split()) > 4
            else:
                raise AssertionError(f"attack {number} gave {value}")
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": ()})
        with pytest.raises(InputError):
            read_pickle(save(b"\x93NUMPY\x01\x00" + buffer.getvalue()[8:] + raw, "a.npy"))
        assert not target.exists(), f"attack {number} ran"


def test_names_what_it_does_not_open(save):
    with pytest.raises(InputError, match=r"posix\.system, which mimo does not open"):
        read_pickle(save(pickle.dumps(type("A", (), {"__reduce__": lambda self: (os.system, ("true",))})())))
    with pytest.raises(InputError, match=r"fractions.Fraction"):
        from fractions import Fraction

        read_pickle(save(pickle.dumps(Fraction(1, 3))))
    with pytest.raises(InputError, match="cannot be read"):
        read_pickle(save(b"").with_name("absent.pkl"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\x04.",
        b"\x80\x04\x96\xff\xff\xff\xff\xff\xff\x00\x00.",  # a bytearray of 2**48 bytes
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"(" * 1000 + b"t" * 999 + b".",
        b"]q\x00h\x00a.",  # a list that holds itself
        b"Pabc\n.",
        b"\x80\x04N}b.",
        zlib.compress(pickle.dumps(1))[:-3],
        b"\x1f\x8bxxxxxxx",
    ],
)
def test_refuses_what_is_broken(save, raw):
    with pytest.raises(InputError):
        read_pickle(save(raw))


def test_shared_objects_do_not_multiply(save):
    value: list = ["x"]
    for _ in range(60):  # 2**60 items when written out
        value = [value, value]
    got = read_pickle(save(pickle.dumps(value)))
    assert got[0] is got[1]


def test_a_bomb_is_not_unpacked(save, monkeypatch):
    monkeypatch.setattr("engine.body.records.MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match="says it holds"):
        read_pickle(save(zlib.compress(bytes(40 << 20))))
    huge = joblib_like([1.0]).replace(b"\x8c\x05shapeK\x01\x85", b"\x8c\x05shapeJ\xff\xff\xff\x7f\x85")
    with pytest.raises(InputError, match="says it holds"):
        read_pickle(save(huge))


SOUND = [*(pickle.dumps(plain(), protocol) for protocol in range(6)), joblib_like([1.0, 2.0])]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=8),
    st.none() | st.integers(0, 1 << 16),
)
def test_never_crashes(save, sound, changes, cut):
    raw = bytearray(sound)
    for place, value in changes:
        raw[place % len(raw)] = value
    raw = raw if cut is None else raw[: cut % len(raw)]
    try:
        read_pickle(save(bytes(raw)))
    except InputError as error:
        assert len(error.what.split()) > 3
