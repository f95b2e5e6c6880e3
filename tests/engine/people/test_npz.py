"""Packed arrays come back as they were, and numpy reads them."""

import numpy as np
import pytest

from engine.people.npz import save_npz


def test_numpy_reads_it(tmp_path):
    arrays = {"mask": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "none": np.zeros((0, 4)), "number": 7}
    save_npz(tmp_path / "a.npz", **arrays)
    with np.load(tmp_path / "a.npz") as file:
        assert sorted(file.files) == sorted(arrays)
        for name, array in arrays.items():
            assert file[name].dtype == np.asarray(array).dtype
            np.testing.assert_array_equal(file[name], array)


def test_equal_arrays_give_equal_bytes(tmp_path):
    for name in "ab":
        save_npz(tmp_path / f"{name}.npz", value=np.ones((64, 64), np.uint8))
    packed = (tmp_path / "a.npz").read_bytes()
    assert packed == (tmp_path / "b.npz").read_bytes()
    assert len(packed) < 64 * 64 / 4


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        save_npz(tmp_path / "a.npz", value=np.array([{}], object))
