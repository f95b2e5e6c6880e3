"""A body in the layout of SMPL's files, 6,890 vertices, made of the embedded body: real to draw, free to share."""

from functools import cache
from pathlib import Path

import numpy as np

from engine.body.family import LAYOUTS
from engine.body.model import load_body
from engine.types import JOINT_PARENTS, JOINTS

NUM_VERTICES = 6890
_GRID_M = 0.01335
"""Vertices of the embedded body that share a cell become one; just under 6,890 are left."""


@cache
def tables() -> dict[str, np.ndarray]:
    """The arrays of a model file of SMPL's kind."""
    body = load_body()
    cell = np.unique(np.floor(body.vertices / _GRID_M).astype(int), axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(cell)
    assert len(count) <= NUM_VERTICES, len(count)

    def merged(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(count), *values.shape[1:]))
        np.add.at(sums, cell, values)
        means = sums / count.reshape(-1, *[1] * (values.ndim - 1))
        return np.concatenate([means, np.repeat(means[:1], NUM_VERTICES - len(count), 0)])  # no face has the last ones

    faces = cell[body.faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
    names = LAYOUTS["SMPL"]
    skin = np.zeros((len(body.vertices), len(names)))
    for joint, weight in zip(body.weight_joints.T, body.weights.T):
        np.add.at(skin, (np.arange(len(skin)), _own()[joint]), weight)
    vertices = merged(body.vertices.astype(np.float64))
    origin = body.joints[0] + [0, 0.22, 0]
    parents = [0xFFFFFFFF] + [names.index(_above(name)) for name in names[1:]]
    return {
        "v_template": vertices - origin,
        "shapedirs": merged(body.shape_vertices.transpose(1, 2, 0).astype(np.float64)),
        "posedirs": np.zeros((NUM_VERTICES, 3, 9 * (len(names) - 1))),
        "J_regressor": _regressor(vertices),
        "weights": merged(skin),
        "kintree_table": np.array([parents, range(len(names))], np.uint32),
        "f": faces.astype(np.uint32),
    }


def write(path: Path) -> Path:
    """Write the model file (.npz)."""
    np.savez(path, **tables())
    return path


def smooth_colors() -> np.ndarray:
    """(6890, 3) uint8: colours that change slowly and at random over the body."""
    rng = np.random.default_rng(5)
    waves = rng.normal(0, 6, (3, 3))
    return (127 + 110 * np.sin(tables()["v_template"] @ waves + rng.uniform(0, 6, 3))).astype(np.uint8)


def _own() -> np.ndarray:
    """Index among SMPL's joints of each of ours: fingers are hands."""
    names = LAYOUTS["SMPL"]
    return np.array([names.index(n if n in names else f"{n.split('_')[0]}_hand") for n in JOINTS])


def _above(name: str) -> str:
    if name in ("left_hand", "right_hand"):
        return name.replace("hand", "wrist")
    return JOINTS[JOINT_PARENTS[JOINTS.index(name)]]


def _regressor(vertices: np.ndarray) -> np.ndarray:
    """(24, V): each joint as a mean of the 60 vertices around it, corrected so that it is exact."""
    joints = load_body().joints.astype(np.float64)
    picked = [JOINTS.index(n if n in JOINTS else f"{n.split('_')[0]}_middle1") for n in LAYOUTS["SMPL"]]
    out = np.zeros((len(picked), len(vertices)))
    for row, joint in zip(out, joints[picked]):
        near = np.argsort(np.linalg.norm(vertices - joint, axis=1))[:60]
        system = np.vstack([vertices[near].T, np.ones(60)])
        row[near] = 1 / 60 + np.linalg.pinv(system) @ (np.append(joint, 1) - system.mean(1))
    return out
