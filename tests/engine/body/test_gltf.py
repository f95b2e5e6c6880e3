import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from engine.body.curves import sample_turns, sample_values
from engine.body.gltf import read_gltf
from engine.errors import InputError
from engine.geometry import matrix_to_quaternion, rotvec_to_matrix

TIMES = np.arange(6) / 25


def glb(scene, binary=b""):
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I", len(text)) + b"JSON" + text
    if binary:
        chunks += struct.pack("<I", len(binary)) + b"BIN\0" + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


class Scene:
    """An armature that is turned and scaled, a hip that is turned at rest, a knee and a tip; hip and knee move."""

    def __init__(self):
        rng = np.random.default_rng(1)
        self.hip = rotvec_to_matrix(rng.normal(0, 0.5, (6, 3)))
        self.knee = rotvec_to_matrix(rng.normal(0, 0.5, (6, 3)))
        self.way = rng.normal(0, 20, (6, 3))
        self.rest_turn = rotvec_to_matrix(np.array([0.0, 0.0, np.pi]))
        self.binary, self.views, self.accessors = b"", [], []
        inverse = np.stack([np.linalg.inv(m).T for m in self.rest()])
        turns = [matrix_to_quaternion(t)[:, [1, 2, 3, 0]] for t in (self.hip, self.knee)]
        self.json = {
            "asset": {"version": "2.0"},
            "nodes": [
                {"name": "Armature", "rotation": [-(0.5**0.5), 0, 0, 0.5**0.5], "scale": [0.01] * 3, "children": [1]},
                {"name": "hip", "translation": [0, 90, 0], "rotation": [0, 0, 1, 0], "children": [2]},
                {"name": "knee", "translation": [0, 40, 5], "children": [3]},
                {"name": "tip", "translation": [0, 42, 0]},
            ],
            "skins": [{"joints": [2, 1], "inverseBindMatrices": self.add(inverse[::-1].reshape(-1, 16), "MAT4")}],
            "animations": [
                {
                    "name": "walk",
                    "samplers": [
                        {"input": self.add(TIMES[:, None], "SCALAR"), "output": self.add(values, kind)}
                        for values, kind in ((turns[0], "VEC4"), (turns[1], "VEC4"), (self.way, "VEC3"))
                    ],
                    "channels": [
                        {"sampler": 0, "target": {"node": 1, "path": "rotation"}},
                        {"sampler": 1, "target": {"node": 2, "path": "rotation"}},
                        {"sampler": 2, "target": {"node": 1, "path": "translation"}},
                    ],
                }
            ],
        }
        self.json |= {"bufferViews": self.views, "accessors": self.accessors}

    def armature(self):
        matrix = np.eye(4)
        matrix[:3, :3] = 0.01 * rotvec_to_matrix(np.array([-np.pi / 2, 0, 0]))
        return matrix

    def world(self, hip, knee, way):
        local = [np.eye(4), np.eye(4)]
        local[0][:3, :3], local[0][:3, 3] = hip, way
        local[1][:3, :3], local[1][:3, 3] = knee, [0, 40, 5]
        first = self.armature() @ local[0]
        return first, first @ local[1]

    def rest(self):
        return self.world(self.rest_turn, np.eye(3), [0, 90, 0])

    def add(self, values, kind, dtype="<f4", normalized=False):
        raw = np.ascontiguousarray(values).astype(dtype).tobytes()
        codes = {"<f4": 5126, "<i2": 5122, "|i1": 5120}
        self.views.append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(raw)})
        self.binary += raw + b"\0" * (-len(raw) % 4)
        entry = {"bufferView": len(self.views) - 1, "componentType": codes[dtype], "count": len(values), "type": kind}
        self.accessors.append(entry | ({"normalized": True} if normalized else {}))
        return len(self.accessors) - 1

    def save(self, path):
        self.json["buffers"] = [{"byteLength": len(self.binary)}]
        path.write_bytes(glb(self.json, self.binary))
        return path

    def check(self, path, atol=1e-6):
        animation, notes = read_gltf(path)
        assert animation.skeleton.names == ("hip", "knee") and animation.skeleton.parents == (-1, 0)
        places, rotations = animation.world
        for t in range(6):
            for j, matrix in enumerate(self.world(self.hip[t], self.knee[t], self.way[t])):
                assert_allclose(places[t, j], matrix[:3, 3], atol=atol)
                turn = 100 * matrix[:3, :3] @ np.linalg.inv(100 * self.rest()[j][:3, :3])
                assert_allclose(rotations[t, j], turn, atol=100 * atol)
        assert_allclose(animation.skeleton.rest, [m[:3, 3] for m in self.rest()], atol=atol)
        assert_allclose(animation.time_s, TIMES, atol=1e-6)
        end = animation.skeleton.end_of(1)
        assert_allclose(end, (self.rest()[1] @ [0, 42, 0, 1])[:3] - self.rest()[1][:3, 3], atol=atol)
        return notes


