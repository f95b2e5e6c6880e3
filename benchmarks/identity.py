"""How good the identity room is: cutouts, joints, meshes, weights, stretch, time.

    python benchmarks/identity.py DATA [--motions]

DATA is the folder of sample media; its `characters/` are used. With --motions each character also goes through all of
its `motion/`, and the 99.9th percentile of how much edges grow and the share of faces turned inside out are printed.
The last lines hold the aims against what was found; the time is that of a whole `mimo encode-id` of a picture of 1000
pixels.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.body.bvh import read_bvh
from engine.errors import MimoError
from engine.geometry import rotvec_to_matrix
from engine.identity.cutout import Cutout, place_cutout
from engine.identity.joints import find_joints
from engine.identity.lift import lift
from engine.identity.rig_file import read_joints
from engine.motion.retarget import motion_from_bvh
from engine.types import Motion, PictureJoints, Puppet

ANNOTATED = (
    "pelvis",
    "neck",
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")),
)

POSES = {
    "arms up": {"left_shoulder": (0, 0, 1.3), "right_shoulder": (0, 0, -1.3)},
    "arms down": {"left_shoulder": (0, 0, -0.9), "right_shoulder": (0, 0, 0.9)},
    "step": {
        "left_hip": (-0.9, 0, 0.1),
        "left_knee": (1.1, 0, 0),
        "right_hip": (0.5, 0, -0.1),
        "spine2": (0.1, 0.4, 0),
    },
}

NUM_SAMPLES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--motions", action="store_true")
    given = parser.parse_args()
    folder = given.data / "characters"
    pictures = sorted([*folder.glob("*.png"), *folder.glob("*.jp*g"), *folder.glob("*/texture.png")])
    motions = read_motions(given.data / "motion") if given.motions else {}
    found: dict[str, list[float]] = {}
    head = ("picture", "IoU", "joints", "from", "conf", "verts", "open", "stretch", "s")
    print("{:34} {:>5} {:>7} {:>10} {:>5} {:>6} {:>5} {:>8} {:>5}".format(*head))
    for path in pictures:
        picture = read(path)
        started = time.perf_counter()
        cutout = place_cutout(picture)
        joints = find_joints(cutout.rgba)
        puppet = lift(cutout.rgba, joints)
        took = time.perf_counter() - started
        overlap, error = score_cutout(path, cutout, picture.shape[:2]), score_joints(path, cutout, joints)
        worst = max(stretch(puppet, pose(puppet, turns)) for turns in POSES.values())
        name = path.stem if path.stem != "texture" else path.parent.name
        kind = "drawing" if path.stem == "texture" else "photo"
        for what, value in ((f"cutout {kind}", overlap), (f"joints {kind}", error)):
            found.setdefault(what, []).extend([] if value is None else [value])
        print(
            f"{name:34} {shown(overlap, '5.3f')} {shown(error, '7.2%')} {joints.source:>10} {joints.confidence:5.2f} "
            f"{len(puppet.vertices):6d} {num_open_edges(puppet):5d} {worst:8.2f} {took:5.2f}"
        )
        for title, motion in motions.items():
            grown, flipped = score_motion(puppet, motion)
            found.setdefault("stretch", []).append(grown)
            found.setdefault("flipped", []).append(flipped)
            print(f"    {title:30} stretch {grown:5.2f}   inside out {flipped:6.2%}", flush=True)
    print_aims(found)


def print_aims(found: dict[str, list[float]]) -> None:
    """The table of aims, and what was found: the worst of each, and the mean of faces turned inside out."""

    def worst(name: str, pick: Callable[[list[float]], float], form: str) -> str:
        return format(pick(found[name]), form) if found.get(name) else "-"

    rows = (
        ("cutout of drawings, IoU", ">= 0.95", worst("cutout drawing", min, ".3f")),
        ("cutout of photos, IoU", ">= 0.90", worst("cutout photo", min, ".3f")),
        ("joints of drawings, share of the height", "<= 6 %", worst("joints drawing", max, ".1%")),
        ("joints of people, share of the height", "<= 4 %", worst("joints photo", max, ".1%")),
        ("stretch, 99.9th percentile, all motions", "<= 2.5", worst("stretch", max, ".2f")),
        ("faces inside out, mean", "<= 0.1 %", worst("flipped", lambda values: float(np.mean(values)), ".2%")),
        ("picture of 1000 pixels to identity, s", "<= 5", format(time_identity(), ".1f")),
    )
    for what, aim, value in rows:
        print(f"{what:42} {aim:>9} {value:>8}")


def time_identity() -> float:
    """Seconds of a whole `mimo encode-id`, in a process of its own."""
    from mimo_cli.project import Project

    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "p.mimo"
        Project.create(project, {"motion": root / "examples" / "dance.bvh"})
        command = [sys.executable, "-m", "mimo_cli", "encode-id", str(root / "examples" / "cat.png")]
        started = time.perf_counter()
        subprocess.run([*command, "--project", str(project)], cwd=root, check=True, capture_output=True)
        return time.perf_counter() - started


def read_motions(folder: Path) -> dict[str, Motion]:
    """The motions of a folder by name, without those that move no body."""
    found = {}
    for path in sorted(folder.glob("*.bvh")):
        try:
            found[path.stem] = motion_from_bvh(read_bvh(path))[0]
        except MimoError as error:
            print(f"{path.stem}: {error.what}")
    return found


def shown(value: float | None, form: str) -> str:
    return format(value, form) if value is not None else "-".rjust(int(form.split(".", maxsplit=1)[0]))


def read(path: Path) -> NDArray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def score_cutout(path: Path, cutout: Cutout, size: tuple[int, int]) -> float | None:
    """Intersection over union with the ground truth; None where there is none."""
    notes = path.with_suffix(".coco.json")
    truth = np.zeros(size, np.uint8)
    if path.stem == "texture":
        truth = cv2.imread(str(path.with_name("mask.png")), cv2.IMREAD_GRAYSCALE)
    elif notes.is_file():
        outline = json.loads(notes.read_text())["annotations"][0]["segmentation"][0]
        cv2.fillPoly(truth, [np.round(np.array(outline).reshape(-1, 2)).astype(np.int32)], 255)
    else:
        return None
    back = np.linalg.inv(cutout.from_source)[:2]
    found = cv2.warpAffine(cutout.rgba[..., 3], back, (size[1], size[0])) >= 128
    return float((found & (truth >= 128)).sum() / (found | (truth >= 128)).sum())


def score_joints(path: Path, cutout: Cutout, joints: PictureJoints) -> float | None:
    """Mean distance to annotated joints as share of the figure's height; None where there are none."""
    notes, table = path.with_suffix(".coco.json"), dict(zip(joints.names, joints.xy_px))
    if path.stem == "texture":
        given = read_joints(path.with_name("char_cfg.yaml"))
        truth = {name: given.xy_px[given.names.index(name)] for name in ANNOTATED}
    elif notes.is_file():
        data = json.loads(notes.read_text())
        points = np.array(data["annotations"][0]["keypoints"], float).reshape(-1, 3)
        truth = {name: row[:2] for name, row in zip(data["categories"][0]["keypoints"], points) if name in table}
    else:
        return None
    height = cv2.boundingRect((cutout.rgba[..., 3] >= 128).astype(np.uint8))[3]
    there = {name: (cutout.from_source @ [*xy, 1.0])[:2] for name, xy in truth.items()}
    return float(np.mean([np.linalg.norm(table[name] - xy) for name, xy in there.items()]) / height)


