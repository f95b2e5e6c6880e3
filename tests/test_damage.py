"""Files that people give, damaged in any way: read, or refused in a sentence. `MIMO_FUZZ=5000` hunts for long."""

import io
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from damage import DAMAGE, any_damage, assert_read_or_refused, damaged
from filmed import CAT, ROOT
from hypothesis import given
from PIL import Image

from engine.errors import MimoError
from engine.video import open_clip, open_layer, read_image


def picture(suffix: str) -> bytes:
    """A small noisy picture; a GIF or WebP of three."""
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)) for _ in range(3)]
    stream = io.BytesIO()
    more = {"save_all": True, "append_images": frames[1:]} if suffix in ("gif", "webp") else {}
    frames[0].save(stream, format={"jpg": "jpeg"}.get(suffix, suffix), **more)
    return stream.getvalue()


def film(suffix: str) -> bytes:
    """Five frames, lossless in Matroska, else H.264."""
    stream = io.BytesIO()
    rng = np.random.default_rng(1)
    with av.open(stream, "w", format={"mkv": "matroska"}.get(suffix, suffix)) as out:
        video = out.add_stream("ffv1" if suffix == "mkv" else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = 48, 32, "gray" if suffix == "mkv" else "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (32, 48, 3), np.uint8))
            out.mux(video.encode(frame.reformat(format=video.pix_fmt)))
        out.mux(video.encode())
    return stream.getvalue()


def motion(suffix: str, folder: Path) -> bytes:
    """Eight frames of the example's dance."""
    from engine.motion.export import export_motion
    from engine.motion.files import read_motion_file

    dance = read_motion_file(ROOT / "examples" / "dance.bvh").motion
    from dataclasses import replace

    short = replace(
        dance, rotvec=dance.rotvec[:8], root_m=dance.root_m[:8], time_s=dance.time_s[:8],
        contact=None if dance.contact is None else dance.contact[:8],
    )  # fmt: skip
    if suffix in ("pkl", "pt", "npy"):
        person = {"pose": short.rotvec[:, :24].reshape(8, 72), "trans": short.root_m, "betas": np.zeros((8, 10))}
        stream = io.BytesIO()
        if suffix == "pt":
            parts = {"global_orient": short.rotvec[:, 0], "body_pose": short.rotvec[:, 1:22].reshape(8, 63)}
            parts |= {"transl": short.root_m, "betas": np.zeros((8, 10))}
            torch.save({"smpl_params_global": {k: torch.tensor(v).float() for k, v in parts.items()}}, stream)
        elif suffix == "npy":
            np.save(stream, np.array(person, dtype=object), allow_pickle=True)
        else:
            pickle.dump({0: person}, stream)
        return stream.getvalue()
    path = folder / f"good.{suffix}"
    export_motion(short, path)
    return path.read_bytes()


def read_motion(path: Path):
    from engine.motion.files import read_motion_file

    found = read_motion_file(path)
    assert np.isfinite(found.motion.rotvec).all() and np.isfinite(found.motion.root_m).all()


def walk(path: Path) -> None:
    for _ in open_clip(path).read():
        pass


def walk_layer(path: Path) -> None:
    for _ in open_layer(path, kind="gray8", ours=False).read():
        pass


def walk_folder(path: Path) -> None:
    """The damaged picture is the second of a folder."""
    folder = path.parent / "pictures"
    folder.mkdir(exist_ok=True)
    (folder / "1.png").write_bytes(picture("png"))
    (folder / "2.png").write_bytes(path.read_bytes())
    walk(folder)
    walk_layer(folder)


def joints_toml(folder: Path) -> bytes:
    from engine.identity.rig_file import write_joints
    from engine.identity.skeleton import complete_body

    sides = [f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in SIDES]
    points = {
        name: np.array([100 + 7 * idx, 40 + 11 * idx], float)
        for idx, name in enumerate(["head", "pelvis", "neck", *sides])
    }
    write_joints(complete_body(points, confidence=0.5, source="given"), folder / "good.toml")
    return (folder / "good.toml").read_bytes()


def tensors(suffix: str) -> bytes:
    values = {"a.weight": torch.ones(3, 4), "b.bias": torch.zeros(2, dtype=torch.float16)}
    if suffix == "safetensors":
        from safetensors.torch import save

        return save(values)
    stream = io.BytesIO()
    torch.save(values, stream, _use_new_zipfile_serialization=suffix == "pth")
    return stream.getvalue()


def npz(**values) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **values)
    return stream.getvalue()