@pytest.fixture
def scene():
    return Scene()


def test_scales_turns_and_bind_poses(scene, tmp_path):
    assert scene.check(scene.save(tmp_path / "a.glb")) == []


def test_text_with_its_buffer_inside_or_beside(scene, tmp_path):
    uri = "data:application/octet-stream;base64," + base64.b64encode(scene.binary).decode()
    scene.json["buffers"] = [{"byteLength": len(scene.binary), "uri": uri}]
    (tmp_path / "a.gltf").write_text(json.dumps(scene.json))
    scene.check(tmp_path / "a.gltf")
    (tmp_path / "a b.bin").write_bytes(scene.binary)
    scene.json["buffers"][0]["uri"] = "a%20b.bin"
    (tmp_path / "a.gltf").write_text(json.dumps(scene.json))
    scene.check(tmp_path / "a.gltf")
    for uri in ("../secret.bin", "/etc/passwd", "https://example.org/a.bin", "absent.bin"):
        scene.json["buffers"][0]["uri"] = uri
        (tmp_path / "a.gltf").write_text(json.dumps(scene.json))
        with pytest.raises(InputError, match=r"outside its folder|cannot be read"):
            read_gltf(tmp_path / "a.gltf")


def test_matrices_instead_of_parts(scene, tmp_path):
    for number, node in enumerate(scene.json["nodes"][:1]):
        node.pop("rotation"), node.pop("scale")
        node["matrix"] = scene.armature().T.ravel().tolist()
        assert number == 0
    scene.check(scene.save(tmp_path / "a.glb"))


def test_normalized_integers(scene, tmp_path):
    quaternions = matrix_to_quaternion(scene.knee)[:, [1, 2, 3, 0]]
    index = scene.add(np.round(quaternions * 32767), "VEC4", "<i2", normalized=True)
    scene.json["animations"][0]["samplers"][1]["output"] = index
    scene.check(scene.save(tmp_path / "a.glb"), atol=2e-5)  # 1 / 32767 of a turn on bones of half a metre


def test_sparse_accessors(scene, tmp_path):
    way = scene.way.astype(np.float32)
    start = len(scene.binary)
    scene.binary += struct.pack("<2H", 1, 4) + way[[1, 4]].tobytes()
    scene.views += [
        {"buffer": 0, "byteOffset": start, "byteLength": 4},
        {"buffer": 0, "byteOffset": start + 4, "byteLength": 24},
    ]
    scene.way[[0, 2, 3, 5]] = 0
    sparse = {"count": 2, "indices": {"bufferView": len(scene.views) - 2, "componentType": 5123},
              "values": {"bufferView": len(scene.views) - 1}}  # fmt: skip
    scene.accessors.append({"componentType": 5126, "count": 6, "type": "VEC3", "sparse": sparse})
    scene.json["animations"][0]["samplers"][2]["output"] = len(scene.accessors) - 1
    scene.check(scene.save(tmp_path / "a.glb"))
    sparse["indices"]["componentType"] = 5126
    with pytest.raises(InputError, match="sparse part"):
        read_gltf(scene.save(tmp_path / "a.glb"))


def test_strides(scene, tmp_path):
    accessor = scene.accessors[scene.json["animations"][0]["samplers"][2]["output"]]
    start = len(scene.binary)
    scene.binary += np.hstack([scene.way, np.full((6, 2), np.nan)]).astype("<f4").tobytes()
    scene.views.append({"buffer": 0, "byteOffset": start, "byteLength": 120, "byteStride": 20})
    accessor["bufferView"] = len(scene.views) - 1
    scene.check(scene.save(tmp_path / "a.glb"))


def test_a_clip_without_a_skin(scene, tmp_path):
    del scene.json["skins"]
    animation, _ = read_gltf(scene.save(tmp_path / "a.glb"))
    assert animation.skeleton.names == ("hip", "knee", "tip")
    assert_allclose(
        animation.world[0][2, 1], scene.world(scene.hip[2], scene.knee[2], scene.way[2])[1][:3, 3], atol=1e-6
    )


def test_the_longest_clip_is_taken(scene, tmp_path):
    short = {"name": "idle", "samplers": [], "channels": []}
    scene.json["animations"].insert(0, short)
    path = scene.save(tmp_path / "a.glb")
    assert "walk, of idle, walk" in scene.check(path)[0]
    with pytest.raises(InputError, match='no animation "run"'):
        read_gltf(path, clip="run")