def num_open_edges(puppet: Puppet) -> int:
    """Edges that have not exactly two faces."""
    faces = puppet.faces
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return int((np.unique(edges, axis=0, return_counts=True)[1] != 2).sum())


def pose(puppet: Puppet, turns: dict) -> NDArray:
    """(V, 3): linear blend skinning with rotations about the joints."""
    count = len(puppet.joint_names)
    rotation, place = [np.eye(3)] * count, [np.zeros(3)] * count
    for k, name in enumerate(puppet.joint_names):
        own, parent = rotvec_to_matrix(np.array(turns.get(name, (0, 0, 0)), float)), puppet.joint_parents[k]
        rotation[k] = own if parent < 0 else rotation[parent] @ own
        offset = puppet.joints[k] - (puppet.joints[parent] if parent >= 0 else 0)
        place[k] = offset if parent < 0 else place[parent] + rotation[parent] @ offset
    moved = [(puppet.vertices - puppet.joints[k]) @ rotation[k].T + place[k] for k in range(count)]
    return np.einsum("vk,kvc->vc", puppet.weights, np.stack(moved))


def stretch(puppet: Puppet, posed: NDArray) -> float:
    """99.9th percentile of how much longer an edge got."""
    faces = puppet.faces
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]]), axis=1), axis=0)
    before = np.linalg.norm(puppet.vertices[edges[:, 0]] - puppet.vertices[edges[:, 1]], axis=1)
    after = np.linalg.norm(posed[edges[:, 0]] - posed[edges[:, 1]], axis=1)
    return float(np.percentile(after / before, 99.9))


def score_motion(puppet: Puppet, motion: Motion) -> tuple[float, float]:
    """99.9th percentile of how much longer edges get, and share of faces turned inside out: those that look away from
    where the skin carries their own normal."""
    from engine.animator.pose import pose_puppet
    from engine.animator.skinning import Skin, pose_skin

    posed = pose_puppet(puppet, motion, travel="stride")
    edges = np.unique(np.sort(np.concatenate([puppet.faces[:, [0, 1]], puppet.faces[:, [1, 2]]]), axis=1), axis=0)
    before = np.linalg.norm(puppet.vertices[edges[:, 0]] - puppet.vertices[edges[:, 1]], axis=1) * posed.height_m
    a, b, c = (puppet.vertices[puppet.faces[:, k]] for k in range(3))
    own = np.cross(b - a, c - a)
    middles = puppet.vertices[puppet.faces].mean(1) * posed.height_m
    carried = Skin(middles.T, own.T, puppet.weights[puppet.faces].mean(1))
    grown, flipped = [], []
    for frame in np.unique(np.linspace(0, len(posed) - 1, NUM_SAMPLES).astype(int)).tolist():
        vertices = posed.vertices_m(frame)[0].T.astype(float)
        grown.append(np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1) / before)
        a, b, c = (vertices[puppet.faces[:, k]] for k in range(3))
        flipped.append((np.cross(b - a, c - a) * pose_skin(carried, posed.transforms[frame])[1].T).sum(1) < 0)
    return float(np.percentile(np.concatenate(grown), 99.9)), float(np.mean(flipped))


if __name__ == "__main__":
    main()
