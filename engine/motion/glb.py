"""A motion as a skinned mesh with its animation: glTF 2.0 binary, opens in Blender, browsers and game engines.

Source: Khronos glTF 2.0 specification; JOINTS_0, WEIGHTS_0 and inverse bind matrices as in its section 3.7.3.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body, shape_from_height
from engine.geometry import matrix_to_quaternion, rotvec_to_matrix
from engine.motion.contact import leg_length
from engine.types import JOINT_PARENTS, JOINTS, Motion

if TYPE_CHECKING:
    from engine.body.family import SmplBody
    from engine.body.model import Body

_FLOAT, _UBYTE, _UINT = 5126, 5121, 5125
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for


def write_glb(
    motion: Motion, path: str | os.PathLike, body: "Body | SmplBody | None" = None, betas: NDArray | None = None
) -> None:
    """Write a .glb, whole or not at all; the same motion gives the same bytes.

    Joints are the motion's own, 52 nodes with our names, y up, metres. The skin is bound to the body's joints and
    carried to the motion's, so that another person's proportions stretch it. Pose correctives of SMPL have no place in
    a skin and are left out.

    Args:
        motion: T frames.
        path: the file.
        body: whose mesh; None is the embedded one, in the motion's shape, or of its height where that is the mean.
        betas: shape of a body of the SMPL family.
    """
    embedded = body is None or not hasattr(body, "skin")
    body = load_body() if body is None else body
    vertices, joints = body.rest(_shape(motion) if embedded else betas)
    weight_joints, weights = _four_weights(body)
    file = _Builder()
    times = (motion.time_s - motion.time_s[0]).astype("<f4")
    clock = file.accessor(times, "SCALAR", bounds=True)
    turns = matrix_to_quaternion(rotvec_to_matrix(motion.rotvec.astype(np.float64)))[..., [1, 2, 3, 0]]
    samplers = [_sampler(clock, file.accessor(motion.root_m.astype("<f4"), "VEC3"))]
    channels: list[dict[str, Any]] = [{"sampler": 0, "target": {"node": 1, "path": "translation"}}]
    for j in range(len(JOINTS)):
        samplers.append(_sampler(clock, file.accessor(_smooth(turns[:, j]).astype("<f4"), "VEC4")))
        channels.append({"sampler": j + 1, "target": {"node": j + 1, "path": "rotation"}})
    binds = np.tile(np.eye(4, dtype="<f4"), (len(JOINTS), 1, 1))
    binds[:, 3, :3] = -joints  # column by column: the translation comes last
    primitive = {
        "attributes": {
            "POSITION": file.accessor(vertices.astype("<f4"), "VEC3", bounds=True, target=_VERTICES),
            "NORMAL": file.accessor(_normals(vertices, body.faces), "VEC3", target=_VERTICES),
            "JOINTS_0": file.accessor(weight_joints, "VEC4", target=_VERTICES),
            "WEIGHTS_0": file.accessor(weights, "VEC4", target=_VERTICES),
        },
        "indices": file.accessor(body.faces.astype("<u4").reshape(-1), "SCALAR", target=_INDICES),
        "material": 0,
    }
    scene = {
        "asset": {"version": "2.0", "generator": "mimo"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"name": "body", "mesh": 0, "skin": 0}, *_nodes(motion)],
        "meshes": [{"name": "body", "primitives": [primitive]}],
        "materials": [{"name": "body", "pbrMetallicRoughness": {
            "baseColorFactor": [0.72, 0.62, 0.56, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}}],
        "skins": [{"joints": list(range(1, len(JOINTS) + 1)), "skeleton": 1,
                   "inverseBindMatrices": file.accessor(binds.reshape(-1, 16), "MAT4")}],
        "animations": [{"name": "motion", "samplers": samplers, "channels": channels}],
    }  # fmt: skip
    file.write(scene, Path(path))


def _shape(motion: Motion) -> NDArray:
    """The motion's shape, or one of its size where the motion has none."""
    if np.any(motion.shape):
        return motion.shape
    body = load_body()
    height = float(np.ptp(body.vertices[:, 1])) * leg_length(motion.rest_m) / leg_length(body.joints)
    return shape_from_height(float(np.clip(height, 1.2, 2.4)), body)


