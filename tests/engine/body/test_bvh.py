import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from engine.body.bvh import CHANNELS, Bvh, axis_rotation, read_bvh, write_bvh
from engine.body.skeleton import Skeleton
from engine.errors import InputError

GOOD = """HIERARCHY
ROOT Hips
{
\tOFFSET 0.0 1.0 0.0
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
\tJOINT Spine
\t{
\t\tOFFSET 0 2 0
\t\tCHANNELS 3 Zrotation Xrotation Yrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0 1 0
\t\t}
\t}
}
MOTION
Frames: 2
Frame Time: 0.04
1 2 3 90 0 0 0 0 0
1 2 3 0 0 90 90 0 0
"""


@pytest.fixture
def save(tmp_path):
    def save(text, name="a.bvh"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return save


def test_reads_what_is_written_there(save):
    bvh = read_bvh(save(GOOD))
    assert bvh.skeleton.names == ("Hips", "Spine") and bvh.skeleton.parents == (-1, 0)
    assert bvh.skeleton.ends == ((1, (0.0, 1.0, 0.0)),)
    assert bvh.frame_time_s == 0.04 and bvh.values.shape == (2, 9)
    joints, rotations = bvh.animation().world
    assert_allclose(
        joints[0], [[1, 2, 3], [-1, 2, 3]], atol=1e-12
    )  # position replaces OFFSET; +90 about z: up goes to -x
    # Zrotation is outermost: Rz(0) Rx(0) Ry(90) then the spine's own Rz(90)
    assert_allclose(rotations[1, 1], axis_rotation(1, np.pi / 2) @ axis_rotation(2, np.pi / 2), atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\r"),
        lambda t: t.replace(" ", "\t").replace("End\tSite", "End Site"),
        lambda t: t.replace("1 2 3 90", "1e0 2.0E+000 3.e0 9.0e+001"),
        lambda t: "\ufeff" + t,
        lambda t: t.replace("OFFSET 0 2 0", "OFFSET -0 2. 0").replace("0.04", ".04"),
        lambda t: t.replace("\n\t{", " {").replace("\nMOTION", "\n\nMOTION").replace("\n1 2", "\n\n1 2") + "\n\n",
        lambda t: t.replace("ROOT", "root").replace("Zrotation", "ZROTATION"),
    ],
)
def test_other_ways_to_write_the_same(save, change):
    want, got = read_bvh(save(GOOD)), read_bvh(save(change(GOOD), "b.bvh"))
    assert_array_equal(got.values, want.values)
    assert got.skeleton.names == want.skeleton.names and got.channels == want.channels
    assert_array_equal(got.skeleton.offsets, want.skeleton.offsets)


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (lambda t: t.replace("Frames: 2", "Frames: 3"), 20, "3 frames are declared and 2 are there"),
        (lambda t: t.replace("Frames: 2", "Frames: 1"), 20, "1 frames are declared and 2 lines"),
        (lambda t: t.replace("Frames: 2", "Frames: 0"), 17, "zero frames"),
        (lambda t: t.replace("Frames: 2", "Frames: 999999999"), 20, "999999999 frames are declared and 2"),
        (lambda t: t.replace("Frames: 2", "Frames: 99999999999999999999"), 17, "Frames: <count>"),
        (lambda t: t.replace("Frames: 2", "Frames: -2"), 17, "Frames: <count>"),
        (lambda t: t.replace("Frame Time: 0.04", "Frame Time: 0"), 18, "frame time"),
        (lambda t: t.replace("Frame Time: 0.04", "Frame Time: nan"), 18, "Frame Time"),
        (lambda t: t.replace("90 90 0 0", "90 nan 0 0"), 20, '"nan" is not a number'),
        (lambda t: t.replace("90 90 0 0", "90 inf 0 0"), 20, '"inf" is not a number'),
        (lambda t: t.replace("90 90 0 0", "90 1e300 0 0"), 20, '"1e300" is not a number'),
        (lambda t: t.replace("90 90 0 0", "90 1_0 0 0"), 20, '"1_0" is not a number'),
        (lambda t: t.replace("90 90 0 0", "90 9,5 0 0"), 20, '"9,5" is not a number'),
        (lambda t: t.replace("90 90 0 0", "90 90 0"), 20, "8 numbers, but the joints have 9"),
        (
            lambda t: t.replace("1 2 3 90 0 0 0 0 0", "1 2 3 90 0 0 0 0").replace("90 90 0 0", "90 90 0 0 0"),
            19,
            "8 numbers",
        ),
        (lambda t: t.replace("OFFSET 0 2 0", "OFFSET 0 2"), 8, "three numbers"),
        (lambda t: t.replace("OFFSET 0 2 0", "OFFSET 0 2 nan"), 8, "three numbers"),
        (lambda t: t.replace("OFFSET 0 2 0", "OFFSET 0 1e9 0"), 8, "three numbers"),
        (lambda t: t.replace("CHANNELS 3", "CHANNELS 4"), 9, "says 4 and names 3"),
        (lambda t: t.replace("CHANNELS 3", "CHANNELS 9999999999999"), 9, "needs a count"),
        (lambda t: t.replace("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation"), 9, "not different channels"),
        (lambda t: t.replace("CHANNELS 3 Zrotation", "CHANNELS 3 Xrotation"), 9, "not different channels"),
        (lambda t: t.replace("\nMOTION", "\nROOT Other\n{\nMOTION"), 16, "a second ROOT"),
        (lambda t: t.replace("JOINT Spine", "JOINT"), 6, "without a name"),
        (lambda t: t.replace("\t\tOFFSET 0 2 0\n", ""), 13, "Spine has no OFFSET"),
        (lambda t: t.replace("}\nMOTION", "MOTION"), 15, "still open"),
        (lambda t: t.replace("}\nMOTION", "}\n}\nMOTION"), 16, 'without "{"'),
        (lambda t: t[: t.index("MOTION")], 15, "ends before MOTION"),
        (lambda t: t[: t.index("Frame Time")], 17, "ends before"),
        (lambda t: t[: len(t) - 30], 19, "2 frames are declared and 1"),
        (lambda t: t.replace("HIERARCHY", "HIERARCHIE"), 1, "no BVH"),
        (lambda t: "", 1, "no BVH"),
        (lambda t: t.encode()[:60] + bytes(200), 1, "no BVH"),
        (lambda t: b"\x89PNG\r\n\x1a\n" + bytes(range(256)), 1, "no BVH"),
        (lambda t: "HIERARCHY\nMOTION\nFrames: 1\nFrame Time: 1\n", 2, "no ROOT"),
        (lambda t: "HIERARCHY\nROOT a\n{\nEnd Site\n{\nJOINT b\n{\n", 6, "outside a joint"),
    ],
)
def test_refuses_with_line_and_reason(save, change, line, reason):
    with pytest.raises(InputError) as caught:
        read_bvh(save(change(GOOD)))
    assert f"line {line}:" in caught.value.what, caught.value.what
    assert reason in caught.value.what, caught.value.what


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_bvh(tmp_path / "none.bvh")