SIDES = ("left", "right")


def reader(module: str, name: str):
    """The function, imported when it is called."""
    import importlib

    return lambda path: getattr(importlib.import_module(module), name)(path)  # noqa: PLW0108


MAPPING = b'up = "z"\nmetres_per_unit = 0.01\nframe_rate = 30\nlevel_floor = true\n[joints]\nleft_wrist = "LeftHand"\n'
PARTS = ("shoulder", "elbow", "hand", "hip", "knee", "foot")
NODES = ("root", "hip", "torso", "neck", *(f"{s}_{p}" for s in SIDES for p in PARTS))
CHAR_CFG = "\n".join(
    [
        "height: 120\nskeleton:",
        *(f"- loc:\n  - {50 + idx}\n  - {30 + idx}\n  name: {name}\n  parent: root" for idx, name in enumerate(NODES)),
        "width: 100\n",
    ]
).encode()
CASES = {
    "dance.bvh": (lambda folder: motion("bvh", folder), read_motion),
    "amass.npz": (lambda folder: motion("npz", folder), read_motion),
    "dance.glb": (lambda folder: motion("glb", folder), read_motion),
    "wham.pkl": (lambda folder: motion("pkl", folder), read_motion),
    "gvhmr.pt": (lambda folder: motion("pt", folder), read_motion),
    "one.npy": (lambda folder: motion("npy", folder), read_motion),
    "camera.npz": (
        lambda folder: npz(poses=np.zeros((3, 72)), transl=np.ones((3, 3)), betas=np.zeros((3, 10))),
        reader("engine.conditions.camera_motion", "read_camera_motion"),
    ),
    "mapping.toml": (lambda folder: MAPPING, reader("engine.motion.given", "read_mapping")),
    "joints.toml": (joints_toml, reader("engine.identity.rig_file", "read_joints")),
    "char_cfg.yaml": (lambda folder: CHAR_CFG, reader("engine.identity.rig_file", "read_joints")),
    "recipe.toml": (
        lambda folder: (ROOT / "recipes/nano.toml").read_bytes(), reader("engine.training.recipe", "read_recipe"),
    ),
    "colors.npz": (
        lambda folder: npz(smpl=np.full((6890, 3), 0.5)),
        reader("engine.conditions.color_table", "read_colors"),
    ),
    "net.pth": (lambda folder: tensors("pth"), reader("engine.diffusion.tensor_file", "read_tensors")),
    "net.ckpt": (lambda folder: tensors("ckpt"), reader("engine.diffusion.tensor_file", "read_tensors")),
    "net.safetensors": (lambda folder: tensors("safetensors"), reader("engine.diffusion.tensor_file", "read_tensors")),
    "cat.png": (lambda folder: CAT.read_bytes(), read_image),
    "a.jpg": (lambda folder: picture("jpg"), read_image),
    "a.webp": (lambda folder: picture("webp"), walk),
    "a.gif": (lambda folder: picture("gif"), walk),
    "folder.png": (lambda folder: picture("png"), walk_folder),
    "clip.mp4": (lambda folder: film("mp4"), walk),
    "layer.mkv": (lambda folder: film("mkv"), walk_layer),
}  # fmt: skip
"""Name of a file to how a good one is made, and how it is read."""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of each good file, made once."""
    made = {}

    def make(name: str) -> bytes:
        if name not in made:
            made[name] = CASES[name][0](tmp_path_factory.mktemp("good"))
        return made[name]

    return make


@pytest.mark.parametrize("name", CASES)
def test_a_good_file_is_read(name, good, tmp_path):
    (tmp_path / name).write_bytes(good(name))
    CASES[name][1](tmp_path / name)


@pytest.mark.parametrize("name", CASES)
@any_damage
@given(changes=DAMAGE)
def test_any_damage_is_read_or_refused(name, good, tmp_path, changes):
    path = tmp_path / name
    path.write_bytes(damaged(good(name), changes))
    assert_read_or_refused(lambda: CASES[name][1](path))


@pytest.mark.parametrize("name", ["mapping.toml", "joints.toml", "recipe.toml"])
def test_lists_in_lists_without_end(name, tmp_path):
    """Python's own limit of depth ends the parser before the file does."""
    (tmp_path / name).write_text("x = " + "[" * 100_000)
    with pytest.raises(MimoError):
        CASES[name][1](tmp_path / name)