def _four_weights(body: Any) -> tuple[NDArray, NDArray]:
    """The four strongest joints of each vertex (V, 4) uint8 in our order, and weights (V, 4) float32 that sum to 1."""
    if hasattr(body, "weight_joints"):
        joints, weights = body.weight_joints, body.weights
    else:
        ours = _folded(body)
        joints = np.argsort(-ours, axis=1, kind="stable")[:, :4]
        weights = np.take_along_axis(ours, joints, 1)
    weights = weights / weights.sum(1, keepdims=True)
    return np.where(weights > 0, joints, 0).astype(np.uint8), weights.astype("<f4")


def _folded(body: Any) -> NDArray:
    """(V, 52): a skin of the SMPL family on our joints; what hangs on a joint we lack goes to its parent."""
    ours = np.zeros((len(body.skin), len(JOINTS)), np.float32)
    for own in range(len(body.parents)):
        at = own
        while body.own_from_ours[at] < 0:
            at = body.parents[at]
        ours[:, body.own_from_ours[at]] += body.skin[:, own]
    return ours


def _smooth(quaternions: NDArray) -> NDArray:
    """Signs such that neighbours are near: players that blend the numbers alone turn the short way."""
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(1) < 0, -1.0, 1.0)
    return quaternions * np.concatenate([[1.0], np.cumprod(flips)])[:, None]


def _normals(vertices: NDArray, faces: NDArray) -> NDArray:
    """(V, 3) float32 unit normals, faces weighted by their area."""
    corners = vertices[faces].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros(vertices.shape)
    for k in range(3):
        np.add.at(normals, faces[:, k], across)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0.0, 1.0, 0.0]).astype("<f4")


def _nodes(motion: Motion) -> list[dict]:
    """One node a joint, node number = joint + 1, in the rest pose."""
    nodes: list[dict] = []
    for j, name in enumerate(JOINTS):
        parent = JOINT_PARENTS[j]
        bone = motion.rest_m[j].astype(np.float64) - (motion.rest_m[parent] if parent >= 0 else 0)
        node: dict[str, Any] = {"name": name, "translation": [round(float(v), 7) for v in bone]}
        children = [k + 1 for k, above in enumerate(JOINT_PARENTS) if above == j]
        if children:
            node["children"] = children
        nodes.append(node)
    return nodes


def _sampler(clock: int, output: int) -> dict:
    return {"input": clock, "output": output, "interpolation": "LINEAR"}


class _Builder:
    """Gathers arrays into one buffer."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.views: list[dict] = []
        self.accessors: list[dict] = []

    def accessor(self, values: NDArray, kind: str, *, bounds: bool = False, target: int = 0) -> int:
        """Add an array (count,) or (count, width) and return its number."""
        raw = np.ascontiguousarray(values).tobytes()
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self.size, "byteLength": len(raw)}
        if target:
            view["target"] = target
        code = {"f": _FLOAT, "u": _UBYTE if values.dtype.itemsize == 1 else _UINT}[values.dtype.kind]
        entry = {"bufferView": len(self.views), "componentType": code, "count": len(values), "type": kind}
        if bounds:
            flat = values.reshape(len(values), -1)
            entry |= {"min": [float(v) for v in flat.min(0)], "max": [float(v) for v in flat.max(0)]}
        self.views.append(view)
        self.accessors.append(entry)
        self.parts.append(raw + b"\0" * (-len(raw) % 4))
        self.size += len(self.parts[-1])
        return len(self.accessors) - 1

    def write(self, scene: dict, path: Path) -> None:
        scene = scene | {"buffers": [{"byteLength": self.size}], "bufferViews": self.views, "accessors": self.accessors}
        text = json.dumps(scene, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        part = path.with_name(path.name + ".part")
        with open(part, "wb") as file:
            total = 12 + 8 + len(text) + 8 + self.size
            file.write(b"glTF" + (2).to_bytes(4, "little") + total.to_bytes(4, "little"))
            file.write(len(text).to_bytes(4, "little") + b"JSON" + text)
            file.write(self.size.to_bytes(4, "little") + b"BIN\0")
            for piece in self.parts:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