FILES = {  # name: joints, frames, frame time
    "bandai2_walk_turn_left": (22, 130, 0.0333333), "bandai_dash_active": (22, 85, 0.0333333),
    "bandai_walk_happy": (22, 213, 0.0333333), "bvhtoolbox_walk_scientific": (19, 101, 0.0416667),
    "cmu_jumping_jacks": (31, 125, 0.03333), "fair1_dab": (27, 339, 0.0333333), "mocapbank_crlf": (19, 455, 0.033333),
    "pybvh_fingers_crlf": (60, 100, 0.008333), "pybvh_mixed_orders": (24, 75, 0.033333),
    "pybvh_rest_1frame": (24, 1, 0.008333), "pybvh_rotation_first_root": (4, 4, 0.04),
    "rokoko_dance_fingers": (60, 1007, 0.01),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_reads_files_of_the_wild_and_writes_them_back(sample_data, tmp_path, name):
    bvh = read_bvh(sample_data / "motion" / f"{name}.bvh")
    assert (len(bvh.skeleton.names), len(bvh.values), bvh.frame_time_s) == FILES[name]
    write_bvh(bvh, tmp_path / "b.bvh")
    again = read_bvh(tmp_path / "b.bvh")
    assert_allclose(again.values, bvh.values, atol=5.1e-7)  # six decimals
    assert again.skeleton.names == bvh.skeleton.names and again.channels == bvh.channels
    assert_allclose(
        again.animation().world[0], bvh.animation().world[0], atol=1e-4
    )  # ten bones, 5e-7 degrees and units each
    write_bvh(again, tmp_path / "c.bvh")
    assert (tmp_path / "b.bvh").read_bytes() == (tmp_path / "c.bvh").read_bytes()


@st.composite
def bvhs(draw):
    num_joints, num_frames = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    parents = (-1, *(draw(st.integers(0, k - 1)) for k in range(1, num_joints)))
    # BVH lists joints depth first, so only trees in that order come back in the same order.
    order, stack = [], [0]
    while stack:
        order.append(stack.pop())
        stack += [k for k in range(num_joints - 1, -1, -1) if parents[k] == order[-1]]
    parents = tuple(-1 if parents[j] < 0 else order.index(parents[j]) for j in order)
    number = st.floats(-1e5, 1e5).map(lambda v: round(v, 6))
    triple = st.tuples(number, number, number)
    names = draw(st.lists(st.text("abcXYZ_.:|éß 0", min_size=1, max_size=9), min_size=num_joints, max_size=num_joints))
    names = tuple(" ".join(n.split()) or "joint" for n in names)
    channels = [draw(st.permutations(CHANNELS))[: draw(st.integers(0, 6))] for _ in range(num_joints)]
    channels[0] = channels[0] or ["Xrotation"]
    leaves = [k for k in range(num_joints) if k not in parents]
    row = st.lists(number, min_size=sum(map(len, channels)), max_size=sum(map(len, channels)))
    return Bvh(
        skeleton=Skeleton(
            names=names,
            parents=parents,
            offsets=np.array([draw(triple) for _ in range(num_joints)]),
            ends=tuple((k, draw(triple)) for k in leaves),
        ),
        channels=tuple(tuple(c) for c in channels),
        frame_time_s=draw(st.sampled_from([0.01, 1 / 30, 0.0416667, 1.0])),
        values=np.array([draw(row) for _ in range(num_frames)]),
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(bvh=bvhs())
def test_any_file_survives_the_way_out_and_back(tmp_path, bvh):
    write_bvh(bvh, tmp_path / "any.bvh")
    again = read_bvh(tmp_path / "any.bvh")
    assert again.skeleton.names == bvh.skeleton.names and again.skeleton.parents == bvh.skeleton.parents
    assert again.channels == bvh.channels and again.skeleton.ends == bvh.skeleton.ends
    assert_allclose(again.values, bvh.values, atol=5.1e-7)  # six decimals
    assert_allclose(again.skeleton.offsets, bvh.skeleton.offsets, atol=5.1e-7)
    assert_allclose(again.frame_time_s, bvh.frame_time_s, rtol=1e-8)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(GOOD)),
    stop=st.integers(0, len(GOOD)),
    junk=st.text("{}\n 019.-+eEnaif:CHANELSROTJIMF\x00é", max_size=12),
)
def test_any_damage_is_read_or_refused_with_a_line(tmp_path, cut, stop, junk):
    path = tmp_path / "damaged.bvh"
    path.write_text(GOOD[:cut] + junk + GOOD[max(cut, stop) :], encoding="utf-8")
    try:
        bvh = read_bvh(path)
    except InputError as error:
        assert "line " in error.what
    else:
        assert np.isfinite(bvh.values).all() and len(bvh.values) > 0
        assert np.isfinite(bvh.animation().world[0]).all()


def test_long_files_are_read_quickly(sample_data, tmp_path):
    bvh = read_bvh(sample_data / "motion" / "cmu_jumping_jacks.bvh")
    write_bvh(replace(bvh, values=np.tile(bvh.values, (80, 1))), tmp_path / "long.bvh")
    start = time.perf_counter()
    assert len(read_bvh(tmp_path / "long.bvh").values) == 10_000
    assert time.perf_counter() - start < 5  # 0.25 s on two idle cores; the room is for a loaded machine
