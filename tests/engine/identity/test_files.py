import numpy as np
import pytest

from engine.errors import InputError
from engine.identity.lift import lift
from engine.identity.puppet_file import load_puppet, save_puppet
from engine.identity.rig_file import read_joints, write_joints
from engine.identity.skeleton import complete_body

from .figures import draw_figure, stick_joints, stick_points


def test_joints_round_trip(tmp_path):
    tail = np.array([[190.0, 260.0], [220.0, 270.0], [250.0, 260.0]])
    joints = complete_body(stick_points(), confidence=0.62, source="silhouette", hidden=("left_wrist",), extras=(tail,))
    write_joints(joints, tmp_path / "joints.toml")
    again = read_joints(tmp_path / "joints.toml")
    assert (again.names, again.parents, again.drivers) == (joints.names, joints.parents, joints.drivers)
    assert (again.source, again.hidden, again.confidence) == ("silhouette", ("left_wrist",), 0.62)
    np.testing.assert_allclose(again.xy_px, joints.xy_px, atol=0.051)  # written with one decimal


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("left_knee = { xy", "left_kne = { xy", "left_knee"),
        ("xy = [180.0, 250.0]", "xy = [180.0]", "two numbers"),
        ("xy = [180.0, 250.0]", "xz = [180.0, 250.0]", "did you mean xy"),
        ('parent = "left_elbow"', 'parent = "left_elbw"', "did you mean left_elbow"),
        ('driver = "pelvis"', 'driver = "pelvs"', "did you mean pelvis"),
        ("confidence = 0.62", "confidence = 3", "0 to 1"),
        ("[joints]", "[joint]", "joints"),
        ('parent = "tail2"', 'parent = "tail3"', "ring"),
        ("[joints]", "[joints", "TOML"),
    ],
)
def test_slips_in_joints_are_named(tmp_path, old, new, says):
    tail = np.array([[190.0, 260.0], [220.0, 270.0], [250.0, 260.0]])
    joints = complete_body(stick_points(), confidence=0.62, source="given", extras=(tail,))
    write_joints(joints, tmp_path / "joints.toml")
    text = (tmp_path / "joints.toml").read_text()
    assert old in text
    (tmp_path / "joints.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_joints(tmp_path / "joints.toml")
    assert says in str(error.value)


def test_char_cfg(tmp_path):
    names = {"root": (50, 60), "hip": (50, 60), "torso": (50, 30), "neck": (50, 10)}
    for sign, side in ((1, "left"), (-1, "right")):
        for k, joint in enumerate(("shoulder", "elbow", "hand", "hip", "knee", "foot")):
            names[f"{side}_{joint}"] = (50 + sign * (10 + k), 30 + 5 * k)
    text = "height: 120\nskeleton:\n"
    for name, (x, y) in names.items():
        text += f"- loc:\n  - {x}\n  - {y}\n  name: {name}\n  parent: root\n"
    (tmp_path / "char_cfg.yaml").write_text(text + "width: 100\n")
    at = dict(zip((joints := read_joints(tmp_path / "char_cfg.yaml")).names, joints.xy_px.tolist()))
    assert at["pelvis"] == [50, 60]
    assert at["left_wrist"] == [62, 40]
    assert at["right_ankle"] == [35, 55]
    assert at["head"][1] == pytest.approx(21)  # from the shoulders 45 % of the way to the nose
    (tmp_path / "char_cfg.yaml").write_text(text.replace("name: left_knee", "name: left_ear"))
    with pytest.raises(InputError, match="left_knee"):
        read_joints(tmp_path / "char_cfg.yaml")


def test_puppet_round_trip(tmp_path):
    points = stick_points()
    puppet = lift(draw_figure(points), stick_joints(points), num_vertices=1500)
    save_puppet(puppet, tmp_path / "a.npz")
    save_puppet(puppet, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = load_puppet(tmp_path / "a.npz")
    for name, value in vars(puppet).items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)
    assert again.vertices.dtype == np.float32
    assert again.joint_names == puppet.joint_names


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_broken_puppet(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="not a puppet"):
        load_puppet(tmp_path / "a.npz")
