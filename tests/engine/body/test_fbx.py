import numpy as np
import pytest
from fbx_files import write_fbx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from engine.body.fbx import read_fbx
from engine.body.skeleton import Animation, Skeleton
from engine.errors import InputError
from engine.geometry import rotvec_to_matrix

pytest.importorskip("ufbx")


@pytest.fixture
def moving():
    """A root with two children and a grandchild, turning all ways, 12 frames."""
    rng = np.random.default_rng(2)
    offsets = np.array([[0, 90, 0], [10, -5, 0], [-10, -5, 1], [0, -40, 3.0]])
    rotvec = np.cumsum(rng.normal(0, 0.15, (12, 4, 3)), axis=0)
    positions = np.tile(offsets, (12, 1, 1))
    positions[:, 0] += np.cumsum(rng.normal(0, 3, (12, 3)), axis=0)
    skeleton = Skeleton(names=("mixamorig:Hips", "a", "b", "c"), parents=(-1, 0, 0, 1), offsets=offsets)
    time_s = np.arange(12) / 30
    return Animation(skeleton=skeleton, rotations=rotvec_to_matrix(rotvec), positions=positions, time_s=time_s)


def check(got, want, order, turn=None, scale=1.0):
    turn = np.eye(3) if turn is None else turn
    assert_allclose(got.time_s, want.time_s, atol=1e-6)
    for mine, theirs in zip(got.world, want.world):
        if mine.ndim == 3:
            # nine digits of a few hundred units, and float32 curves
            assert_allclose(mine[:, order], scale * theirs @ turn.T, atol=2e-3 * scale)
        else:
            assert_allclose(mine[:, order], turn @ theirs @ turn.T, atol=2e-5)
    assert_allclose(got.skeleton.rest[order], scale * want.skeleton.rest @ turn.T, atol=1e-4 * scale)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("armature", [False, True])
def test_reads_what_is_written(tmp_path, moving, turned, armature):
    pre = {"mixamorig:Hips": rotvec_to_matrix(np.array([0.2, 0.1, 0.0])), "a": rotvec_to_matrix(np.array([0, 0, 2.0]))}
    turn = rotvec_to_matrix(np.array([-np.pi / 2, 0, 0])) if armature else None
    path = write_fbx(tmp_path / "a.fbx", moving, pre_turn=pre if turned else None, armature=turn)
    got, notes = read_fbx(path)
    assert not notes
    check(got, moving, [got.skeleton.names.index(n) for n in moving.skeleton.names], turn)


def test_chooses_a_take(tmp_path, moving):
    path = write_fbx(tmp_path / "a.fbx", moving, takes=("one", "two"))
    _, notes = read_fbx(path)
    assert "one, two" in notes[0]
    assert not read_fbx(path, clip="two")[1]
    with pytest.raises(InputError, match='no take "three"'):
        read_fbx(path, clip="three")


def test_refuses_with_a_reason(tmp_path, moving):
    path = write_fbx(tmp_path / "a.fbx", moving, takes=())
    with pytest.raises(InputError, match="no animation"):
        read_fbx(path)
    text = write_fbx(tmp_path / "b.fbx", moving).read_bytes()
    for name, raw, reason in (
        ("c.fbx", b"", "does not begin"),
        ("d.fbx", b"\x00" * 100, "does not begin"),
        ("e.fbx", b"Kaydara FBX Binary  \x00\x1a\x00\xe8\x1c\x00\x00" + b"\xff" * 50, "cannot be read"),
        ("f.fbx", text[: len(text) // 3], "cannot be read|no bones|no animation"),
    ):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InputError, match=reason):
            read_fbx(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        read_fbx(tmp_path / "absent.fbx")


@settings(
    max_examples=3,  # a process each; ufbx itself is fuzzed by its author
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6))
def test_never_crashes(tmp_path, moving, changes):
    path = tmp_path / "a.fbx"
    raw = bytearray((path if path.exists() else write_fbx(path, moving)).read_bytes())
    for place, value in changes:
        raw[place % len(raw)] = value
    (tmp_path / "b.fbx").write_bytes(raw)
    try:
        read_fbx(tmp_path / "b.fbx")
    except InputError as error:
        assert len(error.what.split()) > 4
