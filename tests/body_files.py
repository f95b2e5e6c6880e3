"""Tiny random bodies in the layouts of the real files, and pickles as their authors' tools wrote them."""

import pickle
import struct
import sys
from types import ModuleType

import numpy as np
import scipy.sparse

from engine.body.family import LAYOUTS
from engine.types import JOINT_PARENTS, JOINTS

NUM_VERTICES = 60


def tables(kind="SMPL", shapes=10, seed=0, num_vertices=NUM_VERTICES):
    """The arrays of a model file: a cloud of vertices around SMPL-like joints."""
    rng = np.random.default_rng(seed)
    names = LAYOUTS[kind]
    num = len(names)
    above = {"left_hand": "left_wrist", "right_hand": "right_wrist", "jaw": "head"}
    above |= {"left_eye": "head", "right_eye": "head"}
    parents = [0xFFFFFFFF]
    for name in names[1:]:
        parent = above.get(name) or JOINTS[JOINT_PARENTS[JOINTS.index(name)]]
        parents.append(names.index(parent))
    skin = rng.random((num_vertices, num)) ** 8
    regressor = rng.random((num, num_vertices)) ** 6
    return {
        "v_template": rng.normal(0, 0.5, (num_vertices, 3)),
        "shapedirs": rng.normal(0, 0.02, (num_vertices, 3, shapes)),
        "posedirs": rng.normal(0, 0.01, (num_vertices, 3, 9 * (num - 1))),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": skin / skin.sum(1, keepdims=True),
        "kintree_table": np.array([parents, range(num)], np.uint32),
        "f": rng.integers(0, num_vertices, (90, 3)).astype(np.uint32),
    }


def slow_pose(data, rotvec, transl, betas):
    """Linear blend skinning as SMPL's paper has it, one joint and one vertex at a time, float64.

    Args:
        data: the tables; rotvec: (K, 3) radians; transl: (3,) metres from the template's origin; betas: (S,).

    Returns:
        (V, 3) vertices and (K, 3) joints, metres.
    """
    shaped = data["v_template"] + data["shapedirs"][:, :, : len(betas)] @ betas
    joints = data["J_regressor"] @ shaped
    matrices = [rodrigues(r) for r in rotvec]
    features = np.concatenate([(m - np.eye(3)).ravel() for m in matrices[1:]])
    posed = shaped + data["posedirs"] @ features
    worlds = []
    for j, matrix in enumerate(matrices):
        local = np.eye(4)
        local[:3, :3] = matrix
        parent = int(data["kintree_table"][0, j])
        local[:3, 3] = joints[j] - (joints[parent] if j else 0)
        worlds.append(worlds[parent] @ local if j else local)
    vertices = np.zeros_like(posed)
    for v, vertex in enumerate(posed):
        for j, world in enumerate(worlds):
            moved = world[:3, :3] @ (vertex - joints[j]) + world[:3, 3]
            vertices[v] += data["weights"][v, j] * moved
    return vertices + transl, np.array([w[:3, 3] for w in worlds]) + transl


def rodrigues(rotvec):
    angle = np.linalg.norm(rotvec)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = rotvec / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def first_published(data, path, protocol=2):
    """Save as SMPL's first files are: chumpy objects, a sparse regressor, odd extras."""
    names = ("chumpy", "chumpy.ch", "chumpy.reordering")
    modules = {name: ModuleType(name) for name in names}
    ch = type("Ch", (), {"__module__": "chumpy.ch"})
    select = type("Select", (), {"__module__": "chumpy.reordering"})
    modules["chumpy.ch"].Ch, modules["chumpy.reordering"].Select = ch, select

    def constant(values):
        made = ch()
        made.__dict__.update(x=values, _dirty_vars={"x"}, _itr=None, _depends_on_deps={})
        return made

    size, _, num = data["posedirs"].shape
    picked = select()
    order = np.arange(size * 3 * num)[::-1]
    picked.__dict__.update(
        a=constant(data["posedirs"].ravel()[::-1]), idxs=order, preferred_shape=(size, 3, num), _itr=None
    )
    saved = data | {
        "shapedirs": constant(data["shapedirs"]),
        "posedirs": picked,
        "J_regressor": scipy.sparse.csc_matrix(data["J_regressor"]),
        "J": data["J_regressor"] @ data["v_template"],
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    kept = {name: sys.modules.get(name) for name in names}
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps(saved, protocol))
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return path


def python2_pickle(arrays):
    """A dict of arrays, pickled as Python 2 does it: bytes are its str, numpy lies in numpy.core."""

    def text(value):
        raw = value if isinstance(value, bytes) else value.encode()
        return b"T" + struct.pack("<i", len(raw)) + raw

    def array(values):
        values = np.ascontiguousarray(values)
        dims = b"".join(b"J" + struct.pack("<i", n) for n in values.shape)
        kind = b"cnumpy\ndtype\n(" + text(values.dtype.str[1:]) + b"K\x00K\x01tR"
        kind += b"(K\x03" + text("<") + b"NNNJ" + struct.pack("<i", -1) + b"J" + struct.pack("<i", -1) + b"K\x00tb"
        head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text("b") + b"tR"
        return head + b"(K\x01(" + dims + b"t" + kind + b"\x89" + text(values.tobytes()) + b"tb"

    items = b"".join(text(key) + array(values) for key, values in arrays.items())
    return b"\x80\x02}(" + items + b"u."