def test_interpolations():
    times, at = np.array([0.0, 1.0, 3.0]), np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0])
    values = np.array([[0.0], [2.0], [6.0]])
    assert_allclose(sample_values(times, values, "LINEAR", at)[:, 0], [0, 0, 1, 2, 4, 6, 6])
    assert_allclose(sample_values(times, values, "STEP", at)[:, 0], [0, 0, 0, 2, 2, 6, 6])
    # a cubic with the line's own slopes is that line: 2 per second everywhere
    spline = np.stack([np.full((3, 1), 2.0), values, np.full((3, 1), 2.0)], axis=1)
    assert_allclose(sample_values(times, spline, "CUBICSPLINE", at)[:, 0], [0, 0, 1, 2, 4, 6, 6], atol=1e-12)
    turns = matrix_to_quaternion(rotvec_to_matrix(np.array([[0, 0, 0.0], [0, 0, 1.0], [0, 0, 1.5]])))[:, [1, 2, 3, 0]]
    turns[1] *= -1  # the same turn
    got = sample_turns(times, turns, "LINEAR", np.array([0.5, 2.0]))
    want = matrix_to_quaternion(rotvec_to_matrix(np.array([[0, 0, 0.5], [0, 0, 1.25]])))[:, [1, 2, 3, 0]]
    assert_allclose(np.abs((got * want).sum(1)), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.json.pop("animations"), "no animation"),
        (lambda s: s.json["asset"].update(version="1.0"), "glTF 1.0"),
        (lambda s: s.json["nodes"][3].update(children=[0]), "ring|two nodes"),
        (lambda s: s.json["nodes"][2].update(children=[3, 9]), "nodes 9 of 4"),
        (lambda s: s.json["nodes"][0].update(rotation=[0, 0, 0]), "rotation is not 4 numbers"),
        (lambda s: s.json["nodes"][0].update(rotation=[0, 0, 0, 0]), "rotation is zero"),
        (lambda s: s.json["skins"][0].update(joints=[1, 1]), "a joint twice"),
        (lambda s: s.json["skins"][0].update(joints=[1, 7]), "nodes 7 of 4"),
        (lambda s: s.accessors[1].update(count=1000), "past its buffer"),
        (lambda s: s.accessors[1].update(componentType=5124), "component 5124"),
        (lambda s: s.views[1].update(byteOffset=-4), "past its buffer"),
        (lambda s: s.views[1].update(extensions={"EXT_meshopt_compression": {}}), "EXT_meshopt_compression"),
        (lambda s: s.json["animations"][0]["channels"][0].update(sampler=9), "sampler 9 of 3"),
        (lambda s: s.json["animations"][0]["samplers"][0].update(interpolation="CUBICSPLINE"), "6 times and 6 values"),
        (lambda s: setattr(s, "binary", s.binary[:100]), "past its buffer|past the end"),
    ],
)
def test_refuses_with_a_place(scene, tmp_path, change, reason):
    change(scene)
    with pytest.raises(InputError, match=reason):
        read_gltf(scene.save(tmp_path / "a.glb"))


def test_refuses_numbers_and_times_without_sense(scene, tmp_path):
    scene.json["animations"][0]["samplers"][2]["output"] = scene.add(np.full((6, 3), np.nan), "VEC3")
    with pytest.raises(InputError, match="not finite"):
        read_gltf(scene.save(tmp_path / "a.glb"))
    scene.json["animations"][0]["samplers"][2]["output"] = scene.add(np.full((6, 3), 1e9), "VEC3")
    with pytest.raises(InputError, match=r"1e.09"):
        read_gltf(scene.save(tmp_path / "a.glb"))
    scene.json["animations"][0]["samplers"][2]["input"] = scene.add(TIMES[::-1, None], "SCALAR")
    with pytest.raises(InputError, match="do not rise"):
        read_gltf(scene.save(tmp_path / "a.glb"))


def test_refuses_what_is_cut_short(scene, tmp_path):
    raw = scene.save(tmp_path / "a.glb").read_bytes()
    for size in (0, 3, 15, 40, len(raw) // 2, len(raw) - 1):
        (tmp_path / "b.glb").write_bytes(raw[:size])
        with pytest.raises(InputError):
            read_gltf(tmp_path / "b.glb")
    with pytest.raises(InputError, match="cannot be read"):
        read_gltf(tmp_path / "absent.glb")


VALUES = st.one_of(
    st.integers(-5, 70000), st.none(), st.booleans(), st.text(max_size=3), st.floats(), st.just([]), st.just({})
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 10_000), VALUES), min_size=1, max_size=3))
def test_never_crashes(tmp_path, changes):
    """Any value of the JSON replaced by any other."""
    scene = Scene()
    for place, value in changes:
        slots = list(_slots(scene.json))
        holder, key = slots[place % len(slots)]
        holder[key] = value
    try:
        animation, _ = read_gltf(scene.save(tmp_path / "a.glb"))
        assert np.isfinite(animation.world[0]).all()
    except InputError as error:
        assert len(error.what.split()) > 3


def _slots(value):
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(item, dict | list):
            yield from _slots(item)
